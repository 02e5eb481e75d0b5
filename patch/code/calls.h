/* The calls that a function's machine code makes, and what they lead to: of a linked binary, or of an
 * object. */
#ifndef MOLT_PATCH_CALLS_H
#define MOLT_PATCH_CALLS_H

#include "patch/code/image.h"
#include "patch/code/object.h"

struct call {
    uint64_t at;        /* address of the instruction, as the debug information states it */
    uint64_t after;     /* of the one behind it */
    const char *callee; /* name of what is called, NULL: only known while the program runs */
    uint64_t target;    /* of a function in the same binary, or in the object: its address; else 0 */
    bool tail;          /* a jump: what is called returns to this function's caller */
    bool constant;      /* its first argument is a number that the code has in it */
};

typedef LIST(struct call) call_list;

/* Addresses that a binary's calls lead to without being a function of it: stubs and slots for other
 * modules. */
struct call_targets {
    const struct image *image;
    struct call_slot {
        uint64_t address; /* of the slot that the dynamic linker fills in */
        const char *name;
    } * slots; /* sorted */
    size_t slot_count;
};

/* IMAGE is borrowed. */
void call_targets_init(struct call_targets *targets, const struct image *image);
void call_targets_deinit(struct call_targets *targets);

/* Adds the calls in [ADDRESS, ADDRESS + SIZE) to RET. Jumps count if they leave this range for the start
 * of a function. */
void calls_of_image(const struct call_targets *targets, uint64_t address, uint64_t size, call_list *ret);

/* The same for SYMBOL, a function of OBJECT. */
void calls_of_object(struct object *object, const struct object_symbol *symbol, call_list *ret);

#endif
