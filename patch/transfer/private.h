/* One pair of versions of a function being worked on. */
#ifndef MOLT_PATCH_TRANSFER_PRIVATE_H
#define MOLT_PATCH_TRANSFER_PRIVATE_H

#include "patch/transfer/transfer.h"
#include "patch/transfer/escape.h"
#include "patch/transfer/locals.h"

/* A part of the frame that is written as one. */
struct frame_slot {
    int32_t place;
    uint32_t size;
    uint32_t earlier; /* index of the one before with this place and another size; NO_INSTRUCTION: none */
};

typedef LIST(struct frame_slot) frame_slots;

/* One version. */
struct version {
    struct clobbers *clobbers; /* the object's */
    Dwarf_Die unit;
    struct code code;
    struct function_debug debug;
    frame_objects objects;
    live_ranges escaped; /* objects of the frame that may be reached by an address, if `wild` all of them */
    bool wild;           /* an address in the frame that is no known object's got away */
    bool loose;          /* some memory is accessed that is no certain object's */
    LIST(uint32_t) setjmps; /* calls of setjmp and its like: control may come back behind them by longjmp */
    bool *foreign; /* by byte of the frame from `low` on: something uses it outside the scope of any object
                      there */
    int32_t low, high; /* what is accessed or belongs to an object; 0 is between them */
    bool *idle;        /* by byte of the frame from `low` on: it holds nothing at the call in question */
    uint32_t *units; /* by byte of the frame from `low` on: the widest access that reads and starts there; 0:
                        none does */
    frame_slots slots;  /* places in the frame that are written as one, each but once, in the code's order */
    local_list **known; /* by call: its locals, once they were asked for; NULL: none were */
    const local_list *locals;      /* at the call in question */
    uint32_t at;                   /* where that call returns to */
    struct address_flow addresses; /* of objects, once somebody has asked: `code` is set then */
};

/* How the two use the frame, whatever the call. */
struct kept {
    bool *differs; /* by byte of the frame from `low` on: something uses it in one of them otherwise; NULL:
                      not asked yet */
    int32_t low;
    int32_t taken; /* the lowest address in the frame that only one of them hands out */
};

/* Bytes of the new frame, and registers, that have their value already. */
struct covered {
    bool *bytes;        /* the registers', then the frame's from its lowest on */
    int32_t size, room; /* of the frame; of the largest so far */
};

/* Whether both versions make a frame of variable size in the same way. */
enum frames { FRAMES_UNKNOWN, FRAMES_SAME, FRAMES_DIFFER };

struct past_version;

struct transfer_work {
    struct version *old, *new;
    struct match match;
    struct kept kept;
    struct covered covered;
    struct liveness direct;           /* of the new code: by operands */
    struct liveness all;              /* by addresses, too */
    struct captures *captures;        /* of the old version's program, or NULL */
    LIST(struct past_version *) past; /* what frames may have come through before the old version */
    const struct transfer_pair *pair;
    struct recipe *recipe; /* that is being made */
    unsigned depth;        /* of values that are worked out from others */
    enum frames frames;
};

/* transfer/version.c: what there is to know of SYMBOL, a function of SIDE, which it borrows. Where it cannot
 * be known, its code says why. */
void version_init(struct version *version, const struct transfer_side *side,
                  const struct object_symbol *symbol);
void version_deinit(struct version *version);

/* The locals at the call CALL, found out once for both directions. */
const local_list *version_locals(struct version *version, uint32_t call);

/* transfer/setjmp.c: whether the instruction CALL is a call of setjmp or its like. */
bool version_calls_setjmp(const struct version *version, uint32_t call);

/* Finds all of them, and links the code for what longjmp does. */
void version_link_longjmps(struct version *version);

/* Whether PLACE is read behind one of those of the new version. */
bool transfer_is_live_behind_setjmp(const struct transfer_work *work, const struct liveness *liveness,
                                    int32_t place);

/* Whether RECIPE can serve what longjmp comes back with, whether the frame was turned meanwhile or not. NULL,
 * or why not: owned by the caller. */
