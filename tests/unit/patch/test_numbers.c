/*
 * Where sizes go: each case is a source, `S` being what sizeof is asked of, and where its size is kept (names
 * of members and variables) or which functions get it that nothing is known of ("?name").
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/build_numbers.h"

/* The name of a function that is too long to be looked for. */
#define TEN "_123456789"
#define LONG "set" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

struct test_case {
    const char *source;
    const char *expected; /* in the order of the source */
};

static const struct test_case cases[] = {
    /* used up where it is */
    { "void f(void) { S *s = malloc(sizeof(S)); memset(s, 0, sizeof(*s)); list = s; }", "" },
    { "void f(void) { S s[4]; for (int i = 0; i < sizeof(s) / sizeof(*s); i++) g->n = i; }", "" },
    { "void f(int fd, S *s) { g->got = read(fd, s, sizeof(*s)); }", "" },
    { "void f(S *s) { if (g->room < sizeof(*s)) g->short_of = 1; }", "" },
    { "void f(void) { g->total += sizeof(S); g->sum = (g->sum + sizeof(S)) - 8; }", "" },
    { "void f(void) { struct iovec v; v.iov_len = sizeof(S); writev(1, &v, 1); }", "" },
    { "void f(void) { struct iovec v[2]; v[0].iov_len = sizeof(S); writev(1, v, 2); }", "" },
    { "void f(void) { char b[64]; struct v *v = (struct v *)b; v->n = sizeof(S); write(1, b, 64); }", "" },
    { "void f(void) { struct v x, *p = &x; p->n = sizeof(S); use(p->m); }", "" },
    { "void f(char *at) { S *s = (S *)(at - __builtin_offsetof(S, link)); list = s; }", "" },
    { "void f(void) { g->n = sizeof(char *) + sizeof(int); }", "" },
    { "void f(void) { static size_t n = sizeof(S); }", "" },
    { "void f(void) { g->p = (void *)__builtin_offsetof(S, link); }", "" },

    /* kept */
    { "void f(struct v *v) { v->n = sizeof(S); }", "n" },
    { "void f(void) { v.n = sizeof(S); }", "n" },
    { "void f(void) { count = sizeof(S); }", "count" },
    { "void f(void) { static size_t n; n = sizeof(S); }", "n" },
    { "void f(void) { sizes[3] = sizeof(S); }", "sizes" },
    { "void f(void) { size_t n = sizeof(S), m; m = (n + 7) & ~7; g->n = (int)m; }", "n" },
    { "void f(int big) { g->n = big ? sizeof(S) : 8; }", "n" },
    { "void f(S *s) { g->n = sizeof *s * 4; }", "n" },
    { "void f(void) { g->n = sizeof(struct s[4]); }", "n" },
    { "void f(int m) { g->n = m; g->n *= sizeof(S); }", "n" },
    { "void f(void) { g->n = __builtin_offsetof(S, link); }", "n" },
    { "void f(void) { g->n = (size_t)&((struct s *)0)->in.link; }", "n" },
    { "void f(S *s) { list = (struct list *)&s->link; }", "" },
    { "void f(S *s) { g->n = (char *)&s->link - (char *)s; }", "n" },
    { "void f(void) { struct v *v = malloc(sizeof(*g)); v->n = sizeof(S); }", "n" },
    { "void f(struct v *v) { *v = (struct v){ .n = sizeof(S) }; }", "n" },
    { "void f(void) { struct v v = { 0, sizeof(S) }; g->v = v; }", "#1" },
    { "void f(void) { struct v v; v.n = sizeof(S); all = v; }", "n" },
    { "void f(void) { char b[64]; struct v *v = (struct v *)b; v->n = sizeof(S); memcpy(g, b, 64); }", "n" },
    { "void f(void) { size_t n = sizeof(S); memcpy(&g->n, &n, sizeof(n)); }", "n" },
    { "void f(void) { size_t *p, n = sizeof(S); *p = 0; memcpy(p, &n, sizeof(n)); }", "p" },
    { "void f(struct v *v) { v->n = htons(sizeof(S)); v->m = __builtin_bswap32((int)sizeof(S)); }", "n m" },
    { "void f(void) { __atomic_store_n(&g->n, sizeof(S), 5); }", "n" },
    { "void f(void) { size_t n = ({ size_t a = sizeof(S), b = 8; a > b ? a : b; }); g->n = n; }", "n" },

    /* by way of other functions */
    { "void set(struct v *v, size_t n) { v->n = n; } void f(void) { set(g, sizeof(S)); }", "n" },
    { "void set(struct v *v, size_t n) { v->n = n; } void f(void) { struct v v; set(&v, sizeof(S)); "
      "use(v.m); }",
      "" },
    { "void set(struct v *v, size_t n) { v->n = n; } void f(void) { struct v v[1]; set(v, sizeof(S)); "
      "use(v->m); }",
      "" },
    { "void set(struct v *v, size_t n) { v->n = n; } void f(void) { struct v v; set(&v, sizeof(S)); g->v = "
      "v; }",
      "n" },
    { "void set(struct v *v, size_t n) { v->n = n; } void f(void) { struct v *v = find(); set(v, sizeof(S)); "
      "}",
      "n" },
    { "void set(struct v *v, size_t n) { v->n = n; } void f(void) { set(&g->v, sizeof(S)); }", "n" },
    { "void set(vt v, size_t n) { v->n = n; } void f(void) { vt v = make(); set(v, sizeof(S)); }", "n" },
    { "void set(struct v *v, size_t n) { v->n = n; } struct v *make(size_t n) { struct v *v = calloc(1, 8); "
      "set(v, n); "
      "return v; } void f(void) { struct v *v = make(sizeof(S)); use(v); }",
      "n" },
    { "void set(struct v *v, const struct o *o) { v->n = o->n; } void f(void) { struct o o = { .n = "
      "sizeof(S) }; set(g, "
      "&o); }",
      "n" },
    { "void set(struct v *v, struct o o) { v->o = o; } void f(void) { set(g, (struct o){ .n = sizeof(S) }); "
      "}",
      "n" },
    { "size_t up(size_t n) { return n + 1; } void f(void) { g->n = up(sizeof(S)); }", "n" },
    { "void up(size_t *n) { *n += 7; } void f(void) { size_t n = sizeof(S); up(&n); g->n = n; }", "n" },
    { "void get(size_t n, size_t *to) { *to = n; } void f(void) { size_t n; get(sizeof(S), &n); g->n = n; }",
      "n" },
    { "void get(size_t n, size_t *to) { *to = n; } void f(void) { size_t n; get(sizeof(S), &n); use(n); }",
      "?use" },
    { "void get(size_t n, size_t *to) { *to = n; } void f(void) { get(sizeof(S), &g->n); }", "*to" },
    { "void a(int n, struct v *v) { if (n) b(n, v); v->n = n; } void b(int n, struct v *v) { a(n - 1, v); } "
      "void f(void) "
      "{ b(sizeof(S), g); }",
      "n" },
    { "void all(struct v *v, int n) { v->a = n; v->b = n; v->c = n; v->d = n; v->e = n; v->f = n; v->g = n; "
      "v->h = n; all(v->next, n); all(v->next, n); } void f(void) { struct v v; all(&v, sizeof(S)); }",
      "a b c d e f g h" },
    { "void all(struct v *v, size_t n) { if (v->next) all(v->next, n); v->n = n; } void f(void) { struct v "
      "v; all(&v, sizeof(S)); }",
      "n" },
    { "void *get(size_t n) { void *p = malloc(n); used += n; return p; } void f(void) { g->s = "
      "get(sizeof(S)); }",
      "" },
    { "size_t size(void) { return sizeof(S); } void f(void) { g->n = size(); }", "n" },
    { "size_t size(int n) { size_t s = sizeof(S); return s * n; } void f(void) { use(size(2)); h = "
      "malloc(size(1)); "
      "}",
      "?use" },
    { "size_t size(int n) { return sizeof(S) * n; } size_t more(void) { return size(2) + 1; } void "
      "set(struct v *v, "
      "size_t n) { v->n = n; } void f(void) { set(g, more()); }",
      "n" },
    { "size_t size(int n) { return n ? size(n - 1) : sizeof(S); } void f(void) { g->n = size(2); }", "n" },
    { "void *taken(size_t n) { size_t *p = malloc(n + 8); *p = n; return p + 1; } void f(void) { g->s = "
      "taken(sizeof(S)); }",
      "*p" },
    { "void *take(size_t n) { size_t *p = malloc(n + 8); *p = n; return p + 1; } void f(void) { g->s = "
      "take(sizeof(S)); }", /* which the settings speak of */
      "" },
    { "void f(void) { keep(sizeof(S)); }", "?keep" },
    { "void " LONG "(size_t n) { g->n = n; } void f(void) { " LONG "(sizeof(S)); }", "?" LONG },
    { "void f(void) { g->keep(sizeof(S)); }", "?" },
    { "void f(void) { size_t n = sizeof(S); keep(&n); }", "?keep" },
    { "void f(void) { size_t n[2]; n[1] = sizeof(S); keep(n); }", "?keep" },
};

