/*
 * Instances copied out of the stopped world, those inside others included, with where their pointers lead:
 * that is known only as long as the world stands still.
 */
#include <stdio.h>
#include <string.h>

#include "engine/update/census_private.h"

#define DEPTH_MAX 32

bool census_has_room(const struct census *census)
{
    return census->instances && census->result.instance_count < census->request->limit &&
           census->pool_used < CENSUS_POOL;
}

/* ---- where pointers lead --------------------------------------------------------------------------- */

/* What stands at ADDRESS up to END, if it is text. */
static void copy_text(uintptr_t address, uintptr_t end, char *text)
{
    size_t room = end - address < CENSUS_TEXT_MAX ? end - address : CENSUS_TEXT_MAX, length = 0;
    const char *from = (const char *)address;

    while (length < room && (from[length] >= ' ' || from[length] == '\n' || from[length] == '\t') &&
           from[length] != 0x7f) {
        length++;
    }
    bool whole = length == CENSUS_TEXT_MAX || (length < room && !from[length]);
    memcpy(text, from, whole ? length : 0);
    text[whole ? length : 0] = '\0';
}

static const char *describe_memory(struct census *census, uintptr_t address, const struct region *region)
{
    if (!region || !region->readable) {
        return "nothing: no memory is there";
    }
    if (references_on_stack(&census->state->references, address)) {
        return "a thread's stack";
    }
    if (heap_touched(address)) {
        return "memory that was freed";
    }
    switch (region->kind) {
    case REGION_MODULE:
    case REGION_ALLOCATOR:
        return region->executable ? "code" : region->writable ? "a variable" : "constant data";
    case REGION_PATCHES:
        return "a variable of a patch";
    default:
        return "memory that the program has mapped itself";
    }
}

/* Where VALUE leads. */
static void resolve(struct census *census, uintptr_t value, bool vague, struct census_pointer *ret)
{
    struct state *state = census->state;
    const struct root *root = roots_find(state, value);
    const struct region *region = memory_map_find(&state->references.map, value);
    struct heap_block block;
    struct place place;

    if (heap_find(value, &block)) {
        ret->site = block.site;
        ret->layout = state_place(state, &block, &place) ? place.layout : 0;
        ret->distance = value - block.start;
        if (vague && !ret->layout && value < block.start + block.size) {
            copy_text(value, block.start + block.size, ret->text);
        }
    } else if (root) {
        ret->variable = patch_file_string(state->layouts.file, root->record->name);
        ret->layout = root->record->kind == MOLT_FIELD_MEMBER ? root->record->layout : 0;
        ret->distance = value - root->place;
    } else {
        ret->memory = describe_memory(census, value, region);
        if (vague && region && region->readable && !region->executable && region->kind == REGION_MODULE) {
            copy_text(value, region->end, ret->text);
        }
    }
}

struct pointers {
    struct census *census;
    struct census_instance *instance;
};

static void visit_word(void *context, uintptr_t at, const struct layout_word *word)
{
    const struct pointers *pointers = context;
    struct census *census = pointers->census;
    uintptr_t value = *(const uintptr_t *)at;

    if (word->kind != MOLT_FIELD_POINTER || !value || census->pointer_count == CENSUS_POINTERS ||
        at - pointers->instance->address >= pointers->instance->byte_count) {
        return;
    }
    struct census_pointer *pointer = &census->pointers[census->pointer_count++];
    *pointer = (struct census_pointer){ .offset = (uint32_t)(at - pointers->instance->address) };
    resolve(census, value, !word->layout, pointer);
    pointers->instance->pointer_count++;
}

/* ---- functions ------------------------------------------------------------------------------------- */

/* The module that ADDRESS lies in, and where there. False: none that the query knows. */
static bool find_code(const struct census *census, uintptr_t address, struct census_pointer *ret)
{
    const struct loaded_patch *query = census->state->patch;

    for (uint32_t i = 0; i < query->file.patch_modules_count; i++) {
        const struct module *module = &query->modules[i].module;
        if (!query->modules[i].absent && address >= module->start && address < module->end) {
            ret->module = i;
            ret->code = address - module->bias;
            return true;
        }
    }
    return false;
}

