/* Frames that wait for a call are taken over by another version of their function, whose frame is a different
 * one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/mapping.h"
#include "engine/threads/barrier.h"
#include "engine/threads/safe_point.h"
#include "engine/threads/unwind.h"
#include "engine/update/frames.h"

/*
 * Both versions add up what transfer_step returns until that is 0. The old one has the sum in rbx; the new
 * one in its large frame, and it doubles what it adds, by a factor that it has in r12.
 */
long sum_old(long start);
long sum_new(long start);
extern const char sum_old_returned[], sum_new_returned[], sum_old_end[], sum_new_end[];
__asm__(".text\n"
        ".type sum_old, @function\n"
        "sum_old:\n"
        "    .cfi_startproc\n"
        "    push %rbx\n"
        "    .cfi_def_cfa_offset 16\n"
        "    .cfi_offset rbx, -16\n"
        "    mov %rdi, %rbx\n"
        "1:  call transfer_step\n"
        "sum_old_returned:\n"
        "    test %rax, %rax\n"
        "    je 2f\n"
        "    add %rax, %rbx\n"
        "    jmp 1b\n"
        "2:  mov %rbx, %rax\n"
        "    pop %rbx\n"
        "    .cfi_def_cfa_offset 8\n"
        "    ret\n"
        "    .cfi_endproc\n"
        "sum_old_end:\n"
        ".type sum_new, @function\n"
        "sum_new:\n"
        "    .cfi_startproc\n"
        "    push %r12\n"
        "    .cfi_def_cfa_offset 16\n"
        "    .cfi_offset r12, -16\n"
        "    push %rbx\n"
        "    .cfi_def_cfa_offset 24\n"
        "    .cfi_offset rbx, -24\n"
        "    sub $0x1008, %rsp\n"
        "    .cfi_def_cfa_offset 0x1020\n"
        "    mov %rdi, 8(%rsp)\n"
        "    mov $2, %r12\n"
        "1:  call transfer_step\n"
        "sum_new_returned:\n"
        "    test %rax, %rax\n"
        "    je 2f\n"
        "    imul %r12, %rax\n"
        "    add %rax, 8(%rsp)\n"
        "    jmp 1b\n"
        "2:  mov 8(%rsp), %rax\n"
        "    add $0x1008, %rsp\n"
        "    .cfi_def_cfa_offset 24\n"
        "    pop %rbx\n"
        "    .cfi_def_cfa_offset 16\n"
        "    pop %r12\n"
        "    .cfi_def_cfa_offset 8\n"
        "    ret\n"
        "    .cfi_endproc\n"
        "sum_new_end:\n");

enum { RBX = 3, RSP = 7, R12 = 12 };

static const struct transfer_value forth_values[] = {
    { .to = TRANSFER_REGISTER,
      .to_number = R12,
      .from = TRANSFER_CONSTANT,
      .from_number = 2,
      .from_size = 8 },
    { .to = TRANSFER_SLOT,
      .to_number = -16,
      .size = 8,
      .from = TRANSFER_REGISTER,
      .from_number = R12,
      .from_size = 8 },
    { .to = TRANSFER_SLOT, .to_number = -24, .size = 8, .from = TRANSFER_SLOT, .from_number = -16 },
    { .to = TRANSFER_SLOT,
      .to_number = -0x1018,
      .size = 8,
      .from = TRANSFER_REGISTER,
      .from_number = RBX,
      .from_size = 8 },
};

static const struct transfer_value back_values[] = {
    { .to = TRANSFER_REGISTER,
      .to_number = RBX,
      .from = TRANSFER_SLOT,
      .from_number = -0x1018,
      .from_size = 8 },
    { .to = TRANSFER_SLOT, .to_number = -16, .size = 8, .from = TRANSFER_SLOT, .from_number = -24 },
    { .to = TRANSFER_REGISTER, .to_number = R12, .from = TRANSFER_SLOT, .from_number = -16, .from_size = 8 },
};

/* What a policy sees of the old frame and gives to the new one. */
struct seen {
    long sum;
};
struct given {
    long unused, factor;
};

static const struct transfer_value seen_values[] = {
    { .to = TRANSFER_POLICY,
      .to_number = 0,
      .size = 8,
      .from = TRANSFER_REGISTER,
      .from_number = RBX,
      .from_size = 8 },
};

