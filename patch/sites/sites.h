/*
 * Which type each allocation call of a program makes.
 *
 * A call is known by the address of the instruction after it, since that is what a stack holds. Debug
 * information leads from there to a line of the source, through all functions that were inlined; the unit's
 * preprocessed source and the user's own compiler (patch/probe/probe.h) say which type the call on that line
 * makes. Where the function that calls decides nothing, as xmalloc does not, its caller is asked.
 */
#ifndef MOLT_PATCH_SITES_H
#define MOLT_PATCH_SITES_H

#include <jansson.h>

#include "base/patch_file.h"
#include "patch/code/image.h"
#include "patch/code/object.h"
#include "patch/session.h"
#include "patch/compile/tree.h"
#include "patch/compile/unit.h"

struct site {
    uint64_t address; /* of the instruction after the call: as the image states it, or from the start of
                         `symbol` */
    const struct object_symbol *symbol; /* in an object: the function that makes the call; NULL in an image */
    enum molt_site_kind kind;
    Dwarf_Die
        type; /* OBJECT and ARRAY: of the object or of one element, typedefs and all; addr NULL otherwise */
    const char *type_name; /* "struct conn"; "" if there is none */
    unsigned allocator; /* 0: the C library's; else 1 + index of the outermost wrapper among `allocators` */
    const char *file;   /* of the call that decides, absolute as the root has it; "" if it is not known */
    unsigned line;
    const char *function; /* that makes this call, inlined ones included */
    const char *reason;   /* UNKNOWN: what is missing, for people; else "" */
    const char *may_be;   /* UNKNOWN: the type of which it makes one, or several, in a way that is not
                             understood; else "" */
    const char *carver;   /* the function that takes such memory from elsewhere than an allocator, too; "" if
                             none   does */
    const char *carver_file; /* where it does */
    unsigned carver_line;
    bool pieces; /* of larger blocks; else whole ones that were used before */
};

/* A function of the image through which the program allocates, and the one that takes its blocks back. */
struct site_allocator {
    uint64_t allocate, release;
    const char *name;
    uint32_t header; /* bytes kept in front of what it returns */
};

struct sites {
    LIST(struct site) items; /* ascending by address (by symbol first) */
    LIST(struct site_allocator) allocators;
    LIST(char *) owned;
    LIST(void *) keeps;         /* whose debug information the types are in */
    LIST(Dwarf_Die) hint_units; /* of the program's debug information that types of molt.toml are in */
    char *key;                  /* what they were worked out from */
};

/*
 * The sites of IMAGE, which was built from what FROM holds. They stay the session's, until sites of it are
 * asked for from other sources. STALE (NULL-terminated, may be NULL): units that FROM no longer has as they
 * were built; what they allocate is not known, and if there are any the result had better come from
 * sites_known. What cannot be worked out is an UNKNOWN site with its reason, never an error; an error is
 * returned when compilers could not be run at all, or for a mistake in the `[heap]` of molt.toml.
 */
struct molt_error *sites_of_image(struct patch_session *session, const struct patch_request *request,
                                  struct tree *from, const char *const *stale, const struct image *image,
                                  const struct sites **ret);

/* The sites of IMAGE that the session has, NULL if they were not asked for yet. */
const struct sites *sites_known(const struct patch_session *session, const struct image *image);

/* Those of the functions of OBJECT, compiled of UNIT in TREE, that are marked in WANTED (by index of their
 * symbol). IMAGE: the binary that the new code will belong to. Owned by the caller. */
struct molt_error *sites_of_object(struct patch_session *session, const struct patch_request *request,
                                   struct tree *tree, struct unit *unit, struct object *object,
                                   const bool *wanted, const struct image *image, struct sites **ret);
void sites_destroy(struct sites *sites);

/* {"typed": 12, "bytes": 3, "wrapper": 1, "unknown": [{"file", "line", "function", "reason"}]}, as
 * manifests have it. */
json_t *sites_to_json(const struct sites *sites);

#endif
