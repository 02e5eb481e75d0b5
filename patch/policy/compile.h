/*
 * The user's policy files, and compiling them and what Molt generates. A file of policies is preprocessed
 * with the flags of a unit of the program, read (patch/policy/scan.h), stripped of what is not for this
 * update, given declarations of the old types, and compiled.
 */
#ifndef MOLT_PATCH_POLICY_COMPILE_H
#define MOLT_PATCH_POLICY_COMPILE_H

#include "patch/policy/scan.h"
#include "patch/session_private.h"

/* Where and how policies are compiled. All is borrowed. */
struct policy_setup {
    struct patch_session *session;
    const struct compile_setup *compile;
    struct tree *to;                       /* the new sources */
    const struct compile_entry *neighbour; /* whose flags they take */
    struct molt_diagnostics *diagnostics;
    bool strict; /* a pointer to a type is none to another */
};

/* A file of the user's. */
struct policy_file {
    char *path; /* absolute, as in the root */
    char *name; /* "molt/conn.c" */
    struct policy_text text;
};

typedef LIST(struct policy_file *) policy_files;

/* A source of policies as it is compiled. */
struct policy_source {
    char *name; /* the unit's in the patch: "molt/conn.c" */
    char *text; /* C after preprocessing */
    struct compile_entry *entry;
    struct unit unit;
    struct compile_job job;
    struct object *object; /* result; the session's */
};

typedef LIST(struct policy_source *) policy_sources;

/* The names of the policy files in DIRECTORY of TREE, whose mirror is made, sorted; they and the array belong
 * to the caller. */
size_t policy_files_list(const struct patch_session *session, struct tree *tree, const char *directory,
                         char ***ret);

/* Finds ROOT/molt/(any).c of the new tree and reads them. REFUSED: one cannot be preprocessed; the
 * diagnostics say why. */
struct molt_error *policy_files_read(const struct policy_setup *setup, policy_files *ret);
void policy_files_free(policy_files *files);

/* Adds TEXT (taken) as a source NAME. */
void policy_sources_add(policy_sources *sources, const char *name, char *text);

/* Compiles all SOURCES. REFUSED: one does not compile; the diagnostics say why. */
struct molt_error *policy_sources_compile(const struct policy_setup *setup, policy_sources *sources);
void policy_sources_free(policy_sources *sources);

#endif