/* One source, read as the builder does: functions that get numbers come when they are asked for. */
struct source {
    struct patch_session session;
    struct build build;
    struct compile_entry entry;
    struct unit unit;
    struct numbers numbers;
};

static void read_functions(struct source *source, const char *text, struct number_reading *reading)
{
    if (reading->names.count) {
        LIST_ADD(&reading->names, NULL);
    }
    reading->probe = calloc(1, sizeof(*reading->probe));
    probe_find_numbers(reading->probe, text, strlen(text), reading->names.items);
    char *kept = probe_to_text(reading->probe);
    probe_destroy(reading->probe);
    reading->probe = probe_from_text(kept, strlen(kept));
    free(kept);
    assert_non_null(reading->probe);
    LIST_ADD(&source->numbers.readings, reading);
}

static void read_wanted(struct source *source, const char *text)
{
    for (size_t i = 0; i < source->numbers.wanted.count; i++) {
        read_functions(source, text, source->numbers.wanted.items[i]);
    }
    source->numbers.wanted.count = 0;
}

/* Where the number of FLOW goes, which S is in. */
static void follow(struct source *source, const char *text, const struct flow *flow, struct text *ret)
{
    const struct number_reading *first = source->numbers.readings.items[0];
    number_ends ends = { 0 };

    do {
        numbers_forget(&source->numbers);
        read_wanted(source, text);
        ends.count = 0;
        numbers_follow(&source->numbers, first, flow->function, strtoul(flow->from + 2, NULL, 10), &ends);
    } while (source->numbers.wanted.count);
    for (size_t i = 0; i < ends.count; i++) {
        const struct number_end *end = &ends.items[i];
        text_printf(ret, "%s%s%s", ret->length ? " " : "", end->candidate ? "" : "?",
                    end->candidate ? end->candidate->member : end->function);
    }
    LIST_FREE(&ends);
}

