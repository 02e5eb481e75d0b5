/*
 * Random changes to random structures: members are permuted, dropped, added, converted, made longer and
 * shorter, in structures inside structures. The generator knows what each member has to hold afterwards. A
 * seed is printed and replays: test-policies-random COMPILER FLAGS COUNT SEED.
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
#include "patch/memory.h"
#include "policy_case.h"

#define MEMBERS 8 /* at most, of one structure */
#define DEPTH 2

static const char *compiler = "gcc", *flags = "-O0 -fPIC";
static unsigned state;

static unsigned below(unsigned limit)
{
    state = state * 1664525 + 1013904223;
    return (state >> 8) % limit;
}

/* Values are 0 to 99 and whole, so that they fit all of these. */
static const char *const numbers[] = { "signed char", "short",          "int",   "long",  "unsigned char",
                                       "unsigned",    "unsigned short", "float", "double" };

struct member {
    char name[16];
    bool bits; /* 7 bits of unsigned */
    const char *type, *new_type;
    unsigned count, new_count; /* of an array; 0: it is none */
    struct structure *inner;   /* instead of a type */
    bool dropped, added;
};

/* A structure and its successor. */
struct structure {
    char name[16];
    struct member members[MEMBERS];
    unsigned count;
    unsigned order[MEMBERS]; /* of the new one */
};

struct generator {
    LIST(struct structure *) structures; /* inner ones first */
    struct text before, check;
    unsigned checks;
};

static struct structure *make_structure(struct generator *generator, unsigned depth);

static void make_member(struct generator *generator, struct member *member, unsigned index, unsigned depth)
{
    snprintf(member->name, sizeof(member->name), "m%u", index);
    member->dropped = below(8) == 0;
    member->added = !member->dropped && below(6) == 0;
    member->bits = below(6) == 0;
    member->type = member->bits ? "unsigned" : numbers[below(9)];
    member->new_type = below(2) && !member->bits ? numbers[below(9)] : member->type;
    if (!member->bits && below(3) == 0) {
        member->count = 1 + below(5);
        member->new_count = 1 + below(5);
    }
    if (depth < DEPTH && below(4) == 0) {
        member->inner = make_structure(generator, depth + 1);
        member->bits = false;
    }
}

static struct structure *make_structure(struct generator *generator, unsigned depth)
{
    struct structure *structure = must_calloc(1, sizeof(*structure));

    structure->count = 2 + below(MEMBERS - 2);
    for (unsigned i = 0; i < structure->count; i++) {
        make_member(generator, &structure->members[i], i, depth);
        structure->order[i] = i;
    }
    structure->members[0].dropped = structure->members[0].added = false; /* no empty ones */
    for (unsigned i = structure->count; i-- > 1;) {
        unsigned other = below(i + 1), kept = structure->order[i];
        structure->order[i] = structure->order[other];
        structure->order[other] = kept;
    }
    snprintf(structure->name, sizeof(structure->name), depth ? "s%zu" : "record",
             generator->structures.count);
    LIST_ADD(&generator->structures, structure);
    return structure;
}

static void write_member(const struct member *member, bool new, struct text *ret)
{
    unsigned count = new ? member->new_count : member->count;

    if (new ? member->dropped : member->added) {
        return;
    }
    if (member->inner) {
        text_printf(ret, "    struct %s %s", member->inner->name, member->name);
    } else {
        text_printf(ret, "    %s %s", new ? member->new_type : member->type, member->name);
    }
    if (count) {
        text_printf(ret, "[%u]", count);
    }
    text_puts(ret, member->bits ? " : 7;\n" : ";\n");
}

static char *declare_all(const struct generator *generator, bool new)
{
    struct text result = { 0 };

    for (size_t i = 0; i < generator->structures.count; i++) {
        const struct structure *structure = generator->structures.items[i];
        text_printf(&result, "struct %s {\n", structure->name);
        for (unsigned k = 0; k < structure->count; k++) {
            write_member(&structure->members[new ? structure->order[k] : k], new, &result);
        }
        text_puts(&result, "};\n");
    }
    return must_have(text_steal(&result));
}

