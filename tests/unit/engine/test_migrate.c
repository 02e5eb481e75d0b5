/* Instances are migrated in place in a really stopped world, and put back to the byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>

#include "tests/unit/engine/state_program.h"

void molt_fail(const char *format, ...);

struct point_old {
    double x, y, z;
};
struct point {
    float x, y, z;
    int32_t age;
};
struct wide {
    double x, y, z;
    int64_t age;
};

static void narrow(const void *from, void *to)
{
    const struct point_old *old = from;
    struct point *new = to;

    *new = (struct point){ (float)old->x, (float)old->y, (float)old->z, 7 };
}

static void widen(const void *from, void *to)
{
    const struct point_old *old = from;
    struct wide *new = to;

    *new = (struct wide){ old->x, old->y, old->z, 7 };
}

/* ---- a program: blocks and a variable -------------------------------------------------------------- */

static struct point_old global[3];

static void begin(struct program *program, size_t size_after, void (*migrate)(const void *, void *),
                  uint32_t flags)
{
    program_begin(program);
    struct fixture *fixture = program->fixture;
    program->from = fixture_layout(fixture, "struct point", sizeof(struct point_old));
    program->to = fixture_layout(fixture, "struct point", (uint32_t)size_after);
    fixture_migration(fixture, program->from, program->to, migrate, flags);
    program_sites(program);
    for (int i = 0; i < 3; i++) {
        global[i] = (struct point_old){ i, 10 * i, 100 * i };
    }
}

static struct point_old *new_point(struct program *program, unsigned site, size_t count, size_t usable,
                                   double x)
{
    struct point_old *points = fake_heap_block(count * sizeof(*points), usable, site);

    memset(points, 0x5a, usable);
    for (size_t i = 0; i < count; i++) {
        points[i] = (struct point_old){ x + (double)i, 2, 3 };
    }
    return points;
}

/* ---- in place -------------------------------------------------------------------------------------- */

static void test_blocks_and_variables_in_place(void **state)
{
    struct program program;

    begin(&program, sizeof(struct point), narrow, MOLT_MIGRATION_GENERATED);
    fixture_root(program.fixture, "global", global, MOLT_FIELD_MEMBER, program.from, 3, sizeof(global[0]));
    struct point *one = (void *)new_point(&program, program.object, 1, 24, 5);
    struct point *two = (void *)new_point(&program, program.wrapped, 1, 40, 6);
    struct point *many = (void *)new_point(&program, program.array, 100, 2408, 1000);
    uint8_t *other = fake_heap_block(24, 24, 1);
    memset(other, 1, 24);
    assert_int_equal(program_migrate(&program), 0);
    state_commit(program.state, &program.report);
    assert_true(one->x == 5 && one->age == 7 && two->x == 6 && two->age == 7);
    for (int i = 0; i < 100; i++) {
        assert_true(many[i].x == 1000 + (float)i && many[i].z == 3 && many[i].age == 7);
    }
    const struct point *variable = (void *)global;
    assert_true(variable[2].x == 2 && variable[2].z == 200 && variable[2].age == 7);
    assert_int_equal(fake_heap_size(one), sizeof(struct point));
    assert_int_equal(fake_heap_size(many), 100 * sizeof(struct point));
    assert_int_equal(other[23], 1);
    assert_int_equal(program.report.instances, 4);
    assert_int_equal(program.report.types, 1);
    program_end(&program);
}

static void test_growing_within_the_block(void **state)
{
    struct program program;

    begin(&program, sizeof(struct wide), widen, MOLT_MIGRATION_GENERATED);
    struct wide *one = (void *)new_point(&program, program.object, 1, 40, 5);
    struct wide *many = (void *)new_point(&program, program.array, 9, 300, 50);
    uint64_t before = fake_heap_hash();
    assert_int_equal(program_migrate(&program), 0);
    assert_int_not_equal(fake_heap_hash(), before);
    state_revert(program.state);
    assert_int_equal(fake_heap_hash(), before);
    assert_int_equal(fake_heap_size(one), sizeof(struct point_old));
    assert_int_equal(state_migrate(program.state, &program.world, &program.report), 0);
    state_commit(program.state, &program.report);
    assert_true(one->x == 5 && one->z == 3 && one->age == 7);
    for (int i = 0; i < 9; i++) {
        assert_true(many[i].x == 50 + i && many[i].age == 7);
    }
    assert_int_equal(fake_heap_size(many), 9 * sizeof(struct wide));
    program_end(&program);
}