static long policies_run;
static long *written; /* the program's memory, which this test's own data is not */
static volatile int *volatile no_place;

static void choose_factor(const void *seen, void *given)
{
    policies_run++;
    ((struct given *)given)->factor = ((const struct seen *)seen)->sum - 8;
}

static void give_address_of_copy(const void *seen, void *given)
{
    ((struct given *)given)->factor = (long)&((const struct seen *)seen)->sum;
}

static void write_and_crash(const void *seen, void *given)
{
    *written = 7;
    *no_place = 1;
}

static struct transfer forth, back, by_policy;
static struct transfer_value by_policy_values[4];

static void make_recipes(void)
{
    forth = (struct transfer){ .from = (uintptr_t)sum_old_returned,
                               .to = (uintptr_t)sum_new_returned,
                               .cfa_register = RSP,
                               .cfa_offset = 16,
                               .new_size = 0x1020,
                               .values = forth_values,
                               .value_count = 4,
                               .function = "sum" };
    back = (struct transfer){ .from = (uintptr_t)sum_new_returned,
                              .to = (uintptr_t)sum_old_returned,
                              .cfa_register = RSP,
                              .cfa_offset = 0x1020,
                              .new_size = 16,
                              .values = back_values,
                              .value_count = 3,
                              .function = "sum" };
    memcpy(by_policy_values, forth_values, sizeof(by_policy_values));
    by_policy_values[0].from = TRANSFER_POLICY;
    by_policy_values[0].from_number = 8;
    by_policy = forth;
    by_policy.values = by_policy_values;
    by_policy.policy = choose_factor;
    by_policy.policy_file = "molt/sum.c";
    by_policy.policy_line = 12;
    by_policy.seen_size = sizeof(struct seen);
    by_policy.given_size = sizeof(struct given);
    by_policy.seen = seen_values;
    by_policy.seen_count = 1;
}

/* ---- a thread that sums ---------------------------------------------------------------------------- */

static sem_t waiting, go_on;
static long handed;
static int frames_seen;
static bool saw_thread_function;

static void *sum_in_thread(void *argument);

long transfer_step(void);
__attribute__((used)) long transfer_step(void)
{
    void *frames[32];

    sem_post(&waiting);
    sem_wait(&go_on);
    frames_seen = backtrace(frames, 32);
    for (int i = 0; i < frames_seen; i++) {
        saw_thread_function |= (uintptr_t)frames[i] - (uintptr_t)sum_in_thread < 128;
    }
    return handed;
}

static void *sum_in_thread(void *argument)
{
    long result = sum_old((long)argument);

    __asm__ volatile("" ::: "memory"); /* no tail call */
    return (void *)result;
}

/* Lets the thread take VALUE, and waits until it waits again. */
static void hand(long value)
{
    handed = value;
    sem_post(&go_on);
    if (value) {
        sem_wait(&waiting);
    }
}

static pthread_t start_sum(long start)
{
    pthread_t thread;

    sem_init(&waiting, 0, 0);
    sem_init(&go_on, 0, 0);
    saw_thread_function = false;
    assert_int_equal(pthread_create(&thread, NULL, sum_in_thread, (void *)start), 0);
    sem_wait(&waiting);
    return thread;
}

static long finish_sum(pthread_t thread)
{
    void *result;

    hand(0);
    pthread_join(thread, &result);
    return (long)result;
}

/* ---- the engine's side ----------------------------------------------------------------------------- */

static struct update_report report;

static void no_critical_section(void)
{
}

static uintptr_t stays(void *context, uintptr_t address)
{
    return address;
}

enum {
    SOON_MS = 10,
    IN_VAIN_MS = 30,     /* what is waited for does not come */
    PATIENCE_MS = 20000, /* it does, as soon as the machine has time for us */
};

/* Updates the function that lies in [START, END): what is suspended in it follows RECIPES, or takes one of
 * CANCELLED back. */
