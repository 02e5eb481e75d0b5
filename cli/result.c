/* Results in words. The summary is one line, as DESIGN's users read it; what went wrong with an instance
 * is a table. */
#include "cli/result.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/failed_validation.h"
#include "base/text.h"
#include "link/protocol.h"

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static const char *plural(json_int_t count)
{
    return count == 1 ? "" : "s";
}

/* ": 2 functions, 1 type, 12408 instances (312 moved) in 41 ms, paused 0.8 ms" */
static void print_counts(const json_t *result)
{
    int functions = 0, types = 0, transferred = 0;
    json_int_t instances = 0, moved = 0;
    double pause = 0, total = 0;

    json_unpack((json_t *)result, "{s?i, s?i, s?I, s?I, s?i, s?F, s?F}", "functions", &functions, "types",
                &types, "instances", &instances, "moved", &moved, "transferred", &transferred, "pause_ms",
                &pause, "total_ms", &total);
    printf(": %d function%s", functions, plural(functions));
    if (types) {
        printf(", %d type%s, %lld instance%s (%lld moved)", types, plural(types), (long long)instances,
               plural(instances), (long long)moved);
    }
    if (transferred) {
        printf(", %d suspended function%s taken over", transferred, plural(transferred));
    }
    printf(" in %.*f ms, paused %.2g ms", total < 10 ? 1 : 0, total, pause);
    if (json_unpack(json_object_get(result, "rehearsal"), "{s:F, s:F}", "pause_ms", &pause, "total_ms",
                    &total) == 0) {
        printf(" (rehearsed in %.*f ms, paused %.2g ms)", total < 10 ? 1 : 0, total, pause);
    }
}

static void print_values(const json_t *values)
{
    struct text table = { 0 };

    failed_validation_write_values(&table, values);
    fputs(text_failed(&table) || !table.length ? "" : table.bytes, stdout);
    text_deinit(&table);
}

/* FILE as seen from here, if it lies below. */
static void print_file(const char *file)
{
    char *here = realpath(".", NULL);
    const char *below = here ? path_below(here, file) : NULL;

    printf(", %s", below && *below ? below : file);
    free(here);
}

static void print_validation(const json_t *validation)
{
    json_int_t line = json_integer_value(json_object_get(validation, "line"));

    printf("  %s", text_at(validation, "title"));
    if (*text_at(validation, "file")) {
        print_file(text_at(validation, "file"));
        printf(":%lld", (long long)line);
    }
    if (*text_at(validation, "message")) {
        printf(": %s", text_at(validation, "message"));
    }
    if (*text_at(validation, "instance")) {
        printf("\n  instance %s", text_at(validation, "instance"));
    }
    putchar('\n');
    print_values(json_object_get(validation, "values"));
    printf(json_is_true(json_object_get(validation, "rehearsal"))
               ? "  That was the rehearsal, in a copy of the process: the program has not noticed.\n"
               : "  The program is as it was.\n");
}

/* Whether WARNINGS has the one at INDEX further up, too. */
static bool said_before(const json_t *warnings, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (json_equal(json_array_get(warnings, i), json_array_get(warnings, index))) {
            return true;
        }
    }
    return false;
}

static void print_warnings(const json_t *result)
{
    size_t index;
    json_t *warning;

    json_array_foreach(json_object_get(result, "warnings"), index, warning)
    {
        if (json_is_string(warning) && !said_before(json_object_get(result, "warnings"), index)) {
            printf("warning: %s\n", json_string_value(warning));
        }
    }
}

void result_print(const json_t *result)
{
    const json_t *validation = json_object_get(result, "validation");
    int known = link_result_of(text_at(result, "result"));

    printf("%s", known < 0 ? text_at(result, "result") : link_result_text((enum link_result)known));
    if (known == LINK_RESULT_UPDATED || known == LINK_RESULT_ROLLED_BACK || known == LINK_RESULT_PREPARED) {
        print_counts(result);
    } else if (*text_at(result, "reason") && !json_is_object(validation)) {
        printf(": %s", text_at(result, "reason"));
    }
    putchar('\n');
    if (known == LINK_RESULT_NO_SAFE_POINT) {
        printf(
            "  The program is as it was. If the function returns later, wait longer: --timeout SECONDS. If "
            "it "
            "never does, make the\n  body of its loop a function of its own: updates of that need not wait "
            "for the loop.\n");
    }
    if (json_is_object(validation)) {
        print_validation(validation);
    }
    print_warnings(result);
}

void result_explain(json_t *result, const json_t *manifest)
{
    const json_t *validation = json_object_get(result, "validation");
    json_t *explained = json_is_object(validation) ? failed_validation_explain(validation, manifest) : NULL;

    if (explained && !*text_at(explained, "message")) {
        json_object_set(explained, "message", json_object_get(result, "reason"));
    }
    if (explained) {
        json_object_set_new(result, "validation", explained);
    }
}
