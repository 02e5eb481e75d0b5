/*
 * Where functions that allocate take what they return from: each case is the body of
 *
 *     void *get(struct pool *pool, size_t size, void *old)
 *
 * or several functions, and the worst of what is said about it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/probe/probe.h"

#define HEAD "void *get(struct pool *pool, size_t size, void *old)\n"

struct test_case {
    const char *body;     /* "{": of get; else whole functions */
    const char *expected; /* "": always an allocator's */
};

static const char *const words[ORIGIN_KIND_COUNT] = {
    [ORIGIN_FOUND] = "found", [ORIGIN_TAKEN] = "taken", [ORIGIN_CARVED] = "carved"
};

static const struct test_case cases[] = {
    /* plain wrappers */
    { "{ void *p = malloc(size); if (!p) { reclaim(); p = malloc(size); } return p; }", "" },
    { "{ void *p = malloc(size); if (!p) abort(); pool->count++; pool->bytes += size; return p; }", "" },
    { "{ if (!size) return NULL; return malloc(size); }", "" },
    { "{ if (!size) return &empty; return malloc(size); }", "" },
    { "{ if (!size) return no_bytes; return malloc(size); }", "" },
    { "{ if (!size) return (void *)16; return malloc(size); }", "" },
    { "{ void *p = malloc(size); return p ? p : fail(pool->log, size); }", "" },
    { "{ return memset(malloc(size), 0, size); }", "" },
    { "{ if (size <= *(size_t *)old) return old; return realloc(old, size); }", "" },
    { "{ void *p = realloc(old, size); if (!p && size) { free(old); return 0; } return p; }", "" },
    { "{ size_t *p = malloc(size + 8); *p = size; used += size; return p + 1; }", "" },
    { "{ char *p = malloc(size + pool->header); pool->total += size; return p + pool->header; }", "" },
    { "{ char *real = (char *)old - 8, *p = realloc(real, size + 8); return p + 8; }", "" },
    { "{ void *raw = malloc(size + 64); char *p = (char *)(((uintptr_t)raw + 63) & ~63ul); ((void **)p)[-1] "
      "= raw; "
      "return p; }",
      "" },
    { "{ pool->last = malloc(size); return pool->last; }", "" },
    { "{ struct node *n = malloc(size); n->data = n + 1; return n->data; }", "" },
    { "{ return pool->allocate(size); }", "" },
    { "{ return (*pool->allocate)(pool->state, malloc(size)); }", "" },

    /* lists of free blocks */
    { "{ void *p = pool->free; if (p) { pool->free = *(void **)p; return p; } return malloc(size); }",
      "taken" },
    { "{ struct slot *s; if ((s = pool->free) != 0) { pool->free = s->next; return (void *)s; } return "
      "malloc(size); }",
      "taken" },
    { "{ void *p; if (pool->count > 0) p = pool->items[--pool->count]; else p = malloc(size); return p; }",
      "taken" },
    { "{ if (free_list) { void *p = free_list; free_list = *(void **)p; return p; } return malloc(size); }",
      "taken" },
    { "{ static struct slot *spare; struct slot *p = spare; if (!p) return malloc(size); spare = p->next; "
      "return p; }",
      "taken" },
    { "{ struct slot **at, *s; for (at = &pool->free; (s = *at); at = &s->next) if (s->size >= size) { *at = "
      "s->next; "
      "return s; } return malloc(size); }",
      "taken" },
    { "{ int c = size / 16; if (pool->lists[c]) { void *p = pool->lists[c]; pool->lists[c] = *(void **)p; "
      "return p; } "
      "return malloc(size); }",
      "taken" },
    { "{ void *p; if (pool->n) { p = (&(&pool->head)->first)[0]; (&pool->head)->first = "
      "(&pool->head)->first->next; } "
      "else p = malloc(size); return p; }",
      "taken" },
    { "{ void *p = atomic_load(&pool->free); return p ? p : malloc(size); }",
      "" }, /* nobody knows that function */

    /* by way of others */
    { "static void *pop(struct pool *pool) { void *p = pool->free; if (p) pool->free = *(void **)p; return "
      "p; }\n" HEAD "{ void *p = pop(pool); return p ? p : malloc(size); }",
      "taken" },
    { "static void *body(void *block) { return (char *)block + 8; }\n" HEAD
      "{ void *p = pool->free; if (p) pool->free = *(void **)p; else p = malloc(size); return body(p); }",
      "taken" },
    { "static void *body(void *block) { return (char *)block + 8; }\n" HEAD "{ return body(malloc(size)); }",
      "" },
    { "static void *fail(const char *name) { report(name); return 0; }\n" HEAD
      "{ void *p = malloc(size); pool->name = 0; return p ? p : fail(pool->name); }",
      "" },

    /* pieces */
    { "{ char *p = pool->here; if (size > pool->left) return malloc(size); pool->here += size; return p; }",
      "carved" },
    { "{ if (size > pool->left) return malloc(size); void *p = pool->here; pool->here = (char *)pool->here + "
      "size; "
      "return p; }",
      "carved" },
    { "{ if (pool->used + size > 100) return malloc(size); void *p = pool->base + pool->used; pool->used += "
      "size; "
      "return p; }",
      "carved" },
    { "{ size_t at = pool->used; pool->used = at + size; return at < 100 ? pool->base + at : malloc(size); }",
      "carved" },
    { "{ if (used < 100) return (void *)&buffer[used++ * 16]; return malloc(size); }", "carved" },
    { "{ size_t at = __atomic_fetch_add(&used, size, 5); return at < 100 ? buffer + at : malloc(size); }",
      "carved" },
    { "{ if (!pool->here) { pool->here = malloc(4096); } void *p = pool->here; pool->here += size; return p; "
      "}",
      "carved" },
    { "{ struct vector *v = old; if (v->n == v->room) v->items = realloc(v->items, size * v->n); return "
      "v->items + "
      "v->n++ * size; }",
      "carved" },

    /* pieces on a list */
    { HEAD "{ void *p = pool->free; if (p) pool->free = *(void **)p; return p ? p : malloc(size); }\n"
           "void put(struct pool *pool, void *p) { *(void **)p = pool->free; pool->free = p; }\n"
           "void more(struct pool *pool) { char *large = malloc(4096); for (int i = 0; i < 8; i++) put(pool, "
           "large + "
           "512 * i); }",
      "pieces" },
    { HEAD
      "{ struct slot *p = pool->free; if (p) { pool->free = p->next; return p; } return malloc(size); }\n"
      "void more(struct pool *pool) { struct slot *p = malloc(4096); pool->large = p; for (int i = 0; i < 8; "
      "i++) "
      "{ p->next = pool->free; pool->free = p; p = (struct slot *)&((char *)p)[512]; } }",
      "pieces" },
    { HEAD
      "{ void *p = pool->free; if (p) pool->free = *(void **)p; return p ? p : malloc(size); }\n"
      "void put(struct pool *pool, void *p) { struct slot *s = p; s->next = pool->free; pool->free = s; }\n"
      "void more(struct pool *pool) { for (int i = 0; i < 8; i++) put(pool, malloc(512)); }",
      "taken" },

    /* what only lies there */
    { "{ if (pool->cached) return pool->cached; return malloc(size); }", "found" },
};

