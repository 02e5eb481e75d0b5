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

/* A function's code. */
struct function_code {
    struct object *object;
    const struct object_symbol *symbol;
    Dwarf_Die declared; /* by which the source has declared it; without an address: as OBJECT says */
};

/* All that control may come to where one name is called. */
typedef struct {
    LIST(struct function_code) list;
    bool differ; /* they may not have the same parameters */
} function_codes;

/* Finds what OBJECT's code calls by SYMBOL. None in *RET: it is the program's own, but not known; false: it
 * is of a library. */
typedef bool find_function(void *context, struct object *object, const struct object_symbol *symbol,
                           function_codes *ret);

/* What is known of functions, asked for again and again. */
struct captures {
    find_function *find; /* NULL: each object has all of the program's functions */
    void *context;
    bool alone;         /* functions are taken for what they do themselves: what they call keeps nothing */
    struct table known; /* of struct capture_entry, by object and name */
    LIST(struct capture_entry *) entries;
    struct table called; /* of struct capture_callee, likewise: what `find` has said */
    LIST(struct capture_callee *) callees;
    LIST(struct clobbers *) clobbers; /* of the objects that were looked into */
    unsigned round, budget;
    bool changed;
};

void captures_init(struct captures *captures, find_function *find, void *context);
void captures_deinit(struct captures *captures);

/* What is called by INSTRUCTION of CODE, a call or a jump out of the function, does with its arguments. */
struct capture captures_of_call(struct captures *captures, const struct code *code, uint32_t instruction);

/* What the function SYMBOL of OBJECT does with its own. */
struct capture captures_of_function(struct captures *captures, struct object *object,
                                    const struct object_symbol *symbol);

#endif