static void expect_number(struct generator *generator, const char *path, unsigned value)
{
    text_printf(&generator->check, "    if (r->%s != %u) { return %u; }\n", path, value, ++generator->checks);
}

static void write_values(struct generator *generator, const struct structure *structure, const char *path,
                         bool kept);

/* The value of one element, as it was and as it has to be. KEPT: it is in the new structure; HAD: it was
 * in the old one. */
static void write_element(struct generator *generator, const struct member *member, const char *path,
                          bool had, bool kept)
{
    if (member->inner && had) {
        write_values(generator, member->inner, path, kept);
        return;
    }
    unsigned value = had && kept ? below(100) : 0;
    if (had) {
        text_printf(&generator->before, "%u, ", value);
    }
    if (kept && !member->inner) {
        expect_number(generator, path, value);
    }
}

/* The initial value of an instance at PATH ("" or "m1[2]."). What is cut off is zero. */
static void write_values(struct generator *generator, const struct structure *structure, const char *path,
                         bool kept)
{
    text_puts(&generator->before, "{ ");
    for (unsigned i = 0; i < structure->count; i++) {
        const struct member *member = &structure->members[i];
        unsigned elements = member->count > member->new_count ? member->count : member->new_count;
        bool array = elements > 0, had = !member->added, stays = kept && !member->dropped;
        text_puts(&generator->before, array && had ? "{ " : "");
        for (unsigned k = 0; k < (array ? elements : 1); k++) {
            char *inner = array ? must_printf("%s%s%s[%u]", path, *path ? "." : "", member->name, k)
                                : must_printf("%s%s%s", path, *path ? "." : "", member->name);
            write_element(generator, member, inner, had && (!array || k < member->count),
                          stays && (!array || k < member->new_count));
            free(inner);
        }
        text_puts(&generator->before, array && had ? "}, " : "");
    }
    text_puts(&generator->before, *path ? "}, " : "}");
}

/* Whether anything of the structures differs at all. */
static bool is_change(const char *old, const char *new)
{
    return strcmp(old, new) != 0;
}

static void run_seed(unsigned seed)
{
    struct generator generator = { 0 };
    char title[32];

    state = seed;
    snprintf(title, sizeof(title), "seed %u", seed);
    struct structure *record = make_structure(&generator, 0);
    write_values(&generator, record, "", true);
    char *old_types = declare_all(&generator, false), *new_types = declare_all(&generator, true);
    char *old = must_printf("%s\nstruct record before = %s;\n", old_types, generator.before.bytes);
    char *new = must_printf("%s\nint check(const struct record *r)\n{\n%s    return 0;\n}\n", new_types,
                            generator.check.bytes ? generator.check.bytes : "");
    struct policy_case test = { .title = title, .old = old, .new = new, .any_way_back = 1 };
    if (is_change(old_types, new_types)) {
        policy_case_run(&test, compiler, flags);
    }
    for (size_t i = 0; i < generator.structures.count; i++) {
        free(generator.structures.items[i]);
    }
    LIST_FREE(&generator.structures);
    text_deinit(&generator.before);
    text_deinit(&generator.check);
    free(old_types);
    free(new_types);
    free(old);
    free(new);
}

static unsigned first = 1, last = 8;

static void run_all(void **unused)
{
    for (unsigned seed = first; seed <= last; seed++) {
        print_message("seed %u\n", seed);
        run_seed(seed);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(run_all) };

    compiler = argc > 1 ? argv[1] : compiler;
    flags = argc > 2 ? argv[2] : flags;
    first = argc > 4 ? strtoul(argv[4], NULL, 10) : first;
    last = argc > 3 ? first - 1 + strtoul(argv[3], NULL, 10) : last;
    return cmocka_run_group_tests_name(compiler, tests, NULL, NULL);
}
