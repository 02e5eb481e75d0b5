/*
 * The server: its life between initialize and exit, and which message goes to which feature. A feature is one
 * file with handlers; they all run on the loop's thread and share the structures in workspace.h.
 */
#ifndef MOLT_LSP_SERVER_SERVER_H
#define MOLT_LSP_SERVER_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#include "base/error.h"
#include "base/jsonrpc.h"
#include "lsp-server/job.h"
#include "recorder/recorder.h"

struct connection;
struct engines;
struct workspace;

enum server_phase { SERVER_NEW, SERVER_INITIALIZED, SERVER_SHUT_DOWN };

/* What the client said it can do. */
struct client_features {
    bool work_done_progress;
    bool content_refresh; /* workspace/textDocumentContent/refresh */
    bool lens_refresh;
    bool hint_refresh;     /* workspace/inlayHint/refresh */
    bool show_document;    /* window/showDocument */
    bool watch_files;      /* dynamic registration of didChangeWatchedFiles */
    bool shows_disabled;   /* code actions with the reason why they cannot be had */
    bool shows_validation; /* experimental.molt.failedValidation: it tells the user itself, from the status */
};

struct pending_request;

struct server {
    uv_loop_t *loop;
    struct jobs *jobs;
    struct connection *connection;
    enum server_phase phase;
    bool leaving;    /* the loop is to end */
    int exit_status; /* by the specification: 0 after shutdown, else 1 */
    enum position_encoding encoding;
    struct client_features client;
    json_t *options;               /* initializationOptions, later settings.molt */
    struct workspace *workspaces;  /* list */
    struct engines *engines;       /* NULL before initialize */
    struct pending_request *asked; /* requests to the client without an answer yet */
    json_int_t last_id;
    unsigned updates; /* numbers the progress tokens */
};

/* A request that must be answered exactly once, now or later. */
struct reply {
    struct server *server;
    json_t *id;
};

/* Answers and frees REPLY. RESULT is taken. */
void reply_result(struct reply *reply, json_t *result);
void reply_error(struct reply *reply, enum jsonrpc_error_code code, const char *message);

/* Handlers. PARAMS is borrowed and may be NULL or of any type. */
typedef void server_request(struct server *server, json_t *params, struct reply *reply);
typedef void server_notification(struct server *server, json_t *params);

/* Called with the client's answer; RESULT is NULL if it refused. */
typedef void server_answer(struct server *server, void *context, json_t *result);

struct molt_error *server_create(uv_loop_t *loop, int in, int out, struct server **ret);

/* Tells all that is under way to end. */
void server_stop(struct server *server);

/* Frees everything; no job may be running, and the loop must run until it has closed its handles. */
void server_destroy(struct server *server);

/* To the client. PARAMS is taken and may be NULL. ANSWERED may be NULL. */
void server_notify(struct server *server, const char *method, json_t *params);
void server_ask(struct server *server, const char *method, json_t *params, server_answer *answered,
                void *context);

/* window/showMessage, for failures and decisions only. TYPE: 1 error, 2 warning, 3 info. */
void server_show(struct server *server, int type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