/* Whether the number of FLOW is one of S: the question says so. */
static bool is_about_s(const struct probe *asked, const struct flow *flow)
{
    const struct candidate *candidate =
        flow->from[0] == 's' ? asked->candidates.items[strtoul(flow->from + 2, NULL, 10) - 1] : NULL;
    const char *question =
        candidate && candidate->evidence.count ? candidate->evidence.items[0].question : NULL;

    return question && !strstr(question, "(*g)") && !strstr(question, "(n)");
}

static char *where_numbers_go(const char *text)
{
    struct source source = { .entry = { .name = (char *)"only.c" } };
    struct heap_settings settings = { 0 };
    struct number_reading *first = calloc(1, sizeof(*first));
    struct probe *asked = calloc(1, sizeof(*asked)); /* with questions, which are not kept */
    struct text found = { 0 };

    source.unit.entry = &source.entry;
    source.build.session = &source.session;
    source.numbers.build = &source.build;
    source.numbers.settings = &settings;
    LIST_ADD(&settings.allocators, (struct heap_allocator){ "take", "give", 8 });
    first->unit = &source.unit;
    text_puts(&found, "");
    read_functions(&source, text, first);
    probe_find_numbers(asked, text, strlen(text), NULL);
    for (size_t i = 0; i < first->probe->flows.count; i++) {
        if (is_about_s(asked, &asked->flows.items[i])) {
            follow(&source, text, &first->probe->flows.items[i], &found);
        }
    }
    probe_destroy(asked);
    numbers_deinit(&source.numbers);
    LIST_FREE(&settings.allocators);
    return text_steal(&found);
}

static void all_cases(void **state)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *found = where_numbers_go(cases[i].source);
        if (strcmp(found, cases[i].expected) != 0) {
            print_message("%s\n    is kept in \"%s\", not \"%s\"\n", cases[i].source, found,
                          cases[i].expected);
            wrong++;
        }
        free(found);
    }
    assert_int_equal(wrong, 0);
}

/* Else a source that cannot be read would be warned of once, and then be taken for one without numbers. */
static void what_failed_is_kept(void **state)
{
    for (unsigned failed = 0; failed < 2; failed++) {
        const struct probe probe = { .failed = failed, .answered = !failed };
        char *text = probe_to_text(&probe);
        struct probe *again = probe_from_text(text, strlen(text));
        assert_non_null(again);
        assert_int_equal(again->failed, failed);
        assert_int_equal(again->answered, !failed);
        probe_destroy(again);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(all_cases), cmocka_unit_test(what_failed_is_kept) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
