/* molt run: a program with the engine in it. This process becomes the program, so that pid, signals and
 * terminal are its own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/program.h"
#include "cli/wrapper_tables.h"

static struct molt_error *check_program(const struct program *program)
{
    if (program->privileged) {
        return molt_error_new(
            MOLT_ERROR_REFUSED,
            "%s is set-user-id or set-group-id: the dynamic linker loads no engine into such programs; run a "
            "copy without these bits",
            program->path);
    }
    if (!program->script && !program->dynamic) {
        return molt_error_new(
            MOLT_ERROR_REFUSED,
            "%s is statically linked: the engine cannot be preloaded into it; link it without -static",
            program->path);
    }
    if (program->is_musl) {
        return molt_error_new(
            MOLT_ERROR_REFUSED,
            "%s is linked with musl: the engine needs glibc; build it with gcc or clang and glibc",
            program->path);
    }
    return NULL;
}

/* Puts the engine in front of what is preloaded already, and behind what has to be in front of everything. */
static struct molt_error *set_environment(const struct program *program, const char *engine, const char *name)
{
    const char *present = getenv("LD_PRELOAD");
    struct text preload = { 0 };

    if (program->sanitizer) {
        text_printf(&preload, "%s:", program->sanitizer);
    }
    text_puts(&preload, engine);
    if (present && *present) {
        text_printf(&preload, ":%s", present);
    }
    char *value = text_steal(&preload);
    bool set = value && setenv("LD_PRELOAD", value, 1) == 0 &&
               (name ? setenv("MOLT_NAME", name, 1) : unsetenv("MOLT_NAME")) == 0;
    free(value);
    return set ? NULL : molt_error_nomem();
}

/* Tells the engine which functions hand on memory. Without this it still knows two callers of each block,
 * so a cache that cannot be written stops no program; a mistake in molt.toml does. */
static struct molt_error *set_wrappers(const struct program *program)
{
    char *paths = NULL, *left_out = NULL;
    struct molt_error *error = program->script || getenv("MOLT_WRAPPERS")
                                   ? NULL
                                   : wrapper_tables(program->path, false, &paths, &left_out);

    if (error && error->code == MOLT_ERROR_USAGE) {
        return error;
    }
    molt_error_destroy(error);
    bool set = !paths || setenv("MOLT_WRAPPERS", paths, 1) == 0;
    free(paths);
    free(left_out);
    return set ? NULL : molt_error_nomem();
}

static struct molt_error *run_run(const struct cli_arguments *arguments, int *ret_status)
{
    struct program program = { 0 };
    char *engine = NULL;
    struct molt_error *error = program_inspect(arguments->operands[0], &program);

    error = error ? error : check_program(&program);
    error = error ? error : program_engine(&engine);
    if (!error && strpbrk(engine, ": ")) {
        error = molt_error_new(MOLT_ERROR_REFUSED,
                               "the engine's path %s has a space or a colon, which LD_PRELOAD cannot hold; "
                               "set MOLT_ENGINE to a copy elsewhere",
                               engine);
    }
    error = error ? error : set_environment(&program, engine, cli_value(arguments, "name"));
    error = error ? error : set_wrappers(&program);
    if (!error) {
        execv(program.path, arguments->operands);
        error = molt_error_new(MOLT_ERROR_REFUSED, "cannot run %s: %s", program.path, strerror(errno));
    }
    free(engine);
    program_deinit(&program);
    return error;
}

static const struct cli_option run_options[] = {
    { 'N', "name", "NAME", "what the program is called in 'molt status' and as WHO (its file name)" },
    { 0 },
};

const struct cli_command command_run = {
    .name = "run",
    .synopsis = "[--name NAME] [--] PROGRAM ARGUMENT...",
    .summary = "start a program that can be updated while it runs",
    .description = "Starts PROGRAM with Molt's engine in it. The program needs no change and no special "
                   "flags; build it with -g.\n"
                   "Programs that it starts get an engine too.",
    .options = run_options,
    .operands_min = 1,
    .operands_max = -1,
    .operands = { CLI_OPERAND_PROGRAM },
    .run = run_run,
};
