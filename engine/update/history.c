/*
 * The history of one process. The last updates can be undone: their previous code is kept. Older ones are
 * there to stay, and code that neither runs nor could be rolled back to is freed, so that a thousand updates
 * take the memory of a few.
 *
 * Image life: in use while a function's version in force lies in it, or a version that an undoable entry goes
 * back to; for ever if it is pinned (it introduced functions, to which the program may hold pointers).
 */
#include "engine/update/history.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/code/lookup.h"
#include "engine/update/recipes.h"
#include "engine/update/sites.h"
#include "engine/update/withdrawn.h"

#define UNDOABLE 16 /* updates that can be rolled back, one after the other */

struct applied {
    char *id, *title;
    struct transition *transitions;
    size_t transition_count;
    struct affected_range *ranges_before; /* what was awaited to apply it */
    size_t range_count;
    struct undo_log undo;
    struct recipes *forth, *back;
    size_t definitions_before;
    struct image **images; /* that the patch brought; entries become NULL when freed */
    size_t image_count;
    struct debug_object *debug;
    bool undoable;
    struct loaded_patch patch; /* if stateful and undoable: the way back is in it */
    bool stateful;             /* it changed what the program holds in memory */
    size_t state_mark;         /* what was remembered about state before */
    bool reverted;             /* the last one only: it may be brought back */
};

static struct {
    struct applied *entries;
    size_t count, capacity;
} history;

/* Rolled back, while frames that are suspended still refer to their code. */
static struct {
    struct applied *entries;
    size_t count;
} leaving;

size_t history_count(void)
{
    return history.count;
}

bool update_history(size_t index, struct update_entry *ret)
{
    const struct applied *entry = &history.entries[index];
    if (index >= history.count || entry->reverted) {
        return false;
    }
    *ret =
        (struct update_entry){ entry->id, entry->title, (unsigned)entry->transition_count, entry->undoable };
    return true;
}

int history_reserve(void)
{
    if (history.count == history.capacity) {
        size_t capacity = history.capacity ? history.capacity * 2 : 16;
        struct applied *grown = realloc(history.entries, capacity * sizeof(*grown));
        if (!grown) {
            return -ENOMEM;
        }
        history.entries = grown;
        history.capacity = capacity;
    }
    return 0;
}

/* ---- giving back superseded code ------------------------------------------------------------------- */

static bool is_in_use(const struct image *image)
{
    const struct function *function;

    if (image->pinned || transfer_uses_code(image->start, image->end)) {
        return true;
    }
    for (size_t i = 0; (function = registry_function(i)); i++) {
        if (function->current.image == image) {
            return true;
        }
    }
    for (size_t i = 0; i < history.count; i++) {
        const struct applied *entry = &history.entries[i];
        for (size_t k = 0; entry->undoable && k < entry->transition_count; k++) {
            if (entry->transitions[k].before.image == image || entry->transitions[k].after.image == image) {
                return true;
            }
        }
    }
    return false;
}

static void free_image(struct image *image)
{
    image_forget(image);
    arena_code_free(image->arena, (void *)image->start, image->end - image->start);
    free(image);
}

static void make_final(struct applied *entry)
{
    if (entry->undoable && entry->stateful) {
        load_finish(&entry->patch);
    }
    entry->undoable = false;
    undo_deinit(&entry->undo);
    recipes_release(entry->forth);
    recipes_release(entry->back);
    entry->forth = entry->back = NULL;
    free(entry->transitions);
    free(entry->ranges_before);
    entry->transitions = NULL;
    entry->ranges_before = NULL;
}

/* Frees the images of ENTRY that nothing can reach, and its debug information with the last. Returns whether
 * some are left. */
static bool release_images(struct applied *entry)
{
    bool any = false;

    for (size_t i = 0; i < entry->image_count; i++) {
        if (entry->images[i] && !is_in_use(entry->images[i])) {
            site_memory_keep(0, entry->images[i]->start, entry->images[i]->end);
            free_image(entry->images[i]);
            entry->images[i] = NULL;
        }
        any |= entry->images[i] != NULL;
    }
    if (!any) {
        debug_object_destroy(entry->debug);
        entry->debug = NULL;
    }
    return any;
}

/* The same of those that were rolled back. */
static void release_leaving(void)
{
    size_t kept = 0;

    for (size_t i = 0; i < leaving.count; i++) {
        if (release_images(&leaving.entries[i])) {
            leaving.entries[kept++] = leaving.entries[i];
        } else {
            free(leaving.entries[i].images);
        }
    }
    leaving.count = kept;
}

static void reclaim(void)
{
    recipes_reclaim();
    frames_reclaim();
    release_leaving();
    if (history.count > UNDOABLE && history.entries[history.count - UNDOABLE - 1].undoable) {
        make_final(&history.entries[history.count - UNDOABLE - 1]);
    }
    for (size_t i = 0; i + UNDOABLE < history.count; i++) {
        if (history.entries[i].debug || history.entries[i].image_count) {
            release_images(&history.entries[i]);
        }
    }
}

/* ---- entries --------------------------------------------------------------------------------------- */

