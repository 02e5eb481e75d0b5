/* Thousands of instances are migrated in one pass, by whoever is free, and put back to the byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/unit/engine/state_program.h"

void molt_fail(const char *format, ...);

#define COUNT 5000

struct before {
    double a;
    int32_t number; /* and four bytes that nobody owns */
    struct before *next;
};
struct after {
    struct after *next;
    double a;
    int32_t number;
};

static bool exact_there; /* the bytes that nobody owns go along */

static void there(const void *from, void *to)
{
    const struct before *old = from;
    struct after *new = to;

    if (exact_there) {
        memcpy((char *)to + 20, (const char *)from + 12, 4);
    }

    new->next = (struct after *)old->next;
    new->a = old->a;
    new->number = old->number;
}

static void back(const void *from, void *to)
{
    const struct after *old = from;
    struct before *new = to;

    new->next = (struct before *)old->next;
    new->a = old->a;
    new->number = old->number;
}

/* Says of one of two instances that it is another one. */
static void back_wrong(const void *from, void *to)
{
    back(from, to);
    ((struct before *)to)->number &= ~1;
}

static struct before *instances[COUNT];

/* A list, of which each third instance has rubbish between its members, and each PAIRTH is an array of two.
 */
static void begin(struct program *program, void (*migrate)(const void *, void *),
                  void (*invert)(const void *, void *), int pairth)
{
    program_begin(program);
    struct fixture *fixture = program->fixture;
    program->from = fixture_layout(fixture, "struct node", sizeof(struct before));
    fixture_field(fixture, "next", offsetof(struct before, next), MOLT_FIELD_POINTER, program->from, 1, 8);
    program->to = fixture_layout(fixture, "struct node", sizeof(struct after));
    fixture_field(fixture, "next", offsetof(struct after, next), MOLT_FIELD_POINTER, program->to, 1, 8);
    fixture_migration(fixture, program->from, program->to, migrate, MOLT_MIGRATION_GENERATED);
    fixture_segment(fixture, 0, 8, 8);
    fixture_segment(fixture, 8, 4, 16);
    fixture_segment(fixture, 16, 8, 0);
    if (invert) {
        fixture_migration(fixture, program->to, program->from, invert,
                          MOLT_MIGRATION_GENERATED | MOLT_MIGRATION_INVERSE);
    }
    program_sites(program);
    for (int i = 0; i < COUNT; i++) {
        bool pair = pairth && i % pairth == 0;
        size_t size = (pair ? 2 : 1) * sizeof(struct before);
        instances[i] = fake_heap_block(size, size, pair ? program->array : program->object);
        memset(instances[i], i % 3 ? 0 : 0x5a, size);
        for (int k = 0; k <= pair; k++) {
            instances[i][k].a = i / 2.0;
            instances[i][k].number = i;
            instances[i][k].next = i ? instances[i - 1] : NULL;
        }
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
    }
}

static void goes_there_and_back(void (*invert)(const void *, void *), int pairth)
{
    struct program program;

    begin(&program, there, invert, pairth);
    uint64_t before = fake_heap_hash();
    assert_int_equal(program_migrate(&program), 0);
    check_new(pairth);
    assert_int_equal(program.report.instances, COUNT);
    state_revert(program.state);
    assert_int_equal(fake_heap_hash(), before);
    assert_int_equal(state_migrate(program.state, &program.world, &program.report), 0);
    state_commit(program.state, &program.report);
    check_new(pairth);
    program_end(&program);
}

/* Each byte is a member's, and is moved: nothing tries whether the way back, which is wrong, restores it. */
static void test_each_byte_is_moved(void **state)
{
    struct program program;

    begin(&program, there, back_wrong, 0);
    struct molt_patch_segment *segments = program.fixture->segments;
    for (int i = 0; i < 3; i++) {
        segments[i].flags = MOLT_SEGMENT_COPIED;
    }
    segments[1].size = 8; /* it has four bytes more in both */
    exact_there = true;
    uint64_t before = fake_heap_hash();
    assert_int_equal(program_migrate(&program), 0);
    exact_there = false;
    check_new(0);
    state_revert(program.state);
    assert_int_equal(fake_heap_hash(), before);
    program_end(&program);
}

