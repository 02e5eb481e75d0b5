/*
 * A blocking client: each has a libwebsockets context of its own with one connection, and runs it until the
 * answer, the time limit or the end of the connection. What is to be sent is one message and, for an upload,
 * the patch behind it in pieces; both go out from the writeable callback.
 */
#include "link/client.h"

#include <errno.h>
#include <libwebsockets.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/jsonrpc.h"
#include "base/text.h"
#include "link/directory.h"
#include "link/idle.h"
#include "link/memory.h"
#include "link/protocol.h"

#define PIECE 65536
#define OPEN_TIMEOUT_MS 2000
#define OPEN_ATTEMPTS 3
#define OPEN_PAUSE_MS 2
#define UPLOAD_TIMEOUT_MS 30000

struct link_client {
    struct lws_context *lws;
    struct lws *wsi;
    lws_sorted_usec_list_t timer;
    bool open;
    bool timed_out;
    volatile bool canceled;
    int error; /* sticks */
    json_int_t calls;
    struct text incoming;
    char *message; /* to be sent first */
    const unsigned char *upload;
    size_t upload_left;
    json_t *answer; /* of the call under way */
    bool failed;    /* the answer is an error object */
    unsigned notifications;
    link_notify *notify;
    void *context;
    unsigned char piece[LWS_PRE + PIECE];
};

/* The error object as the caller gets it. */
static json_t *error_object(const struct jsonrpc_message *message)
{
    json_t *object = json_pack("{s:I, s:s}", "code", message->error_code, "message", message->error_message);

    if (object && message->error_data) {
        json_object_set(object, "data", message->error_data);
    }
    return object;
}

static void take_message(struct link_client *client)
{
    struct jsonrpc_message message;

    if (jsonrpc_parse(client->incoming.bytes ? client->incoming.bytes : "", client->incoming.length,
                      &message)) {
        client->error = -EPROTO;
        return;
    }
    if (message.kind == JSONRPC_NOTIFICATION) {
        client->notifications++;
        if (client->notify) {
            client->notify(client->context, message.method, message.params);
        }
    } else if (message.kind != JSONRPC_REQUEST && json_integer_value(message.id) == client->calls &&
               !client->answer) {
        client->failed = message.kind == JSONRPC_ERROR;
        client->answer = client->failed ? error_object(&message) : json_incref(message.result);
        if (!client->answer) {
            client->error = -ENOMEM;
        }
    }
    jsonrpc_message_deinit(&message);
}

static int receive(struct link_client *client, struct lws *wsi, const void *bytes, size_t count)
{
    if (lws_frame_is_binary(wsi)) {
        client->error = -EPROTO;
    } else if (client->incoming.length + count > JSONRPC_BODY_MAX) {
        client->error = -EMSGSIZE;
    } else {
        text_append(&client->incoming, bytes, count);
        if (text_failed(&client->incoming)) {
            client->error = -ENOMEM;
        } else if (lws_is_final_fragment(wsi) && !lws_remaining_packet_payload(wsi)) {
            take_message(client);
            text_clear(&client->incoming);
        }
    }
    return client->error ? -1 : 0;
}

static int send_message(struct link_client *client, struct lws *wsi)
{
    size_t size = strlen(client->message);
    unsigned char *buffer = malloc(LWS_PRE + size);
    int written = -1;

    if (buffer) {
        memcpy(buffer + LWS_PRE, client->message, size);
        written = lws_write(wsi, buffer + LWS_PRE, size, LWS_WRITE_TEXT);
    }
    free(buffer);
    free(client->message);
    client->message = NULL;
    return written < 0 ? -1 : 0;
}

static int send_piece(struct link_client *client, struct lws *wsi)
{
    size_t size = client->upload_left < PIECE ? client->upload_left : PIECE;

    memcpy(client->piece + LWS_PRE, client->upload, size);
    if (lws_write(wsi, client->piece + LWS_PRE, size, LWS_WRITE_BINARY) < 0) {
        return -1;
    }
    client->upload += size;
    client->upload_left -= size;
    return 0;
}