void history_push(struct update *update)
{
    struct applied *entry = &history.entries[history.count++];
    size_t modules = update->patch.file.patch_modules_count;

    *entry = (struct applied){
        .id = update->id,
        .title = update->title,
        .transitions = update->transitions,
        .transition_count = update->transition_count,
        .ranges_before = update->ranges,
        .range_count = update->range_count,
        .undo = update->undo,
        .forth = update->forth,
        .back = update->back,
        .definitions_before = update->definitions_before,
        .images = calloc(modules + 1, sizeof(struct image *)),
        .debug = update->debug,
        .undoable = true,
        .stateful = state_changes(update->state),
        .patch = update->patch,
        .state_mark = update->state ? state_retire(update->state) : SIZE_MAX,
    };
    for (size_t i = 0; i < modules && entry->images; i++) {
        if (update->patch.modules[i].image) {
            entry->images[entry->image_count++] = update->patch.modules[i].image;
        }
    }
    withdrawn_return(entry->id);
    state_destroy(update->state);
    if (!entry->stateful) {
        load_finish(&entry->patch);
    }
    free(update);
    reclaim();
}

struct applied *history_last(const char **ret_reason)
{
    if (!history.count) {
        *ret_reason = "no update is in force: there is nothing to roll back";
        return NULL;
    }
    if (!history.entries[history.count - 1].undoable) {
        *ret_reason = "the update is too old: only the last 16 are kept to be rolled back";
        return NULL;
    }
    return &history.entries[history.count - 1];
}

int history_ranges(const struct applied *applied, struct affected_range **ret, size_t *ret_count)
{
    size_t count = 0, each = sizeof(((struct version *)0)->ranges) / sizeof(struct code_range);
    struct affected_range *ranges =
        calloc(applied->transition_count * each + applied->image_count + 1, sizeof(*ranges));

    if (!ranges) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < applied->transition_count; i++) {
        const struct transition *transition = &applied->transitions[i];
        for (size_t k = 0; k < transition->after.count; k++) {
            const struct code_range *range = &transition->after.ranges[k];
            ranges[count++] = (struct affected_range){ range->start, range->start + range->size,
                                                       transition->function->name };
        }
    }
    for (size_t i = 0; i < applied->image_count; i++) {
        const struct image *image = applied->images[i];
        if (image && !image->pinned &&
            image->plt < image->end) { /* it is freed; a tail call is seen here only */
            ranges[count++] = (struct affected_range){ image->plt, image->end, "a call into a library" };
        }
    }
    count = plan_sort_ranges(ranges, count);
    *ret = ranges;
    *ret_count = count;
    return 0;
}

const struct affected_range *history_ranges_before(const struct applied *applied, size_t *ret_count)
{
    *ret_count = applied->range_count;
    return applied->ranges_before;
}

struct transfers history_transfers(const struct applied *applied, bool rollback, uint32_t after_ms)
{
    withdrawn_forbid(applied->id, applied->transitions, applied->transition_count,
                     rollback ? applied->back : applied->forth);
    return rollback ? recipes_transfers(applied->back, applied->forth, after_ms)
                    : recipes_transfers(applied->forth, applied->back, after_ms);
}

int history_revert(struct applied *applied)
{
    int status = undo_unwrite(&applied->undo);

    if (status < 0) {
        return status;
    }
    recipes_lead_on(applied->forth, false);
    for (size_t i = applied->transition_count; i-- > 0;) {
        applied->transitions[i].function->current = applied->transitions[i].before;
    }
    applied->reverted = true;
    return 0;
}

int history_restore(struct applied *applied)
{
    int status = undo_replay(&applied->undo);

    if (status < 0) {
        return status;
    }
    recipes_lead_on(applied->forth, true);
    for (size_t i = 0; i < applied->transition_count; i++) {
        applied->transitions[i].function->current = applied->transitions[i].after;
    }
    applied->reverted = false;
    return 0;
}

int history_state(struct applied *applied, bool rollback, struct state **ret, const char **ret_reason)
{
    *ret = NULL;
    if (!applied->stateful) {
        return 0;
    }
    int status = state_plan(&applied->patch, rollback, ret);
    *ret_reason = applied->patch.reason;
    return status;
}

void history_state_changed(struct applied *applied, struct state *state)
{
    if (applied->reverted) {
        state_let_go(state);
        state_forget(applied->state_mark);
    } else {
        applied->state_mark = state_retire(state);
    }
}

unsigned history_functions(const struct applied *applied)
{
    return (unsigned)applied->transition_count;
}

/* Frees the code of ENTRY, now or when no suspended frame needs it any more. */
static void leave(struct applied *entry)
{
    struct applied *grown = realloc(leaving.entries, (leaving.count + 1) * sizeof(*grown));

    if (grown) { /* else it stays for ever */
        leaving.entries = grown;
        leaving.entries[leaving.count++] = *entry;
        release_leaving();
    }
}

void history_pop(void)
{
    struct applied *entry = &history.entries[--history.count];

    withdrawn_note(entry->id, entry->title, entry->transitions, entry->transition_count);
    registry_forget_definitions(entry->definitions_before);
    if (entry->state_mark != SIZE_MAX && !entry->stateful) {
        state_forget(entry->state_mark);
    }
    make_final(entry);
    leave(entry);
    free(entry->id);
    free(entry->title);
}

struct code_range history_thread_creation(void)
{
    size_t size;
    uintptr_t address = lookup_symbol("pthread_create", "", &size);

    return address ? (struct code_range){ address, size } : (struct code_range){ 0 };
}
