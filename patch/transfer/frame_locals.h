/* The locals of a function as a structure that a policy for its frames (MOLT_TRANSFER) can be written with.
 */
#ifndef MOLT_PATCH_FRAME_LOCALS_H
#define MOLT_PATCH_FRAME_LOCALS_H

#include "patch/memory.h"
#include "patch/types/types.h"

struct frame_member {
    const char *name; /* the variable's; borrowed from the debug information */
    char
        *as; /* the member's: the same, with a number for the second variable of the name with another type */
    Dwarf_Die die; /* the variable's type */
    const struct type *type;
    uint32_t offset, size;
};

struct frame_locals {
    LIST(struct frame_member) members;
    uint32_t size;
};

/* Finds the parameters and variables of FUNCTION, all blocks counted in, in DWARF, whose units MODEL has.
 * False: it is not defined there. The result borrows from both. */
bool frame_locals_find(struct frame_locals *locals, Dwarf *dwarf, struct type_model *model,
                       const char *function);
void frame_locals_deinit(struct frame_locals *locals);

/* The member called AS, of LENGTH characters; NULL: there is none. */
const struct frame_member *frame_locals_member(const struct frame_locals *locals, const char *as,
                                               size_t length);

#endif
