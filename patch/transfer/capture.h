/* Which functions keep addresses that they are given. */
#ifndef MOLT_PATCH_TRANSFER_CAPTURE_H
#define MOLT_PATCH_TRANSFER_CAPTURE_H

#include "patch/code/object.h"

#define FLOW_ARGUMENTS 6 /* that are handed over in registers */

struct code;

/* What a function does with addresses that it is given. Bits are arguments, the first being bit 0. */
struct capture {
    uint64_t kept;        /* it may keep them, or hand them to somebody who does */
    uint64_t returned;    /* its result may lead there */
    uint32_t stack_bytes; /* of arguments above its frame that it may read */
    bool blind;           /* it hands on no addresses that it finds where its arguments lead */
    bool stores;          /* it keeps things nowhere but where its second argument leads */
};

/* Finds the function of another object that the program calls NAME. *RET_OBJECT is NULL if it is the
 * program's own but not known; false: it is of a library. */
typedef bool find_function(void *context, const char *name, struct object **ret_object,
                           const struct object_symbol **ret_symbol);

/* What is known of functions, asked for again and again. */
struct captures {
    find_function *find; /* NULL: nothing is known of functions of other objects */
    void *context;
    struct table known; /* of struct capture_entry, by object and name */
    LIST(struct capture_entry *) entries;
    LIST(struct clobbers *) clobbers; /* of the objects that were looked into */
    unsigned round, budget;
    bool changed;
};

void captures_init(struct captures *captures, find_function *find, void *context);
void captures_deinit(struct captures *captures);

/* What is called by INSTRUCTION of CODE, a call or a jump out of the function, does with its arguments. */
struct capture captures_of_call(struct captures *captures, const struct code *code, uint32_t instruction);

#endif
