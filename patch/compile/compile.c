/*
 * Running compilers. Each gets its own process group, so that giving up ends the compiler proper along with
 * its driver, and writes its messages to a file: no pipe has to be served meanwhile. Processes are awaited
 * through pidfds; the caller's other children are none of our business.
 *
 * A file saved while the compiler runs would put an object under the name of contents it was not made from:
 * when a file turns out younger than the start, the compiler runs again.
 */
#include "patch/compile/compile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "patch/compile/column.h"

#define CANCEL_POLL_MS 20
#define TRIES 3

extern char **environ;

struct running {
    struct compile_job *job;
    pid_t pid;
    int pidfd;
    struct timespec started;
    unsigned tries;
    char *output, *rule, *messages; /* temporary files */
};

/* Fills in the job's results if the cache has them. */
static bool from_cache(const struct compile_setup *setup, struct compile_job *job)
{
    if (job->kind == COMMAND_PROBE) {
        return false;
    }
    job->files = unit_dependencies(job->unit, job->tree, setup->hashes);
    if (!job->files) {
        return false;
    }
    if (job->kind == COMMAND_DEPENDENCIES) {
        return true;
    }
    char *path = unit_object_path(job->unit, job->files, job->kind);
    if (access(path, R_OK) == 0) {
        free(job->object);
        job->object = path;
        return true;
    }
    free(path);
    return false;
}

/* The environment in which a compiler speaks English, as parse_message understands, and reads sources as
 * the user's does. Array and strings from *RET_OWN on belong to the caller. */
static char **english_environment(size_t *ret_own)
{
    const char *all = getenv("LC_ALL");
    LIST(char *) list = { 0 };

    for (char **at = environ; *at; at++) {
        if (strncmp(*at, "LC_ALL=", 7) && strncmp(*at, "LC_MESSAGES=", 12) && strncmp(*at, "LANGUAGE=", 9) &&
            !(all && *all && !strncmp(*at, "LC_CTYPE=", 9))) {
            LIST_ADD(&list, *at);
        }
    }
    *ret_own = list.count;
    LIST_ADD(&list, must_strdup("LC_MESSAGES=C"));
    if (all && *all) {
        LIST_ADD(&list, must_printf("LC_CTYPE=%s", all));
    }
    LIST_ADD(&list, NULL);
    return list.items;
}

static struct molt_error *spawn(struct running *running)
{
    size_t own;
    char **environment = english_environment(&own);
    const struct compile_job *job = running->job;
    char **arguments =
        command_make_for(job->unit->entry, job->tree, job->kind, job->source,
                         job->kind == COMMAND_DEPENDENCIES ? NULL : running->output, running->rule);
    char *directory = tree_mirror_path(job->tree, job->unit->entry->directory);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_addchdir_np(&actions, directory);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, running->messages, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    clock_gettime(CLOCK_REALTIME_COARSE, &running->started);
    int status = posix_spawnp(&running->pid, arguments[0], &actions, &attributes, arguments, environment);
    struct molt_error *error = NULL;
    if (status) {
        error = molt_error_new(MOLT_ERROR_REFUSED, "cannot run the compiler %s (in %s): %s", arguments[0],
                               directory, strerror(status));
    } else {
        running->pidfd = pidfd_open(running->pid, 0);
    }
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    command_free(arguments);
    free(directory);
    for (; environment[own]; own++) {
        free(environment[own]);
    }
    free(environment);
    return error;
}

static struct molt_error *start(struct compile_job *job, struct running *running)
{
    static unsigned counter;
    struct molt_error *error = tree_make_mirror(job->tree);

    if (!error) {
        error = file_make_directory(job->unit->directory);
    }
    unsigned number = __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED);
    char *base = must_printf("%s/run-%ld-%u", job->unit->directory, (long)getpid(), number);
    *running = (struct running){ .job = job, .pid = -1, .pidfd = -1 };
    running->output = must_printf("%s.o", base);
    running->rule = must_printf("%s.rule", base);
    running->messages = must_printf("%s.txt", base);
    free(base);
    return error ? error : spawn(running);
}

