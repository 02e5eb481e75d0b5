/* Help texts and the manual page, from the commands' own tables. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"

static const char *const statuses[][2] = {
    { "0", "done" },
    { "1", "usage, or an internal error" },
    { "2", "refused: the message names file, line, type or function, and the remedy" },
    { "3", "a validation or a policy failed; the update was discarded" },
    { "4", "no safe point within the time; the message names thread and function" },
    { "5", "no such program, or no engine in it" },
};

static void print_option(const struct cli_option *option)
{
    char left[64], letter[8] = "    ";

    if (option->letter) {
        snprintf(letter, sizeof(letter), "-%c, ", option->letter);
    }
    snprintf(left, sizeof(left), "%s--%s%s%s", letter, option->name, option->argument ? " " : "",
             option->argument ? option->argument : "");
    printf("  %-26s %s\n", left, option->help);
}

void cli_print_help(const struct cli_command *command)
{
    printf("molt %s: %s\n\nusage: molt %s %s\n\n%s\n\n", command->name, command->summary, command->name,
           command->synopsis, command->description);
    for (size_t i = 0; command->options[i].name; i++) {
        print_option(&command->options[i]);
    }
    print_option(&(struct cli_option){ 'h', "help", NULL, "print this help" });
}

void cli_print_overview(void)
{
    printf("molt: update C programs while they run\n\nusage: molt COMMAND ARGUMENT...\n\n");
    for (size_t i = 0; cli_commands[i]; i++) {
        printf("  %-10s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    }
    printf("\n'molt COMMAND --help' explains one; 'molt --version' prints the version.\n\nExit status:\n");
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        printf("  %s  %s\n", statuses[i][0], statuses[i][1]);
    }
    printf(
        "\nStart with: molt run -- ./program   then edit, and: molt diff HEAD.. -o change.molt && molt apply "
        "change.molt program\n");
}

/* Text for roff: a backslash or a leading dot or quote would be taken for a request, a hyphen for a dash. */
static void print_roff(const char *text)
{
    bool line_start = true;

    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\'')) {
            fputs("\\&", stdout);
        }
        fputs(*text == '\\' ? "\\e" : *text == '-' ? "\\-" : (char[]){ *text, 0 }, stdout);
        line_start = *text == '\n';
    }
}

static void print_manual_of(const struct cli_command *command)
{
    printf(".SS molt %s ", command->name);
    print_roff(command->synopsis);
    putchar('\n');
    print_roff(command->description);
    putchar('\n');
    for (size_t i = 0; command->options[i].name; i++) {
        const struct cli_option *option = &command->options[i];
        printf(".TP\n.B ");
        if (option->letter) {
            printf("\\-%c, ", option->letter);
        }
        printf("\\-\\-");
        print_roff(option->name);
        printf(" %s\n", option->argument ? option->argument : "");
        print_roff(option->help);
        putchar('\n');
    }
}

void cli_print_manual(void)
{
    printf(".TH MOLT 1 \"\" \"molt " MOLT_VERSION
           "\" \"User Commands\"\n.SH NAME\nmolt \\- update C programs while they run\n"
           ".SH SYNOPSIS\n.B molt\n.I COMMAND ARGUMENT...\n.SH COMMANDS\n");
    for (size_t i = 0; cli_commands[i]; i++) {
        print_manual_of(cli_commands[i]);
    }
    printf(".SH EXIT STATUS\n");
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        printf(".TP\n.B %s\n", statuses[i][0]);
        print_roff(statuses[i][1]);
        putchar('\n');
    }
    printf(".SH ENVIRONMENT\n.TP\n.B MOLT_NAME\nThe name of a program that is started with the "
           "engine.\n.TP\n.B MOLT_LOG\n"
           "The file that the engine logs to; it logs nowhere without it.\n.TP\n.B XDG_RUNTIME_DIR\n"
           "Where the engines' sockets are, below molt/.\n");
}
