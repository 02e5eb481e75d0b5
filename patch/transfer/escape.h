/*
 * Where addresses in a frame may have got to. Every value that may come from the address of an object is
 * followed through registers and the frame; what is stored elsewhere, or handed to a function that may keep
 * it, has escaped: then the object must stay where it is.
 */
#ifndef MOLT_PATCH_TRANSFER_ESCAPE_H
#define MOLT_PATCH_TRANSFER_ESCAPE_H

#include "patch/transfer/capture.h"
#include "patch/transfer/live.h"
#include "patch/transfer/locals.h"

/* An address that got away at an instruction. */
struct flow_escape {
    uint32_t at;
    uint64_t what;
};

struct flow_slot {
    int32_t offset;
    uint32_t size;
    uint64_t what;
};

struct address_flow {
    const struct code *code;
    struct captures *captures;
    bool arguments;               /* what is followed are the arguments, not addresses in the frame */
    const frame_objects *objects; /* bit N: the Nth, or argument N */
    const live_ranges *escaped;   /* memory of the frame that is reached by addresses */
    uint64_t *states;             /* by block: what registers hold on entry */
    LIST(struct flow_slot) slots;
    LIST(struct flow_escape) escapes;
    uint64_t contents; /* what may be found in memory of the frame that is reached by addresses */
    uint64_t returned;
    bool changed, final;
};

/* Follows the addresses of OBJECTS; ESCAPED as find_escaped has it. All is borrowed as long as the result. */
void address_flow_init(struct address_flow *flow, const struct code *code, const frame_objects *objects,
                       const live_ranges *escaped, struct captures *captures);

/* Follows the first COUNT arguments of the function. */
void address_flow_init_arguments(struct address_flow *flow, const struct code *code, unsigned count,
                                 struct captures *captures);
void address_flow_deinit(struct address_flow *flow);

/* Whether somebody may have an address in the SIZE bytes at OFFSET of the frame when the call CALL returns.
 */
bool address_flow_escapes(const struct address_flow *flow, int32_t offset, uint32_t size, uint32_t call);

/* The same, whatever call it is. */
bool address_flow_ever_escapes(const struct address_flow *flow, int32_t offset, uint32_t size);

/* Whether SIZE bytes at PLACE may hold, or may have been made of, an address in the frame in front of
 * instruction AT. */
bool address_flow_has(struct address_flow *flow, uint32_t at, int32_t place, uint32_t size);

#endif