static void finish(struct running *running)
{
    unlink(running->output);
    unlink(running->rule);
    unlink(running->messages);
    free(running->output);
    free(running->rule);
    free(running->messages);
    if (running->pidfd >= 0) {
        close(running->pidfd);
    }
}

/* COLUMN of line LINE of the file at PATH, as JOB's compiler counts, in bytes. */
static unsigned byte_column(const struct compile_job *job, const char *path, unsigned line, unsigned column)
{
    char *bytes = NULL;
    size_t size;

    if (!line || column < 2 || command_is_clang(job->unit->entry)) {
        return column;
    }
    struct molt_error *error = file_read(path, &bytes, &size);
    if (error) {
        molt_error_destroy(error);
        return column;
    }
    const char *at = bytes, *end = bytes + size;
    while (--line && at) {
        at = memchr(at, '\n', end - at);
        at = at ? at + 1 : NULL;
    }
    if (at) {
        const char *newline = memchr(at, '\n', end - at);
        column = column_to_byte(at, (newline ? newline : end) - at, column);
    }
    free(bytes);
    return column;
}

/* One line of the compiler's: "FILE:LINE:COLUMN: error: TEXT". Returns whether it is one. */
static bool parse_message(const struct running *running, const char *line,
                          struct molt_diagnostics *diagnostics)
{
    static const struct {
        const char *word;
        enum molt_severity severity;
    } kinds[] = { { ": fatal error: ", MOLT_SEVERITY_ERROR },
                  { ": error: ", MOLT_SEVERITY_ERROR },
                  { ": warning: ", MOLT_SEVERITY_WARNING },
                  { ": note: ", MOLT_SEVERITY_NOTE } };
    const struct compile_job *job = running->job;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        const char *word = strstr(line, kinds[i].word);
        unsigned number = 0, column = 0;
        int length = 0;
        const char *colon = word ? memchr(line, ':', word - line) : NULL;
        if (!colon || sscanf(colon, ":%u%n:%u%n", &number, &length, &column, &length) < 1) {
            continue;
        }
        char *name = must_strndup(line, colon - line);
        char *directory = tree_mirror_path(job->tree, job->unit->entry->directory);
        char *path = must_have(path_normalise(directory, name));
        char *original = tree_original_path(job->tree, path);
        molt_diagnostics_add(diagnostics, kinds[i].severity, original, number,
                             byte_column(job, path, number, column), "compile", "%s",
                             word + strlen(kinds[i].word));
        free(name);
        free(directory);
        free(path);
        free(original);
        return true;
    }
    return false;
}

