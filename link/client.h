/*
 * The client's end of Molt's websocket, blocking: for the command line and for worker threads. One client is
 * used by one thread at a time; different clients are independent of each other.
 */
#ifndef MOLT_LINK_CLIENT_H
#define MOLT_LINK_CLIENT_H

#include <jansson.h>
#include <stddef.h>
#include <sys/types.h>

struct link_client;

struct link_peer {
    pid_t pid;
    char *path; /* of its socket */
};

/* METHOD and PARAMS (may be NULL) are borrowed for the call. */
typedef void link_notify(void *context, const char *method, json_t *params);

#define LINK_CALL_FAILED 1

/*
 * Finds the sockets of this user's processes, in ascending order of pid; sockets of processes that are no
 * more are removed on the way. The array belongs to the caller (link_peers_free). 0, or negative errno.
 */
int link_discover(struct link_peer **ret_peers, size_t *ret_count);
void link_peers_free(struct link_peer *peers, size_t count);

/* Connects within two seconds. -ECONNREFUSED: nobody listens there (the socket of a dead process is
 * removed); -ENOENT, -EACCES, -ETIMEDOUT, -EPROTO (somebody else listens there), -ENOMEM. */
int link_client_open(const char *socket_path, struct link_client **ret_client);

/* NULL is fine. */
void link_client_close(struct link_client *client);

/*
 * Calls METHOD and waits at most TIMEOUT_MS (negative: forever) for its answer. PARAMS (may be NULL) is
 * taken. Notifications that arrive meanwhile go to NOTIFY (may be NULL). *ret_result belongs to the caller:
 * the result, or with LINK_CALL_FAILED the error object {code, message}. -ETIMEDOUT, -ECONNRESET (the process
 * is gone or has closed the connection), -EMSGSIZE, -ENOMEM; after any of them the client can only be closed.
 */
int link_client_call(struct link_client *client, const char *method, json_t *params, int timeout_ms,
                     link_notify *notify, void *context, json_t **ret_result);

/* Uploads SIZE bytes; the result is {upload: ID}. Returns as link_client_call. */
int link_client_upload(struct link_client *client, const void *bytes, size_t size, json_t **ret_result);

/* Waits at most TIMEOUT_MS (negative: forever) for one notification. 0, -ETIMEDOUT (the client stays usable),
 * -ECONNRESET. */
int link_client_wait(struct link_client *client, int timeout_ms, link_notify *notify, void *context);

/* Makes the call or wait under way in another thread return -ECANCELED soon. The only function that may be
 * called from a thread other than the client's; the client can only be closed afterwards. */
void link_client_cancel(struct link_client *client);

#endif