static int update(const char *start, const char *end, const struct transfer *recipe,
                  const struct transfer *cancelled, uint32_t after_ms)
{
    struct affected_range range = { (uintptr_t)start, (uintptr_t)end, "sum" };
    struct safe_point point = {
        .ranges = &range,
        .count = 1,
        .timeout_ms = recipe && after_ms <= SOON_MS ? PATIENCE_MS : IN_VAIN_MS,
        .transfers = { recipe, recipe != NULL, cancelled, cancelled != NULL, after_ms },
        .enter_critical = no_critical_section,
        .leave_critical = no_critical_section,
    };
    struct world world;
    struct frames frames = { 0 };
    int status = safe_point_reach(&point, &world);

    if (status < 0) {
        return status;
    }
    status = frames_prepare(&frames, &point, NULL, &report);
    status = status < 0 ? status : frames_give(&frames, &point, &world, NULL, &report);
    if (status == 0) {
        safe_point_transfer(&point, stays, NULL);
        frames_commit(&frames);
    } else {
        frames_revert(&frames);
        frames_free(&frames);
    }
    resume_world();
    return status;
}

static int update_forth(void)
{
    return update((const char *)sum_old, sum_old_end, &forth, &back, 0);
}

static int update_back(void)
{
    return update((const char *)sum_new, sum_new_end, &back, &forth, 0);
}

/* ---- tests ----------------------------------------------------------------------------------------- */

static void without_a_recipe_it_is_waited_for(void **state)
{
    pthread_t thread = start_sum(1);

    assert_int_equal(update((const char *)sum_old, sum_old_end, NULL, NULL, 0), -EBUSY);
    assert_int_equal(update((const char *)sum_old, sum_old_end, &forth, NULL, UINT32_MAX), -EBUSY);
    assert_int_equal(finish_sum(thread), 1);
}

static void the_new_version_goes_on(void **state)
{
    pthread_t thread = start_sum(1);

    hand(10);
    assert_int_equal(update_forth(), 0);
    hand(100); /* the call was made by the old version, and its result is taken by the new one */
    hand(1000);
    assert_int_equal(finish_sum(thread), 1 + 10 + 200 + 2000);
    assert_true(saw_thread_function);
}

static void it_is_waited_for_first(void **state)
{
    pthread_t thread = start_sum(1);

    assert_int_equal(update((const char *)sum_old, sum_old_end, &forth, NULL, SOON_MS), 0);
    hand(100);
    assert_int_equal(finish_sum(thread), 1 + 200);
}

static void what_lasted_once_is_not_waited_for_again(void **state)
{
    const uint32_t never_in_time = 60000;
    pthread_t thread = start_sum(1);

    assert_int_equal(update((const char *)sum_old, sum_old_end, &forth, NULL, never_in_time), -EBUSY);
    assert_int_equal(update((const char *)sum_old, sum_old_end, &forth, NULL, SOON_MS), 0);
    hand(10);
    assert_int_equal(update((const char *)sum_new, sum_new_end, NULL, NULL, never_in_time), -EBUSY);
    assert_int_equal(update((const char *)sum_new, sum_new_end, &back, NULL, UINT32_MAX), -EBUSY);
    assert_int_equal(update((const char *)sum_new, sum_new_end, &back, NULL, never_in_time), 0);
    hand(100);
    assert_int_equal(finish_sum(thread), 1 + 20 + 100);
    thread = start_sum(1); /* another activation */
    assert_int_equal(update((const char *)sum_old, sum_old_end, &forth, NULL, never_in_time), -EBUSY);
    assert_int_equal(finish_sum(thread), 1);
}

static void a_second_update_is_added(void **state)
{
    pthread_t thread = start_sum(1);

    hand(5);
    assert_int_equal(update_forth(), 0);
    assert_int_equal(update((const char *)sum_new, sum_new_end, &back, NULL, 0),
                     0); /* as if back were a third version */
    hand(10);
    assert_int_equal(update_forth(), 0);
    hand(100);
    assert_int_equal(finish_sum(thread), 1 + 5 + 10 + 200);
}

static void what_is_pending_is_rolled_back(void **state)
{
    transfer_collect();
    pthread_t thread = start_sum(1);
    size_t room = transfer_room();

    assert_int_equal(update_forth(), 0);
    assert_int_equal(transfer_room(), room - 1);
    assert_int_equal(update_back(), 0);
    assert_int_equal(transfer_room(), room);
    hand(10);
    assert_int_equal(finish_sum(thread), 1 + 10);
}

static void what_was_transferred_is_rolled_back(void **state)
{
    pthread_t thread = start_sum(1);

    assert_int_equal(update_forth(), 0);
    hand(10);
    assert_int_equal(update_back(), 0);
    hand(100);
    assert_int_equal(finish_sum(thread), 1 + 20 + 100);
}

