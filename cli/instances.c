/*
 * molt instances: what a running program's memory holds, by type. The sources and patches that the program is
 * made of are looked for where the editor keeps them, so that nothing need be said when it has made the
 * updates; nor if molt diff has made them, and the files on disk are still as they lead to.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/census.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/made.h"
#include "cli/targets.h"
#include "link/instances.h"
#include "link/protocol.h"
#include "patch/query.h"

#define TIMEOUT_MS 5000
#define ANSWER_MS 60000
#define VALUES_SHOWN 10
#define TYPES_SHOWN 30

struct question {
    const struct cli_arguments *arguments;
    struct patch_session *session;
    const char *type; /* NULL: all */
    size_t limit;
    int timeout_ms;
};

/* What the program is made of, by now. */
struct made_of {
    char *from;     /* directory */
    bool is_record; /* of an editor's, which knows what it is */
    json_t *after;  /* paths of patches */
    const char **paths;
};

/* ---- sources and patches --------------------------------------------------------------------------- */

static char *in_state(const char *root, const char *name)
{
    struct text text = { 0 };

    text_printf(&text, "%s/.molt/%s", root, name);
    return text_steal(&text);
}

static bool has_build_id(const json_t *status, const json_t *ids)
{
    json_t *module, *id;
    size_t index, inner;

    json_array_foreach(json_object_get(status, "build_ids"), index, module)
    {
        json_array_foreach(ids, inner, id)
        {
            if (json_equal(json_object_get(module, "build_id"), id)) {
                return true;
            }
        }
    }
    return false;
}

/* Whether the editor's record in ROOT is of the program with STATUS, with just its updates; then their
 * patches are in *RET. */
static bool find_record(const char *root, const json_t *status, json_t **ret)
{
    char *path = in_state(root, "baseline.json");
    json_t *record = path ? json_load_file(path, 0, NULL) : NULL, *update;
    const json_t *updates = json_object_get(record, "updates"), *running = json_object_get(status, "updates");
    bool fits = has_build_id(status, json_object_get(record, "build_ids")) &&
                json_array_size(updates) == json_array_size(running);
    size_t index;

    *ret = json_array();
    json_array_foreach(running, index, update)
    {
        const char *id = json_string_value(json_object_get(update, "id"));
        fits = fits && id && json_is_string(json_array_get(updates, index)) &&
               strcmp(id, json_string_value(json_array_get(updates, index))) == 0;
        struct text name = { 0 };
        text_printf(&name, "%s/.molt/updates/%04zu-%s/patch.molt", root, index + 1, id ? id : "");
        json_array_append_new(*ret, json_string(name.bytes ? name.bytes : ""));
        text_deinit(&name);
    }
    if (!fits) {
        json_decref(*ret);
        *ret = NULL;
    }
    json_decref(record);
    free(path);
    return fits;
}

/* Whether all updates of the program with STATUS were made by molt diff from ROOT; then their patches are in
 * *RET. */
static bool find_made(const char *root, const json_t *status, json_t **ret)
{
    const json_t *running = json_object_get(status, "updates");
    json_t *update, *paths = json_array();
    size_t index;

    json_array_foreach(running, index, update)
    {
        const char *id = json_string_value(json_object_get(update, "id"));
        char *path = id ? made_find(root, id) : NULL;
        json_array_append_new(paths, path ? json_string(path) : json_null());
        free(path);
    }
    bool all = json_array_size(running) > 0;
    json_array_foreach(paths, index, update) all = all && json_is_string(update);
    if (all) {
        *ret = paths;
    } else {
        json_decref(paths);
    }
    return all;
}

static struct molt_error *use_arguments(const struct question *question, const struct target *target,
                                        struct made_of *ret)
{
    const char *from = cli_value(question->arguments, "from");
    size_t count, updates = json_array_size(json_object_get(target->status, "updates"));
    const char *const *after = cli_values(question->arguments, "after", &count);

    ret->from = realpath(from ? from : patch_session_root(question->session), NULL);
    ret->after = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(ret->after, json_string(after[i]));
    }
    if (!ret->from) {
        return molt_error_new(MOLT_ERROR_USAGE, "cannot read %s", from ? from : "the source root");
    }
    if (count < updates) {
        return molt_error_new(
            MOLT_ERROR_REFUSED,
            "process %d has %zu update%s in force: name the patch%s with --after, in order, and "
            "the sources that they led to with --from",
            (int)target->pid, updates, updates == 1 ? "" : "s", updates == 1 ? "" : "es");
    }
    return NULL;
}

static struct molt_error *find_made_of(const struct question *question, const struct target *target,
                                       struct made_of *ret)
{
    const char *root = patch_session_root(question->session);
    bool told = cli_value(question->arguments, "from") || cli_value(question->arguments, "after");

