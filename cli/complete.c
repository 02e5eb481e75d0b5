/*
 * molt --complete: what may follow on a command line. The shells' scripts (cli/completion) hand over what has
 * been typed and show what comes back, so that they need not know the commands.
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/targets.h"

static void offer(const char *word, const char *begun, const char *meaning)
{
    size_t line = meaning ? strcspn(meaning, "\n") : 0;

    if (strncmp(word, begun, strlen(begun)) == 0) {
        printf("%s\t%.*s\n", word, (int)line, meaning ? meaning : "");
    }
}

/* ---- what there is --------------------------------------------------------------------------------- */

static void offer_commands(const char *begun)
{
    for (size_t i = 0; cli_commands[i]; i++) {
        offer(cli_commands[i]->name, begun, cli_commands[i]->summary);
    }
    offer("help", begun, "explain a command");
    offer("--help", begun, "list the commands");
    offer("--version", begun, "print the version");
}

static void offer_options(const struct cli_command *command, const char *begun)
{
    char word[64];

    for (size_t i = 0; command->options[i].name; i++) {
        snprintf(word, sizeof(word), "--%s", command->options[i].name);
        offer(word, begun, command->options[i].help);
    }
    offer("--help", begun, "explain the command");
}

/* Running programs by name, and by pid where a number has been begun. */
static void offer_programs(const char *begun)
{
    struct targets targets;
    char pid[16];

    molt_error_destroy(targets_find(NULL, &targets));
    for (size_t i = 0; i < targets.count; i++) {
        const char *name = json_string_value(json_object_get(targets.items[i].status, "name"));
        snprintf(pid, sizeof(pid), "%d", (int)targets.items[i].pid);
        if (name) {
            offer(name, begun, json_string_value(json_object_get(targets.items[i].status, "exe")));
        }
        if (*begun) {
            offer(pid, begun, name);
        }
    }
    targets_deinit(&targets);
}

/* ---- where the command line stands ----------------------------------------------------------------- */

/* The option that WORD, "--build" or "-p", is and that takes the word after it; NULL if there is none. */
static const struct cli_option *option_with_argument(const struct cli_command *command, const char *word)
{
    for (const struct cli_option *option = command->options; option->name && word[0] == '-'; option++) {
        bool found = word[1] == '-' ? strcmp(word + 2, option->name) == 0
                                    : option->letter && word[1] == option->letter && !word[2];
        if (found && option->argument) {
            return option;
        }
    }
    return NULL;
}

static void offer_operand(const struct cli_command *command, int number, const char *begun)
{
    enum cli_operand operand = number < 2 ? command->operands[number] : CLI_OPERAND_OTHER;

    if (command->operands_max < 0 && number > 0) {
        puts(":files"); /* the program's own */
    } else if (operand == CLI_OPERAND_WHO) {
        offer_programs(begun);
    } else if (operand == CLI_OPERAND_FILE) {
        puts(":files");
    } else if (operand == CLI_OPERAND_PROGRAM) {
        puts(":commands");
    }
}

static void offer_argument(const struct cli_option *option)
{
    if (strcmp(option->argument, "FILE") == 0 || strcmp(option->argument, "DIR") == 0 ||
        strcmp(option->argument, "PATCH") == 0) {
        puts(":files");
    }
}

static void complete_command(const struct cli_command *command, char *const *words, int count)
{
    const char *begun = words[count - 1];
    int operands = 0;

    for (int i = 0; i < count - 1; i++) {
        const struct cli_option *option = option_with_argument(command, words[i]);
        if (option && i == count - 2) {
            offer_argument(option);
            return;
        }
        i += option ? 1 : 0;
        operands += !option && words[i][0] != '-';
    }
    if (begun[0] == '-' && (command->operands_max >= 0 || !operands)) {
        offer_options(command, begun);
    } else {
        offer_operand(command, operands, begun);
    }
}

void cli_print_completions(char *const *words, int count)
{
    if (count < 2 || (count == 2 && strcmp(words[0], "help") == 0)) {
        offer_commands(count ? words[count - 1] : "");
        return;
    }
    for (size_t i = 0; cli_commands[i]; i++) {
        if (strcmp(cli_commands[i]->name, words[0]) == 0) {
            complete_command(cli_commands[i], words + 1, count - 1);
        }
    }
}
