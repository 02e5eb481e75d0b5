/*
 * A translation unit and what is known of it from earlier compiles: which files it included, and the objects
 * kept in the cache. Both are named by content:
 *
 *     CACHE/units/COMMAND/KEY.d      the files that a compile read, one a line
 *     CACHE/units/COMMAND/KEY.o      its object
 *                         KEY-indirect.o, KEY-plain.o, KEY-unoptimised.o   other kinds of it
 *                         KEY-probe-NAMES.o, .txt   what its source says about calls of NAMES (a hash):
 *                                                   patch/probe/probe.h
 *
 * COMMAND is a hash of the compiler and its arguments, KEY one of the files' names and contents. A tree whose
 * files hash to KEY needs no compiler.
 */
#ifndef MOLT_PATCH_UNIT_H
#define MOLT_PATCH_UNIT_H

#include "patch/compile/command.h"
#include "patch/file.h"

struct dependencies {
    char **files; /* absolute, as in the root's build */
    size_t count;
    char key[HASH_HEX]; /* contents that this list was true for */
    struct computed_key {
        unsigned generation; /* of the hashes */
        char *directory;
        char key[HASH_HEX];
    } computed[2]; /* its key in the two trees of a build */
};

struct unit {
    const struct compile_entry *entry; /* borrowed */
    char *directory;                   /* in the cache */
    LIST(struct dependencies *) known; /* latest last */
};

void unit_init(struct unit *unit, const struct compile_entry *entry, const struct compile_db *db,
               const char *cache);
void unit_deinit(struct unit *unit);

/* The files that the unit reads in TREE, if that is known from a compile of the same contents; else NULL. */
const struct dependencies *unit_dependencies(const struct unit *unit, const struct tree *tree,
                                             struct file_hashes *hashes);

/* Whether the unit's own source, not what it includes, differs between the trees. */
bool unit_source_differs(const struct unit *unit, const struct tree *one, const struct tree *other,
                         struct file_hashes *hashes);

/* Whether all of FILES have the same content in both trees. */
bool unit_same_files(const struct dependencies *files, const struct tree *one, const struct tree *other,
                     struct file_hashes *hashes);

/* Reads the make rule that a compiler left at RULE after it ran in TREE, and remembers the files. KEY is
 * by what they hold now. */
struct molt_error *unit_learn(struct unit *unit, const struct tree *tree, struct file_hashes *hashes,
                              const char *rule, const struct dependencies **ret);

/* Path of the object of KIND for FILES, whether it is there or not. Owned by the caller. */
char *unit_object_path(const struct unit *unit, const struct dependencies *files, enum command_kind kind);

/* Removes all but the latest objects from the cache. */
void unit_prune(struct unit *unit);

#endif
