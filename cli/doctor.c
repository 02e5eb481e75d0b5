/* molt doctor: what would stand in the way, before it does. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/lasting.h"
#include "cli/program.h"
#include "cli/targets.h"
#include "cli/wrapper_tables.h"
#include "link/directory.h"
#include "patch/code/image.h"
#include "patch/memory.h"
#include "patch/session.h"

#define NAMED_FILES 3 /* of those that something is wrong with */

struct findings {
    json_t *list;
    bool bad;
    struct patch_session *session; /* of the build; NULL: none */
};

/* Adds what was found, which is not as it should be, with its REMEDY. */
static void warn(struct findings *findings, const char *found, const char *remedy)
{
    json_array_append_new(findings->list,
                          json_pack("{s:s, s:s, s:s}", "check", found, "state", "warning", "remedy", remedy));
}

/* Adds one finding: OK, SUBJECT is so; or it is not, with its REMEDY. FATAL: updates cannot work. */
static void note(struct findings *findings, bool ok, bool fatal, const char *subject, const char *remedy)
{
    findings->bad |= !ok && fatal;
    json_array_append_new(findings->list, json_pack("{s:s, s:s, s:s, s:b}", "check", subject, "state",
                                                    ok      ? "ok"
                                                    : fatal ? "fails"
                                                            : "warning",
                                                    "remedy", ok ? "" : remedy, "holds", ok));
}

static void check_machine(struct findings *findings)
{
    char *engine = NULL;
    struct molt_error *error = program_engine(&engine);
    int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC),
        syscalls = open("/proc/self/syscall", O_RDONLY | O_CLOEXEC);

    note(findings, !error, true, "the engine libmolt.so is found", error ? error->message : "");
    note(findings, memory >= 0, true, "/proc/self/mem can be written",
         "the kernel forbids it: boot without proc_mem.force_override=never, or allow it in the container");
    note(findings, syscalls >= 0, false, "/proc/PID/syscall can be read",
         "without it, a blocked call that libc did not make may see EINTR once per update: allow /proc in "
         "the container");
    char directory[LINK_PATH_MAX];
    note(findings, link_directory_make(directory, sizeof(directory)) == 0, true,
         "there is a private directory for the engines' sockets",
         "set XDG_RUNTIME_DIR to a directory that is yours alone: neither there nor in /run/user nor in /tmp "
         "can one "
         "of mode 0700 be made");
    if (memory >= 0) {
        close(memory);
    }
    if (syscalls >= 0) {
        close(syscalls);
    }
    free(engine);
    molt_error_destroy(error);
}

/* Works out the tables that `molt run` will then find, however long it takes. */
static void check_wrappers(struct findings *findings, const char *path)
{
    char *quick = NULL, *left_out = NULL, *all = NULL, *none = NULL;
    struct molt_error *error = wrapper_tables(path, false, &quick, &left_out);

    error = error || !*left_out ? error : wrapper_tables(path, true, &all, &none);
    char *message =
        left_out && *left_out && !error
            ? must_printf(
                  "there was too much debug information to read at each start in %s; it has been read "
                  "now and is kept: 'molt run' will find it",
                  left_out)
            : NULL;
    note(findings, !error && !message, false, "the functions through which it allocates are known",
         error     ? error->message
         : message ? message
                   : "");
    molt_error_destroy(error);
    free(message);
    free(quick);
    free(left_out);
    free(all);
    free(none);
}

/* What of the ways to build a program only its debug information tells. */
static void check_debug_information(struct findings *findings, const struct image *image)
{
    note(findings, !image || !image->lto, false, "the program was not built with -flto",
         "build without -flto: objects of single files cannot be compared with such a program");
    note(findings, !image || !image->split, false,
         "the debug information is in the program, or in its debug file",
         "build without -gsplit-dwarf: patches cannot be made from .dwo files");
}