/* An upload that has been answered already was refused: the rest of it need not be sent, but the engine
 * counts on it, so the connection is of no more use for uploads; the caller closes it. */
static int send_next(struct link_client *client, struct lws *wsi)
{
    int result = 0;

    if (client->message) {
        result = send_message(client, wsi);
    } else if (client->upload_left) {
        result = send_piece(client, wsi);
    }
    if (!result && client->upload_left) {
        lws_callback_on_writable(wsi);
    }
    return result;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    struct link_client *client = lws_get_opaque_user_data(wsi);

    if (!client) {
        return 0;
    }
    switch (reason) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        client->open = true;
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        client->error = client->error ? client->error : -EPROTO;
        client->wsi = NULL;
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return receive(client, wsi, in, length);
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return send_next(client, wsi);
    case LWS_CALLBACK_CLIENT_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY:
        client->error = client->error ? client->error : -ECONNRESET;
        client->wsi = NULL;
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    { .name = LINK_SUBPROTOCOL, .callback = on_event },
    { 0 },
};

/* Timers run before the wait, so the wait is told not to begin. */
static void on_timer(lws_sorted_usec_list_t *timer)
{
    struct link_client *client = lws_container_of(timer, struct link_client, timer);

    client->timed_out = true;
    lws_cancel_service(client->lws);
}

/* Runs the connection until DONE(client), an error, or TIMEOUT_MS (negative: none). */
static int run_until(struct link_client *client, bool (*done)(const struct link_client *), int timeout_ms)
{
    client->timed_out = false;
    if (timeout_ms >= 0) {
        lws_sul_schedule(client->lws, 0, &client->timer, on_timer, (lws_usec_t)timeout_ms * 1000 + 1);
    }
    while (!client->error && !client->canceled && !client->timed_out && !done(client)) {
        if (lws_service(client->lws, 0) < 0) {
            client->error = client->error ? client->error : -ECONNRESET;
        }
    }
    lws_sul_schedule(client->lws, 0, &client->timer, on_timer, LWS_SET_TIMER_USEC_CANCEL);
    if (done(client)) {
        return 0;
    }
    return client->canceled ? -ECANCELED : client->error ? client->error : -ETIMEDOUT;
}

static bool is_open(const struct link_client *client)
{
    return client->open;
}

static bool is_answered(const struct link_client *client)
{
    return client->answer != NULL;
}

static bool is_notified(const struct link_client *client)
{
    return client->notifications > 0;
}

static struct lws_context *start_lws(void)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .options = LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME | LWS_SERVER_OPTION_DISABLE_IPV6,
        .fd_limit_per_thread = 4,
        .pt_serv_buf_size = PIECE,
        .retry_and_idle_policy = &link_idle_policy,
    };

    link_memory_init();
    return lws_create_context(&info);
}

/* Whether the socket's process is no more. One that lives may be about to listen again. */
static bool is_orphan(const char *socket_path)
{
    const char *slash = strrchr(socket_path, '/');
    pid_t pid = link_socket_pid(slash ? slash + 1 : socket_path);

    return pid && kill(pid, 0) && errno == ESRCH;
}

/* Says why nobody could be reached, which libwebsockets does not; the socket of a dead process is removed. */
static int probe(const char *socket_path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = -EPROTO;

    if (fd < 0) {
        return -errno;
    }
    strncpy(address.sun_path, socket_path, sizeof(address.sun_path) - 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
        error = errno == EAGAIN ? -ETIMEDOUT : -errno;
    }
    if (error == -ECONNREFUSED && is_orphan(socket_path)) {
        unlink(socket_path);
    }
    close(fd);
    return error;
}

