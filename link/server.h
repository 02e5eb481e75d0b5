/*
 * The engine's end of Molt's websocket. All of it runs on one thread, which sleeps in the kernel inside
 * link_server_step until somebody connects or speaks; nothing wakes it up on its own. libwebsockets exists
 * only while somebody is connected, so a process that nobody talks to holds one socket and nothing else.
 *
 * The host program may close descriptors that it does not know (daemons close all of them). So the server's
 * descriptors have high numbers and are compared with what they were before each use; what is lost is made
 * anew, and what has become the program's is left alone.
 */
#ifndef MOLT_LINK_SERVER_H
#define MOLT_LINK_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link_server;

/* One request, during link_handler.call. */
struct link_call {
    const char *method;  /* borrowed */
    json_t *params;      /* borrowed, an object or NULL */
    uint64_t connection; /* never used twice in the life of the process */
};

struct link_handler {
    /* Answers CALL, with one link_call_result or link_call_fail, before it returns. */
    void (*call)(void *context, struct link_call *call);
    /* Whether METHOD may be carried out in the middle of another client's call, while that sends a
     * notification. NULL: none may. */
    bool (*quick)(const char *method);
    /* The connection is gone, and what belonged to it can be dropped. Never called during call. */
    void (*closed)(void *context, uint64_t connection);
    void *context;
};

struct link_limits {
    size_t upload; /* see LINK_UPLOAD_MAX and so on */
    size_t text;
    unsigned connections;
    unsigned requests_per_second;
};

/* Listens at this process's place in the socket directory. HANDLER is copied. 0, or negative errno with a
 * sentence for the log in REASON (of REASON_SIZE bytes). */
int link_server_create(const struct link_handler *handler, struct link_server **ret_server, char *reason,
                       size_t reason_size);

/* Closes connections and socket and removes the socket's file. NULL is fine. */
void link_server_destroy(struct link_server *server);

/* Where the server listens. */
const char *link_server_path(const struct link_server *server);

void link_server_set_limits(struct link_server *server, const struct link_limits *limits);

/* Sleeps until something happens, at most TIMEOUT_MS (negative: forever), and deals with it. 0, or negative
 * errno if the socket cannot be had any more. */
int link_server_step(struct link_server *server, int timeout_ms);

/* Answers. RESULT is taken. */
void link_call_result(struct link_call *call, json_t *result);
void link_call_fail(struct link_call *call, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Sends a notification to the caller at once, during a call that takes long. PARAMS is taken. */
void link_call_notify(struct link_call *call, const char *method, json_t *params);

/* Whether the caller has gone away meanwhile. */
bool link_call_abandoned(const struct link_call *call);

/* The bytes of a finished upload of this connection, from malloc, now the caller's; NULL: there is none with
 * that number. */
void *link_call_take_upload(struct link_call *call, json_int_t upload, size_t *ret_size);

/* Sends a notification without params to every connection. */
void link_server_broadcast(struct link_server *server, const char *method);

/* Removes the socket's file and nothing else: for the end of the process, from any thread. */
void link_server_unlink(const struct link_server *server);

/*
 * Around fork. Prepare makes the server's memory consistent, parent goes on. Child, in the new process: drops
 * SERVER without a word to the parent's clients; NULL is fine.
 */
void link_server_fork_prepare(void);
void link_server_fork_parent(void);
void link_server_fork_child(struct link_server *server);

#endif
