/*
 * Bodies of loops become functions. Programs in loops/ mark theirs by a comment, `here`, and must compile
 * without a warning and do the same afterwards; behind `here:` stands why a loop stays as it is.
 */
#include "support.h"

#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/molt-loops-XXXXXX";

static struct loop_extraction extract(const char *text, size_t length, struct loop_wish wish)
{
    struct recorder *recorder = NULL;
    struct loop_extraction extraction;

    assert_ok(recorder_create(directory, NULL, &recorder));
    assert_ok(recorder_open(recorder, "a.c", text, length));
    assert_ok(recorder_extract_loop(recorder, "a.c", &wish, NULL, &extraction));
    recorder_destroy(recorder);
    return extraction;
}

/* TEXT, owned, with the edits of EXTRACTION. */
static char *edited(char *text, const struct loop_extraction *extraction)
{
    const struct loop_edit *edits = extraction->edits;
    struct text result = { 0 };

    text_append(&result, text, edits[0].start);
    text_puts(&result, edits[0].text);
    text_append(&result, text + edits[0].end, edits[1].start - edits[0].end);
    text_puts(&result, edits[1].text);
    text_puts(&result, text + edits[1].end);
    free(text);
    return text_steal(&result);
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    struct text text = { 0 };
    char buffer[4096];
    size_t length;

    assert_non_null(file);
    text_puts(&text, "");
    while ((length = fread(buffer, 1, sizeof(buffer), file)) > 0)
        text_append(&text, buffer, length);
    fclose(file);
    return text_steal(&text);
}

