/* Lines of files that come in pieces, and what is read of this process's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/proc.h"

#define LINES_MAX 16

struct seen {
    size_t count, lengths[LINES_MAX];
    int fails_at; /* the number of the line that ends the reading; -1: none */
};

static int see(void *context, char *line)
{
    struct seen *seen = context;

    assert_true(seen->count < LINES_MAX);
    assert_true(line[0] == (char)('a' + seen->count) || !line[0]);
    seen->lengths[seen->count++] = strlen(line);
    return seen->fails_at == (int)seen->count - 1 ? -EBUSY : 0;
}

/* Writes a line of each of the LENGTHS, of the letters a, b, ..., and reads them. */
static int read_lines(const size_t *lengths, size_t count, struct seen *seen)
{
    char path[] = "/tmp/molt-test-proc-XXXXXX";
    int file = mkstemp(path);
    FILE *stream = fdopen(file, "w");

    assert_non_null(stream);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < lengths[i]; k++) {
            fputc('a' + (int)i, stream);
        }
        fputc('\n', stream);
    }
    fclose(stream);
    int status = proc_lines(path, see, seen);
    unlink(path);
    return status;
}

static void lines_that_cross_pieces_are_whole(void **state)
{
    static const size_t lengths[] = { 3, 0, 5000, 5000, 7999, 1 };
    struct seen seen = { .fails_at = -1 };

    (void)state;
    assert_int_equal(read_lines(lengths, 6, &seen), 0);
    assert_int_equal(seen.count, 6);
    assert_memory_equal(seen.lengths, lengths, sizeof(lengths));
}

static void of_long_lines_the_beginning_is_seen_once(void **state)
{
    static const size_t lengths[] = { 8000, 8001, 30000, 16000, 2 }, shown[] = { 8000, 8000, 8000, 8000, 2 };
    struct seen seen = { .fails_at = -1 };

    (void)state;
    assert_int_equal(read_lines(lengths, 5, &seen), 0);
    assert_int_equal(seen.count, 5);
    assert_memory_equal(seen.lengths, shown, sizeof(shown));
}

static void a_visitor_ends_the_reading(void **state)
{
    static const size_t lengths[] = { 1, 2, 3 };
    struct seen seen = { .fails_at = 1 };

    (void)state;
    assert_int_equal(read_lines(lengths, 3, &seen), -EBUSY);
    assert_int_equal(seen.count, 2);
    assert_int_equal(proc_lines("/nonexistent", see, &seen), -ENOENT);
}

struct wanted {
    uintptr_t stack, code, end;
    bool stack_found, code_found;
};

static int look(void *context, const struct proc_mapping *mapping)
{
    struct wanted *wanted = context;

    assert_true(mapping->start >= wanted->end && mapping->end > mapping->start);
    wanted->end = mapping->end;
    if (wanted->stack - mapping->start < mapping->end - mapping->start) {
        wanted->stack_found = mapping->readable && mapping->writable && !mapping->executable;
        assert_string_equal(mapping->path, "[stack]");
    }
    if (wanted->code - mapping->start < mapping->end - mapping->start) {
        wanted->code_found = mapping->executable && !mapping->writable && mapping->path[0] == '/';
    }
    return 0;
}

static void mappings_are_told(void **state)
{
    int local = 0;
    struct wanted wanted = { .stack = (uintptr_t)&local, .code = (uintptr_t)look };

    (void)state;
    assert_int_equal(proc_mappings(look, &wanted), 0);
    assert_true(wanted.code_found);
    assert_true(wanted.stack_found);
}

static void numbers_are_found_by_their_key(void **state)
{
    (void)state;
    assert_int_equal(proc_number("/proc/self/status", "Pid:"), getpid());
    assert_int_equal(proc_number("/proc/self/status", "NoSuchThing:"), -1);
    assert_int_equal(proc_number("/nonexistent", "Pid:"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_that_cross_pieces_are_whole),
        cmocka_unit_test(of_long_lines_the_beginning_is_seen_once),
        cmocka_unit_test(a_visitor_ends_the_reading),
        cmocka_unit_test(mappings_are_told),
        cmocka_unit_test(numbers_are_found_by_their_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
