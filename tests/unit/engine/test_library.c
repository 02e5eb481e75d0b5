/*
 * libmolt.so in a real process: it answers, its forks and execs answer, and the program cannot tell that it
 * is there. Arguments: the library, the host program.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/text.h"
#include "link/client.h"
#include "link/directory.h"
#include "link/protocol.h"

static const char *library;
static const char *program;
static char runtime[] = "/tmp/molt-test-engine-XXXXXX";

struct host {
    pid_t pid;
    FILE *in;
    FILE *out;
};

static char *ask(struct host *host, const char *word)
{
    static char line[4096];

    fprintf(host->in, "%s\n", word);
    fflush(host->in);
    assert_non_null(fgets(line, sizeof(line), host->out));
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static void host_start(struct host *host, const char *preload)
{
    int in[2];
    int out[2];
    char line[64];

    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    host->pid = fork();
    if (!host->pid) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        if (preload) {
            setenv("LD_PRELOAD", preload, 1);
        }
        execl(program, "host", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    host->in = fdopen(in[1], "w");
    host->out = fdopen(out[0], "r");
    assert_non_null(fgets(line, sizeof(line), host->out));
    assert_string_equal(line, "ready\n");
}

/* Ends the program in its own way, which must not have changed. */
static void host_end(struct host *host)
{
    int status;

    fclose(host->in);
    fclose(host->out);
    assert_int_equal(waitpid(host->pid, &status, 0), host->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

static int setup(void **state)
{
    struct host *host = calloc(1, sizeof(*host));

    host_start(host, library);
    *state = host;
    return 0;
}

static int teardown(void **state)
{
    host_end(*state);
    free(*state);
    return 0;
}

static void path_of(pid_t pid, char *path)
{
    snprintf(path, LINK_PATH_MAX, "%s/molt/%d.sock", runtime, (int)pid);
}

/* Connects to the engine of PID. A child may still be on its way to having one, or have closed its socket
 * just now. */
static struct link_client *open_client(pid_t pid)
{
    struct link_client *client = NULL;
    char path[LINK_PATH_MAX];
    int result = -ENOENT;

    path_of(pid, path);
    for (int i = 0; i < 2000 && (result == -ENOENT || result == -ECONNRESET || result == -ECONNREFUSED);
         i++) {
        result = link_client_open(path, &client);
        if (result) {
            poll(NULL, 0, 1);
        }
    }
    assert_int_equal(result, 0);
    return client;
}

/* Asks the engine of PID for its status. A daemon on its way may close its descriptors in between. */
static json_t *status_of(pid_t pid)
{
    json_t *status = NULL;
    int result = -ECONNRESET;

    for (int i = 0; i < 10 && result == -ECONNRESET; i++) {
        struct link_client *client = open_client(pid);

        result = link_client_call(client, "status", NULL, 5000, NULL, NULL, &status);
        link_client_close(client);
    }
    assert_int_equal(result, 0);
    assert_int_equal(json_integer_value(json_object_get(status, "pid")), pid);
    return status;
}

static void test_status(void **state)
{
    struct host *host = *state;
    json_t *status = status_of(host->pid);
    json_t *module = json_array_get(json_object_get(status, "build_ids"), 0);
    char exe[4096];

    assert_non_null(realpath(program, exe));
    assert_string_equal(json_string_value(json_object_get(status, "name")), strrchr(exe, '/') + 1);
    assert_string_equal(json_string_value(json_object_get(status, "exe")), exe);
    assert_string_equal(json_string_value(json_object_get(module, "path")), exe);
    assert_int_equal(json_string_length(json_object_get(module, "build_id")), 40);
    assert_int_equal(json_integer_value(json_object_get(status, "threads")), 1);
    assert_string_equal(json_string_value(json_object_get(status, "heap")), "libc.so.6");
    assert_int_equal(json_array_size(json_object_get(status, "updates")), 0);
    assert_true(json_is_null(json_object_get(status, "last")));
    json_decref(status);
}

static void test_the_program_cannot_tell(void **state)
{
    struct host *host = *state;
    struct host plain = { 0 };
    char expected[4096];

    json_decref(status_of(host->pid));
    host_start(&plain, NULL);
    strcpy(expected, ask(&plain, "state"));
    assert_string_equal(ask(host, "state"), expected);
    host_end(&plain);
}

/* Nothing of a conversation is allocated in the program's heap. */
static void test_the_heap_is_the_programs_own(void **state)
{
    struct host *host = *state;
    char before[64];

    ask(host, "heap");
    strcpy(before, ask(host, "heap"));
    for (int i = 0; i < 3; i++) {
        json_decref(status_of(host->pid));
    }
    assert_string_equal(ask(host, "heap"), before);
}

static void test_fork(void **state)
{
    struct host *host = *state;
    char path[LINK_PATH_MAX];
    struct link_peer *peers;
    size_t count;

    for (int i = 0; i < 2; i++) {
        pid_t child = atoi(ask(host, i ? "daemon" : "fork"));

        for (int k = 0; k < 3; k++) { /* a daemon has closed its descriptors meanwhile */
            json_decref(status_of(child));
            json_decref(status_of(host->pid));
        }
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(atoi(ask(host, "reap")), child);
        path_of(child, path);
        assert_int_equal(access(path, F_OK), 0);
        assert_int_equal(link_discover(&peers, &count), 0);
        link_peers_free(peers, count);
        assert_int_equal(access(path, F_OK), -1);
    }
}

static void connect_in_vain(void *context, const char *method, json_t *params)
{
}

/* A client is connected while the program forks: the child's engine must not speak to him. */
static void test_fork_with_a_client(void **state)
{
    struct host *host = *state;
    struct link_client *client = NULL;
    json_t *status = NULL;

    client = open_client(host->pid);
    pid_t child = atoi(ask(host, "fork"));
    json_decref(status_of(child));
    assert_int_equal(link_client_call(client, "status", NULL, 5000, connect_in_vain, NULL, &status), 0);
    assert_int_equal(json_integer_value(json_object_get(status, "pid")), host->pid);
    json_decref(status);
    kill(child, SIGKILL);
    ask(host, "reap");
    assert_int_equal(link_client_wait(client, 0, connect_in_vain, NULL), -ETIMEDOUT);
    link_client_close(client);
}

static void test_exec(void **state)
{
    struct host *host = *state;

    json_decref(status_of(host->pid));
    assert_string_equal(ask(host, "exec"), "ready");
    json_decref(status_of(host->pid));
    assert_string_equal(ask(host, "spawn"), "0");
}

/* The engine makes no call at a process's end that a filter of the program's own kills it for, and leaves
 * nothing behind. */
static void test_sandboxed_child(void **state)
{
    static const char *const words[] = { "sandbox", "sandbox-by-syscall" };
    struct host *host = *state;

    for (int i = 0; i < 2; i++) {
        char path[LINK_PATH_MAX];
        int child = 0;

        assert_int_equal(sscanf(ask(host, words[i]), "exited 3 of %d", &child), 1);
        path_of(child, path);
        assert_int_equal(access(path, F_OK), -1);
    }
    json_decref(status_of(host->pid));
}

static void test_closed_descriptors(void **state)
{
    struct host *host = *state;

    for (int i = 0; i < 3; i++) {
        assert_string_equal(ask(host, "close"), "closed");
        json_decref(status_of(host->pid));
        json_decref(status_of(host->pid));
    }
}

static void test_the_socket_goes_with_the_program(void **state)
{
    struct host host = { 0 };
    char path[LINK_PATH_MAX];

    host_start(&host, library);
    path_of(host.pid, path);
    assert_int_equal(access(path, F_OK), 0);
    host_end(&host);
    assert_int_equal(access(path, F_OK), -1);
}

/* The sum of all threads' context switches. */
static long wakeups(pid_t pid)
{
    char command[256];
    long sum = 0;

    snprintf(command, sizeof(command), "cat /proc/%d/task/*/status", (int)pid);
    FILE *file = popen(command, "re");
    char line[256];
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        long count;

        if (sscanf(line, "voluntary_ctxt_switches: %ld", &count) == 1 ||
            sscanf(line, "nonvoluntary_ctxt_switches: %ld", &count) == 1) {
            sum += count;
        }
    }
    assert_int_equal(pclose(file), 0);
    return sum;
}

/* Asleep means asleep, after a conversation and during an idle one. The wait is the measurement, not a
 * guess. */
static void test_no_wakeups(void **state)
{
    struct host *host = *state;
    struct link_client *client;

    json_decref(status_of(host->pid));
    poll(NULL, 0, 50);
    long before = wakeups(host->pid);
    poll(NULL, 0, 500);
    assert_int_equal(wakeups(host->pid), before);

    client = open_client(host->pid);
    poll(NULL, 0, 50);
    before = wakeups(host->pid);
    poll(NULL, 0, 500);
    assert_int_equal(wakeups(host->pid), before);
    link_client_close(client);
}

static long resident_kb(pid_t pid)
{
    char path[64];
    char line[256];
    long size = 0;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file) && sscanf(line, "VmRSS: %ld", &size) != 1) {
    }
    fclose(file);
    return size;
}

