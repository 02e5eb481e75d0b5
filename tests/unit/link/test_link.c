/*
 * Both ends over a real socket: a server on a thread of its own, the blocking client, and a raw socket where
 * the client is too well-behaved.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/jsonrpc.h"
#include "link/client.h"
#include "link/directory.h"
#include "link/protocol.h"
#include "link/server.h"

/* The clock that libwebsockets asks: time can be made to pass. */
static atomic_long hours;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);

    now->tv_sec += hours * 3600;
    return result;
}

static char runtime[] = "/tmp/molt-test-link-XXXXXX";

struct fixture {
    struct link_server *server;
    pthread_t thread;
    atomic_bool stop;
    atomic_bool asleep; /* the server is not served, as in an engine of which nobody wants anything */
    atomic_bool quick;  /* the method of that name was called */
    atomic_int closed;  /* connections that the handler was told are gone */
    char path[LINK_PATH_MAX];
};

static void answer_upload(struct link_call *call)
{
    size_t size;
    json_int_t number = json_integer_value(json_object_get(call->params, "upload"));
    uint8_t *bytes = link_call_take_upload(call, number, &size);
    uint64_t sum = 0;

    if (!bytes) {
        link_call_fail(call, LINK_ERROR_NO_SUCH, "no upload %d", (int)number);
        return;
    }
    for (size_t i = 0; i < size; i++) {
        sum += (uint64_t)bytes[i] * (i % 251 + 1);
    }
    free(bytes);
    link_call_result(call, json_pack("{s:I, s:I}", "size", (json_int_t)size, "sum", (json_int_t)sum));
}

static void on_call(void *context, struct link_call *call)
{
    struct fixture *fixture = context;

    if (!strcmp(call->method, "echo")) {
        link_call_result(call, json_incref(call->params));
    } else if (!strcmp(call->method, "sum")) {
        answer_upload(call);
    } else if (!strcmp(call->method, "count")) {
        for (int i = 0; i < 3; i++) {
            link_call_notify(call, "progress", json_pack("{s:i}", "i", i));
        }
        link_call_result(call, json_integer(3));
    } else if (!strcmp(call->method, "long")) {
        while (!fixture->stop && !fixture->quick) {
            link_call_notify(call, "progress", NULL);
            poll(NULL, 0, 1);
        }
        link_call_result(call, json_boolean(fixture->quick));
    } else if (!strcmp(call->method, "quick")) {
        fixture->quick = true;
        link_call_result(call, json_true());
    } else if (!strcmp(call->method, "big")) {
        size_t size = 700000;
        char *string = malloc(size + 1);

        memset(string, 'x', size);
        string[size] = '\0';
        link_call_result(call, json_string(string));
        free(string);
    } else if (!strcmp(call->method, "tell")) {
        link_call_result(call, json_true());
        link_server_broadcast(fixture->server, "changed");
    } else if (strcmp(call->method, "mute")) {
        link_call_fail(call, JSONRPC_METHOD_NOT_FOUND, "no method %s", call->method);
    }
}

static bool is_quick(const char *method)
{
    return !strcmp(method, "quick");
}

static void on_closed(void *context, uint64_t connection)
{
    atomic_fetch_add(&((struct fixture *)context)->closed, 1);
}