/* Takes over what a failed compiler said. */
static void report(struct running *running, struct molt_diagnostics *diagnostics)
{
    char *bytes = NULL, *rest;
    size_t size, before = diagnostics->count;
    struct molt_error *error = file_read(running->messages, &bytes, &size);

    molt_error_destroy(error);
    for (char *line = bytes ? strtok_r(bytes, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
        if (!parse_message(running, line, diagnostics) && strstr(line, "error")) {
            molt_diagnostics_add(diagnostics, MOLT_SEVERITY_ERROR, running->job->unit->entry->file, 0, 0,
                                 "compile", "%s", line);
        }
    }
    if (diagnostics->count == before) {
        molt_diagnostics_add(diagnostics, MOLT_SEVERITY_ERROR, running->job->unit->entry->file, 0, 0,
                             "compile", "the compiler failed without a message");
    }
    free(bytes);
}

/* Whether one of FILES was written after the compiler started. */
static bool changed_meanwhile(const struct running *running)
{
    const struct compile_job *job = running->job;
    bool younger = false;

    for (size_t i = 0; !younger && i < job->files->count; i++) {
        struct stat status;
        char *path = tree_file(job->tree, job->files->files[i]);
        younger = stat(path, &status) == 0 && (status.st_mtim.tv_sec > running->started.tv_sec ||
                                               (status.st_mtim.tv_sec == running->started.tv_sec &&
                                                status.st_mtim.tv_nsec > running->started.tv_nsec));
        free(path);
    }
    return younger;
}

/* A compiler has ended. *RET_AGAIN: it has been started once more. */
static struct molt_error *complete(const struct compile_setup *setup, struct running *running,
                                   struct molt_diagnostics *diagnostics, bool *ret_again)
{
    struct compile_job *job = running->job;
    int status = 0;

    *ret_again = false;
    while (waitpid(running->pid, &status, 0) < 0 && errno == EINTR) {
    }
    running->pid = -1;
    if (status != 0) {
        job->failed = true;
        report(running, diagnostics);
        return NULL;
    }
    if (job->kind == COMMAND_PROBE) {
        return rename(running->output, job->object) < 0 ? molt_error_errno(errno, "%s", job->object) : NULL;
    }
    struct molt_error *error = unit_learn(job->unit, job->tree, setup->hashes, running->rule, &job->files);
    if (error) {
        return error;
    }
    if (changed_meanwhile(running) && ++running->tries < TRIES) {
        *ret_again = true;
        close(running->pidfd);
        running->pidfd = -1;
        return spawn(running);
    }
    if (job->kind != COMMAND_DEPENDENCIES) {
        free(job->object);
        job->object = unit_object_path(job->unit, job->files, job->kind);
        if (rename(running->output, job->object) < 0) {
            return molt_error_errno(errno, "%s", job->object);
        }
    }
    return NULL;
}

/* Index of a compiler that has ended, -1 if none did within the time. */
static int await(const struct running *running, unsigned count, const struct compile_setup *setup)
{
    struct pollfd fds[64];

    for (unsigned i = 0; i < count; i++) {
        fds[i] = (struct pollfd){ .fd = running[i].pidfd, .events = POLLIN };
    }
    poll(fds, count, setup->cancel ? CANCEL_POLL_MS : -1);
    for (unsigned i = 0; i < count; i++) {
        if (fds[i].revents) {
            return i;
        }
    }
    return -1;
}

static void give_up(struct running *running, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (running[i].pid > 0) {
            kill(-running[i].pid, SIGKILL);
            while (waitpid(running[i].pid, NULL, 0) < 0 && errno == EINTR) {
            }
        }
        finish(&running[i]);
    }
}

static void tell(const struct compile_setup *setup, const char *phase, unsigned done, unsigned total)
{
    if (setup->progress && total) {
        setup->progress(setup->context, phase, done, total);
    }
}

struct molt_error *compile_run(const struct compile_setup *setup, compile_jobs *jobs,
                               struct molt_diagnostics *diagnostics)
{
    struct running running[64];
    unsigned active = 0, done = 0, limit = setup->jobs < 64 ? setup->jobs : 64;
    size_t next = 0;
    struct molt_error *error = NULL;
    const char *phase =
        jobs->count && jobs->items[0]->kind == COMMAND_DEPENDENCIES ? "dependencies" : "compiling";

    while (!error && (next < jobs->count || active)) {
        while (!error && next < jobs->count && active < limit) {
            struct compile_job *job = jobs->items[next++];
            if (from_cache(setup, job)) {
                done++;
                continue;
            }
            tell(setup, phase, done, jobs->count);
            error = start(job, &running[active]);
            active++;
        }
        if (!error && setup->cancel && *setup->cancel) {
            error = molt_error_new(MOLT_ERROR_REFUSED, "canceled");
        }
        int ended = error || !active ? -1 : await(running, active, setup);
        bool again = false;
        if (ended >= 0) {
            error = complete(setup, &running[ended], diagnostics, &again);
            if (!again) {
                finish(&running[ended]);
                running[ended] = running[--active];
                done++;
                tell(setup, phase, done, jobs->count);
            }
        }
    }
    give_up(running, active);
    return error;
}
