/* The compiler's command line for one unit in one tree. */
#ifndef MOLT_PATCH_COMMAND_H
#define MOLT_PATCH_COMMAND_H

#include "patch/compile/compile_db.h"
#include "patch/compile/tree.h"

enum command_kind {
    COMMAND_DEPENDENCIES, /* which files does it include */
    COMMAND_OBJECT,       /* an object to compare: each definition in its own section */
    COMMAND_INDIRECT,     /* as OBJECT, but objects of other modules are reached through the GOT */
    COMMAND_PLAIN,        /* as the program was built: nothing about sections */
    COMMAND_UNOPTIMISED,  /* as OBJECT, but the code does what the source says, access by access */
    COMMAND_PREPROCESSED, /* the source after preprocessing, instead of an object */
    COMMAND_PROBE, /* types only: preprocessed source in the place of the unit's own, nothing optimised */
};

/* Arguments from ENTRY, NULL-terminated, to be freed by command_free. OUTPUT: the object; DEPENDENCIES:
 * the file for make rules; both absolute, both may be NULL to leave them out (for hashing). */
char **command_make(const struct compile_entry *entry, const struct tree *tree, enum command_kind kind,
                    const char *output, const char *dependencies);
void command_free(char **arguments);

/* The same for SOURCE instead of the entry's own file: a preprocessed one, for PROBE. */
char **command_make_for(const struct compile_entry *entry, const struct tree *tree, enum command_kind kind,
                        const char *source, const char *output, const char *dependencies);

/* Whether the user's compiler is asked for debug information. */
bool command_has_debug(const struct compile_entry *entry);

/* Whether the compiler is clang, by its name. */
bool command_is_clang(const struct compile_entry *entry);

/* Whether the user's compiler leaves the optimising to the linker, which then compiles all files together. */
bool command_is_lto(const struct compile_entry *entry);

#endif
