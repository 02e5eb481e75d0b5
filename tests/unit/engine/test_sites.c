/*
 * Sites: one per chain of callers, as deep as functions hand memory on. Started without arguments, this
 * program knows nothing of its wrappers; then it writes the table that says which they are and starts itself
 * again.
 */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

#include <cmocka.h>

#include "base/wrapper_table.h"
#include "engine/heap/callers.h"
#include "engine/heap/heap.h"
#include "engine/heap/places.h"

#define NOINLINE __attribute__((noinline, noclone))
#define BEHIND_CALL(pointer) __asm__ volatile("" : "+r"(pointer)) /* so that no call before it is a jump */

/* The functions of the section that stand between these two hand memory on. */
#define WRAPPER NOINLINE __attribute__((section("wrappers")))
extern const char __start_wrappers[], __stop_wrappers[];

static const char *plugin_path;

/* ---- the program ----------------------------------------------------------------------------------- */

WRAPPER static void *inner(size_t size)
{
    void *block = malloc(size);

    BEHIND_CALL(block);
    return block;
}

/* A frame of variable size: found from rbp. */
WRAPPER static void *with_array(size_t size)
{
    volatile char array[size % 100 + 1];

    array[0] = 1;
    void *block = inner(size + (size_t)array[0] - 1);
    BEHIND_CALL(block);
    return block;
}

WRAPPER static void *deeper(size_t size, int levels)
{
    void *block = levels ? deeper(size, levels - 1) : with_array(size);

    BEHIND_CALL(block);
    return block;
}

NOINLINE static void *user_of_inner(size_t size)
{
    void *block = inner(size);

    BEHIND_CALL(block);
    return block;
}

NOINLINE static void *other_user(size_t size)
{
    void *block = with_array(size);

    BEHIND_CALL(block);
    return block;
}

NOINLINE static void *user_of_deep(size_t size, int levels)
{
    void *block = deeper(size, levels);

    BEHIND_CALL(block);
    return block;
}

NOINLINE static void *plain(size_t size)
{
    void *block = malloc(size);

    BEHIND_CALL(block);
    return block;
}

/* ---- sites ----------------------------------------------------------------------------------------- */

static unsigned site_of_block(void *block)
{
    struct heap_block found;

    assert_int_equal(heap_refresh(), 0);
    assert_true(heap_find((uintptr_t)block, &found));
    free(block);
    return found.site;
}

static bool is_in(uintptr_t address, const void *function)
{
    return address - (uintptr_t)function <
           200; /* small functions, and none lies close in front of another's call */
}

static bool has_table(void)
{
    return getenv("MOLT_WRAPPERS") != NULL;
}

static void a_call_has_one_site(void **unused)
{
    unsigned first = 0;

    for (int i = 0; i < 100; i++) {
        unsigned site = site_of_block(plain((size_t)i * 50 + 10));
        first = i ? first : site;
        assert_int_equal(site, first);
    }
    const struct heap_site *chain = heap_site(first);
    assert_true(is_in(chain->callers[0], plain));
    assert_int_equal(chain->depth, has_table() ? 1 : 2);
    assert_false(chain->unloaded);
    if (!has_table()) {
        assert_true(is_in(chain->callers[1], a_call_has_one_site));
    }
}

static void callers_of_wrappers_are_told_apart(void **unused)
{
    unsigned one = site_of_block(user_of_inner(40)), two = site_of_block(other_user(40));
    const struct heap_site *first = heap_site(one), *second = heap_site(two);

    assert_int_not_equal(one, two);
    assert_int_equal(site_of_block(user_of_inner(400)), one);
    assert_int_equal(site_of_block(other_user(99)), two); /* its frame has another size */
    assert_true(is_in(first->callers[0], inner));
    assert_true(is_in(first->callers[1], user_of_inner));
    assert_int_equal(first->depth, 2);
    assert_true(is_in(second->callers[1], with_array));
    assert_int_equal(second->depth, has_table() ? 3 : 2);
    if (has_table()) {
        assert_true(is_in(second->callers[2], other_user));
    }
}

static void chains_end(void **unused)
{
    const struct heap_site *chain = heap_site(site_of_block(user_of_deep(30, 3)));
    const struct heap_site *longest = heap_site(site_of_block(user_of_deep(30, 20)));

    if (!has_table()) {
        assert_int_equal(chain->depth, 2);
        return;
    }
    assert_int_equal(chain->depth, 7); /* inner, with_array, deeper four times, the user */
    assert_true(is_in(chain->callers[6], user_of_deep));
    assert_int_equal(longest->depth, HEAP_SITE_DEPTH);
    assert_true(is_in(longest->callers[HEAP_SITE_DEPTH - 1], deeper));
}

