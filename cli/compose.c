/*
 * Each step is built as it would be for a program that has taken the steps before: their patches stand in a
 * directory of this command's. Nobody applies them; what is kept is what their policies are.
 */
#include "cli/compose.h"

#include <stdlib.h>

#include "base/text.h"
#include "cli/changes.h"
#include "cli/revisions.h"
#include "patch/file.h"

/* What the steps have come to. */
struct composing {
    struct patch_session *session;
    const struct patch_request *request;
    compose_tell *tell;
    char *directory;    /* for the steps' patches */
    const char **after; /* the request's, then theirs */
    size_t after_count;
    json_t *stages;
};

/* Writes the step's patch for those that follow. */
static struct molt_error *keep(struct composing *composing, const struct patch_result *result)
{
    struct text name = { 0 };

    text_printf(&name, "%s/step-%zu.molt", composing->directory, composing->after_count);
    char *path = text_steal(&name);
    if (!path) {
        return molt_error_nomem();
    }
    composing->after[composing->after_count++] = path;
    return file_write(path, result->bytes, result->size);
}

static struct molt_error *build_step(struct composing *composing, const char *from, const char *to)
{
    struct patch_request request = *composing->request;
    struct patch_result result = { 0 };

    request.from = from;
    request.to = to;
    request.after = composing->after;
    request.after_count = composing->after_count;
    request.stages = composing->stages;
    request.is_stage = true;
    request.changes = NULL;
    struct molt_error *error = changes_of(composing->session, from, to, &request.changes);
    if (!error) {
        error = patch_session_build(composing->session, &request, &result);
        composing->tell(&result.diagnostics, error);
    }
    if (!error && json_array_append(composing->stages, result.stage) < 0) {
        error = molt_error_nomem();
    }
    error = error ? error : keep(composing, &result);
    json_decref(request.changes);
    patch_result_deinit(&result);
    return error;
}

struct molt_error *compose_steps(struct patch_session *session, const struct patch_request *request,
                                 char *const *via, compose_tell *tell, json_t **ret)
{
    struct composing composing = { .session = session, .request = request, .tell = tell };
    size_t count = 0;

    while (via[count]) {
        count++;
    }
    struct molt_error *error = revisions_make_directory(&composing.directory);
    composing.after = calloc(request->after_count + count + 1, sizeof(*composing.after));
    composing.stages = json_array();
    if (!error && (!composing.after || !composing.stages)) {
        error = molt_error_nomem();
    }
    for (size_t i = 0; !error && i < request->after_count; i++) {
        composing.after[composing.after_count++] = request->after[i];
    }
    for (size_t i = 0; !error && i <= count; i++) {
        error = build_step(&composing, i ? via[i - 1] : request->from, i < count ? via[i] : request->to);
    }
    for (size_t i = request->after_count; i < composing.after_count; i++) {
        free((char *)composing.after[i]);
    }
    free(composing.after);
    revisions_remove(composing.directory);
    *ret = composing.stages;
    return error;
}
