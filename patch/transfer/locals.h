/* Where a function's local variables are, by its debug information. */
#ifndef MOLT_PATCH_TRANSFER_LOCALS_H
#define MOLT_PATCH_TRANSFER_LOCALS_H

#include "patch/code/code_index.h"
#include "patch/transfer/match.h"

enum local_place {
    LOCAL_REGISTER, /* value: the number */
    LOCAL_SLOT,     /* value: offset from the CFA */
    LOCAL_CONSTANT, /* value: the number itself */
    LOCAL_FRAME,    /* value: the variable holds the CFA + this */
    LOCAL_ENTERED,  /* made of what registers held when the function was entered, which it does not keep: its
                       code  cannot read it any more */
    LOCAL_COMPUTED, /* from other places, in a way that is not followed */
};

struct local_piece {
    enum local_place kind;
    uint32_t offset, size; /* of the variable */
    int64_t value;
    int64_t addend; /* of a register: the variable's value is this much more than what the register holds */
};

/* A variable that is in scope at a call. */
struct local {
    const char *name;
    uint32_t hash;        /* of the name */
    const char *function; /* whose local it is: the function's, or that of an inlined call; NULL: not known */
    unsigned level;       /* how many inlined calls deep it was declared */
    unsigned nth;         /* of those of this name at this level, from the outermost */
    unsigned line;
    const char *file;
    Dwarf_Off die;
    bool late; /* declared behind the call, in the source: it holds nothing yet that anybody may read
                  (C11 6.2.4, 6) */
    uint32_t size;
    bool typed;
    Dwarf_Die type; /* if typed */
    LIST(struct local_piece) pieces;
};

typedef LIST(struct local) local_list;

/* Memory of the frame that belongs to one variable while its scope lasts. */
struct frame_object {
    const char *name;
    Dwarf_Off die;
    int32_t offset;
    uint32_t size;
    Dwarf_Die scope; /* the innermost block, inlined call or function around it */
    bool whole;      /* the scope is the function's */
    bool array;
};

typedef LIST(struct frame_object) frame_objects;

/* One function's debug information. */
struct function_debug {
    const struct code *code;
    Dwarf_Die die, unit;
    bool known;
};

/* INDEX is of the object's debug information, which the result borrows, as it does CODE. */
void function_debug_init(struct function_debug *debug, const struct code *code,
                         const struct code_index *index);

/* The variables in scope at the call CALL and where they are meanwhile. */
void locals_at_call(const struct function_debug *debug, uint32_t call, local_list *ret);
void locals_free(local_list *locals);
bool local_same_name(const struct local *one, const struct local *other);

/* The local in scope that lies at PLACE; *RET_PIECE is the part of it. NULL: none. */
const struct local *local_at(const local_list *locals, int32_t place, const struct local_piece **ret_piece);

/* Whether LOCAL is in memory as a whole: only then it has an address. */
bool local_is_whole(const struct local *local);

/* The piece that holds SIZE bytes at OFFSET of the variable, or NULL. */
const struct local_piece *local_piece_of(const struct local *local, uint32_t offset, uint32_t size);

/* The local of the other version that is the same variable, or NULL. */
const struct local *local_counterpart(const local_list *others, const local_list *own,
                                      const struct local *local);

/* All objects in the frame; AT is an instruction at which it is set up. */
void find_frame_objects(const struct function_debug *debug, uint32_t at, frame_objects *ret);

/* Whether OBJECT's scope includes ADDRESS. */
bool frame_object_in_scope(const struct frame_object *object, uint64_t address);

/* The names and types of the function's parameters: equal texts mean equal ones. Owned by the caller. */
char *parameters_text(const struct function_debug *debug);

/* Whether objects of the two types are laid out alike and mean the same: names of members count, what
 * pointers lead to does not. */
bool same_local_type(Dwarf_Die *old, Dwarf_Die *new);

/* Whether TYPE is an integer or enumeration; *RET_SIGNED tells its kind. */
bool local_is_integer(Dwarf_Die *type, bool *ret_signed);

#endif
