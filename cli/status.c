/* molt status: the engines here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/targets.h"
#include "link/protocol.h"

#define STATUS_MS 5000
#define COMMAND_MAX 160 /* bytes of a command line that are shown */

/* What PID was started as, or calls itself: tells several processes of one name apart. Owned by the caller;
 * NULL if the kernel does not say. */
static char *command_line(int pid)
{
    char path[64], bytes[COMMAND_MAX];

    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(bytes, 1, sizeof(bytes) - 1, file) : 0;
    if (file) {
        fclose(file);
    }
    while (size && (bytes[size - 1] == '\0' || bytes[size - 1] == ' ')) {
        size--;
    }
    bytes[size] = '\0';
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)bytes[i] < ' ' || bytes[i] == 0x7f ? ' ' : bytes[i];
    }
    return size ? strdup(bytes) : NULL;
}

static void print_target(const json_t *status)
{
    int pid = 0, threads = 0;
    const char *name = "", *exe = "", *result = NULL;
    json_t *updates = NULL, *last = NULL, *update;
    size_t index;

    json_unpack((json_t *)status, "{s:i, s?s, s?s, s?i, s?o, s?o}", "pid", &pid, "name", &name, "exe", &exe,
                "threads", &threads, "updates", &updates, "last", &last);
    printf("%d %s: %s, %d thread%s, %zu update%s in force\n", pid, name, exe, threads,
           threads == 1 ? "" : "s", json_array_size(updates), json_array_size(updates) == 1 ? "" : "s");
    char *command = command_line(pid);
    if (command) {
        printf("    command: %s\n", command);
    }
    free(command);
    json_array_foreach(updates, index, update)
    {
        const char *id = "", *title = "";
        int functions = 0;
        json_unpack(update, "{s?s, s?s, s?i}", "id", &id, "title", &title, "functions", &functions);
        printf("    %zu. %.12s %s (%d function%s)\n", index + 1, id, title, functions,
               functions == 1 ? "" : "s");
    }
    if (json_is_object(last) && json_unpack(last, "{s:s}", "result", &result) == 0) {
        const char *reason = json_string_value(json_object_get(last, "reason"));
        printf("    last: %s%s%s\n", result, reason && *reason ? ": " : "", reason ? reason : "");
    }
}

/* The engine's own mappings, as /proc/PID/maps writes addresses: what is not here is the program's. */
static void print_memory(const json_t *status)
{
    json_t *mapping;
    size_t index;

    json_array_foreach(json_object_get(json_object_get(status, "memory"), "mappings"), index, mapping)
    {
        json_int_t start = 0, end = 0;
        const char *what = "";
        json_unpack(mapping, "{s:I, s:I, s:s}", "start", &start, "end", &end, "what", &what);
        printf("    %012llx-%012llx %s\n", (unsigned long long)start, (unsigned long long)end, what);
    }
}

/* Asks TARGET again, for its memory, too. */
static struct molt_error *ask_memory(struct target *target)
{
    json_t *result = NULL;
    int status = link_client_call(target->client, link_method_name(LINK_METHOD_STATUS),
                                  json_pack("{s:b}", "memory", 1), STATUS_MS, NULL, NULL, &result);
    struct molt_error *error = target_error(target, status, result);

    if (!error) {
        json_decref(target->status);
        target->status = result;
    }
    return error;
}

static struct molt_error *run_status(const struct cli_arguments *arguments, int *ret_status)
{
    struct targets targets;
    struct molt_error *error = targets_find(arguments->operands[0], &targets);

    for (size_t i = 0; !error && cli_flag(arguments, "memory") && i < targets.count; i++) {
        error = ask_memory(&targets.items[i]);
    }
    if (error) {
        targets_deinit(&targets);
        return error;
    }
    if (cli_flag(arguments, "json")) {
        json_t *all = json_array();
        for (size_t i = 0; i < targets.count; i++) {
            json_array_append(all, targets.items[i].status);
        }
        json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(all);
    } else if (!targets.count) {
        printf("no program with an engine runs here; start one with: molt run -- PROGRAM\n");
    } else {
        for (size_t i = 0; i < targets.count; i++) {
            print_target(targets.items[i].status);
            print_memory(targets.items[i].status);
        }
    }
    targets_deinit(&targets);
    return NULL;
}

static const struct cli_option status_options[] = {
    { 'j', "json", NULL, "print an array with all that the engines say" },
    { 'm', "memory", NULL, "list the engine's own mappings, too" },
    { 0 },
};

const struct cli_command command_status = {
    .name = "status",
    .synopsis = "[--json] [--memory] [WHO]",
    .summary = "list the programs that can be updated",
    .description = "Lists the running programs with an engine, or those that WHO, a pid or a name, means: "
                   "threads, updates in\n"
                   "force, the last result.",
    .options = status_options,
    .operands_min = 0,
    .operands_max = 1,
    .operands = { CLI_OPERAND_WHO },
    .run = run_status,
};
