/*
 * From the files on disk to a published patch. The texts are set aside first, and compared with the disk
 * again after the compiler has read it: what is kept as the new baseline is what was compiled.
 */
#include "lsp-server/build.h"

#include <stdlib.h>
#include <string.h>

#include "lsp-server/lsp.h"

static struct molt_error *compile(struct build *build)
{
    json_t *patches = baseline_patches(build->baseline);
    const char **after = json_strings(patches);
    struct molt_error *error;
    struct patch_request request = {
        .from = build->baseline->tree,
        .after = after,
        .after_count = json_array_size(patches),
        .changes = build->changes,
        .title = build->title,
        .progress = build->progress,
        .context = build->context,
        .cancel = build->cancel,
    };

    error = after ? patch_session_build(build->session, &request, &build->result) : molt_error_nomem();
    free(after);
    json_decref(patches);
    return error;
}

static struct molt_error *publish(struct build *build)
{
    const char *id = json_text(build->result.manifest, "id", "");

    build->id = strdup(id);
    if (!build->id)
        return molt_error_nomem();
    if (!*id || strchr(id, '/'))
        return molt_error_new(MOLT_ERROR_INTERNAL, "the patch has no id");
    return baseline_publish(build->baseline, id, build->title, build->result.bytes, build->result.size,
                            build->files);
}

void build_run(struct build *build)
{
    build->outcome = BUILD_FAILED;
    build->error = baseline_stage(build->baseline, build->extra, &build->files);
    if (build->error)
        return;
    if (json_array_size(build->files) == 0) {
        build->outcome = BUILD_SAME;
        return;
    }
    if (build->may_undo && baseline_stage_undoes(build->baseline, build->files)) {
        build->outcome = BUILD_UNDO;
        return;
    }
    build->error = compile(build);
    if (!baseline_stage_current(build->baseline, build->files) || (build->cancel && *build->cancel)) {
        build->outcome = BUILD_MOVED;
        return;
    }
    if (build->error)
        return;
    build->error = build->result.empty ? baseline_absorb(build->baseline, build->files) : publish(build);
    if (!build->error)
        build->outcome = build->result.empty ? BUILD_NO_EFFECT : BUILD_PATCH;
}

void build_deinit(struct build *build)
{
    patch_result_deinit(&build->result);
    molt_error_destroy(build->error);
    json_decref(build->extra);
    json_decref(build->changes);
    json_decref(build->files);
    free(build->title);
    free(build->id);
}