static void nothing_is_kept_of_what_is_over(void **state)
{
    transfer_collect();
    size_t room = transfer_room();

    for (int i = 0; i < 3; i++) {
        pthread_t thread = start_sum(1);
        assert_int_equal(update_forth(), 0);
        assert_true(transfer_uses(&forth, 1));
        assert_true(transfer_uses_code((uintptr_t)sum_new, (uintptr_t)sum_new_end));
        if (i == 0) { /* the frame is left without a return */
            pthread_cancel(thread);
            pthread_join(thread, NULL);
        } else {
            finish_sum(thread);
        }
    }
    assert_int_equal(update_back(), 0); /* looks, and finds nothing */
    assert_false(transfer_uses(&forth, 1));
    assert_int_equal(transfer_room(), room);
}

static void a_policy_gives_what_no_recipe_has(void **state)
{
    pthread_t thread = start_sum(1);

    hand(10);
    assert_int_equal(update((const char *)sum_old, sum_old_end, &by_policy, &back, 0), 0); /* 11 - 8 */
    hand(100);
    hand(1000);
    assert_int_equal(finish_sum(thread), 11 + 300 + 3000);
}

static void a_policy_sees_what_is_pending_already(void **state)
{
    pthread_t thread = start_sum(1);

    hand(11);
    assert_int_equal(update_forth(), 0);
    assert_int_equal(update((const char *)sum_new, sum_new_end, &back, NULL, 0), 0);
    policies_run = 0;
    assert_int_equal(update((const char *)sum_old, sum_old_end, &by_policy, NULL, 0), 0); /* 12 - 8 */
    assert_int_equal(policies_run, 1);
    hand(100);
    assert_int_equal(finish_sum(thread), 12 + 400);
}

static void a_policy_that_fails_changes_nothing(void **state)
{
    pthread_t thread = start_sum(1);

    written = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    by_policy.policy = write_and_crash;
    assert_true(update((const char *)sum_old, sum_old_end, &by_policy, &back, 0) < 0);
    assert_int_equal(*written, 0);
    assert_int_equal(report.outcome, UPDATE_FAILED);
    assert_non_null(strstr(report.reason, "MOLT_TRANSFER of sum (molt/sum.c:12)"));
    by_policy.policy = give_address_of_copy;
    assert_true(update((const char *)sum_old, sum_old_end, &by_policy, &back, 0) < 0);
    assert_non_null(strstr(report.reason, "copies"));
    by_policy.policy = choose_factor;
    hand(10);
    assert_int_equal(finish_sum(thread), 11);
}

static void what_was_given_is_kept_as_long_as_it_is_needed(void **state)
{
    struct mapping mapping;
    size_t count = 0;

    transfer_collect();
    frames_reclaim();
    pthread_t thread = start_sum(13);
    assert_int_equal(update((const char *)sum_old, sum_old_end, &by_policy, &back, 0), 0);
    frames_reclaim();
    hand(100);
    assert_int_equal(finish_sum(thread), 13 + 500);
    transfer_collect();
    frames_reclaim();
    for (size_t i = 0; mapping_get(i, &mapping); i++) {
        count += strcmp(mapping.what, "frames") == 0;
    }
    assert_int_equal(count, 0);
}

static int set_up(void **state)
{
    make_recipes();
    stop_init();
    page_log_init();
    return unwind_init() < 0 || barrier_init() < 0 || transfer_init() < 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_recipe_it_is_waited_for),
        cmocka_unit_test(the_new_version_goes_on),
        cmocka_unit_test(it_is_waited_for_first),
        cmocka_unit_test(what_lasted_once_is_not_waited_for_again),
        cmocka_unit_test(a_second_update_is_added),
        cmocka_unit_test(what_is_pending_is_rolled_back),
        cmocka_unit_test(what_was_transferred_is_rolled_back),
        cmocka_unit_test(nothing_is_kept_of_what_is_over),
        cmocka_unit_test(a_policy_gives_what_no_recipe_has),
        cmocka_unit_test(a_policy_sees_what_is_pending_already),
        cmocka_unit_test(a_policy_that_fails_changes_nothing),
        cmocka_unit_test(what_was_given_is_kept_as_long_as_it_is_needed),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
