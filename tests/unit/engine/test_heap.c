/*
 * The heap's blocks against a model: whatever the program does with malloc's family, walking finds exactly
 * what is live, with exact sizes, and so does finding by any address inside. The engine's interposition is
 * linked into this program; it runs with glibc, jemalloc and mimalloc underneath (see meson.build).
 * `test-engine-heap SEED` replays.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/heap/heap.h"
#include "engine/heap/next.h"
#include "engine/heap/shadow.h"

#define BLOCKS 3000
#define BUSIEST 256 /* blocks of the largest sizes that live at a time */

static uint64_t seed, state;

static uint64_t random_number(void) /* xorshift64* */
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1d;
}

static size_t below(size_t limit)
{
    return random_number() % limit;
}

/* ---- the model ------------------------------------------------------------------------------------- */

struct model_block {
    uint8_t *start; /* NULL: free */
    size_t size;
    uint8_t fill;
    bool found;
};

static struct model_block blocks[BLOCKS];

static size_t random_size(void)
{
    switch (below(16)) {
    case 0:
        return below(2) ? 0 : 8192 - 4 + below(9); /* around the longest size that one entry holds */
    case 1:
        return below(20000);
    case 2:
        return below(4) ? below(2000) : below(3000000);
    case 3:
        return 1024;
    default:
        return below(120);
    }
}

static size_t random_alignment(void)
{
    return (size_t)8 << below(10);
}

static uint8_t byte_of(const struct model_block *block, size_t at)
{
    return (uint8_t)(block->fill + at * 7);
}

/* All of small blocks, the ends of large ones. */
static void fill(struct model_block *block)
{
    block->fill = (uint8_t)random_number();
    for (size_t i = 0; i < block->size; i += i == 200 && block->size > 500 ? block->size - 300 : 1) {
        block->start[i] = byte_of(block, i);
    }
}

static void check_content(const struct model_block *block, size_t size)
{
    for (size_t i = 0; i < size; i += i == 200 && block->size > 500 ? block->size - 300 : 1) {
        assert_int_equal(block->start[i], byte_of(block, i));
    }
}

static void *allocate_somehow(size_t *size)
{
    void *pointer = NULL;
    size_t count;

    switch (below(8)) {
    case 0:
        count = below(5) + 1;
        *size = *size / count * count;
        pointer = calloc(count, *size / count);
        for (size_t i = 0; i < *size; i++) {
            assert_int_equal(((uint8_t *)pointer)[i], 0);
        }
        return pointer;
    case 1:
        return memalign(random_alignment(), *size);
    case 2:
        return aligned_alloc(random_alignment(), *size);
    case 3:
        assert_int_equal(posix_memalign(&pointer, random_alignment(), *size), 0);
        return pointer;
    case 4:
        return realloc(NULL, *size);
    case 5:
        return reallocarray(NULL, *size, 1);
    case 6:
        return below(50) ? malloc(*size) : valloc(*size);
    default:
        return malloc(*size);
    }
}

static void resize_somehow(struct model_block *block)
{
    size_t size = below(3) ? random_size() : block->size + below(40);
    size_t kept = size < block->size ? size : block->size;

    if (size == 0) {
        size = 1;
        kept = block->size ? 1 : 0;
    }
    block->start = below(2) ? realloc(block->start, size) : reallocarray(block->start, 1, size);
    assert_non_null(block->start);
    check_content(&(struct model_block){ block->start, kept, block->fill, false }, kept <= 200 ? kept : 200);
    block->size = size;
    fill(block);
}

/* What nothing can be in is not noted if blocks may share their 32 bytes. */
static bool is_noted(const struct model_block *block)
{
    return block->size || next_is_glibc();
}

static void act(struct model_block *block)
{
    if (!block->start) {
        block->size = random_size();
        block->start = allocate_somehow(&block->size);
        assert_non_null(block->start);
        fill(block);
        return;
    }
    check_content(block, block->size);
    switch (below(8)) {
    case 0:
    case 1:
        resize_somehow(block);
        break;
    case 2:
        if (is_noted(block)) {
            block->size = malloc_usable_size(block->start);
            fill(block); /* to the last byte */
        }
        break;
    default:
        free(block->start);
        block->start = NULL;
    }
}