    *ret = (struct made_of){ 0 };
    if (!told && find_record(root, target->status, &ret->after)) {
        ret->from = in_state(root, "baseline");
        ret->is_record = true;
    } else if (!told && find_made(root, target->status, &ret->after)) {
        ret->from = strdup(root);
    } else {
        struct molt_error *error = use_arguments(question, target, ret);
        if (error) {
            return error;
        }
    }
    ret->paths = calloc(json_array_size(ret->after) + 1, sizeof(*ret->paths));
    for (size_t i = 0; ret->paths && i < json_array_size(ret->after); i++) {
        ret->paths[i] = json_string_value(json_array_get(ret->after, i));
    }
    return ret->paths && ret->from ? NULL : molt_error_nomem();
}

static void made_of_deinit(struct made_of *made_of)
{
    free(made_of->from);
    free(made_of->paths);
    json_decref(made_of->after);
}

/* ---- asking ---------------------------------------------------------------------------------------- */

static void show_progress(void *context, const char *phase, unsigned done, unsigned total)
{
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\rmolt: %s %u of %u\033[K%s", phase, done, total, done == total ? "\r\033[K" : "");
    }
}

static struct molt_error *make_query(const struct question *question, const struct target *target,
                                     struct patch_query *ret)
{
    json_t *build_ids = json_array(), *module;
    struct made_of made_of;
    size_t index;

    *ret = (struct patch_query){ 0 };
    json_array_foreach(json_object_get(target->status, "build_ids"), index, module)
    {
        json_array_append(build_ids, json_object_get(module, "build_id"));
    }
    struct molt_error *error = find_made_of(question, target, &made_of);
    if (!error) {
        struct patch_request request = { .from = made_of.from,
                                         .after = made_of.paths,
                                         .after_count = json_array_size(made_of.after),
                                         .from_is_named = !made_of.is_record,
                                         .progress = show_progress };
        error = patch_session_query(question->session, &request, build_ids, question->type, ret);
        if (isatty(STDERR_FILENO)) {
            fputs("\r\033[K", stderr);
        }
    }
    made_of_deinit(&made_of);
    json_decref(build_ids);
    return error;
}

/* The error for an answer that is none. */
static struct molt_error *check(const struct target *target, const json_t *answer)
{
    const char *result = json_string_value(json_object_get(answer, "result"));
    const char *reason = json_string_value(json_object_get(answer, "reason"));
    int known = result ? link_result_of(result) : -1;

    if (known == LINK_RESULT_PREPARED) {
        return NULL;
    }
    return molt_error_new(known == LINK_RESULT_NO_SAFE_POINT ? MOLT_ERROR_NO_SAFE_POINT : MOLT_ERROR_REFUSED,
                          "process %d: %s", (int)target->pid, reason && *reason ? reason : "refused");
}

static json_t *parameters(const struct question *question, const struct patch_query *query)
{
    json_t *params = json_pack("{s:i}", "timeout_ms", question->timeout_ms);
    json_t *layouts = json_array(), *type;
    size_t index;

    json_array_foreach(query->types, index, type)
    {
        json_array_append(layouts, json_object_get(type, "layout"));
    }
    if (cli_flag(question->arguments, "values")) {
        json_object_set_new(params, "limit", json_integer((json_int_t)question->limit));
    }
    json_object_set_new(params, "layouts", layouts);
    return params;
}

static struct molt_error *ask(const struct question *question, const struct target *target,
                              const struct patch_query *query, json_t **ret)
{
    json_t *answer = NULL;
    int status = link_instances(target->client, query->bytes, query->size, parameters(question, query),
                                ANSWER_MS, &answer);
    struct molt_error *error = target_error(target, status, answer);

    if (!error) {
        *ret = answer;
        error = check(target, answer);
    }
    return error;
}

/* ---- telling --------------------------------------------------------------------------------------- */

static void print(const struct question *question, const struct target *target, json_t *answer)
{
    const char *root = patch_session_root(question->session);
    const char *name = json_string_value(json_object_get(target->status, "name"));
    struct text text = { 0 };
    json_t *type;
    size_t index;

    if (cli_flag(question->arguments, "json")) {
        json_object_set_new(answer, "pid", json_integer(target->pid));
        json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
        return;
    }
    if (question->type) {
        json_array_foreach(json_object_get(answer, "types"), index, type)
            census_write_type(&text, type, root);
    } else {
        census_write_table(&text, answer, root, question->limit);
    }
    census_write_unknown(&text, answer, root);
    census_write_instances(&text, answer, root);
    text_printf(&text, "%s%s, pid %d, was stopped for %.2g ms\n",
                json_array_size(json_object_get(answer, "instances")) ? "\n" : "", name ? name : "process",
                (int)target->pid, json_number_value(json_object_get(answer, "pause_ms")));
    fputs(text.bytes ? text.bytes : "", stdout);
    text_deinit(&text);
}

static void print_warnings(const struct molt_diagnostics *diagnostics)
{
    for (size_t i = 0; i < diagnostics->count; i++) {
        const struct molt_diagnostic *item = &diagnostics->items[i];
        if (strcmp(item->code, "newer-source") == 0 || strcmp(item->code, "other-source") == 0) {
            fprintf(stderr, "warning: %s %s\n", item->file, item->message);
        }
    }
}

static struct molt_error *answer_one(const struct question *question, const struct target *target)
{
    struct patch_query query;
    json_t *answer = NULL;
    struct molt_error *error = make_query(question, target, &query);

    error = error ? error : ask(question, target, &query, &answer);
    if (!error) {
        print_warnings(&query.diagnostics);
        census_explain(answer, query.types, query.sites);
        print(question, target, answer);
    }
    json_decref(answer);
    patch_query_deinit(&query);
    return error;
}

/* ---- the command ----------------------------------------------------------------------------------- */

static struct molt_error *read_limit(struct question *question)
{
    const char *limit = cli_value(question->arguments, "limit");
    char *end = NULL;

    question->limit = question->type ? VALUES_SHOWN : TYPES_SHOWN;
    if (limit) {
        long number = strtol(limit, &end, 10);
        if (end == limit || *end || number < 1) {
            return molt_error_new(MOLT_ERROR_USAGE, "'%s' is no number for --limit", limit);
        }
        question->limit = (size_t)number;
    }
    return cli_timeout(question->arguments, TIMEOUT_MS, &question->timeout_ms);
}

/* The nearest directory from that of BUILD upwards in which an editor keeps its record: the source root
 * that it uses. NULL: none. */
static char *find_root(const char *build)
{
    char *root = realpath(build, NULL), *slash;

    while (root && *root) {
        char *record = in_state(root, "baseline.json");
        bool found = record && access(record, R_OK) == 0;
        free(record);
        if (found) {
            return root;
        }
        slash = strrchr(root, '/');
        *slash = '\0';
    }
    free(root);
    return NULL;
}

static struct molt_error *run_instances(const struct cli_arguments *arguments, int *ret_status)
{
    const char *who = arguments->operands[arguments->operand_count - 1];
    struct question question = { .arguments = arguments,
                                 .type = arguments->operand_count > 1 ? arguments->operands[0] : NULL };
    const char *build = cli_value(arguments, "build");
    struct patch_options options = {
        .build = build                                              ? build
                 : access("build/compile_commands.json", R_OK) == 0 ? "build"
                                                                    : ".",
        .root = cli_value(arguments, "root"),
        .tree = cli_value(arguments, "from"),
    };
    struct targets targets = { 0 };
    struct molt_error *error = read_limit(&question);
    char *root = options.root ? NULL : find_root(options.build);

    if (!error && cli_flag(arguments, "values") && !question.type) {
        error = molt_error_new(MOLT_ERROR_USAGE, "--values needs a type");
    }
    options.root = options.root ? options.root : root;
    options.binaries = cli_values(arguments, "binary", &options.binary_count);
    error = error ? error : targets_find(who, &targets);
    error = error ? error : patch_session_create(&options, &question.session);
    for (size_t i = 0; !error && i < targets.count; i++) {
        error = answer_one(&question, &targets.items[i]);
    }
    patch_session_destroy(question.session);
    targets_deinit(&targets);
    free(root);
    return error;
}

static const struct cli_option instances_options[] = {
    { CLI_OPTION_BUILD },
    { 'v', "values", NULL, "show instances, too: where each lies, and its members" },
    { 'n', "limit", "N", "how many instances to show (10); without a type: how many types (30)" },
    { 0, "from", "DIR",
      "the program's sources, after the patches (what the editor keeps, or the source root)" },
    { 0, "after", "PATCH",
      "a patch that is in force; repeat in order (those that the editor or molt diff has made)" },
    { CLI_OPTION_BINARY },
    { 0, "root", "DIR", "the source root (the editor's, or as for molt diff)" },
    { 't', "timeout", "SECONDS", "how long to wait until no thread is inside the allocator (5)" },
    { 'j', "json", NULL, "print everything as JSON" },
    { 0 },
};

const struct cli_command command_instances = {
    .name = "instances",
    .synopsis = "[-p BUILD] [--values] [--limit N] [--json] [TYPE] WHO",
    .summary = "count a type's instances in a running program, and show them",
    .description = "Counts the live instances of TYPE, a structure or union ('struct conn', conn, or a "
                   "typedef), in WHO, a pid or "
                   "a name:\n"
                   "blocks of the heap by the calls that asked for them, elements of arrays, variables, "
                   "members of other types. "
                   "Without\n"
                   "TYPE: all types of the program by the memory they take. What has no type is listed with "
                   "its place and the "
                   "remedy.\n"
                   "Instances are found as an update finds them, so the count is what an update of TYPE "
                   "would migrate; what would "
                   "make it\n"
                   "refuse is told. The program is stopped for that as briefly as possible, and not changed.",
    .options = instances_options,
    .operands_min = 1,
    .operands_max = 2,
    .operands = { CLI_OPERAND_WHO, CLI_OPERAND_WHO },
    .run = run_instances,
};
