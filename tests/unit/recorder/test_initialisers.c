/* Members that functions newly set of what they make. */
#include "support.h"

#include "recorder/initialisers.h"

static void write_down(void *context, const struct initialiser *one)
{
    text_printf(context, "%s %s.%s = %s (%s) line %u\n", one->function, one->type, one->member, one->text,
                one->value ? one->value : "-", one->line);
}

static void check(const char *old_text, const char *new_text, const char *expected)
{
    struct text found = { 0 };

    text_puts(&found, "");
    assert_ok(initialisers_between("a.c", old_text, strlen(old_text), new_text, strlen(new_text), write_down,
                                   &found));
    assert_string_equal(found.bytes, expected);
    text_deinit(&found);
}

#define MAKE                                                                                                 \
    "static struct conn *conn_get(int fd)\n{\n    struct conn *c = calloc(1, sizeof(*c));\n    c->fd = "     \
    "fd;\n"

static void test_what_a_call_gave(void **state)
{
    check(MAKE "    return c;\n}\n", MAKE "    c->timeout = 30 * /* s */ SECOND;\n    return c;\n}\n",
          "conn_get struct conn.timeout = 30 * SECOND (30 * SECOND) line 5\n");
    check(MAKE "    return c;\n}\n", MAKE "    c->limits.open = c->fd2 = -1;\n    return c;\n}\n",
          "conn_get struct conn.limits.open = -1 (-1) line 5\n"
          "conn_get struct conn.fd2 = -1 (-1) line 5\n");
    /* what is made of the function's own variables can be shown, but not said again; of the instance's own it
     * can */
    check(MAKE "    return c;\n}\n",
          MAKE "    c->twin = fd + 1;\n    c->top = c->low + sizeof(int);\n    c->me = c;\n}\n",
          "conn_get struct conn.twin = fd + 1 (-) line 5\n"
          "conn_get struct conn.top = c->low + sizeof(int) (new->low + sizeof(int)) line 6\n"
          "conn_get struct conn.me = c (-) line 7\n");
    /* the call comes after the declaration */
    check("void f(void)\n{\n    conn_t *c;\n\n    c = get();\n}\n",
          "void f(void)\n{\n    conn_t *c;\n\n    c = (conn_t *)get();\n    c->n = 1;\n}\n",
          "f conn_t.n = 1 (1) line 6\n");
}

static void test_other_ways_to_make(void **state)
{
    check("void conn_init(struct conn *c)\n{\n}\n", "void conn_init(struct conn *c)\n{\n    c->n = MAX;\n}\n",
          "conn_init struct conn.n = MAX (MAX) line 3\n");
    check("void f(void)\n{\n    struct conn c = { .fd = 1 };\n    use(&c);\n}\n",
          "void f(void)\n{\n    struct conn c = { .fd = 1, .limits.open = 2 };\n    c.n = 3;\n    "
          "use(&c);\n}\n",
          "f struct conn.limits.open = 2 (2) line 3\n"
          "f struct conn.n = 3 (3) line 4\n");
    check("void f(struct conn *c)\n{\n    *c = (struct conn){ .fd = 1 };\n}\n",
          "void f(struct conn *c)\n{\n    *c = (struct conn){ .fd = 1,\n        .name = \"none\" };\n}\n",
          "f struct conn.name = \"none\" (\"none\") line 4\n");
}

static void test_what_does_not_count(void **state)
{
    /* it only uses the instance */
    check("void tick(struct conn *c)\n{\n}\n", "void tick(struct conn *c)\n{\n    c->n = 3;\n}\n", "");
    /* it set the member before */
    check(MAKE "    c->n = 1;\n}\n", MAKE "    c->n = 2;\n}\n", "");
    /* the function is new, or gone */
    check("", MAKE "    c->n = 2;\n}\n", "");
    check(MAKE "    c->n = 2;\n}\n", "", "");
    /* one name, two variables */
    check("void new(void)\n{\n}\n",
          "void new(void)\n{\n    { struct a *x = get(); }\n    { struct b *x = get(); x->n = 1; }\n}\n", "");
    /* not only set, behind another pointer, an element */
    check(MAKE "}\n", MAKE "    c->n += 1;\n    c->next->n = 1;\n    c->list[0] = 1;\n}\n", "");
    /* half-typed */
    check(MAKE "}\n", MAKE "    c->n = ;\n    c-> = 3\n", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_call_gave),
        cmocka_unit_test(test_other_ways_to_make),
        cmocka_unit_test(test_what_does_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