/* ---- against the engine ---------------------------------------------------------------------------- */

static int by_start(const void *a, const void *b)
{
    const struct model_block *left = a, *right = b;

    return left->start < right->start ? -1 : left->start > right->start;
}

struct comparison {
    uintptr_t last_end;
    size_t found;
};

static bool compare(void *context, const struct heap_block *block)
{
    struct comparison *comparison = context;
    struct model_block key = { .start = (uint8_t *)block->start };

    assert_true(block->start >= comparison->last_end);
    assert_true(block->usable >= block->size);
    assert_true(block->site > 0 && block->site <= heap_site_count());
    comparison->last_end = block->start + block->usable;
    struct model_block *known = bsearch(&key, blocks, BLOCKS, sizeof(key), by_start);
    if (known && known->start) { /* else the test's own */
        assert_int_equal(block->size, known->size);
        known->found = true;
        comparison->found++;
    }
    return true;
}

static void check_find(const struct model_block *block)
{
    struct heap_block found;

    assert_true(heap_find((uintptr_t)block->start, &found));
    assert_int_equal(found.start, (uintptr_t)block->start);
    assert_int_equal(found.size, block->size);
    uintptr_t inside = found.start + below(found.usable);
    uintptr_t last = found.start + found.usable - 1;
    struct heap_block again;
    assert_true(heap_find(inside, &again) && again.start == found.start);
    assert_true(heap_find(last, &again) && again.start == found.start);
    assert_true(!heap_find(last + 1, &again) || again.start > last);
    assert_true(!heap_find(found.start - 1, &again) || again.start < found.start);
}

static void check_all(void)
{
    struct comparison comparison = { 0 };
    size_t live = 0;

    qsort(blocks, BLOCKS, sizeof(blocks[0]), by_start); /* free ones come first */
    assert_int_equal(heap_refresh(), 0);
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i].found = !blocks[i].start || !is_noted(&blocks[i]);
        live += !blocks[i].found;
    }
    heap_walk(NULL, compare, &comparison);
    for (size_t i = 0; i < BLOCKS; i++) {
        if (!blocks[i].found) {
            fail_msg("seed %lu: %p of %zu bytes was not found", seed, (void *)blocks[i].start,
                     blocks[i].size);
        }
        if (blocks[i].start && is_noted(&blocks[i])) {
            check_find(&blocks[i]);
        }
    }
    assert_int_equal(comparison.found, live);
}

static void blocks_and_sizes_are_exact(void **unused)
{
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 4000; i++) {
            act(&blocks[round % 4 ? below(BLOCKS) : below(BUSIEST)]);
        }
        check_all();
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        free(blocks[i].start);
        blocks[i].start = NULL;
    }
    check_all();
}

/* ---- single properties ----------------------------------------------------------------------------- */

static struct heap_block find(const void *address)
{
    struct heap_block block = { 0 };

    assert_int_equal(heap_refresh(), 0);
    heap_find((uintptr_t)address, &block);
    return block;
}

static void failures_are_the_allocators(void **unused)
{
    volatile size_t huge = SIZE_MAX - 4, half = SIZE_MAX / 2 + 2;
    char *volatile block = malloc(40);

    for (int i = 0; i < 4; i++) {
        errno = 0;
        void *result = i == 0   ? next.malloc(huge)
                       : i == 1 ? next.calloc(half, 2)
                       : i == 2 ? next.realloc(block, huge)
                                : next.memalign(64, huge);
        int expected = errno;
        assert_null(result);
        errno = 0;
        result = i == 0   ? malloc(huge)
                 : i == 1 ? calloc(half, 2)
                 : i == 2 ? realloc(block, huge)
                          : memalign(64, huge);
        assert_null(result);
        assert_int_equal(errno, expected);
    }
    assert_null(reallocarray(block, half, 2));
    assert_int_equal(find(block).size, 40); /* it is still there */
    errno = 7;
    free(block);
    assert_int_equal(errno, 7);
    free(NULL);
    assert_int_equal(malloc_usable_size(NULL), 0);
}