static void test_memory(void **state)
{
    struct host *host = *state;
    struct host plain = { 0 };

    for (int i = 0; i < 20; i++) {
        json_decref(status_of(host->pid));
    }
    host_start(&plain, NULL);
    long more = resident_kb(host->pid) - resident_kb(plain.pid);
    host_end(&plain);
    print_message("the engine adds %ld kB\n", more);
    assert_in_range(more, 0, 5 * 1024);
}

static void check_failure(struct link_client *client, const char *method, json_t *params, int code)
{
    json_t *result = NULL;

    assert_int_equal(link_client_call(client, method, params, 5000, NULL, NULL, &result), LINK_CALL_FAILED);
    assert_int_equal(json_integer_value(json_object_get(result, "code")), code);
    json_decref(result);
}

/* What must be refused is refused, and the engine goes on. */
static void test_wrong_calls(void **state)
{
    struct host *host = *state;
    struct link_client *client = NULL;
    json_t *uploaded = NULL;
    json_t *result = NULL;

    client = open_client(host->pid);
    check_failure(client, "frobnicate", NULL, -32601);
    check_failure(client, "prepare", NULL, LINK_ERROR_NO_SUCH);
    check_failure(client, "instances", NULL, LINK_ERROR_NO_SUCH);
    check_failure(client, "prepare", json_pack("{s:s}", "upload", "x"), LINK_ERROR_NO_SUCH);
    check_failure(client, "commit", json_pack("{s:i}", "update", 1), LINK_ERROR_NO_SUCH);
    check_failure(client, "discard", NULL, LINK_ERROR_NO_SUCH);
    assert_int_equal(link_client_upload(client, "not a patch", 11, &uploaded), 0);
    assert_int_equal(link_client_call(client, "prepare", json_incref(uploaded), 5000, NULL, NULL, &result),
                     0);
    assert_string_equal(json_string_value(json_object_get(result, "result")), "refused");
    assert_true(json_string_length(json_object_get(result, "reason")) > 0);
    json_decref(result);
    check_failure(client, "prepare", json_incref(uploaded), LINK_ERROR_NO_SUCH);
    json_decref(uploaded);
    assert_int_equal(link_client_call(client, "rollback", NULL, 5000, NULL, NULL, &result), 0);
    assert_string_equal(json_string_value(json_object_get(result, "result")), "refused");
    json_decref(result);
    link_client_close(client);
    json_decref(status_of(host->pid));
}

int main(int argc, char **argv)
{
#define HOSTED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        HOSTED(test_status),
        HOSTED(test_the_program_cannot_tell),
        HOSTED(test_the_heap_is_the_programs_own),
        HOSTED(test_fork),
        HOSTED(test_fork_with_a_client),
        HOSTED(test_exec),
        HOSTED(test_sandboxed_child),
        HOSTED(test_closed_descriptors),
        cmocka_unit_test(test_the_socket_goes_with_the_program),
        HOSTED(test_no_wakeups),
        HOSTED(test_memory),
        HOSTED(test_wrong_calls),
    };

    if (argc < 3 || !mkdtemp(runtime) || setenv("XDG_RUNTIME_DIR", runtime, 1) || unsetenv("MOLT_NAME")) {
        return 1;
    }
    library = argv[1];
    program = argv[2];
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    char directory[sizeof(runtime) + 8];
    snprintf(directory, sizeof(directory), "%s/molt", runtime);
    rmdir(directory);
    rmdir(runtime);
    return failures;
}
