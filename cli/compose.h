/* The updates that one patch is to put together. */
#ifndef MOLT_CLI_COMPOSE_H
#define MOLT_CLI_COMPOSE_H

#include "patch/session.h"

/* Shows what a step's build has to say; ERROR, which may be NULL, is printed last by the caller. */
typedef void compose_tell(const struct molt_diagnostics *diagnostics, const struct molt_error *error);

/*
 * Builds the step from REQUEST->from to the first of VIA (directories, NULL-terminated), from there to the
 * next, and so to REQUEST->to, and keeps what their policies are: *RET is for the stages of a request that
 * leads the whole way, a new array.
 */
struct molt_error *compose_steps(struct patch_session *session, const struct patch_request *request,
                                 char *const *via, compose_tell *tell, json_t **ret);

#endif
