/*
 * The patch builder: two states of a source tree in, one patch file out.
 *
 * A session belongs to one build of one source tree and keeps what is expensive to find out: the compile
 * database, the index of the binaries' symbols and debug information, the analysed objects of the baseline. A
 * save then costs one compile and a comparison. Sessions are not thread safe; several may exist at once.
 */
#ifndef MOLT_PATCH_SESSION_H
#define MOLT_PATCH_SESSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/diagnostic.h"
#include "base/error.h"

struct patch_session;

/* All strings are borrowed for the call. */
struct patch_options {
    const char *build; /* directory of compile_commands.json */
    const char
        *to_build; /* build of the new sources whose compile database has flags for new files; may be NULL */
    const char *root; /* source root; NULL: that of the database (patch/source_root.h) */
    const char *tree; /* what will stand for the root, if that is known, to tell the root by; may be NULL */
    const char *const *binaries; /* executables and shared libraries of the build */
    size_t binary_count;         /* 0: those found below `build` */
    const char *cache;           /* directory for objects; NULL: ROOT/.molt/cache */
    int jobs;                    /* compilers at once; 0: as many as processors */
};

/* Reads the compile database and the binaries. REFUSED: what is missing and the remedy. */
struct molt_error *patch_session_create(const struct patch_options *options, struct patch_session **ret);
void patch_session_destroy(struct patch_session *session);

/* PHASE is a word ("dependencies", "compiling", "comparing", "checking"), borrowed for the call. */
typedef void patch_progress(void *context, const char *phase, unsigned done, unsigned total);

/* All strings are borrowed for the call. */
struct patch_request {
    const char *from;         /* directory standing for the root: the sources the program was built from */
    const char *to;           /* directory standing for the root: the new sources; NULL: the root itself */
    const char *const *after; /* patch files already applied to the program, oldest first */
    size_t after_count;
    bool from_is_named;       /* by a person: whether it is what `after` leads to is looked at */
    const char *const *first; /* absolute paths of files that are likely to change soon; for warming up */
    size_t first_count;
    json_t *changes; /* structural changes from the recorder, borrowed; may be NULL */
    /* Composing (patch/policy/stage.h): with is_stage this is one of several updates that are to be made
     * one, and `stages` (may be NULL) are those in front of it; else `stages` are all of them, and `from`
     * and `to` those of the first and the last. */
    bool is_stage;
    const json_t *stages;
    const char *title;        /* one line for people; may be NULL */
    patch_progress *progress; /* may be NULL */
    void *context;            /* for progress */
    volatile int *cancel;     /* set to non-zero by another thread to give up; may be NULL */
};

struct patch_result {
    void *bytes; /* the patch file, from malloc: 16-byte aligned */
    size_t size;
    bool empty;       /* the patch changes nothing (it is a valid patch all the same) */
    json_t *manifest; /* what .molt.manifest holds */
    json_t *
        skeletons; /* {"struct conn": the policy file to start from}, of each type that changes; NULL: none */
    json_t *stage; /* with is_stage: this update as a stage */
    struct molt_diagnostics diagnostics;
    unsigned functions; /* affected functions that the program has */
    unsigned units;     /* translation units with differences */
    double compile_ms;  /* from the first compiler started to the last one ended */
    double total_ms;
};

/*
 * Builds the patch that leads from REQUEST->from to REQUEST->to. *RET is filled in any case and must be given
 * to patch_result_deinit: on error it has the diagnostics (compile errors, refusals) and no bytes. REFUSED:
 * the sources do not compile, or the change cannot be made in a running program; the message says which and
 * why.
 */
struct molt_error *patch_session_build(struct patch_session *session, const struct patch_request *request,
                                       struct patch_result *ret);
void patch_result_deinit(struct patch_result *result);

/* Builds the baseline objects of all units and checks them against the binaries, ahead of the first save.
 * The units of REQUEST->first are built first, then those known to include one of them. */
struct molt_error *patch_session_warm(struct patch_session *session, const struct patch_request *request);

/* Copies all files below the root that any unit depends on to the same relative places below DIRECTORY. */
struct molt_error *patch_session_snapshot(struct patch_session *session, const char *directory);

/* The source root in use, absolute; valid as long as the session. */
const char *patch_session_root(const struct patch_session *session);

/* The binaries in use: a new JSON array of {"path", "build_id" (hex)}, or NULL without memory. An engine
 * belongs to this session if one of its modules has one of these build-ids. */
json_t *patch_session_modules(const struct patch_session *session);

/* Code of the binaries that no patch would hold: a new JSON array of {"file" (below the root, as a rule),
 * "program", "unlisted": no command of the compile database makes it; else it is there without debug
 * information}. */
json_t *patch_session_unseen(struct patch_session *session);

/* The directories that the compilers of the build are told to search for what is included: a new JSON array
 * of absolute paths. */
json_t *patch_session_include_directories(const struct patch_session *session);

#endif
