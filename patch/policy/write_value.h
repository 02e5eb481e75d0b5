/* Writing the C that makes one value of another. */
#ifndef MOLT_PATCH_POLICY_WRITE_VALUE_H
#define MOLT_PATCH_POLICY_WRITE_VALUE_H

#include "patch/types/declare.h"
#include "patch/policy/plan.h"

/* A function that maps the numbers of an enumeration. */
struct policy_remap {
    const struct type *old, *new;
    bool back;
    char *name;
};

struct policy_writer {
    const struct policy_plans *plans;
    struct declarations *old_types, *new_types;
    struct text *text;
    bool back; /* writing the way back: from new to old */
    LIST(struct policy_remap) remaps;
    struct table remap_names;
};

/* One value to be made. */
struct policy_value {
    const struct type *old, *new;
    uint32_t old_bits, new_bits;     /* of bit-fields, else 0 */
    const char *old_text, *new_text; /* as C: "old->x[i]" */
    bool drop, string;
    const char *comment; /* at the end of the first line; NULL for none */
    unsigned indent;     /* in steps of four */
};

void policy_write_value(struct policy_writer *writer, const struct policy_value *value);

/* Appends INDENT steps, a formatted line, and COMMENT (may be NULL). */
void policy_line(struct policy_writer *writer, unsigned indent, const char *comment, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* policy/write_enum.c: the name of the function that maps numbers of OLD to those of NEW (or back), which
 * will be written. */
const char *policy_remap_name(struct policy_writer *writer, const struct type *old, const struct type *new);

/* Writes the functions that values have asked for so far to RET. */
void policy_write_remaps(struct policy_writer *writer, struct text *ret);

#endif
