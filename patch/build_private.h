/* One run of the builder, as build.c and its parts see it. */
#ifndef MOLT_PATCH_BUILD_PRIVATE_H
#define MOLT_PATCH_BUILD_PRIVATE_H

#include "patch/emit/emit.h"
#include "patch/code/inlining.h"
#include "patch/compile/new_sources.h"
#include "patch/session_private.h"
#include "patch/code/source_lines.h"

/* A unit whose files differ. */
struct changed_unit {
    struct unit *unit;
    struct compile_job old, new, indirect;
    const struct unit *neighbour; /* of a new file: the unit whose place it shares; else NULL */
    bool compared, placed;
    struct comparison comparison;
    struct comparison through_got; /* the same with the indirect object */
    bool uses_got;
};

struct frame_policies;

/* A variable that gets another place. */
struct moved_variable {
    struct changed_unit *unit;       /* that defines it */
    struct object_symbol *old, *new; /* in the objects of its comparison */
};

/* An operand that is to name it there. */
struct rebound_operand {
    size_t moved;                         /* index of build->moved */
    struct contribution *definer;         /* of the variable, in the binary that holds the operand */
    const struct changed_unit *unit;      /* of the function that holds the operand, NULL: not known */
    const struct object_symbol *function; /* in its new object */
    const char *name;                     /* of the function */
    uint64_t address;                     /* of the field, in the binary */
    int64_t offset;                       /* from the variable's start */
    uint8_t tail;
    bool relative;
};

struct build {
    struct patch_session *session;
    const struct patch_request *request;
    struct patch_result *result;
    struct tree from, to;
    struct earlier_patch *earlier;
    size_t earlier_count;
    LIST(struct changed_unit *) units;
    bool took_all; /* after earlier patches: all units, since nothing tells which of them those changed */
    LIST(struct contribution *) contributions;
    struct source_lines *lines;
    struct inlining *inlining;
    LIST(struct moved_variable) moved;
    LIST(struct rebound_operand) rebound;
    refiled_list refiled;
    LIST(char *) texts; /* reasons made for this build */
    new_sources added;
    struct object *nothing;    /* what a new file is compared with */
    struct build_state *state; /* build_state.c; NULL: nothing is said about state */
    struct frame_policies
        *frames; /* transfer/frame_policy.c; NULL: nothing is said about suspended functions */
    LIST(const struct image *) asked; /* of a query (query.c): the binaries that it is about */
    LIST(const char *)
    stale; /* units whose sources are not what they were built from; only a query is made then */
};

/* build.c: opens the sources and the earlier patches of BUILD, whose session, request and result are set;
 * closes what it holds. */
struct molt_error *build_open(struct build *build);
void build_close(struct build *build);

/* build.c: how this request's compilers are run. */
struct compile_setup build_setup(struct patch_session *session, const struct patch_request *request);

/* Runs JOBS. REFUSED: one does not compile; the diagnostics have the details. */
struct molt_error *build_compile(struct build *build, compile_jobs *jobs);

/* Tells the request's owner how far PHASE is. */
void build_progress(const struct build *build, const char *phase, unsigned done, unsigned total);

/* The unit that COMPARISON is of. */
struct changed_unit *build_unit_of(const struct build *build, const struct comparison *comparison);

/* build_widen.c: adds the new files that what changed refers to, and those that they refer to. */
struct molt_error *build_add_new_sources(struct build *build);

/* build_moved.c: finds the variables and constants that get another place since their size changed. Adds
 * the units that may refer to them; marks the functions that refer to them, but for those whose operands can
 * be rebound. */
struct molt_error *build_follow_moved(struct build *build);

/* build_refiled.c: finds the definitions that went from one file to another of one program. REFUSED: one of
 * them changed on the way in what it is. */
struct molt_error *build_follow_refiled(struct build *build);

/* build_moved.c: whether the change of SYMBOL's place, in OBJECT, one of UNIT's, is one that operands follow;
 * *RET_INDEX of build->moved. */
bool build_is_moved(const struct build *build, const struct changed_unit *unit, const struct object *object,
                    const struct object_symbol *symbol, size_t *ret_index);

/* build_rebind.c: finds the operands that name what has moved, in the binaries. REFUSED: there is one in code
 * whose source is not known, and it cannot be rebound. */
struct molt_error *build_rebind_find(struct build *build);

/* build_rebind_search.c: adds the operands that name variable INDEX of build->moved in code of its DEFINER's
 * binary whose source is not known. REFUSED: there is one that cannot be rebound. */
struct molt_error *build_rebind_search(struct build *build, size_t index, struct contribution *definer);

/* build_rebind.c: the records of those operands. What the manifest says of them. */
json_t *build_rebind_emit(struct build *build, struct emission *emission);

/* build_bypass.c: whether the function at ADDRESS of IMAGE is replaced, by this patch or an earlier one. */
bool build_is_replaced(const struct build *build, const struct image *image, uint64_t address);

/* build_bypass.c: what UNIT contributes to IMAGE, placed or not yet. False: it is not part of it. */
bool build_contribution_of(const struct build *build, const struct changed_unit *unit,
                           const struct image *image, struct contribution *ret);

/* build_bypass.c: takes along the callers of functions too short for a jump. REFUSED: not all of them are
 * known. */
struct molt_error *build_bypass(struct build *build);

/* build_assemble.c: finds the binaries of each unit that differs and has none yet. REFUSED: none was made
 * from its old state. */
struct molt_error *build_place(struct build *build);

/* Makes the patch and its manifest of what was placed. */
struct molt_error *build_emit(struct build *build);

#endif
