/* patch-probe BUILD FROM TO OUT [-r ROOT] [-b BINARY]... [-a PATCH]...: builds a patch, prints manifest or
 * error as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/session.h"

static int report(struct molt_error *error, struct patch_result *result, const char *out)
{
    json_t *diagnostics = json_array();

    for (size_t i = 0; i < result->diagnostics.count; i++) {
        const struct molt_diagnostic *item = &result->diagnostics.items[i];
        json_array_append_new(diagnostics,
                              json_pack("{s:s?, s:i, s:i, s:s, s:i, s:s}", "file", item->file, "line",
                                        (int)item->line, "column", (int)item->column, "code", item->code,
                                        "severity", (int)item->severity, "message", item->message));
    }
    json_t *all = json_pack(
        "{s:O?, s:o, s:b, s:i, s:i, s:I, s:f, s:f}", "manifest", result->manifest, "diagnostics", diagnostics,
        "empty", result->empty, "functions", (int)result->functions, "units", (int)result->units, "size",
        (json_int_t)result->size, "compile_ms", result->compile_ms, "total_ms", result->total_ms);
    if (error) {
        json_object_set_new(all, "error", json_string(error->message));
        json_object_set_new(all, "status", json_integer(molt_error_exit_status(error->code)));
        json_object_set_new(all, "file", error->file ? json_string(error->file) : json_null());
        json_object_set_new(all, "line", json_integer(error->line));
    }
    json_dumpf(all, stdout, JSON_INDENT(1));
    puts("");
    json_decref(all);
    if (result->bytes && strcmp(out, "-") != 0) {
        FILE *file = fopen(out, "w");
        if (!file || fwrite(result->bytes, 1, result->size, file) != result->size || fclose(file)) {
            perror(out);
        }
    }
    return error ? molt_error_exit_status(error->code) : 0;
}

int main(int count, char **arguments)
{
    const char *binaries[16], *after[16];
    struct patch_options options = { .build = arguments[1], .binaries = binaries };
    struct patch_session *session = NULL;
    struct patch_result result = { 0 };

    if (count < 5) {
        fputs("usage: patch-probe BUILD FROM TO OUT [-r ROOT] [-b BINARY]... [-a PATCH]... [-n REPEAT]\n",
              stderr);
        return 1;
    }
    struct patch_request request = { .from = arguments[2], .to = arguments[3], .after = after };
    int repeat = 1;
    for (int i = 5; i + 1 < count; i += 2) {
        if (strcmp(arguments[i], "-r") == 0) {
            options.root = arguments[i + 1];
        } else if (strcmp(arguments[i], "-b") == 0) {
            binaries[options.binary_count++] = arguments[i + 1];
        } else if (strcmp(arguments[i], "-c") == 0) {
            options.cache = arguments[i + 1];
        } else if (strcmp(arguments[i], "-n") == 0) {
            repeat = atoi(arguments[i + 1]);
        } else {
            after[request.after_count++] = arguments[i + 1];
        }
    }
    struct molt_error *error = patch_session_create(&options, &session);
    for (int i = 0; !error && i < repeat; i++) {
        patch_result_deinit(&result);
        error = patch_session_build(session, &request, &result);
    }
    int status = report(error, &result, arguments[4]);
    molt_error_destroy(error);
    patch_result_deinit(&result);
    patch_session_destroy(session);
    return status;
}
