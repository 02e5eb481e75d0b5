/* Whatever leads to an instance that moves follows it; what its type says is no address is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>

#include "tests/unit/engine/state_program.h"

struct link {
    struct link *next;
};
struct node_old {
    struct node_old *next;
    struct link link;
    int64_t value;
    void *any;
};
struct node {
    int64_t value, extra;
    struct node *next;
    struct link link;
    void *any;
    char room[40]; /* does not fit */
};

static void migrate_node(const void *from, void *to)
{
    const struct node_old *old = from;
    struct node *new = to;

    *new = (struct node){ .value = old->value, .extra = 1, .link = old->link, .any = old->any };
    new->next = (struct node *)old->next;
}

struct nodes {
    struct program program;
    uint32_t link, holder;
};

static struct node_old *head; /* a typed variable */
static void *untyped_head;    /* one of which the patch says nothing */
static struct link *inner;    /* into the middle of a node */
static __thread void *thread_local_head;
static uintptr_t word;
static uint64_t number; /* is no address, whatever it looks like */

static struct node_old *new_node(struct nodes *nodes, int64_t value)
{
    struct node_old *node = fake_heap_block(sizeof(*node), sizeof(*node) + 8, nodes->program.object);

    *node = (struct node_old){ .value = value };
    return node;
}

static void describe(struct nodes *nodes)
{
    struct program *program = &nodes->program;
    struct fixture *fixture = program->fixture;

    nodes->link = fixture_layout(fixture, "struct link", sizeof(struct link));
    fixture_field(fixture, "next", 0, MOLT_FIELD_POINTER, nodes->link, 1, 8);
    program->from = fixture_layout(fixture, "struct node", sizeof(struct node_old));
    program->to = program->from + 1;
    fixture_field(fixture, "next", 0, MOLT_FIELD_POINTER, program->from, 1, 8);
    fixture_field(fixture, "link", 8, MOLT_FIELD_MEMBER, nodes->link, 1, 8);
    fixture_field(fixture, "any", 24, MOLT_FIELD_POINTER, 0, 1, 8);
    fixture_layout(fixture, "struct node", sizeof(struct node));
    fixture_field(fixture, "next", offsetof(struct node, next), MOLT_FIELD_POINTER, program->to, 1, 8);
    fixture_field(fixture, "link", offsetof(struct node, link), MOLT_FIELD_MEMBER, nodes->link, 1, 8);
    fixture_field(fixture, "any", offsetof(struct node, any), MOLT_FIELD_POINTER, 0, 1, 8);
    fixture_migration(fixture, program->from, program->to, migrate_node, MOLT_MIGRATION_GENERATED);
    fixture_segment(fixture, 0, 8, offsetof(struct node, next));
    fixture_segment(fixture, 8, 8, offsetof(struct node, link));
    fixture_segment(fixture, 16, 8, offsetof(struct node, value));
    fixture_segment(fixture, 24, 8, offsetof(struct node, any));
    program_sites(program);
    fixture_root(fixture, "head", &head, MOLT_FIELD_POINTER, program->from, 1, 8)->new_layout = program->to;
    fixture_root(fixture, "inner", &inner, MOLT_FIELD_POINTER, nodes->link, 1, 8);
    fixture_root(fixture, "word", &word, MOLT_FIELD_WORD, 0, 1, 8);
    fixture_root(fixture, "number", &number, MOLT_FIELD_CODE, 0, 1, 8);
}

static void begin(struct nodes *nodes)
{
    head = NULL;
    untyped_head = thread_local_head = NULL;
    inner = NULL;
    word = number = 0;
    program_begin(&nodes->program);
    describe(nodes);
}

/* ---- a thread that holds addresses on its stack, in registers and in thread-local memory ----------- */

struct holder {
    pthread_t thread;
    sem_t ready, go;
    struct node_old *first, *second;
    void *found_on_stack, *found_in_register, *found_thread_local, *found_middle;
};

static __attribute__((noinline)) void *hold(void *argument)
{
    struct holder *holder = argument;
    void *volatile on_stack = holder->first;
    register void *in_register __asm__("r12") = holder->second;
    void *volatile middle = &holder->second->value;

    thread_local_head = holder->first;
    __asm__ volatile("" : "+r"(in_register));
    sem_post(&holder->ready);
    while (sem_trywait(&holder->go) < 0) {
        __asm__ volatile("" : "+r"(in_register));
    }
    holder->found_in_register = in_register;
    holder->found_on_stack = on_stack;
    holder->found_thread_local = thread_local_head;
    holder->found_middle = middle;
    return NULL;
}

