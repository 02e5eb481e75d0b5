/* Lines of two texts, for comparisons of objects that were compiled from them. */
#ifndef MOLT_TESTS_UNIT_PATCH_TEXT_LINES_H
#define MOLT_TESTS_UNIT_PATCH_TEXT_LINES_H

#include <stdbool.h>
#include <string.h>

static inline const char *text_line(const char *text, unsigned line, size_t *ret_length)
{
    for (; line > 1 && *text; line--) {
        const char *end = strchrnul(text, '\n');
        text = *end ? end + 1 : end;
    }
    *ret_length = strcspn(text, "\n");
    return text;
}

/* Whether line OLD_LINE of OLD reads as line NEW_LINE of NEW. */
static inline bool text_lines_same(const char *old, unsigned old_line, const char *new, unsigned new_line)
{
    size_t old_length, new_length;
    const char *before = text_line(old, old_line, &old_length), *now = text_line(new, new_line, &new_length);

    return old_line && new_line && old_length == new_length && strncmp(before, now, old_length) == 0;
}

#endif
