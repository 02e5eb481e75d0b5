/*
 * Functions that hand on memory which somebody else asked for: xmalloc, zmalloc, pool_get. Found in a binary
 * by its debug information and code alone, without sources, since `molt run` tells the engine of them
 * (base/wrapper_table.h) and the builder has to come to the same answer. One too many does no harm: the
 * engine then notes one caller more.
 */
#ifndef MOLT_PATCH_WRAPPERS_H
#define MOLT_PATCH_WRAPPERS_H

#include "patch/code/calls.h"
#include "patch/code/code_index.h"

struct wrapper {
    uint64_t address; /* of its first instruction */
    const char *name;
    Dwarf_Die die;
    bool generic; /* returns void *, or hands out by way of a void **; else a char * or structure of a size it
                     is told */
};

struct wrappers {
    LIST(struct wrapper) items; /* ascending */
};

/* Where the calls of a range of code come from. */
struct code_source {
    const struct call_targets *targets; /* of a binary; NULL: of OBJECT */
    struct object *object;
};

/* Adds what is found in CODE, INDEX being that of its debug information. NAMES: further functions that are
 * to count as wrappers, here or elsewhere, NULL-terminated; may be NULL. */
void wrappers_find(struct wrappers *wrappers, const struct code_source *code, const struct code_index *index,
                   const char *const *names);
void wrappers_deinit(struct wrappers *wrappers);

/* The wrapper that starts at ADDRESS, or NULL. */
const struct wrapper *wrappers_at(const struct wrappers *wrappers, uint64_t address);

/* Writes the table for IMAGE to PATH. */
struct molt_error *wrappers_write(const struct wrappers *wrappers, const struct image *image,
                                  const struct code_index *index, const char *path);

/*
 * sites/wrapper_files.c: the files with the tables of the executable at PROGRAM and of the libraries it
 * needs, separated by colons, made if they are not in the cache ($XDG_CACHE_HOME/molt). Owned by the caller;
 * "" if there are none. NAMES as above. Unless PATIENT, binaries with more debug information than can be read
 * without delay are left out and named in *RET_LEFT_OUT, separated by ", " (owned by the caller, "" if none
 * is). An error is returned if the cache cannot be written.
 */
struct molt_error *wrappers_of_program(const char *program, const char *const *names, bool patient,
                                       char **ret, char **ret_left_out);

#endif
