/* test_image_function COMPILER FLAGS: functions read from a linked program, and which of them keep addresses
 * that they are given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "patch/code/image_function.h"
#include "patch/transfer/capture.h"
#include "patch/transfer/code.h"
#include "patch/transfer/match.h"

static const char *compiler = "gcc", *flags = "-O2";

static const char program[] =
    "#include <stdio.h>\n#include <string.h>\n#include <stdlib.h>\n"
    "#define APART __attribute__((noinline, noclone))\n"
    "char *kept; char *volatile *elsewhere;\n"
    "APART static int add(const char *p, int n) { return n > 0 ? *p + add(p + 1, n - 1) : 0; }\n"
    "APART int looks(char *p) { return add(p, 3) + (int)strlen(p); }\n"
    "APART int prints(char *p) { return puts(p); }\n"
    "APART int checks(char *p) { if (__builtin_expect(!*p, 0)) { puts(\"none\"); abort(); } return *p; }\n"
    "APART static void keep(char *p) { kept = p; }\n"
    "APART int keeps(char *p) { keep(p); return *p; }\n"
    "APART int passes(char *p) { return keeps(p); }\n"
    "APART int hands_on(char *p) { *elsewhere = p; return 0; }\n"
    "APART int asks(char *p) { return setvbuf(stdout, p, _IOFBF, 8); }\n"
    "int (*way)(char *);\n"
    "APART int by_pointer(char *p) { return way(p) + 1; }\n"
    "int main(int count, char **all) {\n"
    "    return looks(all[0]) + prints(all[0]) + checks(all[0]) + keeps(all[0]) + passes(all[0]) + \n"
    "        hands_on(all[0]) + asks(all[0]) + by_pointer(all[0]); }\n";

static struct image *image;
static struct image_functions functions;

static int build(void **state)
{
    char directory[] = "/tmp/molt-image-XXXXXX", command[512], path[64];

    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/a.c", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(program, file);
    fclose(file);
    snprintf(command, sizeof(command), "cd %s && %s -g -w %s -Wl,--build-id a.c -o a", directory, compiler,
             flags);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof(path), "%s/a", directory);
    assert_null(image_open(path, &image));
    image_functions_init(&functions, image);
    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command);
}

static int end(void **state)
{
    image_functions_deinit(&functions);
    image_close(image);
    return 0;
}

static bool find(void *context, struct object *own, const struct object_symbol *wanted, function_codes *ret)
{
    struct function_code code = { .object = own, .symbol = wanted };
    bool found = wanted->section || image_functions_find(context, wanted->name, &code.object, &code.symbol);

    if (found) {
        LIST_ADD(&ret->list, code);
    }
    return found;
}

static void test_a_function(void **state)
{
    const struct object_symbol *symbol = NULL, *again = NULL;
    struct object *object = NULL, *same = NULL;

    assert_true(image_functions_find(&functions, "looks", &object, &symbol));
    assert_string_equal(symbol->name, "looks");
    assert_true(symbol->size > 0);
    assert_non_null(object->sections[symbol->section].bytes);
    assert_true(image_functions_find(&functions, "looks", &same, &again));
    assert_ptr_equal(object, same);
    assert_false(image_functions_find(&functions, "strlen", &object, &symbol));
    assert_false(image_functions_find(&functions, "kept", &object, &symbol));
}

/* What main's call of NAME may do with its first argument. */
static struct capture capture_of(const char *name)
{
    struct captures captures;
    struct capture ret = { 0 };
    struct object *object;
    const struct object_symbol *symbol;
    struct code code;
    bool found = false;

    assert_true(image_functions_find(&functions, "main", &object, &symbol));
    captures_init(&captures, find, &functions);
    code_init(&code, object, symbol, NULL);
    for (uint32_t i = 0; i < code.instructions.count && !found; i++) {
        if ((code.instructions.items[i].flags & CODE_CALL) && strcmp(code_callee(&code, i), name) == 0) {
            ret = captures_of_call(&captures, &code, i);
            found = true;
        }
    }
    code_deinit(&code);
    captures_deinit(&captures);
    if (!found) {
        fail_msg("no call of %s", name);
    }
    return ret;
}

static void test_who_keeps_an_address(void **state)
{
    static const char *const harmless[] = { "looks", "prints", "checks" };
    static const char *const others[] = { "keeps", "passes", "hands_on", "asks", "by_pointer" };

    for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++) {
        if (capture_of(harmless[i]).kept & 1) {
            fail_msg("%s is said to keep its argument", harmless[i]);
        }
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        if (!(capture_of(others[i]).kept & 1)) {
            fail_msg("%s is said to keep nothing", others[i]);
        }
    }
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_function),
        cmocka_unit_test(test_who_keeps_an_address),
    };

    compiler = count > 1 ? arguments[1] : compiler;
    flags = count > 2 ? arguments[2] : flags;
    return cmocka_run_group_tests(tests, build, end);
}
