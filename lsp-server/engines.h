/*
 * The programs that run with an engine, known at any moment without asking: a watch on the directory of their
 * sockets says when one comes, and a thread per engine waits for what it has to say and for its end.
 */
#ifndef MOLT_LSP_SERVER_ENGINES_H
#define MOLT_LSP_SERVER_ENGINES_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct delivery_target;
struct engines;
struct server;
struct workspace;

struct engine {
    struct engine *next;
    pid_t pid;
    char *path;     /* of its socket */
    json_t *status; /* as link/protocol.h has it; NULL until it has answered */
};

/* What an engine is to a workspace. */
enum engine_match {
    ENGINE_FOREIGN,     /* another program */
    ENGINE_READY,       /* built by this build, its updates are known */
    ENGINE_OTHER_BUILD, /* of this workspace, but its binary has another build-id */
    ENGINE_BEHIND, /* it lacks the last updates: started after they were made; the next one brings them along
                    */
    ENGINE_UNKNOWN_UPDATES, /* other updates than those the baseline stands for */
};

struct molt_error *engines_create(struct server *server, struct engines **ret);
/* Ends the threads. NULL is fine. */
void engines_destroy(struct engines *engines);

/* Borrowed until the loop runs again. */
const struct engine *engines_list(const struct engines *engines);

enum engine_match engine_match(const struct engine *engine, const struct workspace *workspace);
/* Whether its build-id is one of the workspace's. */
bool engine_belongs(const struct engine *engine, const struct workspace *workspace);

/* The ids of the updates it runs: a new array of strings. */
json_t *engine_updates(const struct engine *engine);
const char *engine_name(const struct engine *engine);

/* An update was delivered to, or rolled back in, the engine of PID: it runs UPDATES (borrowed) now. What
 * it says itself comes a moment later. */
void engines_expect(struct engines *engines, pid_t pid, json_t *updates);

/* Whether all programs that are there have said what they are; workspace_engines_changed is called when it
 * becomes so. */
bool engines_settled(const struct engines *engines);

/* Those that are ready for WORKSPACE, for delivery_targets_free. */
struct delivery_target *engines_targets(const struct workspace *workspace, size_t *ret_count);

/* How many engines are ready for WORKSPACE. */
unsigned engines_ready(const struct engines *engines, const struct workspace *workspace);

#endif