static void check_program(struct findings *findings, const char *path)
{
    struct program program;
    struct molt_error *error = program_inspect(path, &program);

    char *can = must_printf("%s can be started", path);
    note(findings, !error, true, can, error ? error->message : "");
    free(can);
    molt_error_destroy(error);
    if (error) {
        return;
    }
    note(findings, program.dynamic || program.script, true, "the program is dynamically linked",
         "link it without -static: the engine is loaded by the dynamic linker");
    note(findings, !program.is_musl, true, "the program is linked with glibc",
         "build it with glibc: the engine cannot be loaded beside musl");
    note(findings, !program.privileged, true, "the program is not set-user-id",
         "run a copy without these bits");
    note(findings, program.has_build_id || program.script, true, "the program has a build-id",
         "link with -Wl,--build-id");
    struct image *image = NULL; /* with its separate debug file, if it has one */
    molt_error_destroy(image_open(program.path, &image));
    program.has_debug_info |= image && image->units.count;
    note(findings, program.has_debug_info || program.script, false, "the program has debug information",
         "compile with -g, or install its separate debug file: patches cannot be made without");
    note(findings, program.has_symbols || program.script || image, false, "the program has a symbol table",
         "do not strip it where patches are made; where they are applied it may be stripped");
    if (program.has_debug_info) {
        check_debug_information(findings, image);
        check_wrappers(findings, program.path);
    }
    if (image) {
        image_close(image);
    }
    program_deinit(&program);
}

/* "report.c, start.c and 2 more", of the files in LIST that are UNLISTED or not; NULL: none. */
static char *name_unseen(const json_t *list, bool unlisted)
{
    struct text text = { 0 };
    json_t *entry;
    size_t index, count = 0;

    json_array_foreach(list, index, entry)
    {
        if (json_is_true(json_object_get(entry, "unlisted")) == unlisted && ++count <= NAMED_FILES) {
            text_printf(&text, "%s%s", count > 1 ? ", " : "",
                        json_string_value(json_object_get(entry, "file")));
        }
    }
    if (count > NAMED_FILES) {
        text_printf(&text, " and %zu more", count - NAMED_FILES);
    }
    return count ? text_steal(&text) : NULL;
}

/* Parts of the program that cannot be updated while all else can. */
static void check_unseen(struct findings *findings)
{
    json_t *list = patch_session_unseen(findings->session);
    char *unlisted = name_unseen(list, true), *hidden = name_unseen(list, false);
    char *command = unlisted ? must_printf("no C command made %s", unlisted) : NULL;
    char *debug = hidden ? must_printf("without debug information: %s", hidden) : NULL;

    if (command) {
        warn(findings, command,
             "updates of them, and of what they include, are refused. Build everything anew, so that the "
             "compile "
             "database has all commands (make clean; bear -- make)");
    }
    if (debug) {
        warn(findings, debug,
             "updates of them, and of what they include, are refused. Compile them with -g, as the others: "
             "the "
             "makefile may not pass CFLAGS to all of them");
    }
    free(debug);
    free(command);
    free(hidden);
    free(unlisted);
    json_decref(list);
}

static void check_build(struct findings *findings, const char *build, const char *root)
{
    const struct patch_options options = { .build = build, .root = root };
    struct molt_error *error = patch_session_create(&options, &findings->session);

    char *can = error ? must_strdup("patches can be made from this build")
                      : must_printf("patches can be made from this build, whose source root is %s",
                                    patch_session_root(findings->session));
    note(findings, !error, true, can, error ? error->message : "");
    molt_error_destroy(error);
    free(can);
    if (findings->session) {
        check_unseen(findings);
    }
}

