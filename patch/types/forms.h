/* The variables of a source as it writes them, and in which form a compiler keeps each: whole, in parts,
 * as one bit, or not at all. */
#ifndef MOLT_PATCH_FORMS_H
#define MOLT_PATCH_FORMS_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#include "patch/memory.h"

enum form_kind {
    FORM_NONE,   /* nowhere: folded away, or nothing reads it */
    FORM_WHOLE,  /* at one address */
    FORM_PARTS,  /* members and elements apart, those that nothing reads left out */
    FORM_SCALED, /* a smaller number stands for it (clang: one bit, if it only ever has two values) */
    FORM_OTHER,  /* in registers and on stacks: made local to main */
};

/* One address and what is there. */
struct form_piece {
    uint64_t address; /* or offset in the thread-local storage */
    bool tls;
    uint64_t offset, size; /* in the variable, in bytes; size 0: all of it */
};

struct form {
    const char *function; /* that it is in; "" for the file */
    const char *name;
    unsigned order; /* of those of one name in one function, as the source has them */
    enum form_kind kind;
    LIST(struct form_piece) pieces;
    uint64_t factor, base; /* SCALED: the value is base + factor * what is there */
    Dwarf_Die die;         /* with the location, if any has one */
    Dwarf_Off entry;       /* of its declaration */
};

struct form_place {
    uint64_t address;
    size_t form, piece;
    bool tls;
};

struct forms {
    LIST(struct form) items;        /* by function, name and order */
    LIST(struct form_place) places; /* by address */
};

/* The variables that DWARF (may be NULL) describes, but for those of functions that are not static. Owned
 * by the caller: forms_deinit. */
void forms_of(Dwarf *dwarf, struct forms *ret);
void forms_deinit(struct forms *forms);

/* The same variable as FORM in another compile; NULL if the source has none. */
const struct form *forms_find(const struct forms *forms, const struct form *form);

/* The variable that has a piece at ADDRESS, *RET_PIECE (may be NULL) that piece; NULL if none has. */
const struct form *forms_at(const struct forms *forms, uint64_t address, bool tls,
                            const struct form_piece **ret_piece);

/* Whether FORM is declared to stay as it begins: const, or an array of such. */
bool form_is_const(const struct form *form);

/* Bytes of the variable's type, 0 if unknown. */
uint64_t form_size(const struct form *form);

#endif
