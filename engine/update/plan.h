/* A prepared update: a loaded patch and what committing it will do. */
#ifndef MOLT_ENGINE_UPDATE_PLAN_H
#define MOLT_ENGINE_UPDATE_PLAN_H

#include "engine/code/load.h"
#include "engine/code/register.h"
#include "engine/code/registry.h"
#include "engine/threads/safe_point.h"
#include "engine/update/frames.h"
#include "engine/update/state.h"
#include "engine/update/undo.h"
#include "engine/update/update.h"

/* One function that changes its version. */
struct transition {
    struct function *function;
    struct version before, after;
    bool keeps_nothing; /* the version after: MOLT_FUNCTION_KEEPS_NOTHING */
    bool bypassed; /* no jump at its first address: its callers, all in the patch, call the new version */
};

/* A field that names a variable which moves, and what it is to hold. */
struct rebound {
    uintptr_t address;
    uint64_t value;
    uint32_t size;
    enum undo_kind kind;
};

struct update {
    struct loaded_patch patch;
    char *id, *title;
    struct transition *transitions;
    size_t transition_count;
    struct affected_range *ranges;
    size_t range_count;
    struct rebound *rebounds;
    size_t rebound_count;
    struct undo_log undo;
    struct recipes *forth, *back;                /* for frames that are suspended */
    struct frames frames;                        /* what policies give them */
    struct safe_point *point;                    /* reached: those that are there */
    struct state *state;                         /* NULL: the update changes nothing that the program holds */
    size_t definitions_before, functions_before; /* of the registry, when this patch's were added */
    struct debug_object *debug;
    uint64_t planned_at; /* how many changes had been made then: a plan holds until the next */
    uint64_t prepare_us;
};

/* Works out what UPDATE, whose patch is loaded, does to the program. 0, -EINVAL with UPDATE->patch.reason, or
 * -ENOMEM. */
int plan_update(struct update *update);

/* How many bytes a jump may take at the entry of function SYMBOL of a patch: loaded code leaves room behind
 * the last function of a section. */
uint32_t plan_room(const struct patch_file *file, uint32_t symbol);

/* Sorts COUNT ranges and joins those that overlap; returns how many remain. */
size_t plan_sort_ranges(struct affected_range *ranges, size_t count);

#endif