char *transfer_check_setjmp(const struct recipe *recipe);

/* Takes the COUNT recipes of one function at ITEMS away if one of setjmp's calls has none. */
void transfer_need_setjmps(struct recipe *items, size_t count);

/* transfer/calls.c: pairs[i] is the new code's call that corresponds to the old code's I-th instruction, or
 * NO_INSTRUCTION. Owned by the caller. */
uint32_t *transfer_match_calls(struct transfer_work *work, const struct code_index *old_index,
                               const struct code_index *new_index);

/* transfer/checks.c: whether the locals of both versions allow a recipe for the old code's call OLD_CALL.
 * NULL, or why not: owned by the caller. */
char *transfer_check_locals(struct transfer_work *work, uint32_t old_call);

/* Whether an object that moves may still be led to by what the new frame takes over. NULL, or why: owned by
 * the caller. */
char *transfer_check_values(struct transfer_work *work, const struct recipe *recipe);

/* Whether somebody may have an address inside LOCAL when the call CALL returns, or while it is under way. */
bool transfer_is_known_elsewhere(const struct version *version, const struct local *local, uint32_t call);

/* transfer/past.c: finds out which versions earlier updates have replaced; SYMBOL is the old version. */
void transfer_find_past(struct transfer_work *work, const struct object_symbol *symbol);
void transfer_forget_past(struct transfer_work *work);

/* What earlier versions may have done with the address of a local. */
enum past { PAST_NOTHING, PAST_TAKEN, PAST_KEPT };

/* LOCAL is of the old version. */
enum past transfer_past_of(struct transfer_work *work, const struct local *local);

/* Whether a local called LOCAL may have got an address in the frame from one of them. */
bool transfer_led_before(struct transfer_work *work, const char *local);

/* Whether a call of CALLEE that one of them made may return such an address. */
bool transfer_returned_before(struct transfer_work *work, const char *callee);

/* Where the addresses of VERSION's objects go, found out once. */
struct address_flow *version_addresses(struct version *version, struct captures *captures);

/* transfer/transfer.c: adds VALUE to the recipe that is being made. */
void transfer_add_value(struct transfer_work *work, const struct recipe_value *value);

/* transfer/instances.c: adds the locals that are instances of changed types and are in use when the old
 * code's call OLD_CALL is under way. NULL, or why one of them forbids a recipe: owned by the caller. */
char *transfer_instances(struct transfer_work *work, uint32_t old_call, uint32_t new_call);

/* Whether the policy of RECIPE reads one of them. NULL, or a reason: owned by the caller. */
char *transfer_check_seen(const struct recipe *recipe);

/* What becomes of OLD, which is NEW (NULL: nothing) in the new version. */
enum local_change transfer_change(const struct transfer_work *work, const struct local *old,
                                  const struct local *new, uint32_t *ret_migration);

/* What the SIZE bytes at OFFSET of NEW are made of, which OLD becomes: those at *RET, if they are COPIED. */
enum policy_part transfer_part(const struct transfer_work *work, const struct local *old,
                               const struct local *new, uint32_t offset, uint32_t size, uint32_t *ret);

/* The other way: whether the SIZE bytes at OFFSET of OLD become those at *RET of NEW. */
enum policy_part transfer_part_back(const struct transfer_work *work, const struct local *old,
                                    const struct local *new, uint32_t offset, uint32_t size, uint32_t *ret);

/* Whether the value of OLD is one of NEW. */
bool transfer_same_type(const struct transfer_work *work, const struct local *old, const struct local *new);

/* transfer/sources.c: where the SIZE bytes at PLACE (a register's: from its start) of the new frame come
 * from. NULL, or why that cannot be told: owned by the caller. */
char *transfer_source(struct transfer_work *work, int32_t place, uint32_t size, struct recipe_value *ret);

/* Where the old version, when the call returns, has the result of the same computation as the new one's SIZE
 * bytes at PLACE in front of its instruction AT. False: nowhere. */
