/* What is known of the code that a return address lies in: its unwind table, and whether it hands memory
 * on. */
#ifndef MOLT_ENGINE_HEAP_PLACES_H
#define MOLT_ENGINE_HEAP_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum place_kind {
    PLACE_UNTOLD,  /* nobody has said which functions of this code hand memory on */
    PLACE_WRAPPER, /* it lies in one that does */
    PLACE_PLAIN,   /* it does not */
};

struct place {
    enum place_kind kind;
    const uint8_t *eh_frame_header; /* NULL if there is none */
    uint64_t identity;              /* of the code's build, never 0; 0: unknown */
};

/* What is known of RETURN_ADDRESS. False if it is in no loaded module and no patch. Lock-free, no
 * allocation. Reads the tables that MOLT_WRAPPERS names when it is first called with an environment there. */
bool place_find(uintptr_t return_address, struct place *ret);

/* Code that a patch brought, from START to END; HEADER may be NULL. On the engine's thread. */
void place_add_code(uintptr_t start, uintptr_t end, const uint8_t *header);
void place_remove_code(uintptr_t start, uintptr_t end);

#endif
