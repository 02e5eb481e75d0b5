/* A session, as session.c, build.c and their helpers see it. */
#ifndef MOLT_PATCH_SESSION_PRIVATE_H
#define MOLT_PATCH_SESSION_PRIVATE_H

#include "patch/compile/compile.h"
#include "patch/code/image.h"
#include "patch/code/object.h"
#include "patch/session.h"
#include "patch/sites/sites.h"

struct site_code;

/* A unit of a binary that the compile database does not have (unseen.c). */
struct unseen {
    const struct image *image;
    LIST(char *) files; /* that it was made from, in terms of the root; its own source first */
};

struct patch_session {
    struct compile_db db;
    struct compile_db to_db; /* of the new sources' own build: flags for new files; no entries without one */
    char *cache;             /* directory, absolute */
    unsigned jobs;
    struct file_hashes *hashes;
    struct unit *units;
    size_t unit_count;
    LIST(struct image *) images;
    LIST(struct unseen) unlisted;
    bool unlisted_known;
    LIST(struct object *) objects; /* analysed, oldest first */
    struct table checked;          /* object, binary and number of earlier patches that were found to agree */
    LIST(char *) checked_keys;
    LIST(struct site_code *) codes; /* of the binaries, as far as sites were asked for */
    LIST(struct sites *) sites;     /* of the binaries, as far as they were asked for */
};

/* The analysed object at PATH; stays the session's. */
struct molt_error *session_object(struct patch_session *session, const char *path, struct object **ret);

/* Remembers that the object at PATH and the code of the binary are the same, up to EARLIER patches. */
bool session_is_checked(const struct patch_session *session, const char *path, const char *binary,
                        size_t earlier);
void session_set_checked(struct patch_session *session, const char *path, const char *binary, size_t earlier);

/* sites/sites.c: frees what is kept about sites. */
void session_forget_sites(struct patch_session *session);

/* Bounds what is kept in memory and in the cache. No object got before may be used afterwards. */
void session_trim(struct patch_session *session);

/* build.c: the files that UNIT reads, if a compile in one of the trees has told; else NULL. */
const struct dependencies *session_known_files(struct patch_session *session, const struct unit *unit,
                                               const struct tree *from, const struct tree *to);

/* Whether any binary was made from the unit. */
bool session_is_linked(const struct patch_session *session, const struct unit *unit);

/* Finds out which files each unit reads in the tree `from` (or, where it is equal, `to`) of REQUEST. */
struct molt_error *session_dependencies(struct patch_session *session, const struct patch_request *request);

#endif
