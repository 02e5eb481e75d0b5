/*
 * Types into a C file, character by character, and measures what each keystroke costs until the change set is
 * known: words into function bodies, a new member, a new function, spread over the file.
 *
 *   keystroke FILE      prints one line of JSON
 */
#include "recorder/recorder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PLACES = 40 };
static const char typed[] = "    int fresh = 4711;\n";

static double now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void must(struct molt_error *error)
{
    if (error) {
        fprintf(stderr, "keystroke: %s\n", error->message);
        exit(1);
    }
}

static char *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    long size;

    if (!file || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0 ||
        !(text = malloc((size_t)size + 1))) {
        perror(path);
        exit(1);
    }
    rewind(file);
    *ret_size = fread(text, 1, (size_t)size, file);
    text[*ret_size] = 0;
    fclose(file);
    return text;
}

/* The line after the first "{" at the end of a line at or below LINE, counted from 0; 0 if there is none. */
static uint32_t line_in_body(const char *text, uint32_t line)
{
    uint32_t at = 0;
    bool brace = false;

    for (const char *p = text; *p; p++) {
        if (*p == '\n') {
            at++;
            if (brace && at > line)
                return at;
        }
        brace = *p == '{';
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Types one character at the given place and asks for the change set. Returns the milliseconds. */
static double type_one(struct recorder *recorder, const char *path, uint32_t line, uint32_t character,
                       const char *c)
{
    struct recorder_edit edit = { .start_line = line,
                                  .start_character = character,
                                  .end_line = line,
                                  .end_character = character,
                                  .text = c,
                                  .length = 1 };
    struct change_set *changes;
    double start = now_ms();

    must(recorder_apply(recorder, path, POSITION_UTF8, &edit, 1));
    must(recorder_changes(recorder, &changes));
    double taken = now_ms() - start;
    change_set_destroy(changes);
    return taken;
}

int main(int argc, char **argv)
{
    static double times[PLACES * (sizeof typed - 1)];
    struct recorder *recorder;
    size_t size, count = 0;
    uint32_t lines = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: keystroke FILE\n");
        return 1;
    }
    char *text = read_file(argv[1], &size);
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    must(recorder_create(".", NULL, &recorder));
    must(recorder_set_baseline(recorder, argv[1], text, size));
    must(recorder_open(recorder, argv[1], text, size));

    /* From the end to the beginning, so that what was typed does not move what is still to come. */
    for (uint32_t place = PLACES; place-- > 0;) {
        uint32_t line = line_in_body(text, (uint32_t)((uint64_t)lines * place / PLACES));

        for (uint32_t i = 0; line && typed[i]; i++)
            times[count++] = type_one(recorder, argv[1], line, i, &typed[i]);
    }
    recorder_destroy(recorder);
    free(text);
    if (count == 0)
        return 1;
    qsort(times, count, sizeof *times, compare);
    printf("{\"lines\": %u, \"keystrokes\": %zu, \"median_ms\": %.3f, \"p99_ms\": %.3f}\n", lines, count,
           times[count / 2], times[count * 99 / 100]);
    return 0;
}
