/* Where a library's variables are in use, of which this program, at a fixed address, has copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>

#include "engine/code/preempted.h"

extern long plain_used[2], plain_quiet, plain_in_data;
extern long symbolic_used[2], symbolic_quiet;
long *plain_use(void), *symbolic_use(void), *plain_use_alone(void);

struct library {
    void *handle;
    struct preempted preempted;
};

static void open_library(struct library *library, void *function)
{
    Dl_info info;

    assert_true(dladdr(function, &info));
    library->handle = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(library->handle);
    assert_int_equal(preempted_find((uintptr_t)info.dli_fbase, &library->preempted), 0);
}

static void close_library(struct library *library)
{
    preempted_deinit(&library->preempted);
    dlclose(library->handle);
}

/* Where the library itself has NAME. */
static uintptr_t own(const struct library *library, const char *name)
{
    return (uintptr_t)dlsym(library->handle, name);
}

static uintptr_t place(const struct library *library, const char *name, size_t size, bool by_name)
{
    return preempted_place(&library->preempted, own(library, name), size, by_name);
}

static void copies_are_what_is_in_use(void **state)
{
    struct library library;

    open_library(&library, dlsym(RTLD_DEFAULT, "plain_use"));
    plain_quiet++;
    plain_in_data++;
    assert_ptr_equal(plain_use(), plain_used);
    assert_ptr_not_equal((void *)own(&library, "plain_used"), plain_used);
    assert_int_equal(place(&library, "plain_used", sizeof(plain_used), false), (uintptr_t)plain_used);
    assert_int_equal(
        preempted_place(&library.preempted, own(&library, "plain_used") + sizeof(long), sizeof(long), false),
        (uintptr_t)&plain_used[1]);
    assert_int_equal(place(&library, "plain_used", sizeof(plain_used) + 1, true), 0);
    assert_int_equal(place(&library, "plain_in_data", sizeof(long), false), (uintptr_t)&plain_in_data);
    close_library(&library);
}

static void what_nobody_else_names_is_where_it_is(void **state)
{
    struct library library;

    open_library(&library, dlsym(RTLD_DEFAULT, "plain_use"));
    assert_int_equal(place(&library, "plain_alone", sizeof(long), false), own(&library, "plain_alone"));
    assert_ptr_equal(plain_use_alone(), (void *)own(&library, "plain_alone"));
    close_library(&library);
}

/* A library that does not refer to its variable by name may refer to it by its address: this one does. */
static void not_all_tell(void **state)
{
    struct library library;

    open_library(&library, dlsym(RTLD_DEFAULT, "plain_use"));
    assert_int_equal(place(&library, "plain_quiet", sizeof(long), true), (uintptr_t)&plain_quiet);
    assert_int_equal(place(&library, "plain_quiet", sizeof(long), false), 0);
    close_library(&library);
    open_library(&library, dlsym(RTLD_DEFAULT, "symbolic_use"));
    symbolic_quiet++;
    assert_ptr_not_equal(symbolic_use(), symbolic_used);
    assert_int_equal(place(&library, "symbolic_used", sizeof(symbolic_used), false), 0);
    close_library(&library);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_are_what_is_in_use),
        cmocka_unit_test(what_nobody_else_names_is_where_it_is),
        cmocka_unit_test(not_all_tell),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