/* libc's functions allocate, too: the table of the executable says nothing of them. */
static void libc_is_followed_to_its_caller(void **unused)
{
    const struct heap_site *chain = heap_site(site_of_block(strdup("a text of no particular length")));
    Dl_info info;

    assert_int_equal(chain->depth, 2);
    assert_int_not_equal(dladdr((void *)chain->callers[0], &info), 0);
    assert_non_null(strstr(info.dli_fname, "libc.so.6"));
    assert_true(is_in(chain->callers[1], libc_is_followed_to_its_caller));
}

static void all_functions_know_their_caller(void **unused)
{
    void *aligned = NULL;
    void *made[] = { malloc(5),
                     calloc(5, 5),
                     realloc(NULL, 5),
                     reallocarray(NULL, 5, 5),
                     memalign(64, 5),
                     valloc(5),
                     aligned_alloc(32, 5),
                     pvalloc(5),
                     NULL };
    unsigned seen[16] = { 0 };

    assert_int_equal(posix_memalign(&aligned, 128, 5), 0);
    made[8] = aligned;
    for (size_t i = 0; i < 9; i++) {
        seen[i] = site_of_block(made[i]);
        const struct heap_site *site = heap_site(seen[i]);
        assert_true(site->callers[0] - (uintptr_t)all_functions_know_their_caller < 1000);
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(seen[i], seen[k]);
        }
    }
    void *block = malloc(10);
    unsigned first = site_of_block(realloc(block, 1000)); /* where it was resized last */
    assert_int_not_equal(first, seen[0]);
}

static void *allocate_in_thread(void *size)
{
    return plain((size_t)size);
}

static void threads_share_sites(void **unused)
{
    unsigned site = site_of_block(plain(10));
    pthread_t threads[4];
    void *block;

    for (size_t i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, allocate_in_thread, (void *)100);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], &block);
        unsigned there = site_of_block(block);
        if (has_table()) {
            assert_int_equal(there, site);
        } else {
            assert_int_equal(heap_site(there)->callers[0], heap_site(site)->callers[0]);
        }
    }
}

/* ---- code that goes -------------------------------------------------------------------------------- */

static unsigned use_plugin(void **ret_address)
{
    void *plugin = dlopen(plugin_path, RTLD_NOW);
    assert_non_null(plugin);
    void *(*allocate)(size_t) = (void *(*)(size_t))dlsym(plugin, "plugin_allocate");
    unsigned site = site_of_block(allocate(50));
    assert_false(heap_site(site)->unloaded);
    assert_true(is_in(heap_site(site)->callers[0], allocate));
    *ret_address = allocate;
    assert_int_equal(dlclose(plugin), 0);
    return site;
}

static void sites_of_closed_libraries_mean_nothing(void **unused)
{
    void *first_address, *second_address;
    unsigned first = use_plugin(&first_address);

    assert_true(heap_site(first)->unloaded);
    unsigned second = use_plugin(&second_address);
    if (first_address == second_address) {
        assert_int_equal(first, second); /* the same build at the same place */
    }
    size_t before = heap_site_count();
    for (int i = 0; i < 2000; i++) { /* nor do they use up ids */
        use_plugin(&second_address);
    }
    assert_true(heap_site_count() < before + 100);
    assert_false(heap_site(site_of_block(plain(10)))->unloaded);
}

static void freed_code_is_forgotten(void **unused)
{
    const struct heap_site *site = heap_site(site_of_block(plain(33)));
    uintptr_t here = (uintptr_t)plain;

    heap_code_added(here, here + 200, NULL); /* as if it had come with a patch */
    heap_code_removed(here, here + 200);
    assert_true(site->unloaded);
    unsigned again = site_of_block(plain(33));
    assert_false(heap_site(again)->unloaded);
}

/* ---- callers --------------------------------------------------------------------------------------- */

struct frame_check {
    uintptr_t return_address; /* into this frame */
    uintptr_t cfa_below;      /* where the frame below ended: this one's rsp at the call */
    uintptr_t rbp;
    size_t checked;
};

/* libgcc's walk and ours have to agree on where each frame ends. */
static _Unwind_Reason_Code check_frame(struct _Unwind_Context *context, void *argument)
{
    struct frame_check *check = argument;
    uintptr_t address = _Unwind_GetIP(context), cfa = _Unwind_GetCFA(context);
    struct caller_rule rule;
    struct place place;

    if (check->return_address && place_find(check->return_address, &place) && place.eh_frame_header &&
        caller_rule_find(place.eh_frame_header, check->return_address, &rule)) {
        uintptr_t end = (rule.from_rbp ? check->rbp : check->cfa_below) + rule.distance;
        assert_int_equal(end, cfa);
        assert_int_equal(((uintptr_t *)end)[-1], address);
        check->checked++;
    }
    check->return_address = address;
    check->cfa_below = cfa;
    check->rbp = _Unwind_GetGR(context, 6);
    return _URC_NO_REASON;
}

