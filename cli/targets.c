/* Finding engines: every socket of this user is asked for its status, since names are known by the engines
 * only. */
#include "cli/targets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link/protocol.h"

#define STATUS_MS 5000
#define STARTING_MS 1000

static bool is_pid(const char *who)
{
    return *who && strspn(who, "0123456789") == strlen(who);
}

struct molt_error *target_error(const struct target *target, int status, json_t *result)
{
    const char *message = json_string_value(json_object_get(result, "message"));
    struct molt_error *error = NULL;

    if (status == LINK_CALL_FAILED) {
        error = molt_error_new(MOLT_ERROR_INTERNAL, "process %d: %s", (int)target->pid,
                               message ? message : "the engine failed");
    } else if (status == -ECONNRESET) {
        error = molt_error_new(MOLT_ERROR_NOT_FOUND, "process %d ended, or closed the connection",
                               (int)target->pid);
    } else if (status == -ETIMEDOUT) {
        error = molt_error_new(MOLT_ERROR_INTERNAL,
                               "the engine of process %d does not answer; is the process stopped?",
                               (int)target->pid);
    } else if (status < 0) {
        error = molt_error_errno(status, "process %d", (int)target->pid);
    }
    if (status != 0) {
        json_decref(result);
    }
    return error;
}

/* Connects to PEER. *ret_gone: nothing listens there any more, which is no error when all engines are
 * asked. */
static struct molt_error *open_target(const struct link_peer *peer, struct target *ret, bool *ret_gone)
{
    struct target target = { .pid = peer->pid };
    int status = link_client_open(peer->path, &target.client);

    *ret_gone = status == -ECONNREFUSED || status == -ENOENT;
    if (status < 0) {
        return *ret_gone ? NULL
                         : molt_error_errno(status, "cannot reach the engine of process %d", (int)peer->pid);
    }
    json_t *result = NULL;
    status = link_client_call(target.client, link_method_name(LINK_METHOD_STATUS), NULL, STATUS_MS, NULL,
                              NULL, &result);
    struct molt_error *error = target_error(&target, status, result);
    if (error) {
        link_client_close(target.client);
        return error;
    }
    target.status = result;
    *ret = target;
    return NULL;
}

static bool bears_name(const struct target *target, const char *who)
{
    const char *name = json_string_value(json_object_get(target->status, "name"));

    return name && strcmp(name, who) == 0;
}

static void close_target(struct target *target)
{
    link_client_close(target->client);
    json_decref(target->status);
}

static struct molt_error *collect(const char *who, const struct link_peer *peers, size_t count,
                                  struct targets *ret)
{
    for (size_t i = 0; i < count; i++) {
        struct target target;
        bool gone;
        if (who && is_pid(who) && peers[i].pid != (pid_t)strtol(who, NULL, 10)) {
            continue;
        }
        struct molt_error *error = open_target(&peers[i], &target, &gone);
        if (error && (!who || !is_pid(who))) {
            molt_error_destroy(error); /* one that is stuck must not hide the others */
            continue;
        }
        if (error) {
            return error;
        }
        if (gone) {
            continue;
        }
        if (who && !is_pid(who) && !bears_name(&target, who)) {
            close_target(&target);
            continue;
        }
        ret->items[ret->count++] = target;
    }
    return NULL;
}

static ssize_t read_process(const char *pid, const char *what, char *bytes, size_t room)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%.20s/%s", pid, what);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file >= 0 ? read(file, bytes, room) : -1;
    if (file >= 0) {
        close(file);
    }
    return size;
}

static bool is_molt_run(const char *pid)
{
    char name[16];
    ssize_t size = read_process(pid, "comm", name, sizeof(name));

    return size == 5 && memcmp(name, "molt\n", 5) == 0;
}

/* Whether the process has been started by molt run a moment ago and its engine is on the way. A process in
 * the middle of execve has an empty environment, and takes its new name before its new environment; so the
 * name is looked at on both sides of the environment. */
static bool is_starting(const char *pid)
{
    char bytes[65536];

    if (is_molt_run(pid)) {
        return true;
    }
    ssize_t size = read_process(pid, "environ", bytes, sizeof(bytes));
    return size == 0 || (size > 0 && memmem(bytes, (size_t)size, "libmolt.so", strlen("libmolt.so"))) ||
           is_molt_run(pid);
}

static struct molt_error *find_now(const char *who, struct targets *ret)
{
    struct link_peer *peers = NULL;
    size_t count = 0;
    int status = link_discover(&peers, &count);

    *ret = (struct targets){ 0 };
    if (status < 0 && status != -ENOENT) {
        return molt_error_errno(status, "cannot look for running engines");
    }
    ret->items = calloc(count + 1, sizeof(*ret->items));
    struct molt_error *error = ret->items ? collect(who, peers, count, ret) : molt_error_nomem();
    link_peers_free(peers, count);
    return error;
}

struct molt_error *targets_find(const char *who, struct targets *ret)
{
    struct molt_error *error = find_now(who, ret);

    for (int i = 0; i < STARTING_MS && !error && !ret->count && who && is_pid(who) && is_starting(who); i++) {
        targets_deinit(ret);
        poll(NULL, 0, 1);
        error = find_now(who, ret);
    }
    if (!error && who && !ret->count) {
        error = molt_error_new(
            MOLT_ERROR_NOT_FOUND,
            is_pid(who) ? "no process %s with an engine of yours: start the program with 'molt run', and "
                          "as the same user"
                        : "no process with an engine is called %s: 'molt status' lists them",
            who);
    }
    if (error) {
        targets_deinit(ret);
    }
    return error;
}

void targets_deinit(struct targets *targets)
{
    for (size_t i = 0; i < targets->count; i++) {
        close_target(&targets->items[i]);
    }
    free(targets->items);
    *targets = (struct targets){ 0 };
}
