/*
 * Work beside the loop. The server has one thread that owns all state, the loop's; whatever blocks (the
 * compiler, an engine, a walk through a source tree) runs as a job on a thread of its own, gets everything
 * it needs in its context, and reports back by having functions called on the loop.
 *
 * A thread for each job, not libuv's pool: a compile may take seconds, and four of them would starve the
 * pool; and a job in the background lowers the priority of its thread and of the compilers it starts, which
 * cannot be undone without privileges.
 */
#ifndef MOLT_LSP_SERVER_JOB_H
#define MOLT_LSP_SERVER_JOB_H

#include <uv.h>

#include "base/error.h"

struct jobs;

typedef void job_function(void *context);

enum job_priority { JOB_NORMAL, JOB_BACKGROUND };

/* What carries jobs and posts to LOOP. Does not keep the loop alive while no job runs. */
struct molt_error *jobs_create(uv_loop_t *loop, struct jobs **ret);

/* Closes it; the loop must run once more for libuv to let go of it. No job may be running. */
void jobs_destroy(struct jobs *jobs);

/* Runs WORK(CONTEXT) on a thread, then DONE(CONTEXT) on the loop. On error nothing was called. */
struct molt_error *jobs_start(struct jobs *jobs, job_function *work, job_function *done, void *context,
                              enum job_priority priority);

/* From any thread: has FUNCTION(CONTEXT) called on the loop, in the order of posting. Without memory it is
 * not called, and -ENOMEM is returned. */
int jobs_post(struct jobs *jobs, job_function *function, void *context);

/* How many jobs have not come to their DONE yet. */
unsigned jobs_running(const struct jobs *jobs);

#endif
