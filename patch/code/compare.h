/* What differs between two objects of one translation unit. */
#ifndef MOLT_PATCH_COMPARE_H
#define MOLT_PATCH_COMPARE_H

#include <stdbool.h>

#include "patch/code/object.h"

enum change {
    CHANGE_NONE,
    CHANGE_CHANGED, /* other code; for data: other contents in the same place */
    CHANGE_NEW,     /* the other object has no such definition, or not one of this size and kind */
    CHANGE_REMOVED,
};

/* Whether line OLD_LINE of FILE in the old sources is the same text as line NEW_LINE of it in the new
 * ones. */
typedef bool same_line(void *context, const char *file, unsigned old_line, unsigned new_line);

struct comparison {
    struct object *old, *new;
    struct object_symbol **old_of; /* by index in new: the same definition in old, or NULL */
    struct object_symbol **new_of; /* by index in old */
    struct object_symbol **was_of; /* as old_of, but also if the one cannot stand in the other's place:
                                      another size, a stricter alignment */
    struct object_symbol **now_of; /* by index in old */
    enum change *new_change;       /* by index in new; of definitions */
    enum change *old_change;       /* by index in old: CHANGED, REMOVED or NONE */
    const char **reasons;          /* by index in new: words, or NULL */
    same_line *lines;
    void *lines_context;
    bool different; /* something is not NONE */
};

/* Compares OLD with NEW, both borrowed as long as the result. LINES may be NULL. */
void comparison_init(struct comparison *comparison, struct object *old, struct object *new, same_line *lines,
                     void *context);
void comparison_deinit(struct comparison *comparison);

/* Makes *RET the comparison FROM, but with NEW in its new object's place: the same sources compiled with
 * other flags for how code reaches data. */
void comparison_transfer(const struct comparison *from, struct object *new, struct comparison *ret);

/* Whether the variable SYMBOL of `new` is one of `old` that has another size now, or a stricter alignment: it
 * gets another place. What names it by the same offset counts as the same code; who does is asked later
 * (build_moved.c). */
bool comparison_moves(const struct comparison *comparison, const struct object_symbol *symbol);

/* Whether SIZE bytes at OLD_START and NEW_START, of sections of the two objects, hold the same: equal
 * bytes, and pointers to the same things. */
bool comparison_same_value(const struct comparison *comparison, struct object_section *old_section,
                           uint64_t old_start, struct object_section *new_section, uint64_t new_start,
                           uint64_t size);

/* Marks function SYMBOL of `new` as changed for REASON (borrowed as long as the comparison). When all are
 * marked, comparison_spread marks their parts and the data that leads into them. */
void comparison_mark(struct comparison *comparison, struct object_symbol *symbol, const char *reason);
void comparison_spread(struct comparison *comparison);

#endif
