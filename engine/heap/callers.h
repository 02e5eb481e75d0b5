/* How to get from a frame to its caller's, found in the unwind table once and cheap to follow from then
 * on. */
#ifndef MOLT_ENGINE_HEAP_CALLERS_H
#define MOLT_ENGINE_HEAP_CALLERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a frame that is suspended in a call ends: at its CFA, which is DISTANCE above rsp, or rbp. The
 * return address lies just below. */
struct caller_rule {
    bool from_rbp;
    uint32_t distance;
    uint32_t saved_rbp; /* so far below the CFA; 0: rbp is the caller's own */
};

/*
 * The rule at RETURN_ADDRESS, as the table at HEADER (an .eh_frame_hdr with the search table that linkers
 * write) says. False if it says nothing, or something that does not fit. Lock-free, no allocation, little
 * stack.
 */
bool caller_rule_find(const uint8_t *header, uintptr_t return_address, struct caller_rule *ret);

#endif