static void test_everything_follows(void **state)
{
    struct nodes nodes;
    struct holder holder = { 0 };

    begin(&nodes);
    struct node_old *first = new_node(&nodes, 1), *second = new_node(&nodes, 2), *third = new_node(&nodes, 3);
    first->next = second;
    second->next = third;
    first->link.next = &second->link; /* an intrusive list beside it */
    third->any = first;
    third->value = (int64_t)(uintptr_t)first; /* a number */
    void **untyped = fake_heap_block(64, 64, nodes.program.bytes);
    memset(untyped, 0, 64);
    untyped[3] = second;
    untyped[4] = &second->value;
    untyped[5] = (char *)second + 1000;
    head = first;
    untyped_head = second;
    inner = &third->link;
    word = (uintptr_t)third;
    number = (uintptr_t)first;
    holder.first = first;
    holder.second = second;
    sem_init(&holder.ready, 0, 0);
    sem_init(&holder.go, 0, 0);
    pthread_create(&holder.thread, NULL, hold, &holder);
    sem_wait(&holder.ready);
    uint64_t before = fake_heap_hash();

    assert_int_equal(program_migrate(&nodes.program), 0);
    state_revert(nodes.program.state);
    assert_int_equal(fake_heap_hash(), before);
    assert_ptr_equal(head, first);
    assert_ptr_equal(untyped_head, second);
    assert_int_equal(state_migrate(nodes.program.state, &nodes.program.world, &nodes.program.report), 0);
    state_commit(nodes.program.state, &nodes.program.report);
    sem_post(&holder.go);

    struct node *one = (struct node *)head, *two = one->next, *three = two->next;
    assert_ptr_not_equal(one, first);
    assert_int_equal(one->value, 1);
    assert_int_equal(two->value, 2);
    assert_ptr_equal(one->link.next, &two->link);
    assert_ptr_equal(three->any, one);
    assert_int_equal(three->value, (uintptr_t)first);
    assert_ptr_equal(untyped[3], two);
    assert_ptr_equal(untyped[4], &two->value);
    assert_ptr_equal(untyped[5], (char *)second + 1000);
    assert_ptr_equal(untyped_head, two);
    assert_ptr_equal(inner, &three->link);
    assert_int_equal(word, (uintptr_t)three);
    assert_int_equal(number, (uintptr_t)first);
    assert_int_equal(nodes.program.report.moved, 3);
    assert_true(nodes.program.report.rewritten_typed >= 7);
    assert_true(nodes.program.report.rewritten_untyped >= 3);
    program_end(&nodes.program);
    pthread_join(holder.thread, NULL);
    assert_ptr_equal(holder.found_on_stack, one);
    assert_ptr_equal(holder.found_in_register, two);
    assert_ptr_equal(holder.found_thread_local, one);
    assert_ptr_equal(holder.found_middle, &two->value);
}

static void test_a_shifted_member(void **state)
{
    struct nodes nodes;

    begin(&nodes);
    struct node_old *first = fake_heap_block(sizeof(*first), sizeof(struct node), nodes.program.object);
    *first = (struct node_old){ .value = 5 };
    first->next = first;
    first->any = &first->value;
    head = first;
    inner = &first->link;
    untyped_head = &first->value;
    assert_int_equal(program_migrate(&nodes.program), 0);
    assert_int_equal(nodes.program.report.moved, 0);
    struct node *now = (struct node *)first;
    assert_ptr_equal(head, first);
    assert_ptr_equal(now->next, now);
    assert_ptr_equal(now->any, &now->value);
    assert_ptr_equal(inner, &now->link);
    assert_ptr_equal(untyped_head, &now->value);
    state_revert(nodes.program.state);
    assert_ptr_equal(inner, &first->link);
    assert_ptr_equal(first->any, &first->value);
    program_end(&nodes.program);
}

#define PAGE_OF_PLACES ((uintptr_t)1 << 14) /* memory of which is told at once that nothing in it has moved  \
                                             */

/* An instance that ends where such memory does: pointers to its end are in the next one, where there is
 * nothing. */
