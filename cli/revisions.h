/* Source trees out of version control, and other directories that live as long as one command. */
#ifndef MOLT_CLI_REVISIONS_H
#define MOLT_CLI_REVISIONS_H

#include "base/error.h"

/* A new empty directory for this command. Owned by the caller, who removes it with revisions_remove. */
struct molt_error *revisions_make_directory(char **ret_path);
void revisions_remove(char *path);

/*
 * Writes the tree of REVISION (anything git rev-parse takes) of the repository that holds ROOT into
 * DIRECTORY: the part of it that lies below ROOT. NOT_FOUND: no repository, no such revision.
 */
struct molt_error *revisions_check_out(const char *root, const char *revision, const char *directory);

#endif
