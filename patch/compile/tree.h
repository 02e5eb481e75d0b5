/*
 * A source tree that stands in the root's place: FROM and TO of a patch.
 *
 * The root itself is compiled where it is. Any other tree is compiled in a mirror: directories and symbolic
 * links under the cache, made so that everything the compiler sees has the same place relative to everything
 * else:
 *
 *     MIRROR stands for TOP (the root, or the deepest directory that holds root and build directory)
 *     MIRROR/<root>/a.c       -> TREE/a.c
 *     MIRROR/<root>/config.h  -> ROOT/config.h          (the tree lacks it: generated)
 *     MIRROR/<build>/gen.h    -> BUILD/gen.h            (the build directory lies outside of the root)
 */
#ifndef MOLT_PATCH_TREE_H
#define MOLT_PATCH_TREE_H

#include <stdbool.h>

#include "base/error.h"
#include "patch/compile/compile_db.h"

struct tree {
    const struct compile_db *db; /* borrowed */
    char *directory;             /* absolute */
    bool in_place;               /* it is the root */
    char *top;                   /* what the mirror stands for; "" for the whole file system */
    char *mirror;                /* absolute */
    bool mirrored;               /* the links are up to date */
};

/* DIRECTORY: NULL for the root. CACHE: where mirrors are. REFUSED if there is no such directory. */
struct molt_error *tree_init(struct tree *tree, const struct compile_db *db, const char *directory,
                             const char *cache);
void tree_deinit(struct tree *tree);

/* Where the file that is FILE (absolute) in the root's build is in this tree. Owned by the caller. */
char *tree_file(const struct tree *tree, const char *file);

/* Brings the mirror up to date, once per tree. */
struct molt_error *tree_make_mirror(struct tree *tree);

/* PATH as the compiler is to see it: below the mirror if it is below the root or the build directory. */
char *tree_mirror_path(const struct tree *tree, const char *path);

/* The reverse: PATH as the compiler names it, in terms of the root. */
char *tree_original_path(const struct tree *tree, const char *path);

#endif
