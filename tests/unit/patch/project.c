/* Small programs for tests. */
#include "base/text.h"
#include "project.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void project_init(struct project *project, const char *compiler, const char *flags)
{
    *project = (struct project){ .compiler = compiler, .flags = flags };
    strcpy(project->directory, "/tmp/molt-patch-XXXXXX");
    assert_non_null(mkdtemp(project->directory));
    project_shell(project, "mkdir -p v1/build v2 v3");
}

static void forget(struct project *project)
{
    patch_result_deinit(&project->result);
    molt_error_destroy(project->error);
    project->error = NULL;
}

void project_deinit(struct project *project)
{
    forget(project);
    patch_session_destroy(project->session);
    project_shell(project, "rm -rf '%s'", project->directory);
}

void project_write(struct project *project, const char *tree, const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s/%s", project->directory, tree, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

void project_shell(struct project *project, const char *format, ...)
{
    char command[2048];
    int length = snprintf(command, sizeof(command), "cd '%s' && ", project->directory);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(command + length, sizeof(command) - length, format, arguments);
    va_end(arguments);
    assert_int_equal(system(command), 0);
}

void project_build(struct project *project)
{
    char database[2048];

    project_shell(project,
                  "cd v1/build && for f in a b; do %s %s -g -c ../$f.c -o $f.o || exit 1; done && "
                  "%s %s -Wl,--build-id -o program a.o b.o",
                  project->compiler, project->flags, project->compiler, project->flags);
    snprintf(
        database, sizeof(database),
        "[{\"directory\": \"%1$s/v1/build\", \"file\": \"../a.c\", \"command\": \"%2$s %3$s -g -c ../a.c -o "
        "a.o\"},"
        " {\"directory\": \"%1$s/v1/build\", \"file\": \"../b.c\", \"command\": \"%2$s %3$s -g -c ../b.c -o "
        "b.o\"}]",
        project->directory, project->compiler, project->flags);
    project_write(project, "v1/build", "compile_commands.json", database);
}

void project_patch(struct project *project, const char *from, const char *to, const char *after)
{
    char build[128], other[128], from_path[128], to_path[128], after_path[128];
    const char *patches[] = { after_path };
    const char *reason;

    forget(project);
    snprintf(build, sizeof(build), "%s/v1/build", project->directory);
    snprintf(other, sizeof(other), "%s/%s", project->directory,
             project->other_build ? project->other_build : "");
    snprintf(from_path, sizeof(from_path), "%s/%s", project->directory, from);
    snprintf(to_path, sizeof(to_path), "%s/%s", project->directory, to ? to : "v1");
    snprintf(after_path, sizeof(after_path), "%s/%s", project->directory, after ? after : "");
    if (!project->session) {
        struct patch_options options = { .build = build, .to_build = project->other_build ? other : NULL };
        project->error = patch_session_create(&options, &project->session);
    }
    if (!project->error) {
        struct patch_request request = {
            .from = from_path,
            .to = to ? to_path : NULL,
            .after = patches,
            .after_count = after ? 1 : 0,
            .from_is_named = project->from_is_named,
            .is_stage = project->is_stage,
            .stages = project->stages,
            .changes = project->changes ? json_loads(project->changes, 0, NULL) : NULL,
        };
        project->error = patch_session_build(project->session, &request, &project->result);
        json_decref(request.changes);
    }
    if (!project->error) {
        assert_int_equal(
            patch_file_open(project->result.bytes, project->result.size, &project->file, &reason), 0);
    }
}

void project_save(struct project *project, const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", project->directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(project->result.bytes, 1, project->result.size, file), project->result.size);
    fclose(file);
}

static const char *names(struct project *project, const char *key)
{
    static char result[4096];
    const char *list[256];
    size_t count = 0, index;
    json_t *entry;

    if (project->error) {
        fail_msg("%s", project->error->message);
    }
    json_array_foreach(json_object_get(project->result.manifest, key), index, entry)
    {
        list[count++] = json_string_value(json_object_get(entry, "name"));
    }
    strings_sort(list, count);
    result[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        strcat(result, i ? " " : "");
        strcat(result, list[i]);
    }
    return result;
}

const char *project_functions(struct project *project)
{
    return names(project, "functions");
}

const char *project_data(struct project *project)
{
    return names(project, "data");
}
