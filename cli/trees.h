/* Where the sources of the two states of molt diff are, and of those in between. */
#ifndef MOLT_CLI_TREES_H
#define MOLT_CLI_TREES_H

#include "cli/command.h"

struct trees {
    char *from, *to;  /* directories; to NULL: the source root itself */
    char **via;       /* the states in between, in order; NULL-terminated; NULL: there are none */
    char **checkouts; /* to be removed afterwards, NULL-terminated */
};

/* Finds what ARGUMENTS name: a range of revisions, directories, or the baseline that the editor keeps
 * below ROOT. *RET is given to trees_deinit in any case. */
struct molt_error *trees_find(const struct cli_arguments *arguments, const char *root, struct trees *ret);
void trees_deinit(struct trees *trees);

#endif
