/*
 * Recipes by which a function that is suspended at a call goes on in its other version (DESIGN.md 4.4): which
 * call there is the same, what the code behind it will read, and where each of these values is in the frame
 * of the version that runs. Where anything cannot be derived there is no recipe, but a reason.
 */
#ifndef MOLT_PATCH_TRANSFER_H
#define MOLT_PATCH_TRANSFER_H

#include "base/patch_file.h"
#include "patch/code/code_index.h"
#include "patch/code/compare.h"
#include "patch/transfer/capture.h"
#include "patch/policy/policy.h"
#include "patch/transfer/members.h"

struct changed_unit;
struct frame_policies;
struct frame_policy;

struct recipe_value {
    int64_t from;
    int32_t to;
    enum molt_value_place to_kind, from_kind;
    uint32_t size, from_size;
    bool is_signed;
    int64_t addend;     /* to what is read from a register, slot or policy */
    uint32_t migration; /* 1 + index of the patch's that makes a new instance of it; 0: it is copied */
    struct object_place symbol; /* SYMBOL: of the new object; `from` is the distance from it */
    const char *variable;       /* borrowed from the object; NULL: none */
};

/* One call of the old code. Places are addresses of the objects' debug information. */
/* A local that has no value in the new version, as a recipe's reason says, and that MOLT_TRANSFER could give.
 */
struct recipe_gap {
    const char *local, *function; /* borrowed from the debug information; NULL: there is none */
    const char *value;            /* C to begin with; NULL: it is no number and no pointer */
};

struct recipe {
    uint64_t old_place, new_place; /* return addresses; new_place 0: there is no such call */
    const char *callee;            /* borrowed */
    unsigned line;
    bool is_setjmp;        /* the call is one of setjmp: what comes back there does so by longjmp */
    char *reason;          /* NULL: the recipe is complete */
    struct recipe_gap gap; /* what it asks for */
    uint32_t old_size, new_size;
    bool moves, moves_taken; /* as MOLT_TRANSFER_MOVES and its like say */
    LIST(struct recipe_value) values;
    const struct frame_policy *policy; /* borrowed: the user's that gives some of them; NULL: none */
    LIST(struct recipe_value) seen;    /* what it is called with: `to` is the place in the structure */
};

typedef LIST(struct recipe) recipe_list;

/* One side of a comparison, with what is made once for all its functions. */
struct transfer_side {
    struct object *object;
    struct code_index index;
    struct clobbers *clobbers;
};

void transfer_side_init(struct transfer_side *side, struct object *object);
void transfer_side_deinit(struct transfer_side *side);

/* What becomes of a local. */
enum local_change {
    LOCAL_UNKNOWN, /* it is no structure or union, nor an array of them, or they are not known */
    LOCAL_SAME,
    LOCAL_MIGRATES, /* it is an instance of a type that changes, or an array of them */
    LOCAL_DIFFERS,  /* the same, without a migration that leads from one type to the other */
};

/* What becomes of a local of the type OLD that is of the type NEW in the other version (NULL: there is none),
 * and by which migration of the patch (1 + its index). BACK: on the way from the update's version. */
typedef enum local_change local_changes(void *context, const Dwarf_Die *old, const Dwarf_Die *new, bool back,
                                        uint32_t *ret_migration);

/* What the SIZE bytes at OFFSET of a local of the type NEW are made of, where one of the type OLD migrates.
 */
typedef enum policy_part local_parts(void *context, const Dwarf_Die *old, const Dwarf_Die *new, bool back,
                                     uint64_t offset, uint64_t size, uint64_t *ret);

/* Code of a function that frames which are suspended now may have run before an earlier update. */
struct past_code {
    const struct transfer_side *side; /* NULL: it is not known; borrowed */
    const struct object_symbol *symbol;
};

typedef LIST(struct past_code) past_codes;

/* The codes of the function SYMBOL, of the old side, that earlier updates have replaced, oldest first. */
typedef void find_past(void *context, const struct object_symbol *symbol, past_codes *ret);

/* Two sides, and what is known of their sources. */
struct transfer_pair {
    const struct transfer_side *old, *new;
    same_line *lines; /* NULL: the sources are the same */
    void *lines_context;
    const struct comparison
        *comparison; /* of the two, in either direction; NULL: whatever has one name is one thing */
    struct moved_members members;
    struct captures
        *captures; /* of the old side; NULL: it is not sure whose code has seen the frames' addresses */
    struct captures *captures_after; /* of the new side; NULL: likewise. The reverse pair has the same two */
    find_past *past;                 /* NULL: the old side is all that frames have run */
    void *past_context;
    local_changes *changes; /* NULL: no type changes */
    local_parts *parts;     /* set if that is */
    void *changes_context;
    const struct frame_policies
        *policies; /* the user's; set after transfer_pair_init, with what they go by */
    const struct changed_unit *unit;
    bool back;
};

/* All is borrowed. */
void transfer_pair_init(struct transfer_pair *pair, const struct transfer_side *old,
                        const struct transfer_side *new, same_line *lines, void *lines_context,
                        const struct comparison *comparison);
void transfer_pair_deinit(struct transfer_pair *pair);

/* Adds a recipe for each call in OLD_SYMBOL that comes back, leading to NEW_SYMBOL, its other version; and
 * (unless BACK, the same pair the other way round, is NULL) those from NEW_SYMBOL back to it. Everything is
 * borrowed as long as the results. */
void transfer_function(const struct transfer_pair *forward, const struct transfer_pair *back,
                       const struct object_symbol *old_symbol, const struct object_symbol *new_symbol,
                       recipe_list *ret_forward, recipe_list *ret_back);

/* Whether the function SYMBOL, of the old side of PAIR, leaves no address in its frame behind, with anybody
 * or in a local, and none that it is given which BEFORE, its version of the new side, would not. */
bool transfer_keeps_nothing(const struct transfer_pair *pair, const struct object_symbol *symbol,
                            const struct object_symbol *before);
void recipes_free(recipe_list *recipes);

#endif