static void *serve(void *argument)
{
    struct fixture *fixture = argument;

    while (!fixture->stop) {
        if (fixture->asleep) {
            poll(NULL, 0, 1);
        } else {
            assert_int_equal(link_server_step(fixture->server, 20), 0);
        }
    }
    return NULL;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct link_handler handler = {
        .call = on_call, .quick = is_quick, .closed = on_closed, .context = fixture
    };
    char reason[128];

    assert_int_equal(link_server_create(&handler, &fixture->server, reason, sizeof(reason)), 0);
    link_server_set_limits(fixture->server, &(struct link_limits){ .upload = 3 << 20,
                                                                   .text = 1 << 20,
                                                                   .connections = 4,
                                                                   .requests_per_second = 1000 });
    snprintf(fixture->path, sizeof(fixture->path), "%s", link_server_path(fixture->server));
    assert_int_equal(pthread_create(&fixture->thread, NULL, serve, fixture), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    fixture->stop = true;
    pthread_join(fixture->thread, NULL);
    link_server_destroy(fixture->server);
    assert_int_equal(access(fixture->path, F_OK), -1);
    free(fixture);
    return 0;
}

static struct link_client *open_client(struct fixture *fixture)
{
    struct link_client *client = NULL;

    assert_int_equal(link_client_open(fixture->path, &client), 0);
    return client;
}

/* Calls and checks that the answer, as JSON, is EXPECTED. */
static void check_call(struct link_client *client, const char *method, json_t *params, const char *expected)
{
    json_t *result = NULL;
    int status = link_client_call(client, method, params, 5000, NULL, NULL, &result);

    assert_in_range(status, 0, LINK_CALL_FAILED);
    char *string = json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal(string, expected);
    free(string);
    json_decref(result);
}

static void test_calls(void **state)
{
    struct link_client *client = open_client(*state);

    check_call(client, "echo", json_pack("{s:i}", "a", 1), "{\"a\":1}");
    check_call(client, "echo", json_pack("{s:s}", "a", "\xc3\xa4"), "{\"a\":\"\xc3\xa4\"}");
    check_call(client, "nonsense", NULL, "{\"code\":-32601,\"message\":\"no method nonsense\"}");
    check_call(client, "mute", NULL, "{\"code\":-32603,\"message\":\"no answer\"}");
    check_call(client, "echo", json_array(), "{\"code\":-32602,\"message\":\"params must be an object\"}");
    link_client_close(client);
}

static void test_private_socket(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    char directory[LINK_PATH_MAX];

    assert_int_equal(stat(fixture->path, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    assert_int_equal(status.st_mode & 0777, 0600);
    snprintf(directory, sizeof(directory), "%s/molt", runtime);
    assert_int_equal(stat(directory, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
}

static void count_notification(void *context, const char *method, json_t *params)
{
    int *next = context;

    assert_string_equal(method, "progress");
    assert_int_equal(json_integer_value(json_object_get(params, "i")), *next);
    ++*next;
}

static void test_progress_comes_before_the_answer(void **state)
{
    struct link_client *client = open_client(*state);
    json_t *result = NULL;
    int next = 0;

    assert_int_equal(link_client_call(client, "count", NULL, 5000, count_notification, &next, &result), 0);
    assert_int_equal(json_integer_value(result), 3);
    assert_int_equal(next, 3);
    json_decref(result);
    link_client_close(client);
}

static void *ask_quickly(void *argument)
{
    struct link_client *client = open_client(argument);

    check_call(client, "quick", NULL, "true");
    link_client_close(client);
    return NULL;
}

/* A newcomer is let in and answered while another client's call takes its time, which ends only then. */
static void test_quick_questions_do_not_wait(void **state)
{
    struct link_client *client = open_client(*state);
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, ask_quickly, *state), 0);
    check_call(client, "long", NULL, "true");
    pthread_join(thread, NULL);
    link_client_close(client);
}

static void ignore(void *context, const char *method, json_t *params)
{
    assert_string_equal(method, "changed");
}

static void test_everybody_is_told(void **state)
{
    struct link_client *speaker = open_client(*state);
    struct link_client *listener = open_client(*state);

    assert_int_equal(link_client_wait(listener, 0, ignore, NULL), -ETIMEDOUT);
    check_call(speaker, "tell", NULL, "true");
    assert_int_equal(link_client_wait(listener, 5000, ignore, NULL), 0);
    check_call(listener, "echo", json_object(), "{}");
    link_client_close(speaker);
    link_client_close(listener);
}

/* An editor hears of a program for as long as both live, though neither says a word in a day. */
static void test_silence_is_no_end(void **state)
{
    struct fixture *fixture = *state;
    struct link_client *client = open_client(fixture);

    check_call(client, "echo", json_object(), "{}");
    fixture->asleep = true;
    for (int day = 0; day < 3; day++) {
        hours += 24;
        assert_int_equal(link_client_wait(client, 30, ignore, NULL), -ETIMEDOUT);
    }
    fixture->asleep = false;
    check_call(client, "echo", json_object(), "{}");
    link_client_close(client);
}

static void test_a_large_answer_arrives_whole(void **state)
{
    struct link_client *client = open_client(*state);
    json_t *result = NULL;

    assert_int_equal(link_client_call(client, "big", NULL, 5000, NULL, NULL, &result), 0);
    assert_int_equal(json_string_length(result), 700000);
    json_decref(result);
    link_client_close(client);
}

/* Uploads of sizes around the pieces they travel in arrive as they were. */
static void test_uploads(void **state)
{
    static const size_t sizes[] = { 1, 2, 125, 126, 65535, 65536, 65537, 1 << 20, 3 << 20 };
    struct link_client *client = open_client(*state);

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uint8_t *bytes = malloc(sizes[i]);
        uint64_t sum = 0;
        json_t *result = NULL;
        char expected[64];

        for (size_t at = 0; at < sizes[i]; at++) {
            bytes[at] = (uint8_t)(at * 7 + i);
            sum += (uint64_t)bytes[at] * (at % 251 + 1);
        }
        assert_int_equal(link_client_upload(client, bytes, sizes[i], &result), 0);
        snprintf(expected, sizeof(expected), "{\"size\":%zu,\"sum\":%llu}", sizes[i],
                 (unsigned long long)sum);
        check_call(client, "sum", json_pack("{s:O}", "upload", json_object_get(result, "upload")), expected);
        json_decref(result);
        free(bytes);
    }
    check_call(client, "sum", json_pack("{s:i}", "upload", 1),
               "{\"code\":-32012,\"message\":\"no upload 1\"}");
    link_client_close(client);
}

static void test_an_upload_beyond_the_limit_is_refused(void **state)
{
    struct link_client *client = open_client(*state);
    size_t size = (3 << 20) + 1;
    void *bytes = calloc(1, size);
    json_t *result = NULL;

    assert_int_equal(link_client_upload(client, bytes, size, &result), LINK_CALL_FAILED);
    assert_int_equal(json_integer_value(json_object_get(result, "code")), LINK_ERROR_TOO_LARGE);
    json_decref(result);
    link_client_close(client);
    free(bytes);
}

static void test_connections_are_limited(void **state)
{
    struct link_client *clients[4];
    struct link_client *fifth = NULL;

    for (size_t i = 0; i < 4; i++) {
        clients[i] = open_client(*state);
    }
    assert_true(link_client_open(((struct fixture *)*state)->path, &fifth) < 0);
    for (size_t i = 0; i < 4; i++) {
        check_call(clients[i], "echo", json_object(), "{}");
        link_client_close(clients[i]);
    }
}

static void *cancel(void *argument)
{
    link_client_cancel(argument);
    return NULL;
}

static void test_another_thread_cancels(void **state)
{
    struct link_client *client = open_client(*state);
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, cancel, client), 0);
    assert_int_equal(link_client_wait(client, -1, ignore, NULL), -ECANCELED);
    pthread_join(thread, NULL);
    link_client_close(client);
}

