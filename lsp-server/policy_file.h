/*
 * Policies and validations that the user starts from: written into ROOT/molt/ through the editor.
 */
#ifndef MOLT_LSP_SERVER_POLICY_FILE_H
#define MOLT_LSP_SERVER_POLICY_FILE_H

#include <jansson.h>
#include <stdbool.h>

struct reply;
struct workspace;

/* Whether PATH is a policy file, ROOT/molt/(any).c: it is no part of the program, so it never counts as
 * changed. */
bool policy_file_is(const struct workspace *workspace, const char *path);

/* The recorder was told of a change in PATH. If that is a policy file, its text is what it is to be
 * compared with from now on, and the next preview is due. Other files are left alone. */
void policy_file_settle(struct workspace *workspace, const char *path);

/* Whether the type NAME ("struct conn") changes, as far as recorder and last preview know. */
bool policy_type_changes(struct workspace *workspace, const char *name);

/* The command molt.writePolicy: ARGUMENT is {"type"?, "validation"?}, or {"function"} for MOLT_TRANSFER;
 * without a type, the first one that changes. Adds what is missing to the type's file in molt/, by way of
 * workspace/applyEdit, and shows it. Answers REPLY with {"uri", "line"} (0-based). */
void policy_file_write(struct workspace *workspace, const json_t *argument, struct reply *reply);

#endif
