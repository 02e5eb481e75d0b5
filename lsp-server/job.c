/*
 * Threads for blocking work, and the queue by which they reach the loop again.
 *
 * One uv_async_t wakes the loop; what to call is in a list under a mutex. libuv may merge several wake-ups
 * into one, so the whole list is run each time.
 */
#include "lsp-server/job.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct post {
    struct post *next;
    job_function *function;
    void *context;
};

struct jobs {
    uv_async_t wake;
    uv_mutex_t lock;
    struct post *first, **last; /* under lock */
    unsigned running;           /* used on the loop only */
};

struct job {
    struct jobs *jobs;
    uv_thread_t thread;
    job_function *work;
    job_function *done;
    void *context;
    enum job_priority priority;
    struct post *finished; /* allocated ahead: the report of the end cannot fail */
};

static void run_posts(uv_async_t *wake)
{
    struct jobs *jobs = wake->data;
    struct post *post;

    uv_mutex_lock(&jobs->lock);
    post = jobs->first;
    jobs->first = NULL;
    jobs->last = &jobs->first;
    uv_mutex_unlock(&jobs->lock);
    while (post) {
        struct post *next = post->next;

        post->function(post->context);
        free(post);
        post = next;
    }
}

static void enqueue(struct jobs *jobs, struct post *post)
{
    post->next = NULL;
    uv_mutex_lock(&jobs->lock);
    *jobs->last = post;
    jobs->last = &post->next;
    uv_mutex_unlock(&jobs->lock);
    uv_async_send(&jobs->wake);
}

static struct post *new_post(job_function *function, void *context)
{
    struct post *post = malloc(sizeof *post);

    if (post)
        *post = (struct post){ .function = function, .context = context };
    return post;
}

struct molt_error *jobs_create(uv_loop_t *loop, struct jobs **ret)
{
    struct jobs *jobs = calloc(1, sizeof *jobs);
    int error;

    if (!jobs)
        return molt_error_nomem();
    jobs->last = &jobs->first;
    error = uv_mutex_init(&jobs->lock);
    if (error) {
        free(jobs);
        return molt_error_errno(error, "cannot make a mutex");
    }
    error = uv_async_init(loop, &jobs->wake, run_posts);
    if (error) {
        uv_mutex_destroy(&jobs->lock);
        free(jobs);
        return molt_error_errno(error, "cannot watch for finished work");
    }
    jobs->wake.data = jobs;
    uv_unref((uv_handle_t *)&jobs->wake);
    *ret = jobs;
    return NULL;
}

static void jobs_closed(uv_handle_t *wake)
{
    struct jobs *jobs = wake->data;

    while (jobs->first) {
        struct post *post = jobs->first;

        jobs->first = post->next;
        free(post);
    }
    uv_mutex_destroy(&jobs->lock);
    free(jobs);
}

void jobs_destroy(struct jobs *jobs)
{
    if (jobs)
        uv_close((uv_handle_t *)&jobs->wake, jobs_closed);
}

/* On Linux, niceness belongs to the thread and is inherited by what it starts. */
static void lower_priority(void)
{
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 10);
}

static void job_thread(void *context)
{
    struct job *job = context;

    if (job->priority == JOB_BACKGROUND)
        lower_priority();
    job->work(job->context);
    enqueue(job->jobs, job->finished);
}

static void job_finished(void *context)
{
    struct job *job = context;
    struct jobs *jobs = job->jobs;

    uv_thread_join(&job->thread);
    if (--jobs->running == 0)
        uv_unref((uv_handle_t *)&jobs->wake);
    job->done(job->context);
    free(job);
}

struct molt_error *jobs_start(struct jobs *jobs, job_function *work, job_function *done, void *context,
                              enum job_priority priority)
{
    struct job *job = malloc(sizeof *job);
    int error;

    if (!job)
        return molt_error_nomem();
    *job = (struct job){ .jobs = jobs, .work = work, .done = done, .context = context, .priority = priority };
    job->finished = new_post(job_finished, job);
    if (!job->finished) {
        free(job);
        return molt_error_nomem();
    }
    error = uv_thread_create(&job->thread, job_thread, job);
    if (error) {
        free(job->finished);
        free(job);
        return molt_error_errno(error, "cannot start a thread");
    }
    if (jobs->running++ == 0)
        uv_ref((uv_handle_t *)&jobs->wake);
    return NULL;
}

int jobs_post(struct jobs *jobs, job_function *function, void *context)
{
    struct post *post = new_post(function, context);

    if (!post)
        return -ENOMEM;
    enqueue(jobs, post);
    return 0;
}

unsigned jobs_running(const struct jobs *jobs)
{
    return jobs->running;
}