/* A raw connection, for what the client would never do. */

static int raw_connect(struct fixture *fixture)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", fixture->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void raw_send(int fd, const void *bytes, size_t size)
{
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
}

static void raw_upgrade(int fd, const char *protocol)
{
    char request[512];

    snprintf(request, sizeof(request),
             "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%sSec-WebSocket-Version: 13\r\n\r\n",
             protocol);
    raw_send(fd, request, strlen(request));
}

/* Reads until the other side closes; how many bytes came, and whether they hold NEEDLE. */
static size_t read_to_end(int fd, const char *needle, bool *ret_found)
{
    char bytes[65536];
    size_t total = 0;
    ssize_t count;
    struct pollfd poller = { .fd = fd, .events = POLLIN };

    *ret_found = false;
    while (poll(&poller, 1, 10000) == 1 && (count = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        total += (size_t)count;
        *ret_found |= memmem(bytes, (size_t)count, needle, strlen(needle)) != NULL;
    }
    assert_int_not_equal(poller.revents, 0);
    return total;
}

static void check_raw(struct fixture *fixture, const char *protocol, const void *frames, size_t size,
                      bool accepted)
{
    int fd = raw_connect(fixture);
    bool found;

    raw_upgrade(fd, protocol);
    if (size) {
        raw_send(fd, frames, size);
    }
    read_to_end(fd, "101 Switching", &found);
    assert_int_equal(found, accepted);
    close(fd);
    struct link_client *client = open_client(fixture);
    check_call(client, "echo", json_object(), "{}");
    link_client_close(client);
}

#define MOLT "Sec-WebSocket-Protocol: molt.v1\r\n"

static void test_strangers_are_turned_away(void **state)
{
    int fd = raw_connect(*state);
    bool found;

    check_raw(*state, "", NULL, 0, false);
    check_raw(*state, "Sec-WebSocket-Protocol: chat\r\n", NULL, 0, false);
    raw_send(fd, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15);
    read_to_end(fd, "x", &found);
    close(fd);
    fd = raw_connect(*state);
    raw_send(fd, "GET /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 37);
    read_to_end(fd, "root:", &found);
    assert_false(found);
    close(fd);
}

/* In the stranger: connects, past the directory and the mode that would have kept him out, and counts what
 * he gets. */
static int connect_as_stranger(const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char bytes[512];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
    if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534) ||
        connect(fd, (struct sockaddr *)&address, sizeof(address))) {
        return 2;
    }
    return recv(fd, bytes, sizeof(bytes), 0) > 0 ? 3 : 0;
}