/* "main waits in poll (server.c:70), thread 4711 (server)" */
static char *name_lasting(const json_t *entry)
{
    const char *function = "", *file = "", *callee = "", *thread = "";
    json_t *threads = json_object_get(entry, "threads");
    int line = 0;
    struct text text = { 0 };

    json_unpack((json_t *)entry, "{s?s, s?s, s?i, s?s}", "function", &function, "file", &file, "line", &line,
                "callee", &callee);
    json_unpack(threads, "[s]", &thread);
    text_printf(&text, "%s", function);
    if (json_object_get(entry, "callee")) {
        text_printf(&text, " waits in %s", *callee ? callee : "a function called through a pointer");
    }
    if (line) {
        text_printf(&text, " (%s:%d)", path_last(file), line);
    }
    if (json_array_size(threads) > 1) {
        text_printf(&text, ", %zu threads", json_array_size(threads));
    } else {
        text_printf(&text, ", thread %s", thread);
    }
    return text_steal(&text);
}

/* Functions that never return, each with what an update of it would do. */
static void check_lasting(struct findings *findings, const struct target *target)
{
    const char *root = patch_session_root(findings->session);
    bool updated = json_array_size(json_object_get(target->status, "updates")) > 0;
    char *from = must_printf(updated ? "%s/.molt/baseline" : "%s", root);
    json_t *all = NULL, *entry;
    struct molt_error *error =
        updated && access(from, R_OK) != 0
            ? molt_error_new(MOLT_ERROR_NOT_FOUND, "the program was updated, and no editor keeps its sources")
            : lasting_find(target, findings->session, from, &all);
    size_t index;

    if (error) {
        warn(findings, "which functions never return is not known", error->message);
    }
    json_array_foreach(all, index, entry)
    {
        bool ready = json_is_true(json_object_get(entry, "transferable"));
        const char *reason = json_string_value(json_object_get(entry, "reason"));
        char *name = name_lasting(entry);
        char *subject = must_printf("%s: %s", name ? name : "",
                                    ready ? "can be taken over" : "would be waited for, in vain");
        char *remedy =
            must_printf("%s; make the loop's body a function of its own, so that it need not change",
                        reason ? reason : "");
        if (ready) {
            note(findings, true, false, subject, "");
        } else {
            warn(findings, subject, remedy);
        }
        free(remedy);
        free(subject);
        free(name);
    }
    json_decref(all);
    molt_error_destroy(error);
    free(from);
}

/* ": 65536 bytes at 0x7f0012340000, registered; ..." */
static char *list_stacks(const json_t *coroutines)
{
    const json_t *stacks = json_object_get(coroutines, "stacks");
    json_t *stack;
    size_t index;
    struct text text = { 0 };

    json_array_foreach(stacks, index, stack)
    {
        text_printf(&text, "%s%lld bytes at 0x%llx, %s", index ? "; " : ": ",
                    (long long)json_integer_value(json_object_get(stack, "size")),
                    (long long)json_integer_value(json_object_get(stack, "low")),
                    json_is_true(json_object_get(stack, "registered")) ? "registered" : "by makecontext");
    }
    return text_steal(&text);
}

/* Stacks of the program's own making: what waits there can only be waited for if the engine knows of them. */
static void check_coroutines(struct findings *findings, const struct target *target)
{
    const json_t *coroutines = json_object_get(target->status, "coroutines");
    long long made = json_integer_value(json_object_get(coroutines, "made")),
              registered = json_integer_value(json_object_get(coroutines, "registered"));
    char *stacks = list_stacks(coroutines);
    char *subject =
        made + registered
            ? must_printf("stacks of coroutines: %lld by makecontext, %lld registered%s%s", made, registered,
                          stacks ? stacks : "",
                          (size_t)(made + registered) > json_array_size(json_object_get(coroutines, "stacks"))
                              ? "; ..."
                              : "")
            : must_strdup(
                  "no stacks of coroutines are known; those that are neither by makecontext nor registered "
                  "(<molt/engine.h>) are searched for");

    note(findings, !json_is_true(json_object_get(coroutines, "overflow")), true, subject,
         "there have been more than 65536: updates are refused until the program is restarted");
    free(subject);
    free(stacks);
}

