/* Reading policy files after preprocessing: what they say, and what of them is compiled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/file.h"
#include "patch/policy/scan.h"

static const char *compiler = "gcc", *include = ".";

/* SOURCE after preprocessing, read. */
static void read_source(const char *source, struct policy_text *ret)
{
    char directory[] = "/tmp/molt-policy-XXXXXX", command[1024], path[64], *bytes;
    size_t size;

    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/policy.c", directory);
    assert_null(file_write(path, source, strlen(source)));
    snprintf(command, sizeof(command), "cd %s && %s -E -I'%s' -DMOLT_POLICY_FILE=conn policy.c -o policy.i",
             directory, compiler, include);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof(path), "%s/policy.i", directory);
    assert_null(file_read(path, &bytes, &size));
    policy_text_init(ret, bytes, size);
    free(bytes);
    snprintf(command, sizeof(command), "rm -r %s", directory);
    assert_int_equal(system(command), 0);
}

static const char source[] = "#include <molt/policy.h>\n"
                             "struct __attribute__((packed)) link { int a; };\n"
                             "struct conn { struct link link; int fd; char name[8]; };\n"
                             "typedef struct { int x; } point_t;\n"
                             "static int twice(const MOLT_OLD(struct conn) *c)\n"
                             "{\n"
                             "    return 2 * c->fd;\n"
                             "}\n"
                             "MOLT_MIGRATE(struct conn, old, new)\n"
                             "{\n"
                             "    if (old->fd) { new->fd = twice(old); }\n"
                             "    const char *brace = \"}\\\"\", c = '}';\n"
                             "}\n"
                             "MOLT_RENAME(struct conn, title, name)\n"
                             "MOLT_RENAME(struct conn, home->city[0], link.a);\n"
                             "MOLT_VALIDATE(point_t, old, new)\n"
                             "{\n"
                             "    return old->x == new->x;\n"
                             "}\n"
                             "MOLT_SPLIT(struct message, old)\n"
                             "{\n"
                             "    return old->user ? MOLT_TYPE(struct conn) : MOLT_TYPE(point_t);\n"
                             "}\n"
                             "MOLT_VERSIONS(struct conn, \"12ab\", \"34cd\");\n"
                             "MOLT_INVARIANT(struct conn, c) { return c->fd >= 0; }\n"
                             "static const int last_line = __LINE__;\n";

static const struct policy_statement *statement_of(const struct policy_text *text, enum policy_kind kind,
                                                   unsigned which)
{
    for (size_t i = 0; i < text->statements.count; i++) {
        if (text->statements.items[i]->kind == kind && which-- == 0) {
            return text->statements.items[i];
        }
    }
    fail_msg("there is no statement of kind %d", kind);
    return NULL;
}

static void test_statements(void **state)
{
    struct policy_text text;

    read_source(source, &text);
    assert_int_equal(text.statements.count, 7);
    const struct policy_statement *migrate = statement_of(&text, POLICY_MIGRATE, 0);
    assert_string_equal(migrate->old_type, "struct conn");
    assert_string_equal(migrate->new_type, "struct conn");
    assert_string_equal(migrate->file, "policy.c");
    assert_string_equal(migrate->function, "molt_policy_conn_0");
    assert_int_equal(migrate->line, 9);
    const struct policy_statement *rename = statement_of(&text, POLICY_RENAME, 0);
    assert_string_equal(rename->from, "title");
    assert_string_equal(rename->to, "name");
    assert_null(rename->function);
    rename = statement_of(&text, POLICY_RENAME, 1);
    assert_string_equal(rename->from, "home->city[0]");
    assert_string_equal(rename->to, "link.a");
    assert_int_equal(rename->line, 15);
    assert_string_equal(statement_of(&text, POLICY_VALIDATE, 0)->old_type, "point_t");
    const struct policy_statement *split = statement_of(&text, POLICY_SPLIT, 0);
    assert_int_equal(split->choices.count, 2);
    assert_string_equal(split->choices.items[0], "struct conn");
    assert_string_equal(split->choices.items[1], "point_t");
    assert_string_equal(statement_of(&text, POLICY_VERSIONS, 0)->from, "12ab");
    assert_string_equal(statement_of(&text, POLICY_VERSIONS, 0)->to, "34cd");
    assert_int_equal(statement_of(&text, POLICY_INVARIANT, 0)->line, 25);
    policy_text_deinit(&text);
}

/* The headers' types are known where old ones are to be declared, packed ones too; later ones are not. */
static void test_names(void **state)
{
    struct policy_text text;

    read_source(source, &text);
    assert_non_null(table_get(&text.names, "struct conn"));
    assert_non_null(table_get(&text.names, "struct link"));
    assert_non_null(table_get(&text.names, "point_t"));
    assert_null(table_get(&text.names, "struct message"));
    assert_null(table_get(&text.names, "twice"));
    policy_text_deinit(&text);
}

