/* The running programs that a command is about. */
#ifndef MOLT_CLI_TARGETS_H
#define MOLT_CLI_TARGETS_H

#include <jansson.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "link/client.h"

struct target {
    pid_t pid;
    struct link_client *client;
    json_t *status; /* its answer to "status" */
};

struct targets {
    struct target *items;
    size_t count;
};

/* Connects to the engines of WHO: a pid, a name (all processes that bear it), or NULL (all). NOT_FOUND if
 * there is none; with WHO NULL none is no error. */
struct molt_error *targets_find(const char *who, struct targets *ret);
void targets_deinit(struct targets *targets);

/* The error for STATUS of a link call to TARGET with RESULT (the error object, taken). NULL for status 0. */
struct molt_error *target_error(const struct target *target, int status, json_t *result);

#endif
