/* The code that the functions of a program have, have had, and will have. */
#ifndef MOLT_PATCH_BUILD_CODES_H
#define MOLT_PATCH_BUILD_CODES_H

#include "patch/code/image_function.h"
#include "patch/emit/emit.h"
#include "patch/transfer/transfer.h"

/* What is known of one binary's functions, shared by all questions of a build. All zero, then
 * program_codes_init. */
struct program_codes {
    const struct emission *emission;
    const struct image *image;
    struct image_functions functions;
    LIST(struct object *) patches; /* by number of the earlier patch; NULL: it cannot be read as an object */
    struct table units; /* of struct unit_code, by what identity_key says; once they are `listed` */
    bool listed;
    LIST(struct unit_code *) made;
    LIST(struct program_side *) sides;
};

/* EMISSION and IMAGE are borrowed. */
void program_codes_init(struct program_codes *codes, const struct emission *emission,
                        const struct image *image);
void program_codes_deinit(struct program_codes *codes);

struct codes_question {
    struct program_codes *codes;
    bool ever; /* also those that earlier updates have replaced; else what is and what will be in force */
};

/* A find_function; CONTEXT is a struct codes_question. Whatever is suspended at the update goes on in the
 * next code, and what it was handed before, earlier codes may have seen. */
bool program_codes_find(void *context, struct object *object, const struct object_symbol *symbol,
                        function_codes *ret);

/* The codes of SYMBOL, a function of the old object of CONTRIBUTION, that earlier updates have replaced,
 * oldest first. */
void program_codes_past(struct program_codes *codes, const struct contribution *contribution,
                        const struct object_symbol *symbol, past_codes *ret);

#endif
