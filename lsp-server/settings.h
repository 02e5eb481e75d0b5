/*
 * The settings of a workspace: molt.toml, overridden by what the editor says.
 */
#ifndef MOLT_LSP_SERVER_SETTINGS_H
#define MOLT_LSP_SERVER_SETTINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* name, word */
#define SAVE_POLICIES(X)                                                                                     \
    X(MANUAL, "manual")                                                                                      \
    X(NEVER, "never")                                                                                        \
    X(MANUAL_IF_DIRTY, "manualIfDirty")                                                                      \
    X(ALL, "all")

enum save_policy {
#define X(name, word) SAVE_##name,
    SAVE_POLICIES(X)
#undef X
};

struct settings {
    char *build;     /* absolute directory that holds compile_commands.json, or NULL: none found */
    char *root;      /* absolute source root, or NULL: left to the compile database */
    char **binaries; /* absolute; NULL-terminated, NULL: to be found */
    enum save_policy save;
    unsigned timeout_ms;  /* for a safe update point */
    bool instances;       /* live instances are counted unasked, for code lenses and the review */
    bool rehearse;        /* updates that run policies are tried in a copy of the process first */
    bool strict;          /* suspended functions are never taken over where they wait */
    unsigned transfer_ms; /* they are, after so long */
    bool known_stacks;    /* no memory is searched for stacks that the program has not registered */
};

/*
 * Reads FOLDER/molt.toml if there is one, lets OPTIONS (a JSON object or NULL, borrowed) override it, and
 * looks for the compile database. What is wrong with a value is an error that names file and line where it
 * can; *RET is valid (defaults in place of what is wrong) all the same and must be given to settings_deinit.
 */
struct molt_error *settings_read(const char *folder, const json_t *options, struct settings *ret);
void settings_deinit(struct settings *settings);

/* The nearest directory from that of PATH upwards with molt.toml, compile_commands.json or a build...
 * directory with compile_commands.json. Owned by the caller, NULL if none has. */
char *settings_find_folder(const char *path);

/* How many binaries are named. */
size_t settings_binary_count(const struct settings *settings);

#endif