bool transfer_take_proven(struct transfer_work *work, uint32_t at, int32_t place, uint32_t size,
                          struct recipe_value *ret);

/* transfer/recompute.c: the same, where what those bytes are made of is known. False: it is not. */
bool transfer_recompute(struct transfer_work *work, int32_t place, uint32_t size, struct recipe_value *ret);

/* transfer/described.c: why the value of a variable is not known. */
enum { PROBLEM_NEW = 1, PROBLEM_TYPE = 2, PROBLEM_LOST = 4, PROBLEM_SHARED = 8 };

/* The SIZE bytes at PLACE by the locals that the debug information says are there. NULL, or why that cannot
 * be told: owned by the caller; *RET_PROBLEMS has all kinds of reasons. Where there are none, *RET_DESCRIBED
 * is false. */
char *transfer_described(struct transfer_work *work, int32_t place, uint32_t size, bool *ret_described,
                         unsigned *ret_problems, struct recipe_value *ret);

/* Takes SIZE bytes at OFFSET of a variable from PIECE of the old version. False: they are nowhere. */
bool transfer_take_piece(const struct local_piece *piece, uint32_t offset, uint32_t size,
                         struct recipe_value *ret);

/* Makes of the value of a variable that of a place which holds so much less. False: it cannot be told. */
bool transfer_subtract(struct recipe_value *value, int64_t addend);

/* transfer/given.c: the SIZE bytes at PLACE as a policy of the user gives them, who says what the locals
 * there are. NULL, or why not; *RET_GIVEN tells whether one does. */
char *transfer_given(struct transfer_work *work, int32_t place, uint32_t size, bool *ret_given,
                     struct recipe_value *ret);

/* Whether a policy gives LOCAL, of the new version. */
bool transfer_is_given(const struct transfer_work *work, const struct local *local);

/* transfer/scope.c: works out how VERSION's frame is used, and which memory by its objects only. */
void version_find_scopes(struct version *version);

/* Whether LOCAL, one of those at the call in question, is in memory and holds nothing yet. */
bool version_is_unset(const struct version *version, const struct local *local);

/* Notes which objects are in scope at ADDRESS, that of the call in question, whose locals are known. */
void version_enter(struct version *version, uint64_t address);

/* Whether the byte at OFFSET is that of objects only, none of which is in scope and set: it holds nothing. */
bool version_is_idle(const struct version *version, int32_t offset);

/* How many bytes from OFFSET on are read as one: the widest access that starts there; at least one. */
uint32_t version_unit_at(const struct version *version, int32_t offset);
void version_forget_scopes(struct version *version);

/* transfer/relied.c: whether register NUMBER, or from REGISTERS on a vector, of which SIZE bytes are read
 * behind the calls and which the ABI lets the called function change, holds what it must. NULL, or why it may
 * not: owned by the caller. */
char *transfer_check_relied(struct transfer_work *work, uint32_t old_call, uint32_t new_call, unsigned number,
                            uint32_t size);

/* Whether the code reads register NUMBER (as above) from the instruction VERSION is at on, before it writes
 * it. */
bool version_reads(const struct version *version, unsigned number);

/* transfer/in_place.c: whether the frames at the two calls have no fixed size, so that they cannot be moved.
 */
bool transfer_stays(const struct transfer_work *work, uint32_t old_call, uint32_t new_call);

/* Readies the recipe that is being made for a frame that stays where it is. NULL, or why it cannot serve the
 * new code: owned by the caller. */
char *transfer_prepare_to_stay(struct transfer_work *work, uint32_t old_call, uint32_t new_call);

/* Leaves in that recipe, whose values are known, what does not hold already. NULL, or why it cannot be done:
 * owned by the caller. */
char *transfer_stay(struct transfer_work *work);

/* transfer/kept.c: whether SIZE bytes at OFFSET from the CFA are used alike by both versions, so that they
 * hold the same. */
bool transfer_is_kept(struct transfer_work *work, int32_t offset, uint32_t size);
void kept_deinit(struct kept *kept);

#endif
