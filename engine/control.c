/*
 * What can be asked of the engine, one function per method. Prepared updates are kept here, each bound to the
 * connection that made it, until they are committed or discarded or the connection ends.
 */
#include "engine/control.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jsonrpc.h"
#include "engine/census_json.h"
#include "engine/stacks_json.h"
#include "engine/notice.h"
#include "engine/status.h"
#include "engine/threads/filters.h"
#include "engine/update/stacks.h"
#include "engine/update/update.h"
#include "link/protocol.h"
#include "link/server.h"

#define PREPARED_MAX 32
#define DEFAULT_TIMEOUT_MS 5000
#define DEFAULT_TRANSFER_MS 200
#define LONGEST_TIMEOUT_MS 3600000

struct prepared {
    struct update *update; /* NULL: the slot is free */
    uint64_t connection;
    json_int_t number;
};

static struct {
    struct link_server *server;
    char name[128];
    int core_error;
    struct prepared prepared[PREPARED_MAX];
    json_int_t updates; /* numbers given out */
    json_t *last;       /* result of the last commit or rollback */
    uint64_t holder;    /* the connection that may take its rollback back, 0: none */
} control;

static enum link_result result_of(enum update_outcome outcome)
{
    switch (outcome) {
    case UPDATE_PREPARED:
        return LINK_RESULT_PREPARED;
    case UPDATE_UPDATED:
        return LINK_RESULT_UPDATED;
    case UPDATE_NOTHING:
        return LINK_RESULT_NOTHING;
    case UPDATE_ROLLED_BACK:
        return LINK_RESULT_ROLLED_BACK;
    case UPDATE_NO_SAFE_POINT:
        return LINK_RESULT_NO_SAFE_POINT;
    case UPDATE_FAILED:
        return LINK_RESULT_VALIDATION;
    case UPDATE_REFUSED:
        break;
    }
    return LINK_RESULT_REFUSED;
}