static void write_file(const char *name, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Runs the command in the directory; its exit status. */
static int run(const char *format, const char *first, const char *second)
{
    struct text command = { 0 };

    text_printf(&command, "cd %s && ", directory);
    text_printf(&command, format, first, second);
    int status = system(command.bytes);
    text_deinit(&command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- programs -------------------------------------------------------------------------------------- */

static uint32_t line_of(const char *text, const char *at)
{
    uint32_t line = 0;

    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

/* The loops of TEXT, owned, that are marked extracted, the last one first; the others must have their
 * reasons. */
static char *extract_all(const char *name, char *text)
{
    for (;;) {
        char *mark = NULL;
        for (char *at = text; (at = strstr(at, "/* here")); at++)
            mark = at;
        if (!mark)
            return text;
        uint32_t line = line_of(text, mark);
        const char *why = mark[7] == ':' ? mark + 9 : "";
        size_t length = *why ? (size_t)(strstr(why, " */") - why) : 0;
        memcpy(mark, "/* done", 7); /* it may move up with what stood in the loop */
        struct loop_extraction extraction = extract(
            text, strlen(text), (struct loop_wish){ .first_line = line, .last_line = line, .any = true });
        if (!extraction.found || !extraction.reason != !length ||
            (length && strncmp(extraction.reason, why, length)))
            fail_msg("%s:%u: %s", name, line + 1,
                     extraction.found ? extraction.reason ? extraction.reason : "extracted" : "no loop");
        if (!extraction.reason)
            text = edited(text, &extraction);
        loop_extraction_deinit(&extraction);
    }
}

static void check_program(const char *name, const char *compiler)
{
    static const char build[] = "%1$s -O2 -Wall -Wextra -o %2$s %2$s.c > %2$s.txt 2>&1 && test ! -s %2$s.txt";

    if (run(build, compiler, "before") || run(build, compiler, "after")) {
        run("cat after.txt before.txt >&2; cat after.c >&2", "", "");
        fail_msg("%s: a warning of %s", name, compiler);
    }
    run("(exec -a program ./before) > before.out 2>&1; echo $? >> before.out", "", "");
    run("(exec -a program ./after) > after.out 2>&1; echo $? >> after.out", "", "");
    if (run("diff before.out after.out >&2", "", ""))
        fail_msg("%s: %s: another output", name, compiler);
}

static void test_programs(void **state)
{
    DIR *list = opendir(LOOPS);
    struct dirent *entry;
    unsigned count = 0;

    assert_non_null(list);
    while ((entry = readdir(list))) {
        char path[512];
        if (!strstr(entry->d_name, ".c"))
            continue;
        snprintf(path, sizeof(path), "%s/%s", LOOPS, entry->d_name);
        char *text = read_file(path);
        write_file("before.c", text);
        text = extract_all(entry->d_name, text);
        write_file("after.c", text);
        free(text);
        count++;
        if (strcmp(entry->d_name, "refusals.c") == 0)
            continue;
        check_program(entry->d_name, "gcc");
        if (run("command -v clang > /dev/null", "", "") == 0)
            check_program(entry->d_name, "clang");
    }
    closedir(list);
    assert_true(count > 5);
}

/* ---- what it looks like ---------------------------------------------------------------------------- */

static const char serve[] = "struct conn { int fd; };\n"
                            "\n"
                            "/* Serves one. */\n"
                            "static int serve(struct conn *conn, int limit)\n"
                            "{\n"
                            "    int turns = 0;\n"
                            "\n"
                            "    while (limit > 0) {\n"
                            "        limit = step(limit);\n"
                            "    }\n"
                            "    for (;;) {\n"
                            "        /* waits */\n"
                            "        int got = take(conn->fd, limit); // for long\n"
                            "\n"
                            "        if (got < 0)\n"
                            "            return turns;\n"
                            "        turns += got;\n"
                            "    }\n"
                            "}\n";

static void test_text(void **state)
{
    struct loop_extraction extraction =
        extract(serve, strlen(serve), (struct loop_wish){ .first_line = 10, .last_line = 10 });
    char *text = edited(strdup(serve), &extraction);

    assert_string_equal(extraction.name, "serve_turn");
    assert_int_equal(extraction.line, 10);
    assert_string_equal(
        text,
        "struct conn { int fd; };\n"
        "\n"
        "/* A turn of the loop in serve, never inlined: updates of it leave serve alone.\n"
        " * Returns 0, or how the loop is left: 1 `return result`. */\n"
        "static __attribute__((noinline, used)) int serve_turn(struct conn *conn, int limit, int *turns,\n"
        "        int *result)\n"
        "{\n"
        "    /* waits */\n"
        "    int got = take(conn->fd, limit); // for long\n"
        "\n"
        "    if (got < 0) {\n"
        "        *result = *turns;\n"
        "        return 1;\n"
        "    }\n"
        "    *turns += got;\n"
        "    return 0;\n"
        "}\n"
        "\n"
        "/* Serves one. */\n"
        "static int serve(struct conn *conn, int limit)\n"
        "{\n"
        "    int turns = 0;\n"
        "\n"
        "    while (limit > 0) {\n"
        "        limit = step(limit);\n"
        "    }\n"
        "    for (;;) {\n"
        "        int result;\n"
        "\n"
        "        if (serve_turn(conn, limit, &turns, &result))\n"
        "            return result;\n"
        "    }\n"
        "}\n");
    loop_extraction_deinit(&extraction);
    uint32_t line = line_of(text, strstr(text, "for (;;)"));
    extraction = extract(text, strlen(text), (struct loop_wish){ .first_line = line, .last_line = line });
    assert_true(extraction.found);
    assert_string_equal(extraction.reason, "what it does is a call already, line 27");
    free(text);
    loop_extraction_deinit(&extraction);
}

/* ---- which loop ------------------------------------------------------------------------------------ */

static void check_found(struct loop_wish wish, int line)
{
    struct loop_extraction extraction = extract(serve, strlen(serve), wish);

    assert_int_equal(extraction.found ? (int)extraction.line : -1, line);
    loop_extraction_deinit(&extraction);
}

static void test_choice(void **state)
{
    check_found((struct loop_wish){ 7, 7, .any = false }, -1);
    check_found((struct loop_wish){ 7, 7, .any = true }, 7);
    check_found((struct loop_wish){ 8, 8, .any = true }, -1);
    check_found((struct loop_wish){ 3, 3, .any = false }, -1);
    check_found((struct loop_wish){ 3, 3, .callee = "step" }, 7);
    check_found((struct loop_wish){ 3, 3, .callee = "take" }, 10);
    check_found((struct loop_wish){ 3, 3, .callee = "inlined" }, 10);
    check_found((struct loop_wish){ 0, 0, .any = true }, -1);
    check_found((struct loop_wish){ 99, 99, .any = true }, -1);
    struct loop_extraction nothing = extract("", 0, (struct loop_wish){ .any = true });
    assert_false(nothing.found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_programs),
    };

    if (!mkdtemp(directory))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    run("cd .. && rm -r %s", directory, "");
    return failed;
}