static void test_another_user_is_turned_away(void **state)
{
    struct fixture *fixture = *state;
    char directory[LINK_PATH_MAX];
    int status = -1;

    if (geteuid()) {
        skip(); /* only root can be somebody else */
    }
    snprintf(directory, sizeof(directory), "%s/molt", runtime);
    assert_int_equal(chmod(fixture->path, 0666) | chmod(directory, 0711), 0);
    pid_t stranger = fork();
    if (!stranger) {
        _exit(chdir(directory) ? 1 : connect_as_stranger(strrchr(fixture->path, '/') + 1));
    }
    waitpid(stranger, &status, 0);
    assert_int_equal(chmod(directory, 0700), 0);
    assert_int_equal(status, 0);
    assert_int_equal(fixture->closed, 0); /* he has never been a connection */
}

/* Each closes its connection and does no harm to the next one. */
static void test_broken_frames(void **state)
{
    static const char reserved[] = "\xf1\x80\x00\x00\x00\x00";
    static const char stray_binary[] = "\x82\x82\0\0\0\0"
                                       "ab";

    check_raw(*state, MOLT, stray_binary, sizeof(stray_binary) - 1, true);
    check_raw(*state, MOLT, reserved, sizeof(reserved) - 1, true);
}

/* Text beyond the limit closes the connection as soon as the limit is reached, not when it is complete. */
static void test_oversize_text(void **state)
{
    struct fixture *fixture = *state;
    static char chunk[65536];
    int fd = raw_connect(fixture);
    bool found;
    ssize_t sent = 0;

    raw_upgrade(fd, MOLT);
    raw_send(fd, "\x81\xff\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00", 14);
    while (sent >= 0) {
        sent = send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL);
    }
    assert_true(errno == EPIPE || errno == ECONNRESET);
    read_to_end(fd, "x", &found);
    close(fd);
}

/* Waits for the handler to be told that a connection is gone; a call makes sure that the loop runs meanwhile.
 */
static void wait_for_close(struct fixture *fixture)
{
    struct link_client *client = open_client(fixture);

    for (int i = 0; fixture->closed < 1 && i < 500; i++) {
        check_call(client, "echo", json_object(), "{}");
    }
    assert_int_equal(fixture->closed, 1);
    link_client_close(client);
}

static void test_a_client_vanishes_during_its_upload(void **state)
{
    static const char request[] =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"upload\",\"params\":{\"size\":9}}";
    struct fixture *fixture = *state;
    int fd = raw_connect(fixture);
    char header[6] = { (char)0x81, (char)(0x80 | (sizeof(request) - 1)) };

    raw_upgrade(fd, MOLT);
    raw_send(fd, header, sizeof(header));
    raw_send(fd, request, sizeof(request) - 1);
    raw_send(fd,
             "\x82\x85\x00\x00\x00\x00"
             "abc",
             9);
    close(fd);
    wait_for_close(fixture);
}