static void test_the_end_of_a_page(void **state)
{
    struct nodes nodes;

    begin(&nodes);
    uintptr_t here = (uintptr_t)fake_heap_block(16, 16, nodes.program.bytes) + 64;
    uintptr_t end = (here + 256 + PAGE_OF_PLACES) & ~(PAGE_OF_PLACES - 1);
    size_t between = end - sizeof(struct node_old) - 48 - here;
    fake_heap_block(between, between, nodes.program.bytes);
    struct node_old *first = fake_heap_block(sizeof(*first), sizeof(*first), nodes.program.object);
    assert_int_equal((uintptr_t)(first + 1), end);
    *first = (struct node_old){ .value = 5 };
    head = first;
    untyped_head = first + 1;
    assert_int_equal(program_migrate(&nodes.program), 0);
    assert_ptr_not_equal(head, first);
    assert_ptr_equal(untyped_head, (struct node *)head + 1);
    state_revert(nodes.program.state);
    assert_ptr_equal(untyped_head, first + 1);
    program_end(&nodes.program);
}

static struct node_old variable[3];

/* Of which one remains, so that it fits. */
static void test_a_variable_beside_what_moves(void **state)
{
    struct nodes nodes;

    begin(&nodes);
    struct molt_patch_root *root =
        fixture_root(nodes.program.fixture, "variable", variable, MOLT_FIELD_MEMBER, nodes.program.from, 3,
                     sizeof(variable[0]));
    root->new_layout = nodes.program.to;
    root->new_count = 1;
    struct node_old *first = new_node(&nodes, 5);
    variable[0] = (struct node_old){ .next = first, .value = 6 };
    head = first;
    first->any = &variable[0].value;
    untyped_head = &variable[0].link;
    assert_int_equal(program_migrate(&nodes.program), 0);
    struct node *now = (struct node *)variable;
    assert_ptr_not_equal(head, first);
    assert_ptr_equal(now->next, head);
    assert_ptr_equal(((struct node *)head)->any, &now->value);
    assert_ptr_equal(untyped_head, &now->link);
    state_revert(nodes.program.state);
    assert_ptr_equal(first->any, &variable[0].value);
    assert_ptr_equal(variable[0].next, first);
    program_end(&nodes.program);
}

static void test_elements_of_an_array(void **state)
{
    struct nodes nodes;

    begin(&nodes);
    struct node_old *many = fake_heap_block(10 * sizeof(*many), 10 * sizeof(*many), nodes.program.array);
    void **untyped = fake_heap_block(24, 24, nodes.program.bytes);
    memset(many, 0, 10 * sizeof(*many));
    for (int i = 0; i < 9; i++) {
        many[i].next = &many[i + 1];
        many[i].value = i;
    }
    head = &many[3];
    untyped[0] = many + 10; /* just past the end */
    untyped[1] = &many[9].any;
    assert_int_equal(program_migrate(&nodes.program), 0);
    struct node *now = (struct node *)head - 3;
    assert_ptr_not_equal(now, many);
    assert_int_equal(now[3].value, 3);
    assert_ptr_equal(now[8].next, &now[9]);
    assert_ptr_equal(untyped[0], now + 10);
    assert_ptr_equal(untyped[1], &now[9].any);
    state_commit(nodes.program.state, &nodes.program.report);
    program_end(&nodes.program);
}

static void test_old_blocks_in_quarantine(void **state)
{
    struct nodes nodes;

    begin(&nodes);
    struct node_old *first = head = new_node(&nodes, 1);
    unsigned before = fake_heap_site_of(first);
    assert_int_equal(program_migrate(&nodes.program), 0);
    assert_int_equal(first->value, 1); /* until the commit */
    state_commit(nodes.program.state, &nodes.program.report);
    state_retire(nodes.program.state);
    assert_int_equal((uint64_t)first->value, 0xdbdbdbdbdbdbdbdb);
    assert_true(fake_heap_site_of(first) && fake_heap_site_of(first) != before);
    size_t blocks = fake_heap_count();
    program_end(&nodes.program);
    quarantine_free_earlier();
    assert_int_equal(fake_heap_count(), blocks - 1);
}

/* ---- what is refused, and what is found out -------------------------------------------------------- */

static void refused(struct nodes *nodes, const char *reason)
{
    uint64_t before = fake_heap_hash();

    assert_int_equal(program_migrate(&nodes->program), -EINVAL);
    assert_int_equal(nodes->program.report.outcome, UPDATE_REFUSED);
    if (!strstr(nodes->program.report.reason, reason)) {
        fail_msg("%s", nodes->program.report.reason);
    }
    state_revert(nodes->program.state);
    assert_int_equal(fake_heap_hash(), before);
    program_end(&nodes->program);
}

