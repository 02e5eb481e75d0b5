/*
 * Programs for the tests of the language server, without processes: each file PID.sock in
 * $XDG_RUNTIME_DIR/molt is one, its content a JSON object
 *
 *     {"name": "server", "build_id": "b1", "updates": [{"id"}...], "fail": {"prepare": "refused"}}
 *
 * `instances` is what `instances` answers beyond the usual, `fail` names a method and what it answers: a
 * result word, "gone" (the connection breaks), "error" (a JSON-RPC error), or what a result says beyond the
 * usual. What was applied is written back to the file, so that the next server finds it as with a real
 * program.
 */
#include "link/client.h"
#include "link/directory.h"
#include "link/protocol.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

struct link_client {
    char *path;
    bool cancelled, gone, dirty;
    json_t *before; /* the status that a waiting client knows */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int link_directory_make(char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/molt", getenv("XDG_RUNTIME_DIR"));
    mkdir(ret_path, 0700);
    return 0;
}

int link_discover(struct link_peer **ret_peers, size_t *ret_count)
{
    char directory[LINK_PATH_MAX];
    struct link_peer *peers = calloc(16, sizeof *peers);
    struct dirent *entry;
    size_t count = 0;
    DIR *stream;

    link_directory_make(directory, sizeof directory);
    stream = opendir(directory);
    while (stream && count < 16 && (entry = readdir(stream))) {
        if (!strstr(entry->d_name, ".sock") || strstr(entry->d_name, ".tmp"))
            continue;
        peers[count].pid = atoi(entry->d_name);
        peers[count++].path = path_join(directory, entry->d_name);
    }
    if (stream)
        closedir(stream);
    *ret_peers = peers;
    *ret_count = count;
    return 0;
}

void link_peers_free(struct link_peer *peers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(peers[i].path);
    free(peers);
}

int link_client_open(const char *socket_path, struct link_client **ret_client)
{
    struct link_client *client;

    if (access(socket_path, F_OK))
        return -ENOENT;
    client = calloc(1, sizeof *client);
    client->path = strdup(socket_path);
    *ret_client = client;
    return 0;
}

void link_client_close(struct link_client *client)
{
    if (!client)
        return;
    json_decref(client->before);
    free(client->path);
    free(client);
}

static json_t *load(const struct link_client *client)
{
    return json_load_file(client->path, 0, NULL);
}

static void store(const struct link_client *client, json_t *engine)
{
    struct text temporary = { 0 };

    text_printf(&temporary, "%s.tmp", client->path);
    json_dump_file(engine, temporary.bytes, 0);
    rename(temporary.bytes, client->path);
    text_deinit(&temporary);
}

static json_t *status_of(const struct link_client *client, json_t *engine)
{
    const char *exe = json_string_value(json_object_get(engine, "exe"));

    exe = exe ? exe : "/nowhere/server";
    return json_pack("{s:i,s:O,s:s,s:[{s:s,s:O}],s:i,s:O,s:n}", "pid", atoi(strrchr(client->path, '/') + 1),
                     "name", json_object_get(engine, "name"), "exe", exe, "build_ids", "path", exe,
                     "build_id", json_object_get(engine, "build_id"), "threads", 2, "updates",
                     json_object_get(engine, "updates"), "last");
}

static json_t *result_of(const char *word)
{
    return json_pack("{s:s,s:i,s:i,s:i,s:i,s:f,s:f,s:f,s:s,s:s}", "result", word, "functions", 1, "types", 0,
                     "instances", 0, "moved", 0, "waited_ms", 0.1, "pause_ms", 0.2, "total_ms", 1.0,
                     "blocked_by", strcmp(word, "no-safe-point") ? "" : "worker 3 in serve()", "reason",
                     strcmp(word, "updated") ? "as the test wants it" : "");
}

/* The program's "suspended": {ms, functions: [..]} are taken over if they may be, after so long. */
static json_t *with_transfers(json_t *result, json_t *params, json_t *engine)
{
    json_t *suspended = json_object_get(engine, "suspended"),
           *functions = json_object_get(suspended, "functions");
    bool taken = json_is_false(json_object_get(params, "strict")) &&
                 json_equal(json_object_get(suspended, "ms"), json_object_get(params, "transfer_ms"));

    json_object_set_new(result, "transferred",
                        json_integer(taken ? (json_int_t)json_array_size(functions) : 0));
    json_object_set_new(result, "transfers", taken ? json_incref(functions) : json_array());
    return result;
}

/* The patch's id is its number of updates before, so the fake builder's and this one agree through the
 * file. */
static json_t *carry_out(struct link_client *client, const char *method, json_t *params, json_t *engine)
{
    json_t *updates = json_object_get(engine, "updates"), *next = json_object_get(engine, "next_id");

    if (!strcmp(method, "status"))
        return status_of(client, engine);
    if (!strcmp(method, "prepare")) {
        json_t *result = result_of("prepared");

        json_object_set_new(result, "update", json_integer(1));
        return result;
    }
    if (!strcmp(method, "instances")) {
        json_t *result = result_of("prepared");

        json_object_update(result, json_object_get(engine, "instances"));
        return result;
    }
    if (!strcmp(method, "stacks")) {
        json_t *stacks = json_object_get(engine, "stacks");

        return stacks ? json_incref(stacks) : json_pack("{s:[]}", "threads");
    }
    if (!strcmp(method, "commit"))
        json_array_append_new(updates, json_pack("{s:O}", "id", next ? next : json_string("unknown")));
    if (!strcmp(method, "rollback")) {
        if (json_is_true(json_object_get(params, "hold")))
            json_object_set(engine, "held", json_array_get(updates, json_array_size(updates) - 1));
        json_array_remove(updates, json_array_size(updates) - 1);
    }
    if (!strcmp(method, "settle") && !json_object_get(engine, "held"))
        return result_of("refused");
    if (!strcmp(method, "settle")) {
        if (json_is_true(json_object_get(params, "restore")))
            json_array_append(updates, json_object_get(engine, "held"));
        json_object_del(engine, "held");
    }
    store(client, engine);
    return with_transfers(
        result_of(!strcmp(method, "commit") || json_is_true(json_object_get(params, "restore"))
                      ? "updated"
                      : "rolled-back"),
        params, engine);
}

int link_client_call(struct link_client *client, const char *method, json_t *params, int timeout_ms,
                     link_notify *notify, void *context, json_t **ret_result)
{
    const char *fail;
    json_t *engine, *more;
    int status = 0;

    pthread_mutex_lock(&lock);
    engine = load(client);
    more = json_object_get(json_object_get(engine, "fail"), method);
    fail =
        json_is_object(more) ? json_string_value(json_object_get(more, "result")) : json_string_value(more);
    if (!engine || (fail && !strcmp(fail, "gone"))) {
        unlink(client->path);
        status = -ECONNRESET;
    } else if (fail && !strcmp(fail, "error")) {
        *ret_result = json_pack("{s:i,s:s}", "code", -32014, "message", "the engine says no");
        status = LINK_CALL_FAILED;
    } else if (fail) {
        *ret_result = result_of(fail);
        json_object_update(*ret_result, more);
    } else {
        if (notify && strcmp(method, "status")) {
            json_t *progress =
                json_pack("{s:s,s:s}", "phase", "safe-point", "message", "waiting for worker 3 in serve()");

            notify(context, "progress", progress);
            json_decref(progress);
        }
        *ret_result = carry_out(client, method, params, engine);
    }
    if (!strcmp(method, "status") && !status) {
        json_decref(client->before);
        client->before = json_incref(engine);
    }
    pthread_mutex_unlock(&lock);
    json_decref(engine);
    json_decref(params);
    return status;
}

/* The id of the patch comes with the upload: the directory of the update is the only one that has it. */
int link_client_upload(struct link_client *client, const void *bytes, size_t size, json_t **ret_result)
{
    json_t *engine;
    const char *fail;
    int status = 0;

    pthread_mutex_lock(&lock);
    engine = load(client);
    fail = json_string_value(json_object_get(json_object_get(engine, "fail"), "upload"));
    if (!engine || (fail && !strcmp(fail, "gone"))) {
        unlink(client->path);
        status = -ECONNRESET;
    } else {
        char id[64] = "";

        sscanf(bytes, "id %63s", id);
        if (strcmp(id, "query")) { /* which leaves the program as it is */
            json_object_set_new(engine, "next_id", json_string(id));
            store(client, engine);
        }
        *ret_result = json_pack("{s:i}", "upload", 1);
    }
    pthread_mutex_unlock(&lock);
    json_decref(engine);
    return status;
}

/* A program's own word is waited for by looking at its file: fakes may poll. */
int link_client_wait(struct link_client *client, int timeout_ms, link_notify *notify, void *context)
{
    for (;;) {
        json_t *engine;
        bool same, cancelled;

        pthread_mutex_lock(&lock);
        engine = load(client);
        same = engine && json_equal(engine, client->before);
        cancelled = client->cancelled;
        pthread_mutex_unlock(&lock);
        json_decref(engine);
        if (cancelled)
            return -ECANCELED;
        if (!engine)
            return -ECONNRESET;
        if (!same) {
            notify(context, "changed", NULL);
            return 0;
        }
        usleep(5000);
    }
}

void link_client_cancel(struct link_client *client)
{
    pthread_mutex_lock(&lock);
    client->cancelled = true;
    pthread_mutex_unlock(&lock);
}