/* A client that asks and never reads is dropped, and others are served meanwhile. */
static void test_a_client_that_does_not_read(void **state)
{
    static const char request[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\"}";
    struct fixture *fixture = *state;
    int fd = raw_connect(fixture);
    char header[6] = { (char)0x81, (char)(0x80 | (sizeof(request) - 1)) };
    struct link_client *other = open_client(fixture);

    raw_upgrade(fd, MOLT);
    for (int i = 0; i < 40; i++) {
        if (send(fd, header, sizeof(header), MSG_NOSIGNAL) < 0 ||
            send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0) {
            break;
        }
        check_call(other, "echo", json_object(), "{}");
    }
    wait_for_close(fixture);
    link_client_close(other);
    close(fd);
}

static void test_too_many_requests(void **state)
{
    struct fixture *fixture = *state;
    struct link_client *client = open_client(fixture);
    int refused = 0;

    for (int i = 0; i < 20000 && !refused; i++) {
        json_t *result = NULL;

        refused = link_client_call(client, "echo", NULL, 5000, NULL, NULL, &result) == LINK_CALL_FAILED;
        if (refused) {
            assert_int_equal(json_integer_value(json_object_get(result, "code")), LINK_ERROR_TOO_MANY);
        }
        json_decref(result);
    }
    assert_true(refused);
    link_client_close(client);
}

static void test_discovery(void **state)
{
    struct fixture *fixture = *state;
    struct link_peer *peers = NULL;
    size_t count = 0;
    char stale[LINK_PATH_MAX];
    bool found = false;
    pid_t dead = fork();

    if (!dead) {
        _exit(0);
    }
    waitpid(dead, NULL, 0);
    snprintf(stale, sizeof(stale), "%s/molt/%d.sock", runtime, (int)dead);
    close(open(stale, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(link_discover(&peers, &count), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_not_equal(peers[i].pid, dead);
        found |= peers[i].pid == getpid() && !strcmp(peers[i].path, fixture->path);
    }
    assert_true(found);
    assert_int_equal(access(stale, F_OK), -1);
    link_peers_free(peers, count);
}

/* A socket that nobody listens on is removed if its process is dead; a living one may be about to listen
 * again. */
static void check_nobody(pid_t pid, bool removed)
{
    char path[LINK_PATH_MAX];
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct link_client *client = NULL;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(path, sizeof(path), "%s/%d.sock", runtime, (int)pid);
    assert_int_equal(link_client_open(path, &client), -ENOENT);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    assert_int_equal(link_client_open(path, &client), -ECONNREFUSED);
    assert_int_equal(access(path, F_OK), removed ? -1 : 0);
    assert_null(client);
    unlink(path);
}

static void test_nobody_listens(void **state)
{
    pid_t dead = fork();

    if (!dead) {
        _exit(0);
    }
    waitpid(dead, NULL, 0);
    check_nobody(dead, true);
    check_nobody(getpid(), false);
}

static void test_the_engine_dies_during_a_call(void **state)
{
    int channel[2];
    char path[LINK_PATH_MAX] = "";
    struct link_client *client = NULL;
    json_t *result = NULL;

    assert_int_equal(pipe(channel), 0);
    pid_t child = fork();
    if (!child) {
        struct link_handler handler = { .call = on_call, .closed = on_closed };
        struct link_server *server;
        char reason[128];

        if (link_server_create(&handler, &server, reason, sizeof(reason)) ||
            write(channel[1], link_server_path(server), LINK_PATH_MAX) < 0) {
            _exit(1);
        }
        for (int i = 0; i < 4; i++) {
            link_server_step(server, -1);
        }
        _exit(0);
    }
    assert_int_equal(read(channel[0], path, sizeof(path)), sizeof(path));
    int status = link_client_open(path, &client);
    while (!status) {
        status = link_client_call(client, "echo", NULL, 5000, NULL, NULL, &result);
        json_decref(result);
        result = NULL;
    }
    assert_int_equal(status, -ECONNRESET);
    waitpid(child, NULL, 0);
    link_client_close(client);
    close(channel[0]);
    close(channel[1]);
}

static void test_an_unsafe_directory_is_not_used(void **state)
{
    char path[LINK_PATH_MAX];

    snprintf(path, sizeof(path), "%s/open", runtime);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(link_directory_check(path), 0);
    assert_int_equal(chmod(path, 0750), 0);
    assert_int_equal(link_directory_check(path), -EPERM);
    rmdir(path);
    assert_int_equal(symlink("/tmp", path), 0);
    assert_int_equal(link_directory_check(path), -ENOTDIR);
    unlink(path);
    assert_int_equal(link_directory_check(path), -ENOENT);
}

int main(void)
{
#define SERVED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        SERVED(test_calls),
        SERVED(test_private_socket),
        SERVED(test_progress_comes_before_the_answer),
        SERVED(test_quick_questions_do_not_wait),
        SERVED(test_everybody_is_told),
        SERVED(test_silence_is_no_end),
        SERVED(test_a_large_answer_arrives_whole),
        SERVED(test_uploads),
        SERVED(test_an_upload_beyond_the_limit_is_refused),
        SERVED(test_connections_are_limited),
        SERVED(test_another_thread_cancels),
        SERVED(test_strangers_are_turned_away),
        SERVED(test_another_user_is_turned_away),
        SERVED(test_broken_frames),
        SERVED(test_oversize_text),
        SERVED(test_a_client_vanishes_during_its_upload),
        SERVED(test_a_client_that_does_not_read),
        SERVED(test_too_many_requests),
        SERVED(test_discovery),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_the_engine_dies_during_a_call),
        cmocka_unit_test(test_an_unsafe_directory_is_not_used),
    };

    if (!mkdtemp(runtime) || setenv("XDG_RUNTIME_DIR", runtime, 1)) {
        return 1;
    }
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    char directory[sizeof(runtime) + 8];
    snprintf(directory, sizeof(directory), "%s/molt", runtime);
    rmdir(directory);
    rmdir(runtime);
    return failures;
}
