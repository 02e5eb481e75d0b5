/* How an instruction names an address by a field of its own. */
#ifndef MOLT_PATCH_OPERANDS_H
#define MOLT_PATCH_OPERANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "patch/code/image.h"

struct operand_field {
    uint8_t offset, size; /* in bytes, from the instruction's start; size 0: there is none */
    bool relative;        /* to the end of the instruction */
    bool direct;          /* it is read, written or called there: no register gets the address */
    bool indexed;         /* a register is added to it */
};

struct operands {
    uint8_t length; /* of the instruction */
    struct operand_field displacement, immediate;
};

/* Decodes the instruction at BYTES, of which there are SIZE. False: it is none. */
bool operands_decode(const uint8_t *bytes, uint64_t size, struct operands *ret);

/* The address that FIELD of the instruction at BYTES, LENGTH bytes long and linked to be at ADDRESS, names.
 */
uint64_t operand_target(const struct operand_field *field, const uint8_t *bytes, uint8_t length,
                        uint64_t address);

/* A place of a binary's code that names an address. */
struct image_operand {
    uint64_t address, target; /* of the field; what it names */
    uint8_t tail;             /* bytes between the field and the end of its instruction */
    bool relative, direct, indexed;
};

typedef LIST(struct image_operand) image_operands;

/* All operands of IMAGE's code, whatever that was made from, that name an address from START up to END. The
 * compiler's start files do not count: they name ends of sections, where a variable may begin. */
void image_find_operands(const struct image *image, uint64_t start, uint64_t end, image_operands *ret);

/* Whether code or data of IMAGE, a library, names an address from START up to END by itself, and not by a
 * symbol that another module may take the place of. */
bool image_names_directly(const struct image *image, uint64_t start, uint64_t end);

#endif
