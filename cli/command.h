/*
 * The shape of a subcommand. Each describes itself in one table, from which the parser, `--help` and the
 * manual page are made, so that they cannot differ.
 */
#ifndef MOLT_CLI_COMMAND_H
#define MOLT_CLI_COMMAND_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct cli_option {
    char letter;          /* 0: only the long form */
    const char *name;     /* long form */
    const char *argument; /* name of its argument, NULL for a flag */
    const char *help;
};

#define CLI_OPTIONS_MAX 16

/* Options of several commands, to be put into braces. */
#define CLI_OPTION_BUILD 'p', "build", "DIR", "build directory, with compile_commands.json (build, or here)"
#define CLI_OPTION_BINARY                                                                                    \
    0, "binary", "FILE",                                                                                     \
        "executable or library of the program; repeat for several (all below the build directory)"
#define CLI_OPTION_ROOT                                                                                      \
    0, "root", "DIR",                                                                                        \
        "the source root (the deepest directory that holds all files, or that of the whole project with "    \
        "its "                                                                                               \
        "headers)"
#define CLI_OPTION_TIMEOUT 't', "timeout", "SECONDS", "how long to wait for a safe point (5)"
#define CLI_OPTION_STRICT                                                                                    \
    0, "strict", NULL, "wait for suspended functions to return; do not take them over where they wait"
#define CLI_OPTION_KNOWN_STACKS                                                                              \
    0, "known-stacks", NULL, "search no memory for suspended stacks that the program has not registered"
#define CLI_OPTION_RESULT 'j', "json", NULL, "print the result as JSON"
#define CLI_OPTION_QUIET 'q', "quiet", NULL, "no progress on stderr"

/* A parsed command line. Strings are those of argv. */
struct cli_arguments {
    const struct cli_option *options;
    const char **values[CLI_OPTIONS_MAX]; /* per option: its arguments in order; flags have "" */
    size_t counts[CLI_OPTIONS_MAX];
    char **operands; /* NULL-terminated */
    int operand_count;
};

/* What an operand may be, for shells that complete it. */
enum cli_operand {
    CLI_OPERAND_OTHER,
    CLI_OPERAND_FILE,
    CLI_OPERAND_PROGRAM, /* a command of the shell's, and what follows is its */
    CLI_OPERAND_WHO,     /* a running program */
};

/* RUN returns an error, whose code decides the exit status, or sets *ret_status (0 beforehand). */
struct cli_command {
    const char *name;
    const char *synopsis; /* what follows "molt NAME" */
    const char *summary;  /* one line */
    const char *description;
    const struct cli_option *options; /* ends with a NULL name */
    int operands_min, operands_max;   /* max -1: any number, and options end at the first operand */
    enum cli_operand operands[2];     /* the first ones */
    struct molt_error *(*run)(const struct cli_arguments *arguments, int *ret_status);
};

extern const struct cli_command command_run, command_status, command_diff, command_inspect, command_apply,
    command_rollback, command_instances, command_doctor;

/* All subcommands, NULL at the end. */
extern const struct cli_command *const cli_commands[];

/* Parses ARGV (argv[0] is the subcommand) by COMMAND's table. *ret_help: --help was asked for, the rest is
 * not valid. */
struct molt_error *cli_parse(const struct cli_command *command, int argc, char **argv,
                             struct cli_arguments *ret, bool *ret_help);
void cli_arguments_deinit(struct cli_arguments *arguments);

/* Whether flag NAME was given; the last argument of option NAME or NULL; all of them. */
bool cli_flag(const struct cli_arguments *arguments, const char *name);
const char *cli_value(const struct cli_arguments *arguments, const char *name);
const char *const *cli_values(const struct cli_arguments *arguments, const char *name, size_t *ret_count);

/* Option --timeout in milliseconds; FALLBACK if it was not given. USAGE if it is no number of seconds. */
struct molt_error *cli_timeout(const struct cli_arguments *arguments, int fallback, int *ret_milliseconds);

/* Prints the help of COMMAND; of molt itself; the manual page in roff. To stdout. */
void cli_print_help(const struct cli_command *command);
void cli_print_overview(void);
void cli_print_manual(void);

/* Prints what the last of COUNT words behind "molt" may become, for the scripts in cli/completion: lines of a
 * word, a tab and what it means; a line ":files" or ":commands" where the shell knows better. */
void cli_print_completions(char *const *words, int count);

/* The whole command: what main does. Returns the exit status. */
int cli_main(int argc, char **argv);

#endif
