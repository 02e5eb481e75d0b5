/* Small programs, made for a test: two versions of some files, built as a user would, and patches between
 * them. */
#ifndef MOLT_TESTS_UNIT_PATCH_PROJECT_H
#define MOLT_TESTS_UNIT_PATCH_PROJECT_H

#include "base/patch_file.h"
#include "patch/session.h"

struct project {
    char directory[64]; /* DIRECTORY/v1 is the root, DIRECTORY/v1/build the build, v2, v3 other trees */
    const char *compiler, *flags;
    const char *other_build; /* in the project's directory: the build of the new sources, NULL for none */
    const char *changes;     /* what the recorder saw, JSON; NULL: nothing */
    bool is_stage;           /* the patch is one of several to be put together */
    bool from_is_named;      /* as molt diff has it */
    const json_t *stages;    /* what is put together, or, with is_stage, is in front of it; borrowed */
    struct patch_session *session;
    struct patch_result result;
    struct molt_error *error;
    struct patch_file file; /* of the last patch */
};

/* An empty project. COMPILER and FLAGS are borrowed. */
void project_init(struct project *project, const char *compiler, const char *flags);
void project_deinit(struct project *project);

/* Writes TEXT to TREE/NAME. */
void project_write(struct project *project, const char *tree, const char *name, const char *text);

/* Runs a shell command in the project's directory; fails the test if that fails. */
void project_shell(struct project *project, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Compiles v1's a.c and b.c and links build/program. */
void project_build(struct project *project);

/* Makes a patch from tree FROM to tree TO (NULL: v1, in place), AFTER being the file of an earlier patch
 * or NULL. */
void project_patch(struct project *project, const char *from, const char *to, const char *after);

/* Writes the last patch to NAME in the project's directory. */
void project_save(struct project *project, const char *name);

/* The names of the functions (data) in the last patch's manifest, sorted, with a space between: "f g".
 * Static. */
const char *project_functions(struct project *project);
const char *project_data(struct project *project);

#endif