static int connect_to(struct link_client *client, const char *socket_path)
{
    char address[LINK_PATH_MAX + 1];
    struct lws_client_connect_info info = {
        .context = client->lws,
        .address = address,
        .port = 1,
        .path = "/",
        .host = "localhost",
        .origin = "localhost",
        .protocol = LINK_SUBPROTOCOL,
        .local_protocol_name = LINK_SUBPROTOCOL,
        .ietf_version_or_minus_one = -1,
        .pwsi = &client->wsi,
        .opaque_user_data = client,
    };

    snprintf(address, sizeof(address), "+%s", socket_path);
    if (!lws_client_connect_via_info(&info)) {
        return probe(socket_path);
    }
    int result = run_until(client, is_open, OPEN_TIMEOUT_MS);
    return result == -EPROTO ? probe(socket_path) : result;
}

static int open_once(const char *socket_path, struct link_client **ret_client)
{
    struct link_client *client = calloc(1, sizeof(*client));

    if (!client) {
        return -ENOMEM;
    }
    client->lws = start_lws();
    int result = client->lws ? connect_to(client, socket_path) : -ENOMEM;
    if (result) {
        link_client_close(client);
        return result;
    }
    *ret_client = client;
    return 0;
}

/* An engine may come to be, or make its socket anew, between an attempt and the question why it failed. */
int link_client_open(const char *socket_path, struct link_client **ret_client)
{
    int result = -ENAMETOOLONG;

    for (int i = 0; i < OPEN_ATTEMPTS && strlen(socket_path) < LINK_PATH_MAX; i++) {
        result = open_once(socket_path, ret_client);
        if (result != -EPROTO && (result != -ECONNREFUSED || is_orphan(socket_path))) {
            return result;
        }
        poll(NULL, 0, OPEN_PAUSE_MS);
    }
    return result;
}

void link_client_close(struct link_client *client)
{
    if (!client) {
        return;
    }
    if (client->lws) {
        lws_context_destroy(client->lws);
    }
    json_decref(client->answer);
    text_deinit(&client->incoming);
    free(client->message);
    free(client);
}

void link_client_cancel(struct link_client *client)
{
    client->canceled = true;
    lws_cancel_service(client->lws);
}

/* Sends MESSAGE (taken; NULL: no memory), then the upload, and waits for the answer. */
static int converse(struct link_client *client, char *message, int timeout_ms, json_t **ret_result)
{
    if (!message) {
        return -ENOMEM;
    }
    if (client->error || !client->wsi) {
        free(message);
        return client->error ? client->error : -ECONNRESET;
    }
    client->message = message;
    lws_callback_on_writable(client->wsi);
    int result = run_until(client, is_answered, timeout_ms);
    if (result) {
        client->error = result;
        return result;
    }
    *ret_result = client->answer;
    client->answer = NULL;
    return client->failed ? LINK_CALL_FAILED : 0;
}

int link_client_call(struct link_client *client, const char *method, json_t *params, int timeout_ms,
                     link_notify *notify, void *context, json_t **ret_result)
{
    client->notify = notify;
    client->context = context;
    int result = converse(client, jsonrpc_request(++client->calls, method, params), timeout_ms, ret_result);
    client->notify = NULL;
    return result;
}

int link_client_upload(struct link_client *client, const void *bytes, size_t size, json_t **ret_result)
{
    json_t *params = json_pack("{s:I}", "size", (json_int_t)size);

    client->upload = bytes;
    client->upload_left = size;
    int result =
        converse(client, jsonrpc_request(++client->calls, link_method_name(LINK_METHOD_UPLOAD), params),
                 UPLOAD_TIMEOUT_MS, ret_result);
    client->upload_left = 0;
    return result;
}

int link_client_wait(struct link_client *client, int timeout_ms, link_notify *notify, void *context)
{
    client->notify = notify;
    client->context = context;
    client->notifications = 0;
    int result = run_until(client, is_notified, timeout_ms);
    client->notify = NULL;
    return result;
}
