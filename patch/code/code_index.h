/* Which function an address belongs to, and which line of the source, through all functions that were
 * inlined there. */
#ifndef MOLT_PATCH_CODE_INDEX_H
#define MOLT_PATCH_CODE_INDEX_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#include "patch/memory.h"

/* Code of a function; one with several ranges is there as often. */
struct code_range {
    uint64_t start, end;
    Dwarf_Die die;  /* of the function */
    Dwarf_Die unit; /* of its compile unit */
    bool entry;     /* it is entered at `start`; else a part that was split off */
};

struct code_index {
    LIST(struct code_range) ranges; /* ascending */
};

/* Where control was when it called: FILE as the debug information names it (NULL if unknown). */
struct code_frame {
    const char *function;
    const char *file;
    unsigned line, column; /* 0: not known */
};

typedef LIST(struct code_frame) code_frames;

/* Reads all functions of DWARF, which is borrowed. */
void code_index_init(struct code_index *index, Dwarf *dwarf);

/* The functions of one unit. */
void code_index_init_unit(struct code_index *index, Dwarf_Die *unit);
void code_index_deinit(struct code_index *index);

/* The function at ADDRESS, or NULL. */
const struct code_range *code_index_find(const struct code_index *index, uint64_t address);

/* Adds the place of the instruction at ADDRESS: in the innermost inlined function first, in the function
 * itself last. Nothing if the debug information does not know it. */
void code_index_frames(const struct code_index *index, uint64_t address, code_frames *ret);

#endif
