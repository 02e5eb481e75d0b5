/*
 * An update in words and numbers.
 */
#include "lsp-server/outcome.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "lsp-server/lsp.h"

#define NAMES_MAX 50

static void append_count(struct text *text, const char *separator, double count, const char *one)
{
    text_printf(text, "%s%.0f %s%s", separator, count, one, count == 1 ? "" : "s");
}

/* "updated: 2 functions, 1 type, 12408 instances (312 moved), 1 suspended function taken over in 41 ms,
 * paused 0.8 ms" */
static void say_updated(struct text *text, const struct outcome *outcome)
{
    const json_t *d = outcome->delivery;
    double types = json_number(d, "types", 0), instances = json_number(d, "instances", 0);
    double moved = json_number(d, "moved", 0), transferred = json_number(d, "transferred", 0);

    text_puts(text, strcmp(outcome->result, "updated") ? "rolled back: " : "updated: ");
    append_count(text, "", json_number(d, "functions", 0), "function");
    if (types > 0)
        append_count(text, ", ", types, "type");
    if (instances > 0)
        append_count(text, ", ", instances, "instance");
    if (moved > 0)
        text_printf(text, " (%.0f moved)", moved);
    if (transferred > 0) {
        append_count(text, ", ", transferred, "suspended function");
        text_puts(text, " taken over");
    }
    text_printf(text, " in %.0f ms, paused %.2g ms", outcome->total_ms, json_number(d, "pause_ms", 0));
    if (json_array_size(json_object_get(d, "warnings")))
        append_count(text, "; ", (double)json_array_size(json_object_get(d, "warnings")), "warning");
}

static char *message_of(const struct outcome *outcome)
{
    const char *reason = outcome->reason && *outcome->reason ? outcome->reason : NULL;
    const char *blocked_by = json_text(outcome->delivery, "blocked_by", "");
    struct text text = { 0 };

    if (!strcmp(outcome->result, "updated") || !strcmp(outcome->result, "rolled-back")) {
        say_updated(&text, outcome);
        if (reason)
            text_printf(&text, "; %s", reason);
    } else if (!strcmp(outcome->result, "nothing")) {
        text_puts(&text, "nothing to update");
    } else if (!strcmp(outcome->result, "no-safe-point")) {
        text_puts(&text, reason ? reason : blocked_by);
    } else if (!strcmp(outcome->result, "validation")) {
        text_printf(&text, "validation failed, discarded: %s", reason ? reason : "no reason given");
    } else {
        text_printf(&text, "%s: %s", outcome->result, reason ? reason : "no reason given");
    }
    return text_steal(&text);
}

/* Names of the functions that the patch changes. */
static json_t *function_names(const json_t *manifest)
{
    json_t *names = json_array(), *function;
    size_t i;

    json_array_foreach(json_object_get(manifest, "functions"), i, function)
    {
        if (json_array_size(names) < NAMES_MAX)
            json_array_append(names, json_object_get(function, "name"));
    }
    return names;
}

json_t *outcome_to_json(const struct outcome *outcome)
{
    const json_t *d = outcome->delivery;
    char *message = message_of(outcome);
    json_t *warnings = json_object_get(d, "warnings"), *transfers = json_object_get(d, "transfers"), *json;

    json =
        json_pack("{s:o,s:o,s:s,s:s,s:o,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:s,s:s,s:I}", "warnings",
                  json_is_array(warnings) ? json_incref(warnings) : json_array(), "transfers",
                  json_is_array(transfers) ? json_incref(transfers) : json_array(), "result", outcome->result,
                  "message", message ? message : "", "functions", function_names(outcome->manifest),
                  "functionCount", json_number(d, "functions", 0), "types", json_number(d, "types", 0),
                  "instances", json_number(d, "instances", 0), "moved", json_number(d, "moved", 0),
                  "transferred", json_number(d, "transferred", 0), "compileMs", outcome->compile_ms,
                  "waitedMs", json_number(d, "waited_ms", 0), "pauseMs", json_number(d, "pause_ms", 0),
                  "totalMs", outcome->total_ms, "reason", outcome->reason ? outcome->reason : "", "blockedBy",
                  json_text(d, "blocked_by", ""), "time", (json_int_t)time(NULL));

    free(message);
    return json;
}

char *outcome_held(const struct molt_diagnostics *list)
{
    const char *first = NULL;
    size_t in_first = 0, others = 0;
    struct text text = { 0 };

    for (size_t i = 0; i < list->count; i++) {
        const struct molt_diagnostic *item = &list->items[i];

        if (item->severity != MOLT_SEVERITY_ERROR || !item->file)
            continue;
        if (!strcmp(item->code, "baseline-differs")) /* no error of the edit's */
            return strdup("the program was not built from these sources: build it and start it again");
        if (!first)
            first = item->file;
        if (!strcmp(first, item->file))
            in_first++;
        else
            others++;
    }
    if (!first)
        return NULL;
    append_count(&text, "", (double)in_first, "error");
    text_printf(&text, " in %s", path_last(first));
    if (others)
        text_printf(&text, ", %zu elsewhere", others);
    return text_steal(&text);
}
