/* Asking an engine what its program holds: the calls that it takes, one after the other. */
#ifndef MOLT_LINK_INSTANCES_H
#define MOLT_LINK_INSTANCES_H

#include "link/client.h"

/*
 * Uploads the query of SIZE bytes at BYTES (patch/query.h), prepares it and calls `instances` with PARAMS,
 * which is taken, and waits for at most TIMEOUT_MS each time. Returns as link_client_call; *ret_result is the
 * answer, whose "result" is "prepared", or the result object that says why there is none.
 */
int link_instances(struct link_client *client, const void *bytes, size_t size, json_t *params, int timeout_ms,
                   json_t **ret_result);

#endif