static void retagging_keeps_blocks_apart(void **unused)
{
    enum { COUNT = 64 };
    char *small[COUNT];
    unsigned site = heap_site_synthetic();

    assert_int_equal(heap_site(site)->depth, 0);
    for (size_t i = 0; i < COUNT; i++) {
        small[i] = malloc(i);
        memset(small[i], 0x55, i);
    }
    for (size_t i = 0; i < COUNT; i++) {
        struct heap_block block = find(small[i]);
        if (!block.start) {
            continue; /* of no byte */
        }
        for (size_t size = 0; size <= block.usable; size++) {
            memset(small[i], 0x55, i);
            heap_retag(block.start, site, size);
            struct heap_block now = find(small[i]);
            assert_int_equal(now.size, size);
            assert_int_equal(now.site, site);
            assert_int_equal(now.usable, block.usable);
            for (size_t k = 0; k < i && k < size; k++) {
                assert_int_equal(small[i][k], 0x55);
            }
        }
        heap_retag(block.start, block.site, block.size);
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(i ? find(small[i]).size : 0, i);
        free(small[i]);
    }
    char *block = heap_allocate(100, site);
    assert_int_equal(find(block + 50).site, site);
    heap_release(block);
    assert_int_equal(find(block).start, 0);
}

static bool count_visits(void *context, const struct heap_block *block)
{
    return ++*(size_t *)context < 5;
}

static void walks_are_limited_to_wanted_sites(void **unused)
{
    static bool wanted[HEAP_SITE_MAX + 1];
    unsigned site = heap_site_synthetic();
    void *block[8];
    size_t count = 0;

    for (size_t i = 0; i < 8; i++) {
        block[i] = heap_allocate(10 + i * 100, site);
    }
    assert_int_equal(heap_refresh(), 0);
    heap_walk(wanted, count_visits, &count);
    assert_int_equal(count, 0);
    wanted[site] = true;
    heap_walk(wanted, count_visits, &count);
    assert_int_equal(count, 5); /* and stop when told to */
    for (size_t i = 0; i < 8; i++) {
        heap_release(block[i]);
    }
}

struct search {
    uintptr_t address; /* memory without it is passed over */
    uintptr_t block;   /* whose visits are counted */
    size_t count, passed;
};

static bool holds_address(void *context, uintptr_t start, uintptr_t end)
{
    struct search *search = context;
    bool holds = start <= search->address && search->address < end;

    search->passed += !holds;
    return holds;
}

static bool count_found(void *context, const struct heap_block *visited, size_t count)
{
    struct search *search = context;

    for (size_t i = 0; i < count; i++) {
        search->count += visited[i].start == search->block;
    }
    return true;
}