static bool contains(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static void test_reduced(void **state)
{
    struct policy_text text;
    struct table out = { 0 };

    read_source(source, &text);
    for (size_t i = 0; i < text.statements.count; i++) {
        struct policy_statement *statement = text.statements.items[i];
        char *word = policy_old_word(statement->old_type);
        statement->dropped = strcmp(word, "conn_molt_old") == 0 && statement->kind != POLICY_INVARIANT;
        free(word);
    }
    table_put(&out, "conn_molt_old", &out);
    char *reduced = policy_text_reduce(&text, &out, "struct here;");
    assert_false(contains(reduced, "twice"));
    assert_false(contains(reduced, "\"title\""));
    assert_true(contains(reduced, "old->x == new->x"));
    assert_true(contains(reduced, "c->fd >= 0"));
    assert_true(contains(reduced, "int a; };"));
    const char *here = strstr(reduced, "struct here;");
    assert_non_null(here);
    assert_true(here > strstr(reduced, "} point_t;"));
    assert_true(here < strstr(reduced, "old->x == new->x"));
    assert_true(contains(reduced, "last_line = 26"));
    free(reduced);
    table_deinit(&out);
    policy_text_deinit(&text);
}

/* What is left compiles, and messages name the lines of the user's file. */
static void test_lines(void **state)
{
    struct policy_text text;
    struct table out = { 0 };

    read_source("#include <molt/policy.h>\n"
                "MOLT_MIGRATE(struct gone, old, new)\n"
                "{\n"
                "\n"
                "    new->x = old->x;\n"
                "}\n"
                "\n"
                "int line[] = { [__LINE__] = 1 }; _Static_assert(sizeof(line) / sizeof(*line) == 9, \"\");\n"
                "int wrong(void) { return missing; }\n",
                &text);
    text.statements.items[0]->dropped = true;
    char *reduced = policy_text_reduce(&text, &out, "");
    char directory[] = "/tmp/molt-policy-XXXXXX", command[256], path[64], *bytes;
    size_t size;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/reduced.c", directory);
    assert_null(file_write(path, reduced, strlen(reduced)));
    snprintf(command, sizeof(command), "cd %s && LC_ALL=C %s -w -c reduced.c 2> messages", directory,
             compiler);
    assert_int_not_equal(system(command), 0);
    snprintf(path, sizeof(path), "%s/messages", directory);
    assert_null(file_read(path, &bytes, &size));
    assert_true(contains(bytes, "policy.c:9:"));
    assert_false(contains(bytes, "policy.c:5:"));
    free(bytes);
    snprintf(command, sizeof(command), "rm -r %s", directory);
    assert_int_equal(system(command), 0);
    free(reduced);
    policy_text_deinit(&text);
}

/* The same policy elsewhere in the file is the same; another one is not. */
static void test_hash(void **state)
{
    struct policy_text one, other;

    read_source("#include <molt/policy.h>\nMOLT_MIGRATE(struct a, old, new) { new->x = 1; }\n"
                "MOLT_MIGRATE(struct b, old, new) { new->x = 1; }\n",
                &one);
    read_source("#include <molt/policy.h>\n\nint x;\nMOLT_MIGRATE(struct a, old, new) { new->x = 1; }\n"
                "MOLT_MIGRATE(struct b, old, new) { new->x = 2; }\n",
                &other);
    assert_string_equal(one.statements.items[0]->hash, other.statements.items[0]->hash);
    assert_string_not_equal(one.statements.items[1]->hash, other.statements.items[1]->hash);
    assert_string_not_equal(one.statements.items[0]->hash, one.statements.items[1]->hash);
    policy_text_deinit(&one);
    policy_text_deinit(&other);
}

/* Text that is no C, or ends early, is read to its end. */
static void test_broken(void **state)
{
    static const char *const texts[] = { "",
                                         "#",
                                         "\"",
                                         "{{{",
                                         "}}}",
                                         "_Static_assert(1, \"molt:policy\"",
                                         "_Static_assert(1, \"molt:policy\" \"migrate\" \"a\");",
                                         "'\\" };

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct policy_text text;
        struct table out = { 0 };
        policy_text_init(&text, texts[i], strlen(texts[i]));
        assert_int_equal(text.statements.count, 0);
        char *reduced = policy_text_reduce(&text, &out, "");
        free(reduced);
        policy_text_deinit(&text);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statements), cmocka_unit_test(test_names), cmocka_unit_test(test_reduced),
        cmocka_unit_test(test_lines),      cmocka_unit_test(test_hash),  cmocka_unit_test(test_broken),
    };

    if (argc == 3) {
        compiler = argv[1];
        include = argv[2];
    }
    return cmocka_run_group_tests_name(compiler, tests, NULL, NULL);
}