static int compare_and_walk(const void *a, const void *b)
{
    struct frame_check check = { 0 };

    _Unwind_Backtrace(check_frame, &check);
    assert_true(check.checked >= 4); /* qsort's, the test's, cmocka's, main */
    return *(const int *)a - *(const int *)b;
}

static void rules_agree_with_the_unwinder(void **unused)
{
    int numbers[] = { 3, 1, 2 };

    qsort(numbers, 3, sizeof(int), compare_and_walk);
}

/* Every function of every module, at each of its calls as far as they can be guessed: no table derails the
 * reader. */
static int read_everywhere(struct dl_phdr_info *info, size_t size, void *found)
{
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X)) {
            continue;
        }
        for (uintptr_t address = start + 1; address < start + segment->p_memsz; address += 13) {
            struct caller_rule rule;
            struct place place;
            if (place_find(address, &place) && place.eh_frame_header) {
                *(size_t *)found += caller_rule_find(place.eh_frame_header, address, &rule);
            }
        }
    }
    return 0;
}

static void tables_can_be_read_everywhere(void **unused)
{
    size_t found = 0;

    dl_iterate_phdr(read_everywhere, &found);
    assert_true(found > 10000);
}

/* ---- scarcity -------------------------------------------------------------------------------------- */

static void ids_run_out_gracefully(void **unused)
{
    unsigned last = 0, id;

    while ((id = heap_site_synthetic())) {
        assert_true(id > last);
        last = id;
    }
    assert_int_equal(last, HEAP_SITE_MAX);
    assert_int_equal(heap_site_count(), HEAP_SITE_MAX);
    for (int i = 0; i < 3; i++) {
        unsigned site = site_of_block(malloc((size_t)i + 10)); /* a place that has none yet */
        assert_int_equal(site, HEAP_SITE_OTHERS);
    }
    assert_int_not_equal(site_of_block(user_of_inner(5)), HEAP_SITE_OTHERS); /* this one has */
}

/* ---- starting again -------------------------------------------------------------------------------- */

static int take_build_id(struct dl_phdr_info *info, size_t size, void *context)
{
    struct molt_wrapper_table *table = context;

    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        const char *at = (const char *)info->dlpi_addr + segment->p_vaddr, *end = at + segment->p_memsz;
        while (segment->p_type == PT_NOTE && at + sizeof(ElfW(Nhdr)) < end) {
            const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)at;
            const char *name = at + sizeof(*note), *bytes = name + (note->n_namesz + 3) / 4 * 4;
            if (note->n_type == NT_GNU_BUILD_ID && !strcmp(name, "GNU")) {
                table->build_id_size = note->n_descsz;
                memcpy(table->build_id, bytes, note->n_descsz);
            }
            at = bytes + (note->n_descsz + 3) / 4 * 4;
        }
    }
    return 1; /* the executable comes first */
}

static uintptr_t bias;

static int take_bias(struct dl_phdr_info *info, size_t size, void *unused)
{
    bias = info->dlpi_addr;
    return 1;
}

static int start_with_table(char **argv)
{
    char path[] = "/tmp/test-sites-XXXXXX", paths[256];
    struct molt_wrapper_table table = { .magic = "MOLTWRP", .count = 1 };

    table.magic[7] = '1';
    dl_iterate_phdr(take_build_id, &table);
    dl_iterate_phdr(take_bias, NULL);
    struct molt_wrapper_range range = { (uintptr_t)__start_wrappers - bias,
                                        (uintptr_t)__stop_wrappers - bias };
    int file = mkstemp(path);
    if (file < 0 || write(file, &table, sizeof(table)) != sizeof(table) ||
        write(file, &range, sizeof(range)) != sizeof(range)) {
        return 1;
    }
    close(file);
    /* a file that is missing and one that is none do no harm */
    snprintf(paths, sizeof(paths), "/nonexistent:%s:/etc/passwd::%s", path, path);
    setenv("MOLT_WRAPPERS", paths, 1);
    setenv("TEST_SITES_TABLE", path, 1);
    execv("/proc/self/exe", argv);
    return 1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_has_one_site),
        cmocka_unit_test(callers_of_wrappers_are_told_apart),
        cmocka_unit_test(chains_end),
        cmocka_unit_test(libc_is_followed_to_its_caller),
        cmocka_unit_test(all_functions_know_their_caller),
        cmocka_unit_test(threads_share_sites),
        cmocka_unit_test(sites_of_closed_libraries_mean_nothing),
        cmocka_unit_test(freed_code_is_forgotten),
        cmocka_unit_test(rules_agree_with_the_unwinder),
        cmocka_unit_test(tables_can_be_read_everywhere),
        cmocka_unit_test(ids_run_out_gracefully),
    };
    plugin_path = argv[1];
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (has_table()) {
        unlink(getenv("TEST_SITES_TABLE"));
        return failed;
    }
    return failed ? failed : start_with_table(argv);
}
