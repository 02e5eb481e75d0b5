/* Thousands of instances grow out of their blocks, and move into blocks that were asked for before the world
 * was stopped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/engine/state_program.h"

void molt_fail(const char *format, ...);

#define COUNT 5000
#define HOLDER_CALL 0x1060

struct before {
    double a;
    int32_t number;
    struct before *next;
};
struct after {
    struct after *next;
    double a;
    int32_t number;
    char more[40];
};
struct holder {
    struct before *whole;
    int32_t *into;
    void *any;
};

static struct before *instances[COUNT]; /* which nobody knows the type of */
static struct holder *holders[COUNT];
static void (*also)(const struct before *instance);

static void there(const void *from, void *to)
{
    const struct before *old = from;
    struct after *new = to;

    new->next = (struct after *)old->next;
    new->a = old->a;
    new->number = old->number;
    if (also) {
        also(old);
    }
}

/* A list, of which each PAIRTH is an array of two, and each ROOMYTH fits in its block; and pointers to it
 * from everywhere. */
static void begin(struct program *program, int pairth, int roomyth)
{
    program_begin(program);
    struct fixture *fixture = program->fixture;
    uint32_t number = fixture_layout(fixture, "int", 4);
    fixture->layouts[number].flags |= MOLT_LAYOUT_SCALAR;
    program->from = fixture_layout(fixture, "struct node", sizeof(struct before));
    fixture_field(fixture, "next", offsetof(struct before, next), MOLT_FIELD_POINTER, program->from, 1, 8);
    program->to = fixture_layout(fixture, "struct node", sizeof(struct after));
    fixture_field(fixture, "next", offsetof(struct after, next), MOLT_FIELD_POINTER, program->to, 1, 8);
    uint32_t holder = fixture_layout(fixture, "struct holder", sizeof(struct holder));
    fixture_field(fixture, "whole", offsetof(struct holder, whole), MOLT_FIELD_POINTER, program->from, 1, 8);
    fixture_field(fixture, "into", offsetof(struct holder, into), MOLT_FIELD_POINTER, number, 1, 8);
    fixture_field(fixture, "any", offsetof(struct holder, any), MOLT_FIELD_POINTER, 0, 1, 8);
    fixture_migration(fixture, program->from, program->to, there, MOLT_MIGRATION_GENERATED);
    fixture_segment(fixture, 0, 8, 8);
    fixture_segment(fixture, 8, 4, 16);
    fixture_segment(fixture, 16, 8, 0);
    program_sites(program);
    fixture_site(fixture, HOLDER_CALL, MOLT_SITE_OBJECT, holder);
    unsigned holder_site = fake_heap_site((uintptr_t[]){ HOLDER_CALL, 0 });
    for (int i = 0; i < COUNT; i++) {
        bool pair = pairth && i % pairth == 0, roomy = roomyth && i % roomyth == 1 && !pair;
        size_t size = (pair ? 2 : 1) * sizeof(struct before);
        instances[i] = fake_heap_block(size, roomy ? sizeof(struct after) : size,
                                       pair ? program->array : program->object);
        holders[i] = fake_heap_block(sizeof(struct holder), sizeof(struct holder), holder_site);
        for (int k = 0; k <= pair; k++) {
            instances[i][k] =
                (struct before){ .a = i / 2.0, .number = i, .next = i ? instances[i - 1] : NULL };
        }
        *holders[i] = (struct holder){ instances[i], &instances[i]->number, &instances[i]->next };
    }
}

static void check_new(int pairth)
{
    for (int i = 0; i < COUNT; i++) {
        const struct after *new = (void *)instances[i];
        for (int k = 0; k <= (pairth && i % pairth == 0); k++) {
            assert_true(new[k].a == i / 2.0 && new[k].number == i);
            assert_ptr_equal(new[k].next, i ? instances[i - 1] : NULL);
        }
        assert_ptr_equal(holders[i]->whole, new);
        assert_ptr_equal(holders[i]->into, &new->number);
        assert_ptr_equal(holders[i]->any, &new->next);
    }
}

static void check_discarded(struct program *program, uint64_t hash, size_t used, size_t count)
{
    state_revert(program->state);
    assert_int_equal(fake_heap_hash_of(used), hash);
    assert_int_equal(fake_heap_count(), count);
}

