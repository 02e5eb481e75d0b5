/*
 * extract-loop FILE LINE [DIRECTORY...]: the file with the loop at LINE extracted, on standard output; or the
 * reason why not, on standard error, and exit status 2; 3 if there is no loop. For tests that go through
 * whole programs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "recorder/recorder.h"

static struct molt_error *extract(const char *path, uint32_t line, const char *const *directories,
                                  const char **ret_text, size_t *ret_length, struct loop_extraction *ret)
{
    struct recorder *recorder;
    struct text text = { 0 };
    char buffer[65536];
    size_t length;
    FILE *file = fopen(path, "r");

    if (!file)
        return molt_error_new(MOLT_ERROR_NOT_FOUND, "%s cannot be read", path);
    while ((length = fread(buffer, 1, sizeof(buffer), file)) > 0)
        text_append(&text, buffer, length);
    fclose(file);
    *ret_length = text.length;
    *ret_text = text_steal(&text);
    struct molt_error *error = recorder_create("/", NULL, &recorder);
    if (!error) {
        error = recorder_open(recorder, path, *ret_text, *ret_length);
        if (!error)
            error = recorder_extract_loop(
                recorder, path, &(struct loop_wish){ .first_line = line, .last_line = line, .any = true },
                directories, ret);
        recorder_destroy(recorder);
    }
    return error;
}

int main(int argc, char **argv)
{
    struct loop_extraction extraction = { 0 };
    const char *text = NULL;
    size_t length = 0;

    if (argc < 3)
        return 1;
    char *path = realpath(argv[1], NULL);
    struct molt_error *error = extract(path ? path : argv[1], (uint32_t)atoi(argv[2]) - 1,
                                       (const char *const *)argv + 3, &text, &length, &extraction);
    if (error || !extraction.found || extraction.reason) {
        fprintf(stderr, "%s\n", error ? error->message : extraction.found ? extraction.reason : "no loop");
        return error ? 1 : extraction.found ? 2 : 3;
    }
    const struct loop_edit *edits = extraction.edits;
    printf("%.*s%s%.*s%s%s", (int)edits[0].start, text, edits[0].text, (int)(edits[1].start - edits[0].end),
           text + edits[0].end, edits[1].text, text + edits[1].end);
    return 0;
}
