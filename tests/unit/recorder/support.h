/* What the recorder's tests share: change sets written down as lines, edits from a few words. */
#ifndef MOLT_TESTS_RECORDER_SUPPORT_H
#define MOLT_TESTS_RECORDER_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/text.h"
#include "recorder/recorder.h"

/* Fails the test with the message of ERROR. */
static inline void assert_ok(struct molt_error *error)
{
    if (error) {
        fail_msg("%s", error->message);
    }
}

/*
 * The set as lines "action kind [owner.]name [<- old name] [file <- old file]", for comparison. Prototypes
 * have a '*' behind their kind.
 */
static inline char *describe(const struct change_set *set)
{
    struct text text = { 0 };

    for (size_t i = 0; i < set->count; i++) {
        const struct change *change = &set->items[i];
        text_printf(&text, "%s %s%s ", change_action_word(change->action),
                    declaration_kind_word(change->kind), change->prototype ? "*" : "");
        if (change->owner && *change->owner) {
            text_printf(&text, "%s.", change->owner);
        }
        text_puts(&text, change->name);
        if (change->old_name) {
            text_printf(&text, " <- %s", change->old_name);
        }
        if (change->old_file) {
            text_printf(&text, " %s <- %s", change->file, change->old_file);
        }
        text_puts(&text, "\n");
    }
    return text_steal(&text);
}

static inline void assert_set(const struct change_set *set, const char *expected)
{
    char *found = describe(set);

    assert_string_equal(found, expected);
    free(found);
}

static inline void assert_between(const char *old_text, const char *new_text, const char *expected)
{
    struct change_set *set = NULL;

    assert_ok(change_set_between("a.c", old_text, old_text ? strlen(old_text) : 0, new_text,
                                 new_text ? strlen(new_text) : 0, &set));
    assert_set(set, expected);
    change_set_destroy(set);
}

static inline void assert_changes(struct recorder *recorder, const char *expected)
{
    struct change_set *set = NULL;

    assert_ok(recorder_changes(recorder, &set));
    assert_set(set, expected);
    change_set_destroy(set);
}

#define EDIT(sl, sc, el, ec, string)                                                                         \
    {                                                                                                        \
        .start_line = (sl), .start_character = (sc), .end_line = (el), .end_character = (ec),                \
        .text = (string), .length = sizeof(string) - 1                                                       \
    }

#endif