/* The next patch does not tell what calls make, and takes what an update has left for something else. */
static void test_remembered_as_something_else(void **state)
{
    struct nodes nodes;

    begin(&nodes);
    struct molt_patch_layout *layouts = nodes.program.fixture->layouts;
    head = new_node(&nodes, 1);
    assert_int_equal(program_migrate(&nodes.program), 0);
    state_commit(nodes.program.state, &nodes.program.report);
    state_retire(nodes.program.state);
    resume_world();
    state_destroy(nodes.program.state);
    nodes.program.fixture->patch.file.patch_sites_count = 0;
    layouts[nodes.program.from].hash += 500;
    layouts[nodes.program.to].hash += 500;
    head = NULL;
    fake_heap_block(sizeof(struct node), sizeof(struct node) + 8, nodes.program.object);
    refused(&nodes, "are of a type of that name, which an earlier update left as another one");
}

static void test_a_pool_within_a_buffer(void **state)
{
    struct nodes nodes;

    begin(&nodes);
    struct node_old *pool = fake_heap_block(1000, 1000, nodes.program.bytes);
    head = new_node(&nodes, 1);
    head->next = &pool[3];
    refused(&nodes, "a pointer to struct node in a struct node (member next) leads into 1000 bytes that were "
                    "allocated at site.c");
}

static void test_a_pool_of_its_own(void **state)
{
    static struct node_old pool[10];
    struct nodes nodes;

    begin(&nodes);
    head = &pool[3];
    refused(&nodes, "a pointer to struct node in the variable head leads to 0x");
}

static void test_an_object_on_a_stack(void **state)
{
    struct nodes nodes;
    struct holder holder = { 0 };

    begin(&nodes);
    sem_init(&holder.ready, 0, 0);
    sem_init(&holder.go, 0, 0);
    holder.first = holder.second = new_node(&nodes, 1);
    pthread_create(&holder.thread, NULL, hold, &holder);
    sem_wait(&holder.ready);
    pthread_attr_t attributes;
    void *stack;
    size_t size;
    pthread_getattr_np(holder.thread, &attributes);
    pthread_attr_getstack(&attributes, &stack, &size);
    pthread_attr_destroy(&attributes);
    head = (struct node_old *)((char *)stack + size - 2400); /* above its frames */
    sem_t *go = &holder.go;
    refused(&nodes, "which is on a thread's stack");
    sem_post(go);
    pthread_join(holder.thread, NULL);
}

static void test_a_tagged_pointer(void **state)
{
    struct nodes nodes;

    begin(&nodes);
    struct node_old *first = new_node(&nodes, 1);
    head = (struct node_old *)((char *)first + 3);
    assert_int_equal(program_migrate(&nodes.program), 0);
    assert_int_equal((uintptr_t)head & 7, 3);
    assert_ptr_not_equal(head, (char *)first + 3);
    assert_int_equal(((struct node *)((uintptr_t)head & ~(uintptr_t)7))->value, 1);
    state_revert(nodes.program.state);
    assert_ptr_equal(head, (char *)first + 3);
    program_end(&nodes.program);
}

/* A word that may be an address follows into the middle of an instance; with bits of its own nobody knows
 * whether it does. */
static void test_words_that_may_be_addresses(void **state)
{
    struct nodes nodes;

    begin(&nodes);
    struct node_old *first = new_node(&nodes, 1);
    head = first;
    word = (uintptr_t)&first->link;
    assert_int_equal(program_migrate(&nodes.program), 0);
    assert_ptr_not_equal(head, first);
    assert_ptr_equal(word, &((struct node *)head)->link);
    state_revert(nodes.program.state);
    assert_ptr_equal(word, &first->link);
    program_end(&nodes.program);

    begin(&nodes);
    word = (uintptr_t)new_node(&nodes, 1) + 1;
    refused(&nodes, "a tagged pointer");
}