/* The memory of a block goes on behind that in which it begins. */
static void walks_pass_over_memory_with_all_its_blocks(void **unused)
{
    enum { SMALL = 8000, LARGE = 100000 };
    static bool wanted[HEAP_SITE_MAX + 1];
    unsigned site = heap_site_synthetic();
    static void *small[SMALL];
    char *large[3];
    struct search search = { 0 };

    wanted[site] = true;
    for (size_t i = 0; i < SMALL; i++) { /* the large ones lie among them */
        small[i] = heap_allocate(56, site);
        if (i % (SMALL / 3) == 0 && i / (SMALL / 3) < 3) {
            large[i / (SMALL / 3)] = heap_allocate(i ? LARGE : 5000, site);
        }
    }
    assert_int_equal(heap_refresh(), 0);
    for (size_t i = 0; i < 3; i++) {
        search = (struct search){ .address = (uintptr_t)large[i] + (i ? LARGE : 5000) - 1,
                                  .block = (uintptr_t)large[i] };
        for (size_t part = 0, parts = heap_parts(); part < parts; part++) {
            heap_walk_part(part, wanted, holds_address, count_found, &search);
        }
        assert_int_equal(search.count, 1);
        assert_true(search.passed > 0);
    }
    for (size_t i = 0; i < SMALL; i++) {
        heap_release(small[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        heap_release(large[i]);
    }
}

/* A library that is bound to another allocator gives back blocks that came from here. */
static void blocks_freed_behind_our_back_do_no_harm(void **unused)
{
    enum { COUNT = 500 };
    static char *blocks_of[COUNT];
    size_t count = 0;

    for (size_t i = 0; i < COUNT; i++) {
        blocks_of[i] = malloc(i % 5 ? i * 16 : 300000 + i);
    }
    for (size_t i = 0; i < COUNT; i += 2) {
        next.free(blocks_of[i]);
    }
    assert_int_equal(heap_refresh(), 0);
    heap_walk(NULL, count_visits, &count);
    for (size_t i = 0; i < COUNT; i++) {
        struct heap_block block;
        if (heap_find((uintptr_t)blocks_of[i] + i % 16, &block) && i % 2) {
            assert_int_equal(block.start, (uintptr_t)blocks_of[i]);
        }
    }
    for (size_t i = 1; i < COUNT; i += 2) {
        free(blocks_of[i]);
    }
    for (size_t i = 0; i < COUNT; i += 2) { /* their entries are written over, or go */
        shadow_clear(blocks_of[i]);
    }
}

/* What lies in the place of such a block now is smaller: glibc says so in front of it. */
static void a_place_that_was_given_out_again_is_no_block(void **unused)
{
    if (!next_is_glibc()) {
        skip();
    }
    char *block = malloc(100000), *behind = malloc(10);
    next.free(block);
    char *smaller = next.malloc(99000);
    assert_ptr_equal(smaller, block);
    assert_int_equal(find(block + 98000).start, 0);
    next.free(smaller);
    shadow_clear(block);
    free(behind);
}

/* A large block is looked for, freed, and another one made 16 bytes off, in the same granule. NULL if the
 * allocator puts them elsewhere: what other tests freed may fit better. */
static char *move_by_half_a_granule(char **ret_before, size_t inside)
{
    enum { BEFORE = 60000, LARGE = 120000 };
    char *before = malloc(BEFORE), *block = malloc(LARGE);

    assert_int_equal(find(block + inside).start, (uintptr_t)block);
    ptrdiff_t shift = (uintptr_t)block % 32 ? -16 : 16;
    free(block);
    free(before);
    *ret_before = malloc((size_t)(BEFORE + shift));
    char *moved = malloc(LARGE - 2 * 16);
    return moved == block + shift ? moved : NULL;
}

static void a_large_block_is_found_where_it_starts_now(void **unused)
{
    enum { TRIES = 100, INSIDE = 110000 };
    char *before = NULL, *moved = NULL;

    if (!next_is_glibc()) {
        return; /* others place large blocks at multiples of their own */
    }
    for (int i = 0; i < TRIES && !moved; i++) {
        moved = move_by_half_a_granule(&before, INSIDE); /* if not, it stays there, out of the way */
    }
    assert_non_null(moved);
    assert_int_equal(find(moved + INSIDE).start, (uintptr_t)moved);
    free(moved);
    free(before);
}

static void large_blocks_are_as_exact(void **unused)
{
    static const size_t sizes[] = { ((size_t)1 << 27) + 5, ((size_t)1 << 32) + 12345, ((size_t)5 << 33) + 1 };

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *block = malloc(sizes[i]);
        if (block) { /* none is touched */
            assert_int_equal(find(block).size, sizes[i]);
            assert_int_equal(find(block + sizes[i] / 2).start, (uintptr_t)block);
        }
        free(block);
    }
}

static void memory_from_before_is_given_out_once(void **unused)
{
    char *early = next_early(100), *other = next_early(0);

    assert_non_null(early);
    assert_int_equal((uintptr_t)early % 16, 0);
    assert_int_equal(early[99], 0);
    memcpy(early, "hello", 6);
    assert_int_equal(malloc_usable_size(early), 100);
    free(early);
    assert_string_equal(early, "hello");
    char *moved = realloc(early, 1000);
    assert_string_equal(moved, "hello");
    assert_int_equal(find(moved).size, 1000);
    free(moved);
    free(other);
    assert_null(next_early((size_t)1 << 20));
}

#define THREADS 4

static void *churn(void *number)
{
    uint64_t x = (uint64_t)(uintptr_t)number * 77 + 1;
    char *mine[100] = { 0 };

    for (int i = 0; i < 100000; i++) {
        x = x * 6364136223846793005 + 1442695040888963407;
        char **slot = &mine[(x >> 33) % 100];
        free(*slot);
        *slot = malloc((x >> 40) % 300);
        **slot = 1;
    }
    for (int i = 0; i < 100; i++) {
        free(mine[i]);
    }
    return malloc(1000 + (uintptr_t)number);
}

static void threads_do_not_disturb_each_other(void **unused)
{
    pthread_t threads[THREADS];
    void *result[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)i), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &result[i]);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(find(result[i]).size, 1000 + i);
        free(result[i]);
        assert_int_equal(find(result[i]).start, 0);
    }
}