static struct probe *read_case(const struct test_case *test)
{
    static const char *const names[] = { "get", "malloc", "realloc", NULL };
    char text[2048];
    struct probe *probe = calloc(1, sizeof(*probe));

    snprintf(text, sizeof(text), "%s%s\n", *test->body == '{' ? HEAD : "", test->body);
    probe_find_calls(probe, text, strlen(text), names);
    return probe;
}

static bool gives_back(const struct probe *probe, const char *function)
{
    for (size_t i = 0; i < probe->origins.count; i++) {
        if (probe->origins.items[i].kind == ORIGIN_PARAMETER &&
            strcmp(probe->origins.items[i].function, function) == 0) {
            return true;
        }
    }
    return false;
}

/* The worst that PROBE says of FUNCTION, as sites/carving.c puts it together. */
static enum origin_kind worst(const struct probe *probe, const char *function)
{
    enum origin_kind kind = ORIGIN_CALL;

    for (size_t i = 0; i < probe->origins.count; i++) {
        const struct origin *origin = &probe->origins.items[i];
        enum origin_kind other = strcmp(origin->function, function) != 0 ? ORIGIN_CALL
                                 : origin->kind == ORIGIN_CALL           ? worst(probe, origin->callee)
                                 : origin->kind > ORIGIN_CARVED          ? ORIGIN_CALL
                                 : origin->callee && !gives_back(probe, origin->callee) ? ORIGIN_CALL
                                                                                        : origin->kind;
        kind = other > kind ? other : kind;
    }
    return kind;
}

static bool has_pieces(const struct probe *probe)
{
    bool pieces = false;

    for (size_t i = 0; i < probe->origins.count; i++) {
        const struct origin *origin = &probe->origins.items[i];
        pieces = pieces ||
                 (origin->kind == ORIGIN_TAKEN && origin->place && probe_has_pieces(probe, origin->place));
    }
    return pieces;
}

static void all_cases(void **state)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct probe *probe = read_case(&cases[i]);
        const char *word = has_pieces(probe) ? "pieces" : words[worst(probe, "get")];
        if (strcmp(word ? word : "", cases[i].expected) != 0) {
            print_error("'%s' instead of '%s': %s\n", word ? word : "", cases[i].expected, cases[i].body);
            wrong++;
        }
        probe_destroy(probe);
    }
    assert_int_equal(wrong, 0);
}

/* From the cache as they were put there. */
static void kept(void **state)
{
    struct probe *probe = read_case(&(struct test_case){
        "{ void *p = pop(pool); return p ? p : (char *)pool->here++ + (long)malloc(size); }", NULL });
    char *text = probe_to_text(probe);
    struct probe *again = probe_from_text(text, strlen(text));

    assert_non_null(again);
    assert_true(probe->origins.count > 1);
    assert_int_equal(again->origins.count, probe->origins.count);
    for (size_t i = 0; i < probe->origins.count; i++) {
        const struct origin *one = &probe->origins.items[i], *other = &again->origins.items[i];
        assert_int_equal(one->kind, other->kind);
        assert_string_equal(one->function, other->function);
        assert_string_equal(one->callee ? one->callee : "", other->callee ? other->callee : "");
        assert_int_equal(one->line, other->line);
        assert_int_equal(one->cast, other->cast);
    }
    free(text);
    probe_destroy(probe);
    probe_destroy(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(all_cases), cmocka_unit_test(kept) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
