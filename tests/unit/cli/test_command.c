/* Command lines, by the commands' own tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "cli/command.h"

static struct molt_error *parse(const struct cli_command *command, char **argv, struct cli_arguments *ret,
                                bool *ret_help)
{
    int argc = 0;

    while (argv[argc]) {
        argc++;
    }
    return cli_parse(command, argc, argv, ret, ret_help);
}

#define PARSE(command, ret, help, ...)                                                                       \
    parse(command, (char **)(const char *[]){ __VA_ARGS__, NULL }, ret, help)

static void test_options_and_operands(void **state)
{
    struct cli_arguments arguments;
    size_t count;
    bool help;
    int timeout;

    assert_null(
        PARSE(&command_apply, &arguments, &help, "apply", "--timeout", "2.5", "a.molt", "--json", "server"));
    assert_false(help);
    assert_int_equal(arguments.operand_count, 2);
    assert_string_equal(arguments.operands[0], "a.molt");
    assert_string_equal(arguments.operands[1], "server");
    assert_true(cli_flag(&arguments, "json"));
    assert_false(cli_flag(&arguments, "dry-run"));
    assert_null(cli_timeout(&arguments, 5000, &timeout));
    assert_int_equal(timeout, 2500);
    cli_arguments_deinit(&arguments);

    assert_null(
        PARSE(&command_diff, &arguments, &help, "diff", "-o", "x", "--after", "1", "--after=2", "v1..v2"));
    assert_string_equal(cli_value(&arguments, "output"), "x");
    const char *const *after = cli_values(&arguments, "after", &count);
    assert_int_equal(count, 2);
    assert_string_equal(after[0], "1");
    assert_string_equal(after[1], "2");
    cli_arguments_deinit(&arguments);
}

static void test_options_of_the_program_are_its_own(void **state)
{
    struct cli_arguments arguments;
    bool help;

    assert_null(PARSE(&command_run, &arguments, &help, "run", "--name", "n", "./server", "--help", "-x"));
    assert_false(help);
    assert_int_equal(arguments.operand_count, 3);
    assert_string_equal(arguments.operands[1], "--help");
    cli_arguments_deinit(&arguments);
}

static void test_mistakes_are_usage_errors(void **state)
{
    static const struct {
        const struct cli_command *command;
        const char *argv[6];
        const char *words;
    } cases[] = {
        { &command_apply, { "apply", "a.molt" }, "one more operand" },
        { &command_apply, { "apply" }, "more operands" },
        { &command_apply, { "apply", "a", "b", "c" }, "fewer operands" },
        { &command_apply, { "apply", "--nonsense", "a", "b" }, "unknown option --nonsense" },
        { &command_apply, { "apply", "a", "b", "--timeout" }, "needs an argument" },
        { &command_run, { "run" }, "one more operand" },
        { &command_rollback, { "rollback" }, "[--quiet] WHO" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cli_arguments arguments;
        bool help;
        struct molt_error *error = parse(cases[i].command, (char **)cases[i].argv, &arguments, &help);
        assert_non_null(error);
        assert_int_equal(error->code, MOLT_ERROR_USAGE);
        assert_non_null(strstr(error->message, cases[i].words));
        molt_error_destroy(error);
        cli_arguments_deinit(&arguments);
    }
}

static void test_timeouts(void **state)
{
    static const char *const bad[] = { "x", "", "-1", "1s", "nan", "1e9" };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cli_arguments arguments;
        bool help;
        int timeout = 77;
        assert_null(PARSE(&command_rollback, &arguments, &help, "rollback", "--timeout", bad[i], "1"));
        struct molt_error *error = cli_timeout(&arguments, 5000, &timeout);
        assert_non_null(error);
        assert_int_equal(error->code, MOLT_ERROR_USAGE);
        molt_error_destroy(error);
        cli_arguments_deinit(&arguments);
    }
}

static void test_every_command_describes_itself(void **state)
{
    for (size_t i = 0; cli_commands[i]; i++) {
        struct cli_arguments arguments;
        bool help;
        size_t options = 0;
        assert_non_null(cli_commands[i]->summary);
        assert_non_null(cli_commands[i]->description);
        while (cli_commands[i]->options[options].name) {
            assert_non_null(cli_commands[i]->options[options++].help);
        }
        assert_true(options < CLI_OPTIONS_MAX);
        assert_null(PARSE(cli_commands[i], &arguments, &help, cli_commands[i]->name, "--help"));
        assert_true(help);
        cli_arguments_deinit(&arguments);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_and_operands),
        cmocka_unit_test(test_options_of_the_program_are_its_own),
        cmocka_unit_test(test_mistakes_are_usage_errors),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_every_command_describes_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
