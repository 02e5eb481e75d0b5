/* molt inspect: what a patch holds. */
#include <stdio.h>
#include <stdlib.h>

#include "base/type_change.h"
#include "cli/command.h"
#include "patch/emit/manifest.h"

static void print_entries(const json_t *manifest, const char *key, const char *title, const char *detail)
{
    const json_t *entries = json_object_get(manifest, key);
    size_t index;
    json_t *entry;

    if (!json_array_size(entries)) {
        return;
    }
    printf("%s:\n", title);
    json_array_foreach(entries, index, entry)
    {
        const char *name = "", *unit = "", *text = "";
        int line = 0;
        json_unpack(entry, "{s?s, s?s, s?i, s?s}", "name", &name, "unit", &unit, "line", &line, detail,
                    &text);
        printf("    %-32s %s", name, unit);
        if (line) {
            printf(":%d", line);
        }
        printf("  %s\n", text);
    }
}

/* Variables that move, and the code that is not replaced for it. */
static void print_operands(const json_t *manifest)
{
    const json_t *entries = json_object_get(manifest, "operands");
    size_t index;
    json_t *entry;

    if (json_array_size(entries)) {
        printf("operands in code that stays:\n");
    }
    json_array_foreach(entries, index, entry)
    {
        const char *name = "", *unit = "";
        int count = 0;
        json_unpack(entry, "{s?s, s?s, s?i}", "name", &name, "unit", &unit, "operands", &count);
        printf("    %-32s %s  %d lead to its new place\n", name, unit, count);
    }
}

static void print_changes(const json_t *manifest)
{
    const json_t *changes = json_object_get(manifest, "changes");
    size_t index;
    json_t *change;

    if (json_array_size(changes)) {
        printf("structural changes:\n");
    }
    json_array_foreach(changes, index, change)
    {
        const char *kind = "", *action = "", *name = "", *owner = NULL, *file = "";
        int line = 0;
        json_unpack(change, "{s?s, s?s, s?s, s?s, s?s, s?i}", "kind", &kind, "action", &action, "name", &name,
                    "owner", &owner, "file", &file, "line", &line);
        printf("    %s %s %s%s%s  %s:%d\n", kind, action, owner ? owner : "", owner ? "." : "", name, file,
               line);
    }
}

/* Changed types with where their members' values come from, and what is not known about the program's memory.
 */
static void print_types(const json_t *manifest)
{
    const json_t *types = json_object_get(manifest, "types");
    struct text text = { 0 };
    size_t index;
    json_t *type;

    if (json_array_size(types)) {
        printf("types:\n");
        type_sites_write(&text, json_object_get(manifest, "sites"), 4);
    }
    json_array_foreach(types, index, type) type_change_write(&text, type, 4);
    fputs(text.bytes ? text.bytes : "", stdout);
    text_deinit(&text);
}

/* How many calls of each function a suspended activation can go on from, and what stands in the way at the
 * others. */
static void print_transfers(const json_t *manifest)
{
    const json_t *transfers = json_object_get(manifest, "transfers");
    size_t index, inner;
    json_t *transfer, *call;

    if (json_array_size(transfers)) {
        printf("suspended at a call:\n");
    }
    json_array_foreach(transfers, index, transfer)
    {
        const char *name = "", *unit = "";
        int calls = 0, recipes = 0;
        json_unpack(transfer, "{s?s, s?s, s?i, s?i}", "name", &name, "unit", &unit, "calls", &calls,
                    "transferable", &recipes);
        printf("    %-32s %s  goes on in the new version from %d of %d calls\n", name, unit, recipes, calls);
        json_array_foreach(json_object_get(transfer, "waits"), inner, call)
        {
            const char *callee = "", *reason = "";
            int line = 0;
            json_unpack(call, "{s?s, s?i, s?s}", "callee", &callee, "line", &line, "reason", &reason);
            printf("        not from the call of %s in line %d: %s\n", *callee ? callee : "a pointer", line,
                   reason);
        }
        json_array_foreach(json_object_get(transfer, "given"), inner, call)
        {
            const char *callee = "", *policy = "";
            int line = 0;
            json_unpack(call, "{s?s, s?i, s?s}", "callee", &callee, "line", &line, "policy", &policy);
            printf("        from the call of %s in line %d with what MOLT_TRANSFER gives (%s)\n",
                   *callee ? callee : "a pointer", line, policy);
        }
    }
}

static void print_warnings(const json_t *manifest)
{
    size_t index;
    json_t *warning;

    json_array_foreach(json_object_get(manifest, "warnings"), index, warning)
    {
        const char *file = NULL, *message = "";
        int line = 0;
        json_unpack(warning, "{s?s, s?i, s?s}", "file", &file, "line", &line, "message", &message);
        if (file) {
            printf("warning: %s:%d: %s\n", file, line, message);
        } else {
            printf("warning: %s\n", message);
        }
    }
}

static void print_manifest(const json_t *manifest)
{
    const char *id = "", *title = "", *created = "";
    size_t index;
    json_t *module;

    json_unpack((json_t *)manifest, "{s?s, s?s, s?s}", "id", &id, "title", &title, "created", &created);
    printf("patch %.12s%s%s, made %s\n", id, *title ? ": " : "", title, created);
    json_array_foreach(json_object_get(manifest, "modules"), index, module)
    {
        const char *path = "", *build_id = "";
        json_unpack(module, "{s?s, s?s}", "path", &path, "build_id", &build_id);
        printf("for %s, build-id %s\n", path, build_id);
    }
    if (json_array_size(json_object_get(manifest, "after"))) {
        printf("after %zu earlier patch(es)\n", json_array_size(json_object_get(manifest, "after")));
    }
    if (!json_array_size(json_object_get(manifest, "functions")) &&
        !json_array_size(json_object_get(manifest, "data"))) {
        printf("it changes nothing\n");
    }
    print_entries(manifest, "functions", "functions", "reason");
    print_entries(manifest, "data", "data", "kind");
    print_operands(manifest);
    print_types(manifest);
    print_transfers(manifest);
    print_changes(manifest);
    print_warnings(manifest);
}

static struct molt_error *print_policies(const char *path)
{
    char *source = NULL;
    struct molt_error *error = patch_source_load(path, &source);

    if (!error) {
        fputs(*source ? source : "/* it has no migration policies */\n", stdout);
    }
    free(source);
    return error;
}

static struct molt_error *run_inspect(const struct cli_arguments *arguments, int *ret_status)
{
    json_t *manifest;
    if (cli_flag(arguments, "policies")) {
        return print_policies(arguments->operands[0]);
    }
    struct molt_error *error = patch_manifest_load(arguments->operands[0], &manifest);

    if (error) {
        return error;
    }
    if (cli_flag(arguments, "json")) {
        json_dumpf(manifest, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_manifest(manifest);
    }
    json_decref(manifest);
    return NULL;
}

static const struct cli_option inspect_options[] = {
    { 'j', "json", NULL, "print the manifest as it is" },
    { 'p', "policies", NULL, "print the migration policies that Molt has written, as C" },
    { 0 },
};

const struct cli_command command_inspect = {
    .name = "inspect",
    .synopsis = "[--json | --policies] FILE",
    .summary = "show what a patch holds",
    .description = "Shows which build the patch FILE is for, which functions and data it changes and why, "
                   "which types, and where\n"
                   "each member's new value comes from, the structural changes behind them, and warnings. "
                   "FILE is an ELF object: readelf, objdump and gdb open it too.",
    .options = inspect_options,
    .operands_min = 1,
    .operands_max = 1,
    .operands = { CLI_OPERAND_FILE },
    .run = run_inspect,
};