/* Text from a patch or from the program need not be UTF-8, which JSON must be. */
static json_t *text_value(const char *text)
{
    json_t *value = json_string(text);

    if (value) {
        return value;
    }
    char plain[1024];
    size_t length = strnlen(text, sizeof(plain) - 1);
    for (size_t i = 0; i < length; i++) {
        plain[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
    }
    plain[length] = '\0';
    return json_string(plain);
}

/* The lines of TEXT as an array. */
static json_t *lines_value(const char *text)
{
    json_t *lines = json_array();
    char line[1024];

    while (*text) {
        size_t length = strcspn(text, "\n");
        snprintf(line, sizeof(line), "%.*s", (int)length, text);
        json_array_append_new(lines, text_value(line));
        text += length + (text[length] == '\n');
    }
    return lines;
}

/* {"bytes": hex}, or null if there are none. */
static json_t *bytes_value(const uint8_t *bytes, uint32_t size)
{
    char hex[2 * UPDATE_SHOWN_MAX + 1] = "";

    for (uint32_t i = 0; i < size; i++) {
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    }
    return size ? json_pack("{s:s}", "bytes", hex) : json_null();
}

/* How the rehearsal went, or null: there was none. */
static json_t *rehearsal_value(const struct update_report *report)
{
    if (!report->rehearsal.made) {
        return json_null();
    }
    return json_pack("{s:b, s:f, s:f}", "passed", report->rehearsal.passed, "pause_ms",
                     (double)report->rehearsal.pause_us / 1000, "total_ms",
                     (double)report->rehearsal.total_us / 1000);
}

/* What failed, or null. REHEARSAL: in a copy of the process. */
static json_t *failure_value(const struct update_failure *failure, bool rehearsal)
{
    if (!failure->kind) {
        return json_null();
    }
    return json_pack("{s:b, s:s, s:o, s:o, s:i, s:o, s:s, s:o, s:o, s:o}", "rehearsal", rehearsal, "kind",
                     failure->kind, "name", text_value(failure->name), "file", text_value(failure->file),
                     "line", (int)failure->line, "type", text_value(failure->type), "instance",
                     failure->instance, "message", text_value(failure->message), "old",
                     bytes_value(failure->old_bytes, failure->old_size), "new",
                     bytes_value(failure->new_bytes, failure->new_size));
}

static json_t *describe(enum link_result result, const struct update_report *report)
{
    json_t *value = json_pack(
        "{s:s, s:i, s:i, s:I, s:I, s:f, s:f, s:f, s:o, s:o}", "result", link_result_word(result), "functions",
        (int)report->functions, "types", (int)report->types, "instances", (json_int_t)report->instances,
        "moved", (json_int_t)report->moved, "waited_ms", (double)report->waited_us / 1000, "pause_ms",
        (double)report->pause_us / 1000, "total_ms", (double)report->total_us / 1000, "blocked_by",
        text_value(report->blocked_by), "reason", text_value(report->reason));

    json_object_set_new(value, "rewritten",
                        json_pack("{s:I, s:I}", "typed", (json_int_t)report->rewritten_typed, "untyped",
                                  (json_int_t)report->rewritten_untyped));
    json_object_set_new(value, "transferred", json_integer(report->transferred));
    json_object_set_new(value, "transfers", lines_value(report->transfers));
    json_object_set_new(value, "warnings", lines_value(report->warnings));
    json_object_set_new(value, "validation",
                        failure_value(&report->failure, report->rehearsal.made && !report->rehearsal.passed));
    json_object_set_new(value, "rehearsal", rehearsal_value(report));
    return value;
}

/* Remembers how it ended, for status, and tells everybody. */
static void finish(struct link_call *call, const struct update_report *report)
{
    json_t *result = describe(result_of(report->outcome), report);

    if (report->outcome == UPDATE_UPDATED || report->outcome == UPDATE_ROLLED_BACK) {
        notice_send();
    }
    json_decref(control.last);
    control.last = json_incref(result);
    link_call_result(call, result);
    link_server_broadcast(control.server, link_method_name(LINK_METHOD_CHANGED));
}

/* An update whose client has gone is not made behind everybody's back. */
static bool on_progress(void *context, const char *phase, const char *message)
{
    link_call_notify(context, link_method_name(LINK_METHOD_PROGRESS),
                     json_pack("{s:s, s:o}", "phase", phase, "message", text_value(message ? message : "")));
    return !link_call_abandoned(context);
}

static uint32_t milliseconds_of(const struct link_call *call, const char *parameter, json_int_t otherwise)
{
    json_t *value = json_object_get(call->params, parameter);
    json_int_t given = json_is_integer(value) ? json_integer_value(value) : otherwise;

    return (uint32_t)(given < 0 ? 0 : given > LONGEST_TIMEOUT_MS ? LONGEST_TIMEOUT_MS : given);
}

/* `rehearse`: true, "always", or none. */
static enum update_rehearsal rehearsal_of(const struct link_call *call)
{
    const json_t *value = json_object_get(call->params, "rehearse");

    return json_is_true(value) ? REHEARSE_FUNCTIONS : json_is_string(value) ? REHEARSE_STATE : REHEARSE_NEVER;
}

static struct update_wait wait_of(const struct link_call *call)
{
    bool strict = json_is_true(json_object_get(call->params, "strict"));

    return (struct update_wait){
        .timeout_ms = milliseconds_of(call, "timeout_ms", DEFAULT_TIMEOUT_MS),
        .transfer_ms = strict ? UINT32_MAX : milliseconds_of(call, "transfer_ms", DEFAULT_TRANSFER_MS),
        .rehearsal = rehearsal_of(call),
        .known_stacks = json_is_true(json_object_get(call->params, "known_stacks")),
    };
}

/* The prepared update that the call names, or NULL and the call has been answered. */
static struct prepared *find_prepared(struct link_call *call)
{
    json_int_t number = json_integer_value(json_object_get(call->params, "update"));

    for (size_t i = 0; i < PREPARED_MAX; i++) {
        struct prepared *slot = &control.prepared[i];

        if (slot->update && slot->connection == call->connection && slot->number == number) {
            return slot;
        }
    }
    link_call_fail(call, LINK_ERROR_NO_SUCH, "this connection has prepared no update %lld",
                   (long long)number);
    return NULL;
}

static struct update *take_prepared(struct prepared *slot)
{
    struct update *update = slot->update;

    *slot = (struct prepared){ 0 };
    return update;
}

static void call_status(struct link_call *call)
{
    json_t *status = status_describe(control.name);

    json_object_set_new(status, "last", control.last ? json_incref(control.last) : json_null());
    if (json_is_true(json_object_get(call->params, "memory"))) {
        json_object_set_new(status, "memory", status_describe_memory());
    }
    link_call_result(call, status);
}

static void call_prepare(struct link_call *call)
{
    json_int_t upload = json_integer_value(json_object_get(call->params, "upload"));
    struct prepared *slot = control.prepared;
    struct update_report report = { 0 };
    struct update *update = NULL;
    size_t size;

    while (slot < control.prepared + PREPARED_MAX && slot->update) {
        slot++;
    }
    if (slot == control.prepared + PREPARED_MAX) {
        link_call_fail(call, LINK_ERROR_TOO_MANY, "too many updates are prepared");
        return;
    }
    void *bytes = link_call_take_upload(call, upload, &size);
    if (!bytes) {
        link_call_fail(call, LINK_ERROR_NO_SUCH, "this connection has no upload %lld", (long long)upload);
        return;
    }
    if (update_prepare(bytes, size, &update, &report)) {
        link_call_result(call, describe(LINK_RESULT_REFUSED, &report));
        return;
    }
    *slot = (struct prepared){ update, call->connection, ++control.updates };
    json_t *result = describe(LINK_RESULT_PREPARED, &report);
    json_object_set_new(result, "update", json_integer(slot->number));
    link_call_result(call, result);
}

static void call_commit(struct link_call *call)
{
    struct prepared *slot = find_prepared(call);
    struct update_report report = { 0 };

    if (!slot) {
        return;
    }
    if (json_is_true(json_object_get(call->params, "dry_run"))) {
        update_try(take_prepared(slot), wait_of(call), on_progress, call, &report);
        link_call_result(call, describe(result_of(report.outcome), &report));
        return;
    }
    update_commit(take_prepared(slot), wait_of(call), on_progress, call, &report);
    finish(call, &report);
}

/* False: LAYOUTS is no list of them. */
static bool read_layouts(const json_t *layouts, struct census_request *ret)
{
    json_t *layout;
    size_t index;

    json_array_foreach(layouts, index, layout)
    {
        if (!json_is_integer(layout) || ret->layout_count == CENSUS_LAYOUTS_MAX ||
            json_integer_value(layout) < 0 || json_integer_value(layout) > UINT32_MAX) {
            return false;
        }
        ret->layouts[ret->layout_count++] = (uint32_t)json_integer_value(layout);
    }
    return !layouts || json_is_array(layouts);
}

static void call_instances(struct link_call *call)
{
    struct prepared *slot = find_prepared(call);
    json_int_t limit = json_integer_value(json_object_get(call->params, "limit"));
    struct census_request request = { .timeout_ms = wait_of(call).timeout_ms };
    struct update_report report = { 0 };
    struct census *census = NULL;

    if (!slot) {
        return;
    }
    request.limit = limit < 0 ? 0 : limit > CENSUS_INSTANCES_MAX ? CENSUS_INSTANCES_MAX : (size_t)limit;
    if (!read_layouts(json_object_get(call->params, "layouts"), &request)) {
        link_call_fail(call, JSONRPC_INVALID_PARAMS, "layouts is no list of at most %d indexes",
                       CENSUS_LAYOUTS_MAX);
        return;
    }
    int status = update_census(take_prepared(slot), &request, on_progress, call, &census, &report);
    json_t *answer = describe(result_of(report.outcome), &report);
    if (status == 0) {
        census_describe(census, answer);
        census_destroy(census);
    }
    link_call_result(call, answer);
}

static void call_stacks(struct link_call *call)
{
    struct stacks stacks;
    int status = stacks_take(&stacks);

    if (status < 0) {
        link_call_fail(call, LINK_ERROR_NOT_READY, "the threads could not be stopped: %s",
                       strerrordesc_np(-status));
        return;
    }
    link_call_result(call, stacks_describe(&stacks));
    free(stacks.frames);
}

static void call_discard(struct link_call *call)
{
    struct prepared *slot = find_prepared(call);
    struct update_report report = { 0 };

    if (slot) {
        update_discard(take_prepared(slot));
        link_call_result(call, describe(LINK_RESULT_DISCARDED, &report));
    }
}

static void call_rollback(struct link_call *call)
{
    bool hold = json_is_true(json_object_get(call->params, "hold"));
    struct update_report report = { 0 };

    int status = update_rollback(wait_of(call), hold, on_progress, call, &report);
    control.holder = status == 0 && hold ? call->connection : 0;
    finish(call, &report);
}

static void settle(void)
{
    if (control.holder) {
        control.holder = 0;
        update_settle();
    }
}

static void call_settle(struct link_call *call)
{
    struct update_report report = { .outcome = UPDATE_ROLLED_BACK };

    if (control.holder != call->connection) {
        link_call_fail(call, LINK_ERROR_NO_SUCH, "this connection has no rollback to settle");
        return;
    }
    if (!json_is_true(json_object_get(call->params, "restore"))) {
        settle();
        link_call_result(call, describe(LINK_RESULT_ROLLED_BACK, &report));
        return;
    }
    if (update_restore(wait_of(call), on_progress, call, &report) == 0) {
        control.holder = 0;
    }
    settle(); /* one that could not be brought back */
    finish(call, &report);
}

/* While a rollback may be taken back nothing else is changed: for whoever holds it that makes it final,
 * all others are told. Returns whether CALL may go on; else it has been answered. */
static bool may_change(struct link_call *call, enum link_method method)
{
    struct update_report report = { 0 };

    if (method == LINK_METHOD_STATUS || method == LINK_METHOD_STACKS || method == LINK_METHOD_SETTLE ||
        !control.holder) {
        return true;
    }
    if (control.holder == call->connection) {
        settle();
        return true;
    }
    snprintf(report.reason, sizeof(report.reason),
             "another client is rolling several programs back together; try again");
    link_call_result(call, describe(LINK_RESULT_REFUSED, &report));
    return false;
}

static void on_call(void *context, struct link_call *call)
{
    int method = link_method_of(call->method);

    if (control.core_error && method != LINK_METHOD_STATUS) {
        link_call_fail(call, LINK_ERROR_NOT_READY, "the engine could not be set up in this process: %s",
                       strerrordesc_np(-control.core_error));
        return;
    }
    if (method >= 0 && !may_change(call, (enum link_method)method)) {
        return;
    }
    switch (method) {
    case LINK_METHOD_STATUS:
        call_status(call);
        return;
    case LINK_METHOD_PREPARE:
        call_prepare(call);
        return;
    case LINK_METHOD_COMMIT:
        call_commit(call);
        return;
    case LINK_METHOD_DISCARD:
        call_discard(call);
        return;
    case LINK_METHOD_ROLLBACK:
        call_rollback(call);
        return;
    case LINK_METHOD_SETTLE:
        call_settle(call);
        return;
    case LINK_METHOD_INSTANCES:
        call_instances(call);
        return;
    case LINK_METHOD_STACKS:
        call_stacks(call);
        return;
    default:
        link_call_fail(call, JSONRPC_METHOD_NOT_FOUND, "the engine knows no method %.64s", call->method);
    }
}

/* The status is asked for while an update waits for its safe point, and is there to be told. */
static bool is_quick(const char *method)
{
    return link_method_of(method) == LINK_METHOD_STATUS;
}

static void on_closed(void *context, uint64_t connection)
{
    if (control.holder == connection) {
        settle();
    }
    for (size_t i = 0; i < PREPARED_MAX; i++) {
        if (control.prepared[i].update && control.prepared[i].connection == connection) {
            update_discard(take_prepared(&control.prepared[i]));
        }
    }
}

int control_listen(const char *name, char *reason, size_t reason_size)
{
    const struct link_handler handler = { .call = on_call, .quick = is_quick, .closed = on_closed };

    snprintf(control.name, sizeof(control.name), "%s", name);
    return link_server_create(&handler, &control.server, reason, reason_size);
}

int control_serve(int core_error)
{
    int error;

    control.core_error = core_error;
    control.holder = 0;
    update_settle();
    for (size_t i = 0; i < PREPARED_MAX; i++) { /* what a parent had prepared when this process was forked */
        update_discard(take_prepared(&control.prepared[i]));
    }
    do {
        error = link_server_step(control.server, -1);
    } while (!error);
    return error;
}

void control_unlink(void)
{
    if (control.server && !filters_forbid_unlink()) {
        link_server_unlink(control.server);
    }
}

void control_fork_prepare(void)
{
    link_server_fork_prepare();
}

void control_fork_parent(void)
{
    link_server_fork_parent();
}

void control_fork_child(void)
{
    notice_after_fork();
    link_server_fork_child(control.server);
    control.server = NULL;
}
