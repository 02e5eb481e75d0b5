/*
 * Where instances are: in the blocks of the heap, by their sites, and in variables. This file knows how to
 * come from a block to the object in it, and lists the variables of this process, thread by thread.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/search.h"
#include "engine/mapping.h"
#include "engine/sort.h"
#include "engine/update/frame_instances.h"
#include "engine/update/state_private.h"

void *state_map(size_t count, size_t size)
{
    size_t bytes = (count * size + 4095) & ~4095ul;

    return mapping_create(NULL, bytes, PROT_READ | PROT_WRITE, 0, "update");
}

void state_unmap(void *array)
{
    mapping_destroy(array);
}

int state_refuse(struct state *state, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(state->report->reason, sizeof(state->report->reason), format, arguments);
    va_end(arguments);
    state->report->outcome = UPDATE_REFUSED;
    return -EINVAL;
}

void state_warn(struct state *state, const char *format, ...)
{
    size_t length = strlen(state->report->warnings), room = sizeof(state->report->warnings) - length;
    va_list arguments;

    if (room < 80) {
        return;
    }
    if (length) {
        state->report->warnings[length++] = '\n';
        room--;
    }
    va_start(arguments, format);
    vsnprintf(state->report->warnings + length, room, format, arguments);
    va_end(arguments);
}

/* ---- blocks ---------------------------------------------------------------------------------------- */

bool state_guessed_place(struct state *state, const struct heap_block *block, struct place *ret)
{
    const struct meaning *meaning = sites_meaning(&state->sites, block->site);
    const struct guess *guess = guess_find(&state->guesses, block->start);
    size_t header = meaning->allocator.header;

    if (!guess || !guess->layout || header > block->size || state->layouts.items[guess->layout].opaque) {
        return false;
    }
    *ret = (struct place){ .meaning = meaning,
                           .layout = guess->layout,
                           .kind = guess->kind == MOLT_SITE_ARRAY ? PLACE_ARRAY : PLACE_OBJECT,
                           .start = block->start + header,
                           .size = block->size - header,
                           .usable = block->usable - header };
    return true;
}

void state_want(struct state *state, state_wants *wants)
{
    size_t count = heap_site_count();

    memset(state->wanted, 0, (HEAP_SITE_MAX + 1) * sizeof(*state->wanted));
    for (unsigned id = 1; id <= count && id <= HEAP_SITE_MAX; id++) {
        state->wanted[id] = wants(state, sites_meaning(&state->sites, id));
    }
}

struct guess *guess_find(const struct guesses *guesses, uintptr_t start)
{
    size_t index = COUNT_BEFORE(i, guesses->count, guesses->items[i].start < start);

    return index < guesses->count && guesses->items[index].start == start ? &guesses->items[index] : NULL;
}

/* ---- variables ------------------------------------------------------------------------------------- */

/* Where the thread-local block of MODULE begins for the thread with control block THREAD; 0: it has none yet.
 * The first word of the control block points to itself, the second to the vector of blocks (System V ABI,
 * variant II of TLS). */
static uintptr_t tls_block(const struct module *module, uintptr_t thread)
{
    struct vector {
        uintptr_t block, unused;
    } * vector;

    if (module->tls_static) {
        return thread + (uintptr_t)module->tls_offset;
    }
    vector = *(struct vector **)(thread + sizeof(uintptr_t));
    if (!vector || module->tls_id > vector[-1].block || vector[module->tls_id].block == UINTPTR_MAX) {
        return 0;
    }
    return vector[module->tls_id].block;
}

static int push_root(struct state *state, const struct molt_patch_root *record, uintptr_t place,
                     uintptr_t target)
{
    struct roots *roots = &state->roots;

    if (roots->count == roots->capacity) {
        size_t capacity = roots->capacity * 2;
        struct root *grown = state_map(capacity, sizeof(*grown));
        if (!grown) {
            return -ENOMEM;
        }
        memcpy(grown, roots->items, roots->count * sizeof(*grown));
        state_unmap(roots->items);
        roots->items = grown;
        roots->capacity = capacity;
    }
    roots->items[roots->count++] =
        (struct root){ .record = record, .place = place, .target = target ? target : place };
    return 0;
}

static int add_root(struct state *state, const struct molt_patch_root *record, uintptr_t place,
                    uintptr_t target)
{
    bool back = target && state->rollback;

    return push_root(state, record, back ? target : place, back ? place : target);
}

