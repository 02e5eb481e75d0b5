/*
 * What the running program was made from, kept in .molt/ of the source root:
 *
 *     baseline/            the sources, last update included, at the same relative places
 *     baseline.json        {"build_ids": [...], "updates": [ID...]}: whose sources these are
 *     updates/NNNN-ID/     an update: patch.molt, record.json, before/ and after/ of the files it changed
 *     updates/pending/     one being prepared
 *
 * An update's directory gets its final name before the program is asked to commit, and the baseline moves
 * after that. So whenever the server is killed, the ids of the updates that the program says it runs tell
 * which of the two states to take up (baseline_follow).
 *
 * All functions may be called from a thread that has the baseline to itself.
 */
#ifndef MOLT_LSP_SERVER_BASELINE_H
#define MOLT_LSP_SERVER_BASELINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct baseline {
    char *root;        /* source root */
    char *state;       /* ROOT/.molt */
    char *tree;        /* ROOT/.molt/baseline */
    json_t *build_ids; /* array of hex strings; empty: there is no baseline */
    json_t *updates;   /* ids of updates applied, oldest first */
    json_t *same; /* name -> what both of a pair of equal files looked like to stat, so as not to read them
                     again */
};

/* Reads what is there; a missing or unreadable baseline is an empty one. */
struct molt_error *baseline_load(const char *root, struct baseline **ret);
void baseline_destroy(struct baseline *baseline);

/* Whether this is the baseline of a program with BUILD_IDS: the same set. */
bool baseline_fits(const struct baseline *baseline, const json_t *build_ids);

/* A new baseline: begin returns an empty directory (borrowed from BASELINE until finish, freed by the caller)
 * for the sources, finish makes them the baseline of BUILD_IDS, with no updates. */
struct molt_error *baseline_begin(struct baseline *baseline, char **ret_directory);
struct molt_error *baseline_finish(struct baseline *baseline, const json_t *build_ids);

/*
 * Compares the baseline with the files on disk and sets aside, in updates/pending/, both texts of each that
 * differs. EXTRA: an array of relative paths that may be new, or NULL. RET: a new array of {"path", "before":
 * bool, "after": bool}: which of the two exist.
 */
struct molt_error *baseline_stage(struct baseline *baseline, const json_t *extra, json_t **ret);

/* Whether the files on disk are still what was staged. */
bool baseline_stage_current(const struct baseline *baseline, const json_t *files);

/* Whether the staged FILES are the state before the last update. */
bool baseline_stage_undoes(const struct baseline *baseline, const json_t *files);

/* Names the staged update: from now on baseline_follow knows it. */
struct molt_error *baseline_publish(struct baseline *baseline, const char *id, const char *title,
                                    const void *patch, size_t size, const json_t *files);
/* The program committed it: moves the baseline on. */
struct molt_error *baseline_commit(struct baseline *baseline, const char *id);
/* The program did not: forgets it. */
void baseline_withdraw(struct baseline *baseline, const char *id);

/* The staged FILES make no difference to the program: moves the baseline without an update. */
struct molt_error *baseline_absorb(struct baseline *baseline, const json_t *files);

/* The program went back to before its last update. */
struct molt_error *baseline_roll_back(struct baseline *baseline);

enum baseline_follow { BASELINE_SAME, BASELINE_MOVED, BASELINE_UNKNOWN };

/* Moves the baseline to the state with exactly UPDATES (array of ids) applied. UNKNOWN: there is no record of
 * one of them; nothing moved. */
struct molt_error *baseline_follow(struct baseline *baseline, const json_t *updates,
                                   enum baseline_follow *ret);

/* The paths of the patch files of the updates applied, oldest first: an array of strings. */
json_t *baseline_patches(const struct baseline *baseline);

/* Path of the baseline's copy of ABSOLUTE, or NULL if that is not below the root. Owned by the caller. */
char *baseline_path(const struct baseline *baseline, const char *absolute);

#endif