static void a_child_goes_on(void **unused)
{
    char *before = malloc(77);
    pid_t child = fork();

    if (child == 0) {
        char *after = malloc(99);
        bool fine = find(before).size == 77 && find(after).size == 99;
        free(before);
        _exit(fine && !find(before).start ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(find(before).size, 77);
    free(before);
}

static void other_addresses_are_in_no_block(void **unused)
{
    static int global;
    int local = 0;
    void *mapped = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_int_equal(find(&global).start, 0);
    assert_int_equal(find(&local).start, 0);
    assert_int_equal(find((char *)mapped + 70000).start, 0);
    assert_int_equal(find(NULL).start, 0);
    assert_int_equal(find((void *)(uintptr_t)0x7ffffffff000).start, 0);
    assert_int_equal(find((void *)UINTPTR_MAX).start, 0);
    munmap(mapped, 1 << 20);
}

static void the_allocator_underneath_has_a_name(void **unused)
{
    const char *expected = getenv("TEST_ALLOCATOR");

    assert_string_equal(heap_allocator(), expected ? expected : "libc.so.6");
    struct code_range code = heap_allocator_code();
    assert_true((uintptr_t)malloc - code.start < code.size);
    assert_true((uintptr_t)free - code.start < code.size);
}

/* As coroutine libraries make stacks; the large one lies in several regions of the shadow. */
static void a_block_with_a_guard_is_found(void **unused)
{
    static const size_t sizes[] = { 64 << 10, 1 << 20, 300 << 20 };

    (void)unused;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uintptr_t start = (uintptr_t)aligned_alloc(4096, sizes[i]);
        struct heap_block block = { 0 };
        assert_int_equal(mprotect((void *)start, 4096, PROT_NONE), 0);
        assert_int_equal(heap_refresh(), 0);
        assert_true(heap_find_guarded(start + 4096, &block));
        assert_true(heap_find_guarded(start + (sizes[i] < 128 << 20 ? sizes[i] - 8 : 128 << 20), &block));
        assert_true(block.start == start && block.size >= sizes[i]);
        assert_int_equal(mprotect((void *)start, 4096, PROT_READ | PROT_WRITE), 0);
        free((void *)start);
        assert_int_equal(heap_refresh(), 0);
        assert_false(heap_find_guarded(start + 4096, &block) && block.start == start);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_allocator_underneath_has_a_name),
        cmocka_unit_test(failures_are_the_allocators),
        cmocka_unit_test(a_place_that_was_given_out_again_is_no_block),
        cmocka_unit_test(retagging_keeps_blocks_apart),
        cmocka_unit_test(walks_are_limited_to_wanted_sites),
        cmocka_unit_test(walks_pass_over_memory_with_all_its_blocks),
        cmocka_unit_test(memory_from_before_is_given_out_once),
        cmocka_unit_test(threads_do_not_disturb_each_other),
        cmocka_unit_test(a_child_goes_on),
        cmocka_unit_test(other_addresses_are_in_no_block),
        cmocka_unit_test(blocks_and_sizes_are_exact),
        cmocka_unit_test(blocks_freed_behind_our_back_do_no_harm),
        cmocka_unit_test(a_large_block_is_found_where_it_starts_now),
        cmocka_unit_test(large_blocks_are_as_exact),
        cmocka_unit_test(a_block_with_a_guard_is_found),
    };
    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
    state = seed | 1;
    printf("seed %lu\n", seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
