/* Whether a program was built from the sources it is said to be. */
#ifndef MOLT_PATCH_BASELINE_H
#define MOLT_PATCH_BASELINE_H

#include "patch/emit/emit.h"

/* A definition whose code or contents in the binary are not those of the object. */
struct baseline_difference {
    const struct object_symbol *symbol;
    char why[160];
};

typedef LIST(struct baseline_difference) baseline_differences;

/*
 * Compares each function and each initialised variable of OBJECT, compiled from what the program is said to
 * be built from, with the contribution's binary, those that EARLIER patches replaced left out, and appends
 * what differs to RET.
 */
void baseline_compare(const struct contribution *contribution, struct object *object,
                      const struct earlier_patch *earlier, size_t earlier_count, baseline_differences *ret);

/* Where each byte of SYMBOL, a function of OBJECT, is in the binary's FOUND: distances from its start by
 * distances from SYMBOL's start, UINT32_MAX where no instruction begins. NULL if the code is not the same.
 * Owned by the caller. */
uint32_t *baseline_places(const struct contribution *contribution, struct object *object,
                          const struct object_symbol *symbol, const struct image_symbol *found);

/* Whether an earlier patch has put something else in the place of the definition at ADDRESS. */
bool baseline_is_replaced(const struct image *image, const struct earlier_patch *earlier, size_t count,
                          uint64_t address);

#endif