static int add_thread_local(struct state *state, const struct molt_patch_root *record, uintptr_t thread)
{
    const struct loaded_module *module = &state->patch->modules[record->module];
    const struct loaded_symbol *symbol = record->symbol ? &state->patch->symbols[record->symbol] : NULL;
    bool earlier = record->flags & MOLT_ROOT_EARLIER;
    uintptr_t block =
        earlier ? thread + state->earlier[record - state->records] : tls_block(&module->module, thread);

    if (!block) { /* the thread has not touched it: it will start with the module's initial image */
        return 0;
    }
    return add_root(state, record, block + record->address,
                    symbol ? thread + (uintptr_t)symbol->tls_offset : 0);
}

/* A variable that grows where it is must not grow into the next one. */
static int check_room(struct state *state)
{
    for (size_t i = 0; i + 1 < state->roots.count; i++) {
        const struct root *root = &state->roots.items[i];
        const struct molt_patch_root *record = root->record;
        size_t each = record->kind == MOLT_FIELD_MEMBER ? state->layouts.items[record->new_layout].size
                                                        : sizeof(void *);
        if (root->target == root->place &&
            root->place + each * record->new_count > state->roots.items[i + 1].place) {
            return state_refuse(state,
                                "malformed patch: the variable %s outgrows its place and has no new one",
                                patch_file_string(state->layouts.file, record->name));
        }
    }
    return 0;
}

void state_take_instances(struct state *state, const struct frame_instance *instances, size_t count)
{
    state->instances = instances;
    state->instance_count = count;
}

int roots_collect(struct state *state)
{
    const struct patch_file *file = &state->patch->file;
    int status = 0;

    state->roots.count = 0;
    for (size_t i = 0; i < file->patch_roots_count && status == 0; i++) {
        const struct molt_patch_root *record = &state->records[i];
        const struct loaded_module *module = &state->patch->modules[record->module];
        if (module->absent) {
            continue;
        }
        if (record->flags & MOLT_ROOT_TLS) {
            for (size_t k = 0; k < state->world->count && status == 0; k++) {
                status = add_thread_local(state, record, state->world->threads[k].thread_pointer);
            }
        } else {
            status = add_root(state, record,
                              record->flags & MOLT_ROOT_EARLIER
                                  ? state->earlier[i]
                                  : load_root_place(state->patch, &file->patch_roots[i]),
                              record->symbol ? state->patch->symbols[record->symbol].address : 0);
        }
    }
    for (size_t i = 0; i < state->instance_count && status == 0; i++) {
        const struct frame_instance *instance = &state->instances[i];
        status = push_root(state, instance->record, instance->place, instance->target);
    }
    SORT_BY(state->roots.items, state->roots.count, struct root, place);
    return status < 0 ? status : check_room(state);
}

size_t root_size(const struct state *state, const struct root *root)
{
    const struct molt_patch_root *record = root->record;
    size_t each =
        record->kind == MOLT_FIELD_MEMBER ? state->layouts.items[record->layout].size : sizeof(void *);

    return record->count ? (size_t)(record->count - 1) * record->stride + each : 0;
}

struct root *roots_find(const struct state *state, uintptr_t address)
{
    /* behind the last that starts at or before it */
    size_t index = COUNT_BEFORE(i, state->roots.count, state->roots.items[i].place <= address);

    if (!index ||
        address >= state->roots.items[index - 1].place + root_size(state, &state->roots.items[index - 1])) {
        return NULL;
    }
    return &state->roots.items[index - 1];
}

void root_walk(const struct state *state, const struct root *root, uintptr_t place, bool after,
               layout_visitor *visit, void *context)
{
    const struct molt_patch_root *record = root->record;
    uint32_t layout = after ? record->new_layout : record->layout,
             count = after ? record->new_count : record->count;
    uint32_t stride = record->kind == MOLT_FIELD_MEMBER ? state->layouts.items[layout].size : sizeof(void *);
    struct layout_word word = { .count = 1, .layout = layout, .kind = record->kind, .field = UINT32_MAX };

    for (uint32_t i = 0; i < count; i++) {
        uintptr_t at = place + (uintptr_t)i * (after ? stride : record->stride ? record->stride : stride);
        if (record->kind == MOLT_FIELD_MEMBER) {
            layouts_walk(&state->layouts, layout, at, visit, context);
        } else if (record->kind != MOLT_FIELD_CODE) {
            visit(context, at, &word);
        }
    }
}

void place_walk_tail(const struct layouts *layouts, uint32_t layout, uintptr_t start, size_t size,
                     layout_visitor *visit, void *context)
{
    const struct layout *type = &layouts->items[layout];
    const struct molt_patch_layout *record = type->record;
    bool tail = size > record->tail_offset && layouts->items[type->tail].words;
    size_t count = tail ? (size - record->tail_offset) / record->tail_stride : 0;

    for (size_t i = 0; i < count; i++) {
        layouts_walk(layouts, type->tail, start + record->tail_offset + i * record->tail_stride, visit,
                     context);
    }
}