static void test_there_and_back(void **state)
{
    goes_there_and_back(back, 0);
    goes_there_and_back(back_wrong, 0);
    goes_there_and_back(NULL, 0);
    goes_there_and_back(back, 7); /* some are for another pass */
}

/* Pointers to other places than starts, to the old type's second member, which is the third now. */
static void test_pointers_into_instances(void **state)
{
    struct program program;

    begin(&program, there, back, 0);
    uint32_t number = fixture_layout(program.fixture, "int", 4);
    program.fixture->layouts[number].flags |= MOLT_LAYOUT_SCALAR;
    static int32_t *into;
    fixture_root(program.fixture, "into", &into, MOLT_FIELD_POINTER, number, 1, sizeof(into));
    into = &instances[77]->number;
    uint64_t before = fake_heap_hash();
    assert_int_equal(program_migrate(&program), 0);
    check_new(0);
    assert_ptr_equal(into, &((struct after *)instances[77])->number);
    state_revert(program.state);
    assert_ptr_equal(into, &instances[77]->number);
    assert_int_equal(fake_heap_hash(), before);
    program_end(&program);
}

/* ---- what goes wrong ------------------------------------------------------------------------------- */

static volatile int *volatile nowhere = (volatile int *)8;
static int fatal;
static atomic_bool reached;

static long milliseconds(struct timespec from, struct timespec to)
{
    return (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
}

/* Whoever makes the first instance waits for the fatal one, for a moment: so a helper has its share of both.
 */
static bool is_fatal(const struct before *instance)
{
    struct timespec start, now;

    if (instance->number == fatal) {
        reached = true;
        return true;
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    now = start;
    while (!instance->number && !reached && milliseconds(start, now) < 300) {
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    return false;
}

static void crash(const void *from, void *to)
{
    there(from, to);
    if (is_fatal(from)) {
        *nowhere = 0;
    }
}

static void never_end(const void *from, void *to)
{
    there(from, to);
    for (volatile int i = 0; is_fatal(from);) {
        i = i + 1;
    }
}

static int (*volatile again)(int depth);

static int recurse(int depth)
{
    volatile char room[1000];

    room[depth % 1000] = 1;
    return again(depth + 1) + room[3];
}

static void overflow(const void *from, void *to)
{
    there(from, to);
    if (is_fatal(from)) {
        again = recurse;
        again(0);
    }
}

static void give_up(const void *from, void *to)
{
    there(from, to);
    if (is_fatal(from)) {
        molt_fail("no");
    }
}

static size_t tasks(void)
{
    DIR *directory = opendir("/proc/self/task");
    size_t count = 0;

    while (readdir(directory)) {
        count++;
    }
    closedir(directory);
    return count;
}

static void fails(void (*migrate)(const void *, void *), const char *message)
{
    struct program program;
    char instance[64];

    begin(&program, migrate, back, 0);
    reached = false;
    uint64_t before = fake_heap_hash();
    size_t threads = tasks();
    assert_int_equal(program_migrate(&program), -EFAULT);
    snprintf(instance, sizeof(instance), "%p", (void *)instances[fatal]);
    if (!strstr(program.report.reason, message) || !strstr(program.report.reason, instance) ||
        !strstr(program.report.reason, "migration of struct node")) {
        fail_msg("%s; not %s at %s", program.report.reason, message, instance);
    }
    state_revert(program.state);
    assert_int_equal(fake_heap_hash(), before);
    assert_int_equal(tasks(), threads);
    program_end(&program);
}

static void test_policies_that_fail(void **state)
{
    for (fatal = 0; fatal < COUNT; fatal += 701) { /* on any of the threads */
        fails(crash, "it crashed (SIGSEGV at address 0x8)");
        fails(overflow, "it crashed (SIGSEGV");
        fails(give_up, ": no");
    }
    fatal = 10;
    fails(never_end, "it took too long");
    fatal = COUNT - 10;
    fails(never_end, "it took too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_each_byte_is_moved),
        cmocka_unit_test(test_pointers_into_instances),
        cmocka_unit_test(test_policies_that_fail),
    };
    stop_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