static void test_moved_when_it_does_not_fit(void **state)
{
    struct program program;

    begin(&program, sizeof(struct wide), widen, MOLT_MIGRATION_GENERATED);
    struct point_old *one = new_point(&program, program.object, 1, 24, 5);
    new_point(&program, program.array, 9, 216, 50);
    new_point(&program, program.object, 1, 40, 6);
    uint64_t before = fake_heap_hash();
    assert_int_equal(program_migrate(&program), 0);
    assert_int_equal(program.report.instances, 3);
    assert_int_equal(program.report.moved, 2);
    assert_true(one->x == 5); /* as it was, until the commit */
    assert_int_equal(fake_heap_count(), 5);
    state_revert(program.state);
    assert_int_equal(fake_heap_hash(), before);
    fake_heap_limit(40);
    assert_int_equal(state_migrate(program.state, &program.world, &program.report), -ENOMEM);
    assert_non_null(strstr(program.report.reason, "not enough memory: the program"));
    state_revert(program.state);
    assert_int_equal(fake_heap_hash(), before);
    program_end(&program);
}

/* ---- what policies may do -------------------------------------------------------------------------- */

static int elsewhere = 3;
static char *allocated;

static void custom(const void *from, void *to)
{
    elsewhere++;
    allocated = strdup("a policy may allocate");
    narrow(from, to);
}

static void test_a_policy_that_writes_elsewhere(void **state)
{
    struct program program;

    begin(&program, sizeof(struct point), custom, 0);
    struct point *one = (void *)new_point(&program, program.object, 1, 24, 5);
    struct point *many = (void *)new_point(&program, program.array, 10, 244, 50);
    fixture_root(program.fixture, "global", global, MOLT_FIELD_MEMBER, program.from, 3, sizeof(global[0]));
    uint64_t before = fake_heap_hash();
    assert_int_equal(program_migrate(&program), 0);
    assert_int_equal(elsewhere, 3 + 14);
    assert_string_equal(allocated, "a policy may allocate");
    assert_true(one->age == 7 && many[9].x == 59);
    state_revert(program.state);
    assert_int_equal(fake_heap_hash(), before);
    assert_int_equal(elsewhere, 3);
    assert_null(allocated);
    assert_true(global[2].z == 200);
    for (int i = 0; i < 1000; i++) { /* the program's allocator has noticed nothing */
        free(malloc((size_t)i));
    }
    assert_int_equal(state_migrate(program.state, &program.world, &program.report), 0);
    state_commit(program.state, &program.report);
    assert_int_equal(elsewhere, 3 + 14);
    assert_true(one->age == 7 && many[9].x == 59 && ((struct point *)global)[2].z == 200);
    elsewhere = 3;
    allocated = NULL;
    program_end(&program);
}

static volatile int *volatile nowhere = (volatile int *)8;

static void crash(const void *from, void *to)
{
    elsewhere++;
    if (((const struct point_old *)from)->x == 53) {
        *nowhere = 0;
    }
}