static void moves(int pairth, int roomyth)
{
    struct program program;

    also = NULL;
    begin(&program, pairth, roomyth);
    size_t used = fake_heap_used(), count = fake_heap_count();
    uint64_t hash = fake_heap_hash_of(used);
    struct before *first = instances[0];
    assert_int_equal(program_migrate(&program), 0);
    check_new(pairth);
    assert_int_equal(program.report.instances, COUNT);
    assert_true(instances[0] != first);
    check_discarded(&program, hash, used, count);
    assert_ptr_equal(instances[0], first);
    program.report = (struct update_report){ 0 };
    assert_int_equal(state_migrate(program.state, &program.world, &program.report), 0);
    state_commit(program.state, &program.report);
    check_new(pairth);
    size_t moved = 0;
    for (int i = 0; i < COUNT; i++) {
        moved += !(roomyth && i % roomyth == 1) || (pairth && i % pairth == 0);
    }
    assert_int_equal(program.report.moved, moved);
    program_end(&program);
    assert_int_equal(fake_heap_hidden(), 0);
}

static void test_moves(void **state)
{
    moves(0, 0);
}

/* Some are for the ordinary way, by the program's malloc in the stopped world; some stay where they are. */
static void test_moves_and_more(void **state)
{
    moves(7, 0);
    moves(0, 5);
    moves(7, 5);
}

/* More than there were when memory was taken ahead. */
static void test_more_than_expected(void **state)
{
    struct program program;
    struct before *more[COUNT];

    also = NULL;
    begin(&program, 0, 0);
    size_t count = fake_heap_count();
    program_stop(&program);
    for (int i = 0; i < COUNT; i++) {
        more[i] = fake_heap_block(sizeof(**more), sizeof(**more), program.object);
        *more[i] = (struct before){ .number = -i, .next = instances[i] };
    }
    assert_int_equal(state_migrate(program.state, &program.world, &program.report), 0);
    assert_int_equal(program.report.moved, 2 * COUNT);
    check_new(0);
    state_revert(program.state);
    assert_int_equal(fake_heap_count(), count + COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_ptr_equal(more[i]->next, instances[i]);
    }
    program_end(&program);
    assert_int_equal(fake_heap_hidden(), 0);
}

/* ---- what goes wrong ------------------------------------------------------------------------------- */

static volatile int *volatile nowhere = (volatile int *)8;
static int fatal;

static void crash(const struct before *instance)
{
    if (instance->number == fatal) {
        *nowhere = 0;
    }
}

static void give_up(const struct before *instance)
{
    if (instance->number == fatal) {
        molt_fail("no");
    }
}

static void fails(void (*what)(const struct before *instance), const char *message)
{
    struct program program;
    char instance[64];

    also = what;
    begin(&program, 0, 0);
    size_t used = fake_heap_used(), count = fake_heap_count();
    uint64_t hash = fake_heap_hash_of(used);
    assert_int_equal(program_migrate(&program), -EFAULT);
    snprintf(instance, sizeof(instance), "%p", (void *)instances[fatal]);
    if (!strstr(program.report.reason, message) || !strstr(program.report.reason, instance) ||
        !strstr(program.report.reason, "migration of struct node")) {
        fail_msg("%s; not %s at %s", program.report.reason, message, instance);
    }
    check_discarded(&program, hash, used, count);
    program_end(&program);
    assert_int_equal(fake_heap_hidden(), 0);
}

static void test_policies_that_fail(void **state)
{
    for (fatal = 0; fatal < COUNT; fatal += 701) { /* on any of the threads */
        fails(crash, "it crashed (SIGSEGV at address 0x8)");
        fails(give_up, ": no");
    }
}

/* There is no block ahead then, and too few in the stopped world. */
static void test_without_memory(void **state)
{
    struct program program;

    also = NULL;
    begin(&program, 0, 0);
    size_t used = fake_heap_used(), count = fake_heap_count();
    uint64_t hash = fake_heap_hash_of(used);
    fake_heap_limit(COUNT / 2 * sizeof(struct after));
    assert_int_equal(program_migrate(&program), -ENOMEM);
    assert_non_null(strstr(program.report.reason, "not enough memory: the program"));
    check_discarded(&program, hash, used, count);
    program_end(&program);
    assert_int_equal(fake_heap_hidden(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_moves_and_more),
        cmocka_unit_test(test_more_than_expected),
        cmocka_unit_test(test_policies_that_fail),
        cmocka_unit_test(test_without_memory),
    };
    stop_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
