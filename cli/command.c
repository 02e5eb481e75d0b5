/* Finding the subcommand, running it, and turning its error into a line on stderr and an exit status. */
#include "cli/command.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

const struct cli_command *const cli_commands[] = { &command_run,       &command_status, &command_diff,
                                                   &command_inspect,   &command_apply,  &command_rollback,
                                                   &command_instances, &command_doctor, NULL };

/* ---- parsing ----------------------------------------------------------------------------------------- */

static int option_index(const struct cli_arguments *arguments, const char *name)
{
    for (int i = 0; arguments->options[i].name; i++) {
        if (strcmp(arguments->options[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static struct molt_error *add_value(struct cli_arguments *arguments, int index, const char *value)
{
    const char **grown =
        realloc(arguments->values[index], (arguments->counts[index] + 1) * sizeof(*arguments->values[index]));

    if (!grown) {
        return molt_error_nomem();
    }
    arguments->values[index] = grown;
    grown[arguments->counts[index]++] = value ? value : "";
    return NULL;
}

/* Makes getopt's two tables out of ours; option i is value 256 + i. */
static void make_tables(const struct cli_command *command, struct option *ret_long, char *ret_short)
{
    size_t count = 0, length = 0;

    ret_short[length++] = command->operands_max < 0 ? '+' : ':';
    if (command->operands_max < 0) {
        ret_short[length++] = ':';
    }
    for (; command->options[count].name; count++) {
        const struct cli_option *option = &command->options[count];
        ret_long[count] = (struct option){ option->name, option->argument ? required_argument : no_argument,
                                           NULL, 256 + (int)count };
        if (option->letter) {
            ret_short[length++] = option->letter;
            if (option->argument) {
                ret_short[length++] = ':';
            }
        }
    }
    ret_long[count++] = (struct option){ "help", no_argument, NULL, 'h' };
    ret_long[count] = (struct option){ 0 };
    ret_short[length++] = 'h';
    ret_short[length] = '\0';
}

static int index_of_choice(const struct cli_command *command, int choice)
{
    for (int i = 0; choice < 256 && command->options[i].name; i++) {
        if (command->options[i].letter == choice) {
            return i;
        }
    }
    return choice - 256;
}

static struct molt_error *check_operands(const struct cli_command *command, int count)
{
    if (count < command->operands_min) {
        return molt_error_new(MOLT_ERROR_USAGE, "molt %s needs %s: molt %s %s", command->name,
                              command->operands_min - count == 1 ? "one more operand" : "more operands",
                              command->name, command->synopsis);
    }
    if (command->operands_max >= 0 && count > command->operands_max) {
        return molt_error_new(MOLT_ERROR_USAGE, "molt %s takes fewer operands: see 'molt %s --help'",
                              command->name, command->name);
    }
    return NULL;
}

struct molt_error *cli_parse(const struct cli_command *command, int argc, char **argv,
                             struct cli_arguments *ret, bool *ret_help)
{
    struct option long_options[CLI_OPTIONS_MAX + 2];
    char short_options[2 * CLI_OPTIONS_MAX + 4];
    int choice;

    *ret = (struct cli_arguments){ .options = command->options };
    *ret_help = false;
    make_tables(command, long_options, short_options);
    optind = 0;
    opterr = 0;
    while ((choice = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
        if (choice == 'h') {
            *ret_help = true;
            return NULL;
        }
        if (choice == '?' || choice == ':') {
            return molt_error_new(MOLT_ERROR_USAGE,
                                  choice == ':' ? "option %s needs an argument: see 'molt %s --help'"
                                                : "unknown option %s: see 'molt %s --help'",
                                  argv[optind - 1], command->name);
        }
        struct molt_error *error = add_value(ret, index_of_choice(command, choice), optarg);
        if (error) {
            return error;
        }
    }
    ret->operands = argv + optind;
    ret->operand_count = argc - optind;
    return check_operands(command, ret->operand_count);
}

void cli_arguments_deinit(struct cli_arguments *arguments)
{
    for (size_t i = 0; i < CLI_OPTIONS_MAX; i++) {
        free(arguments->values[i]);
    }
    *arguments = (struct cli_arguments){ 0 };
}

bool cli_flag(const struct cli_arguments *arguments, const char *name)
{
    int index = option_index(arguments, name);

    return index >= 0 && arguments->counts[index] > 0;
}

const char *cli_value(const struct cli_arguments *arguments, const char *name)
{
    int index = option_index(arguments, name);

    return index >= 0 && arguments->counts[index] ? arguments->values[index][arguments->counts[index] - 1]
                                                  : NULL;
}

const char *const *cli_values(const struct cli_arguments *arguments, const char *name, size_t *ret_count)
{
    int index = option_index(arguments, name);

    *ret_count = index >= 0 ? arguments->counts[index] : 0;
    return index >= 0 ? arguments->values[index] : NULL;
}

struct molt_error *cli_timeout(const struct cli_arguments *arguments, int fallback, int *ret_milliseconds)
{
    const char *text = cli_value(arguments, "timeout");
    char *end;

    *ret_milliseconds = fallback;
    if (!text) {
        return NULL;
    }
    double seconds = strtod(text, &end);
    if (end == text || *end || !(seconds >= 0 && seconds <= 86400)) {
        return molt_error_new(MOLT_ERROR_USAGE, "--timeout takes seconds from 0 to 86400, not '%s'", text);
    }
    *ret_milliseconds = (int)(seconds * 1000);
    return NULL;
}

/* ---- running ----------------------------------------------------------------------------------------- */

/* Prints ERROR, as JSON to stdout if that was asked for, else as a line to stderr. Returns the exit
 * status. */
static int report(struct molt_error *error, bool as_json)
{
    int status = molt_error_exit_status(error->code);

    if (as_json) {
        json_t *object = json_pack("{s:s, s:s, s:s*, s:i}", "result", molt_error_word(error->code), "reason",
                                   error->message, "file", error->file, "line", (int)error->line);
        json_dumpf(object, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(object);
    } else if (error->file && error->line) {
        fprintf(stderr, "molt: %s:%u: %s\n", error->file, error->line, error->message);
    } else if (error->file) {
        fprintf(stderr, "molt: %s: %s\n", error->file, error->message);
    } else {
        fprintf(stderr, "molt: %s\n", error->message);
    }
    molt_error_destroy(error);
    return status;
}

static int run_command(const struct cli_command *command, int argc, char **argv)
{
    struct cli_arguments arguments;
    bool help;
    int status = 0;
    struct molt_error *error = cli_parse(command, argc, argv, &arguments, &help);

    if (!error && help) {
        cli_print_help(command);
    } else if (!error) {
        error = command->run(&arguments, &status);
    }
    if (error) {
        status = report(error, cli_flag(&arguments, "json"));
    }
    cli_arguments_deinit(&arguments);
    if (fflush(stdout) != 0 && status == 0) {
        fprintf(stderr, "molt: cannot write the output: %s\n", strerror(errno));
        status = 1;
    }
    return status;
}

int cli_main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    signal(SIGPIPE, SIG_IGN); /* a peer that vanishes is an error to report */
    molt_log_to(molt_log_fd_sink, (void *)2, MOLT_LOG_WARNING);
    if (strcmp(name, "--version") == 0) {
        printf("molt %s\n", MOLT_VERSION);
        return 0;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        for (size_t i = 0; argc > 2 && cli_commands[i]; i++) {
            if (strcmp(cli_commands[i]->name, argv[2]) == 0) {
                cli_print_help(cli_commands[i]);
                return 0;
            }
        }
        cli_print_overview();
        return 0;
    }
    if (strcmp(name, "--complete") == 0) {
        cli_print_completions(argv + 2, argc - 2);
        return 0;
    }
    if (strcmp(name, "--manual") == 0) {
        cli_print_manual();
        return 0;
    }
    for (size_t i = 0; cli_commands[i]; i++) {
        if (strcmp(cli_commands[i]->name, name) == 0) {
            return run_command(cli_commands[i], argc - 1, argv + 1);
        }
    }
    if (*name) {
        fprintf(stderr, "molt: there is no command '%s': see 'molt --help'\n", name);
    } else {
        cli_print_overview();
    }
    return 1;
}