static void test_types_by_what_leads_there(void **state)
{
    struct nodes nodes;

    begin(&nodes);
    struct node_old *first = new_node(&nodes, 1);
    struct node_old *unknown = fake_heap_block(sizeof(*unknown), sizeof(*unknown), nodes.program.unknown);
    struct node_old *other = fake_heap_block(sizeof(*other), sizeof(struct node), nodes.program.unknown);
    void *nobodys = fake_heap_block(100, 100, nodes.program.unknown);
    memset(nobodys, 3, 100);
    *unknown = (struct node_old){ .value = 2, .next = other };
    *other = (struct node_old){ .value = 3 };
    head = first;
    first->next = unknown;
    assert_int_equal(program_migrate(&nodes.program), 0);
    state_commit(nodes.program.state, &nodes.program.report);
    struct node *one = (struct node *)head, *two = one->next, *three = two->next;
    assert_ptr_not_equal(two, unknown);
    assert_int_equal(two->value, 2);
    assert_ptr_equal(three, other);
    assert_int_equal(three->value, 3);
    assert_int_equal(nodes.program.report.instances, 3);
    assert_string_equal(nodes.program.report.warnings,
                        "1 block allocated at site.c:4176 is of unknown type, and nothing leads to it: "
                        "it stays as it is");
    assert_int_not_equal(fake_heap_site_of(three), nodes.program.unknown); /* it is known from now on */
    assert_int_equal(fake_heap_site_of(nobodys), nodes.program.unknown);
    program_end(&nodes.program);
}

/* Calls on one line, such as inlined ones, are named together. */
static void test_unknown_blocks_by_line(void **state)
{
    struct nodes nodes;

    begin(&nodes);
    head = new_node(&nodes, 1);
    unsigned other = fake_heap_site((uintptr_t[]){ UNKNOWN_CALL, UNKNOWN_CALL + 64, 0 });
    memset(fake_heap_block(100, 100, nodes.program.unknown), 3, 100);
    memset(fake_heap_block(100, 100, other), 3, 100);
    assert_int_equal(program_migrate(&nodes.program), 0);
    state_commit(nodes.program.state, &nodes.program.report);
    assert_string_equal(nodes.program.report.warnings,
                        "2 blocks allocated at site.c:4176 are of unknown type, and nothing leads to them: "
                        "they stay as they are");
    program_end(&nodes.program);
}

/* As if nothing in the program told where nodes are, which holds a block of unknown type of SIZE bytes. */
static void *begin_beside(struct nodes *nodes, size_t size)
{
    struct fixture *fixture;

    begin(nodes);
    fixture = nodes->program.fixture;
    fixture->layouts[nodes->program.from].flags |= MOLT_LAYOUT_BEHIND;
    for (size_t i = 0; i < fixture->patch.file.patch_sites_count; i++) {
        if (fixture->sites[i].layout) {
            fixture->sites[i].layout = 0;
            fixture->sites[i].kind = MOLT_SITE_BYTES;
        }
    }
    return memset(fake_heap_block(size, size, nodes->program.unknown), 0, size);
}

/* What nothing leads to is not left behind silently if it may be there. */
static void test_instances_that_nothing_tells_of(void **state)
{
    struct nodes nodes;

    begin_beside(&nodes, sizeof(struct node_old) + 100);
    refused(&nodes, "struct node changes, but nothing tells where its instances are");
    begin_beside(&nodes, sizeof(struct node_old) - 8); /* too small for one */
    assert_int_equal(program_migrate(&nodes.program), 0);
    state_revert(nodes.program.state);
    program_end(&nodes.program);
    void *block = begin_beside(&nodes, sizeof(struct node_old));
    head = block; /* a pointer leads to it: it is one */
    assert_int_equal(program_migrate(&nodes.program), 0);
    assert_int_equal(nodes.program.report.instances, 1);
    state_revert(nodes.program.state);
    program_end(&nodes.program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_follows),
        cmocka_unit_test(test_a_shifted_member),
        cmocka_unit_test(test_elements_of_an_array),
        cmocka_unit_test(test_the_end_of_a_page),
        cmocka_unit_test(test_a_variable_beside_what_moves),
        cmocka_unit_test(test_a_pool_within_a_buffer),
        cmocka_unit_test(test_a_pool_of_its_own),
        cmocka_unit_test(test_an_object_on_a_stack),
        cmocka_unit_test(test_old_blocks_in_quarantine),
        cmocka_unit_test(test_a_tagged_pointer),
        cmocka_unit_test(test_remembered_as_something_else),
        cmocka_unit_test(test_words_that_may_be_addresses),
        cmocka_unit_test(test_types_by_what_leads_there),
        cmocka_unit_test(test_unknown_blocks_by_line),
        cmocka_unit_test(test_instances_that_nothing_tells_of),
    };
    stop_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
