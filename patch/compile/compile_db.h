/* The compile database: how each translation unit of the program was compiled. */
#ifndef MOLT_PATCH_COMPILE_DB_H
#define MOLT_PATCH_COMPILE_DB_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"
#include "patch/compile/build_time.h"
#include "patch/memory.h"

/* One command. */
struct compile_entry {
    char *file;       /* absolute, normalised */
    char *name;       /* relative to the root (absolute if outside): the unit's name in patches */
    char *directory;  /* working directory, absolute */
    char **arguments; /* NULL-terminated, [0] is the compiler (or ccache, distcc before it) */
    size_t argument_count;
    size_t file_argument; /* index of the source file among the arguments */
};

struct compile_db {
    char *path;  /* of compile_commands.json */
    char *root;  /* source root, absolute, normalised */
    char *build; /* directory of the database, absolute */
    LIST(struct compile_entry *) entries;
    struct build_time time; /* what is compiled is told; set by the session */
};

/* Reads BUILD/compile_commands.json; only C files are kept. ROOT: NULL to work it out, by TREE if that is
 * not NULL, see patch/source_root.h. REFUSED if there is no database or it cannot be understood, or TREE
 * is none of its sources. */
struct molt_error *compile_db_load(const char *build, const char *root, const char *tree,
                                   struct compile_db *ret);
/* The directories that its commands name by -I and its like, each once: a new array of absolute paths. */
json_t *compile_db_include_directories(const struct compile_db *db);

void compile_entry_free(struct compile_entry *entry);
void compile_db_deinit(struct compile_db *db);

#endif