static void add_code(struct census *census, struct census_instance *instance, uintptr_t at)
{
    uintptr_t value = *(const uintptr_t *)at;
    struct census_pointer pointer = { .offset = (uint32_t)(at - instance->address) };

    if (value && census->pointer_count < CENSUS_POINTERS && find_code(census, value, &pointer)) {
        census->pointers[census->pointer_count++] = pointer;
        instance->pointer_count++;
    }
}

/* Pointers to functions, which are no words that a migration looks at. AT: of an object of LAYOUT in
 * INSTANCE. */
static void visit_code(struct census *census, struct census_instance *instance, uint32_t layout, uintptr_t at,
                       unsigned depth)
{
    const struct layouts *layouts = &census->state->layouts;
    const struct molt_patch_layout *record = layouts->items[layout].record;

    for (uint32_t i = record->field; i < record->field + record->field_count && depth < DEPTH_MAX; i++) {
        const struct molt_patch_field *field = &layouts->file->patch_fields[i];
        for (uint32_t k = 0; k < field->count && census->pointer_count < CENSUS_POINTERS; k++) {
            uintptr_t place = at + field->offset + (uintptr_t)k * field->stride;
            if (place - instance->address + sizeof(void *) > instance->byte_count) {
                break;
            }
            if (field->kind == MOLT_FIELD_CODE) {
                add_code(census, instance, place);
            } else if (field->kind == MOLT_FIELD_MEMBER) {
                visit_code(census, instance, field->layout, place, depth + 1);
            }
        }
    }
}

/* ---- instances ------------------------------------------------------------------------------------- */

static void copy(struct census *census, const struct census_instance *where, uint32_t layout,
                 uintptr_t address)
{
    const struct layout *type = &census->state->layouts.items[layout];
    size_t size = type->size < CENSUS_BYTES_MAX ? type->size : CENSUS_BYTES_MAX;

    if (!census_has_room(census)) {
        return;
    }
    size = size < CENSUS_POOL - census->pool_used ? size : CENSUS_POOL - census->pool_used;
    struct census_instance *instance = &census->instances[census->result.instance_count++];
    *instance = *where;
    instance->address = address;
    instance->layout = layout;
    instance->size = type->size;
    instance->bytes = memcpy(census->pool + census->pool_used, (const void *)address, size);
    instance->byte_count = (uint32_t)size;
    instance->first_pointer = (uint32_t)census->pointer_count;
    census->pool_used += size;
    struct pointers pointers = { census, instance };
    layouts_walk(&census->state->layouts, layout, address, visit_word, &pointers);
    visit_code(census, instance, layout, address, 0);
}

/* WHERE with ".NAME" or "[INDEX]" added to its path. */
static struct census_instance below(const struct census_instance *where, const char *name, size_t index)
{
    struct census_instance ret = *where;
    size_t length = strlen(ret.path);

    if (name) {
        snprintf(ret.path + length, sizeof(ret.path) - length, ".%s", name);
    } else {
        snprintf(ret.path + length, sizeof(ret.path) - length, "[%zu]", index);
    }
    return ret;
}

/* The object at ADDRESS, and what lies in it. Only types that hold one asked for are looked into. */
static void copy_object(struct census *census, const struct census_instance *where, uint32_t layout,
                        uintptr_t address, unsigned depth)
{
    const struct layouts *layouts = &census->state->layouts;
    const struct molt_patch_layout *record = layouts->items[layout].record;

    if (census->asked[layout]) {
        copy(census, where, layout, address);
    }
    for (uint32_t i = record->field; i < record->field + record->field_count && depth < DEPTH_MAX; i++) {
        const struct molt_patch_field *field = &layouts->file->patch_fields[i];
        if (field->kind != MOLT_FIELD_MEMBER || !layouts->items[field->layout].changed) {
            continue;
        }
        struct census_instance member = below(where, patch_file_string(layouts->file, field->name), 0);
        for (uint32_t k = 0; k < field->count && census_has_room(census); k++) {
            struct census_instance element = field->count > 1 ? below(&member, NULL, k) : member;
            copy_object(census, &element, field->layout,
                        address + field->offset + (uintptr_t)k * field->stride, depth + 1);
        }
    }
}

void census_copy(struct census *census, const struct census_instance *where, uint32_t layout, uintptr_t start,
                 size_t count, bool array)
{
    for (size_t i = 0; i < count && census_has_room(census); i++) {
        struct census_instance element = array ? below(where, NULL, i) : *where;
        copy_object(census, &element, layout, start + i * census->state->layouts.items[layout].size, 0);
    }
}