static void check_target(struct findings *findings, const struct target *target)
{
    const char *exe = json_string_value(json_object_get(target->status, "exe"));

    const char *name = json_string_value(json_object_get(target->status, "name"));
    char *answers = must_printf("the engine of %s (pid %d) answers", name ? name : "it", (int)target->pid);

    note(findings, true, true, answers, "");
    free(answers);
    if (exe) {
        note(findings, access(exe, R_OK) == 0, false, "the running program's file is still there",
             "it was replaced or removed: patches are made against the file that runs. Start the program "
             "again, or "
             "name a copy of that file to molt diff with --binary");
        if (access(exe, R_OK) == 0) {
            check_program(findings, exe);
        }
    }
    check_coroutines(findings, target);
    if (findings->session) {
        check_lasting(findings, target);
    }
}

/* WHO is a running program, or a program file. */
static struct molt_error *check_who(struct findings *findings, const char *who)
{
    struct targets targets;

    if (strchr(who, '/')) {
        check_program(findings, who);
        return NULL;
    }
    struct molt_error *error = targets_find(who, &targets);
    if (error) {
        return error;
    }
    for (size_t i = 0; i < targets.count; i++) {
        check_target(findings, &targets.items[i]);
    }
    targets_deinit(&targets);
    return NULL;
}

static void print_findings(const struct findings *findings)
{
    size_t index;
    json_t *finding;

    json_array_foreach(findings->list, index, finding)
    {
        const char *remedy = json_string_value(json_object_get(finding, "remedy"));
        printf("%-8s %s%s\n", json_string_value(json_object_get(finding, "state")),
               json_is_false(json_object_get(finding, "holds")) ? "not so: " : "",
               json_string_value(json_object_get(finding, "check")));
        if (remedy && *remedy) {
            printf("         %s\n", remedy);
        }
    }
}

static struct molt_error *run_doctor(const struct cli_arguments *arguments, int *ret_status)
{
    const char *build = cli_value(arguments, "build");
    struct findings findings = { .list = json_array() };
    struct molt_error *error = NULL;

    check_machine(&findings);
    if (!build) {
        build = access("build/compile_commands.json", R_OK) == 0 ? "build"
                : access("compile_commands.json", R_OK) == 0     ? "."
                                                                 : NULL;
    }
    if (build) {
        check_build(&findings, build, cli_value(arguments, "root"));
    } else {
        note(&findings, false, false, "there is a compile database in build/ or here",
             "patches can be applied here, but not made: name its directory with -p, or let the build write "
             "compile_commands.json (cmake -DCMAKE_EXPORT_COMPILE_COMMANDS=ON; meson and ninja do; else "
             "`bear -- COMMAND` with the command that builds all)");
    }
    if (arguments->operands[0]) {
        error = check_who(&findings, arguments->operands[0]);
    }
    if (!error && cli_flag(arguments, "json")) {
        json_dumpf(findings.list, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (!error) {
        print_findings(&findings);
    }
    *ret_status = findings.bad ? 2 : 0;
    json_decref(findings.list);
    patch_session_destroy(findings.session);
    return error;
}

static const struct cli_option doctor_options[] = {
    { 'p', "build", "DIR", "build directory to check (build, or here, if it has compile_commands.json)" },
    { CLI_OPTION_ROOT },
    { 'j', "json", NULL, "print the findings as JSON" },
    { 0 },
};

const struct cli_command command_doctor = {
    .name = "doctor",
    .synopsis = "[-p BUILD] [--json] [WHO | PROGRAM-FILE]",
    .summary = "say what would stand in the way of updates, and the remedy",
    .description =
        "Checks this machine, the build, and a running program (pid or name) or a program file (a "
        "path with a slash).\n"
        "Of a running program of this build it also tells which functions never return, such as main with "
        "its loop, where\n"
        "they wait, and whether an update could take them over there.\n"
        "Exits with 2 if something is found that updates cannot work with.",
    .options = doctor_options,
    .operands_min = 0,
    .operands_max = 1,
    .operands = { CLI_OPERAND_WHO },
    .run = run_doctor,
};