static void never_end(const void *from, void *to)
{
    elsewhere++;
    for (volatile int i = 0;; i++) {
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
    elsewhere++;
    again = recurse;
    again(0);
}

static void give_up(const void *from, void *to)
{
    elsewhere++;
    molt_fail("x is %g", ((const struct point_old *)from)->x);
}

static void write_beyond(const void *from, void *to)
{
    elsewhere++;
    memset(to, 0, sizeof(struct point) + 1);
}

static void abort_it(const void *from, void *to)
{
    elsewhere++;
    abort();
}

static void divide(const void *from, void *to)
{
    volatile int zero = 0;

    elsewhere = 1000 / zero;
}

static void fails(void (*migrate_it)(const void *, void *), const char *message)
{
    struct program program;

    begin(&program, sizeof(struct point), migrate_it, 0);
    fixture_site(program.fixture, 1, MOLT_SITE_BYTES, 0);
    program.fixture->migrations[0].file = fixture_string(program.fixture, "molt/point.c");
    program.fixture->migrations[0].line = 12;
    new_point(&program, program.array, 10, 244, 50);
    uint64_t before = fake_heap_hash();
    assert_int_equal(program_migrate(&program), -EFAULT);
    if (!strstr(program.report.reason, message)) {
        fail_msg("%s", program.report.reason);
    }
    assert_non_null(strstr(program.report.reason, "migration of struct point (molt/point.c:12)"));
    assert_int_equal(program.report.outcome, UPDATE_FAILED);
    assert_string_equal(program.report.failure.kind, "policy");
    assert_int_equal(program.report.failure.old_size, sizeof(struct point_old));
    state_revert(program.state);
    assert_int_equal(elsewhere, 3);
    assert_int_equal(fake_heap_hash(), before);
    program_end(&program);
}

static void test_policies_that_fail(void **state)
{
    struct sigaction before, after;

    sigaction(SIGSEGV, NULL, &before);
    fails(crash, "(4 of 10): it crashed (SIGSEGV at address 0x8)");
    fails(never_end, "it took too long");
    fails(overflow, "it crashed (SIGSEGV");
    fails(give_up, ": x is 50");
    fails(write_beyond, "it wrote beyond the end");
    fails(abort_it, "it aborted (SIGABRT)");
    fails(divide, "it crashed (SIGFPE");
    sigaction(SIGSEGV, NULL, &after);
    assert_true(before.sa_handler == after.sa_handler && before.sa_flags == after.sa_flags);
}

/* ---- validations ----------------------------------------------------------------------------------- */

static int is_near(const void *from, const void *to)
{
    elsewhere++;
    return fabs(((const struct point_old *)from)->x - (double)((const struct point *)to)->x) < 1e-6;
}

static int has_age(const void *instance)
{
    return ((const struct point *)instance)->age == 7;
}

static void narrow_wrong(const void *from, void *to)
{
    narrow(from, to);
    if (((const struct point_old *)from)->x == 54) {
        ((struct point *)to)->x++;
    }
}

static void narrow_ageless(const void *from, void *to)
{
    narrow(from, to);
    if (((const struct point_old *)from)->x == 55) {
        ((struct point *)to)->age--;
    }
}

static void validated(void (*migrate_it)(const void *, void *), uint32_t flags, const char *reason)
{
    struct program program;

    begin(&program, sizeof(struct point), migrate_it, flags);
    struct fixture *fixture = program.fixture;
    fixture->migrations[0].validate = fixture_symbol(fixture, is_near);
    fixture->migrations[0].validate_file = fixture_string(fixture, "molt/point.c");
    fixture->migrations[0].validate_line = 30;
    fixture->invariants[fixture->patch.file.patch_invariants_count++] =
        (struct molt_patch_invariant){ program.to,
                                       fixture_symbol(fixture, has_age),
                                       fixture_string(fixture, "has_age"),
                                       fixture_string(fixture, "molt/always.c"),
                                       9,
                                       0 };
    struct point *many = (void *)new_point(&program, program.array, 10, 244, 50);
    uint64_t before = fake_heap_hash();
    if (!reason) {
        assert_int_equal(program_migrate(&program), 0);
        state_commit(program.state, &program.report);
        assert_true(many[3].x == 53);
    } else {
        assert_int_equal(program_migrate(&program), -EFAULT);
        assert_non_null(strstr(program.report.reason, reason));
        state_revert(program.state);
        assert_int_equal(fake_heap_hash(), before);
        assert_int_equal(elsewhere, 3);
    }
    elsewhere = 3;
    program_end(&program);
}

static void test_validations(void **state)
{
    validated(narrow, MOLT_MIGRATION_GENERATED, NULL);
    validated(narrow_wrong, 0, "validation of struct point (molt/point.c:30)");
    validated(narrow_wrong, MOLT_MIGRATION_GENERATED, "(5 of 10): it does not hold");
    validated(narrow_ageless, MOLT_MIGRATION_GENERATED,
              "invariant of struct point has_age (molt/always.c:9)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_and_variables_in_place),
        cmocka_unit_test(test_growing_within_the_block),
        cmocka_unit_test(test_moved_when_it_does_not_fit),
        cmocka_unit_test(test_a_policy_that_writes_elsewhere),
        cmocka_unit_test(test_policies_that_fail),
        cmocka_unit_test(test_validations),
    };
    stop_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
