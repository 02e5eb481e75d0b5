/*
 * From the patch's records about suspended functions (base/patch_file.h) to recipes that threads follow by
 * themselves: symbols and modules are resolved, and strings are copied, since a frame may stay suspended for
 * longer than the patch's bytes are kept.
 */
#include "engine/update/recipes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sort.h"
#include "engine/threads/setjmp_sites.h"
#include "engine/update/page_log.h"

_Static_assert(TRANSFER_RSP == MOLT_REGISTER_RSP, "both are DWARF's");
_Static_assert(SETJMP_GROWS_MAX == MOLT_JUMP_GROWS && SETJMP_SHRINKS_MAX == MOLT_JUMP_SHRINKS,
               "the builder's");

#define GIVEN_ALIGNMENT 64u /* of instances: vectors have no more */

static struct recipes *lingering;
static uint32_t last_set;

struct making {
    struct update *update;
    struct recipes *recipes;
    size_t value_count, text_size, instance_count;
    bool back;
};

/* ---- addresses ------------------------------------------------------------------------------------- */

/* The start of the code that the patch replaced, if that came with an earlier patch; 0: none such. */
static uintptr_t start_before(const struct making *making, const struct molt_patch_transfer *record)
{
    const struct patch_file *file = &making->update->patch.file;
    const char *unit = patch_file_string(file, record->unit),
               *name = patch_file_string(file, record->function);

    for (size_t i = 0; i < making->update->transition_count; i++) {
        const struct transition *transition = &making->update->transitions[i];
        if (strcmp(transition->function->name, name) == 0 && strcmp(transition->function->unit, unit) == 0) {
            return transition->before.ranges[0].start;
        }
    }
    return 0;
}

/* PLACE in the code that the patch replaced. */
static uintptr_t place_before(const struct making *making, const struct molt_patch_transfer *record,
                              uint64_t place)
{
    if (record->flags & MOLT_TRANSFER_EARLIER) {
        uintptr_t start = start_before(making, record);
        return start ? start + place : 0;
    }
    return making->update->patch.modules[record->module].module.bias + place;
}

static uintptr_t place_in_patch(const struct making *making, const struct molt_patch_transfer *record,
                                uint64_t place)
{
    uintptr_t start = making->update->patch.symbols[record->symbol].address;

    return start ? start + place : 0;
}

/* The address of SYMBOL + ADDEND as code of the patch means it; 0: nothing of the patch that is loaded refers
 * to it. */
static uintptr_t address_of(struct loaded_patch *patch, uint32_t symbol, int64_t addend)
{
    const Elf64_Sym *entry = &patch->file.symbols[symbol];
    const struct loaded_symbol *loaded = &patch->symbols[symbol];

    if (loaded->tls_module) {
        return 0;
    }
    if (entry->st_shndx && entry->st_shndx < patch->file.section_count &&
        patch->sections[entry->st_shndx].class == SECTION_STRINGS) {
        return load_string(patch, entry->st_shndx, entry->st_value + (uint64_t)addend);
    }
    uintptr_t address = loaded->identity ? loaded->identity : loaded->address;
    return address ? address + (uint64_t)addend : 0;
}

/* ---- values ---------------------------------------------------------------------------------------- */

/* False: this process cannot say what the value is. */
static bool make_value(struct making *making, const struct molt_patch_transfer *transfer,
                       const struct molt_patch_value *record, struct transfer_value *ret)
{
    static const uint8_t kinds[MOLT_VALUE_SOURCES] = {
        [MOLT_VALUE_REGISTER] = TRANSFER_REGISTER, [MOLT_VALUE_SLOT] = TRANSFER_SLOT,
        [MOLT_VALUE_CONSTANT] = TRANSFER_CONSTANT, [MOLT_VALUE_SYMBOL] = TRANSFER_CONSTANT,
        [MOLT_VALUE_ADDRESS] = TRANSFER_CONSTANT,  [MOLT_VALUE_FRAME] = TRANSFER_FRAME,
        [MOLT_VALUE_POLICY] = TRANSFER_POLICY,     [MOLT_VALUE_GUARD] = TRANSFER_GUARD,
        [MOLT_VALUE_CONTENT] = TRANSFER_CONTENT,   [MOLT_VALUE_CONTENT_AT] = TRANSFER_CONTENT,
    };
    bool wide = record->from_kind != MOLT_VALUE_REGISTER && record->to_kind != MOLT_VALUE_REGISTER &&
                record->from_kind < MOLT_VALUE_PLACES && record->from_size == record->size && !record->addend;
    bool content = record->from_kind == MOLT_VALUE_CONTENT || record->from_kind == MOLT_VALUE_CONTENT_AT;
    bool read = record->from_kind < MOLT_VALUE_PLACES || content;

    *ret = (struct transfer_value){
        .to = kinds[record->to_kind],
        .from = kinds[record->from_kind],
        .from_size = (uint8_t)(wide   ? 0
                               : read ? record->from_size
                                      : 8),
        .is_signed = record->flags & MOLT_VALUE_SIGNED,
        .size = record->size,
        .to_number = record->to,
        .from_number = record->from,
        .addend = record->addend,
    };
    if (record->from_kind == MOLT_VALUE_SYMBOL || record->from_kind == MOLT_VALUE_CONTENT) {
        ret->from_number = (int64_t)address_of(&making->update->patch, record->symbol, record->from);
        return ret->from_number != 0;
    }
    if (record->from_kind == MOLT_VALUE_ADDRESS || record->from_kind == MOLT_VALUE_CONTENT_AT) {
        ret->from_number += (int64_t)making->update->patch.modules[transfer->module].module.bias;
    }
    return true;
}

static const char *keep_text(struct making *making, uint32_t string)
{
    const char *text = patch_file_string(&making->update->patch.file, string);
    size_t size = strlen(text) + 1;
    char *kept = making->recipes->text + making->text_size;

    memcpy(kept, text, size);
    making->text_size += size;
    return kept;
}

/* ---- recipes --------------------------------------------------------------------------------------- */

static bool is_wanted(const struct making *making, const struct molt_patch_transfer *record)
{
    return making->back == !!(record->flags & MOLT_TRANSFER_INVERSE) &&
           !making->update->patch.modules[record->module].absent;
}

static size_t count_instances(const struct patch_file *file, const struct molt_patch_transfer *record)
{
    size_t count = 0;

    for (uint32_t i = 0; i < record->value_count; i++) {
        count += file->patch_values[record->value + i].migration != 0;
    }
    return count;
}

/* How much there will be. */
static int reserve(struct making *making)
{
    const struct patch_file *file = &making->update->patch.file;
    size_t count = 0, values = 0, text = 0, instances = 0;

    for (size_t i = 0; i < file->patch_transfers_count; i++) {
        const struct molt_patch_transfer *record = &file->patch_transfers[i];
        if (is_wanted(making, record)) {
            count++;
            values += record->value_count + record->seen_count;
            instances += count_instances(file, record);
            text += strlen(patch_file_string(file, record->function)) +
                    strlen(patch_file_string(file, record->unit)) +
                    strlen(patch_file_string(file, record->reason)) +
                    strlen(patch_file_string(file, record->policy_file)) + 4;
        }
    }
    making->recipes->items = calloc(count + 1, sizeof(struct transfer));
    making->recipes->values = calloc(values + 1, sizeof(struct transfer_value));
    making->recipes->text = malloc(text + 1);
    making->recipes->instances = calloc(instances + 1, sizeof(struct transfer_instance));
    making->recipes->roots = calloc(2 * instances + 1, sizeof(struct molt_patch_root));
    return making->recipes->items && making->recipes->values && making->recipes->text &&
                   making->recipes->instances && making->recipes->roots
               ? 0
               : -ENOMEM;
}

static bool is_within(uintptr_t return_address, uintptr_t start, uintptr_t end)
{
    return return_address > start && return_address <= end;
}

/* Whether a frame that returns to ADDRESS is one of those that the update, or going back from it, waits for.
 */
static bool is_awaited(const struct making *making, uintptr_t address)
{
    const struct update *update = making->update;
    bool found = false;

    for (size_t i = 0; i < update->range_count && !making->back; i++) {
        found |= is_within(address, update->ranges[i].start, update->ranges[i].end);
    }
    for (size_t i = 0; i < update->transition_count && making->back; i++) {
        const struct version *after = &update->transitions[i].after;
        for (size_t k = 0; k < after->count; k++) {
            found |=
                is_within(address, after->ranges[k].start, after->ranges[k].start + after->ranges[k].size);
        }
    }
    return found;
}

/* COUNT values from the FIRST on. NULL: one of them cannot be told here. */
static const struct transfer_value *
make_values(struct making *making, const struct molt_patch_transfer *record, uint32_t first, uint32_t count)
{
    struct transfer_value *values = &making->recipes->values[making->value_count];
    bool known = true;

    for (uint32_t i = 0; i < count; i++) {
        known &= make_value(making, record, &making->update->patch.file.patch_values[first + i], &values[i]);
    }
    making->value_count += count;
    return known ? values : NULL;
}

/* False: the policy is not there. */
static bool make_policy(struct making *making, const struct molt_patch_transfer *record,
                        struct transfer *item)
{
    if (!record->policy) {
        return true;
    }
    item->policy = (transfer_policy *)making->update->patch.symbols[record->policy].address;
    item->policy_file = keep_text(making, record->policy_file);
    item->policy_line = record->policy_line;
    item->seen_size = record->seen_size;
    item->given_size = record->given_size;
    item->seen_count = record->seen_count;
    item->seen = make_values(making, record, record->seen, record->seen_count);
    page_log_init();
    return item->policy && item->seen;
}

/* An instance of SIZE bytes of layout FROM, which become one of TO. */
static struct molt_patch_root root_of(const struct patch_file *file,
                                      const struct molt_patch_transfer *transfer,
                                      const struct molt_patch_value *value, uint32_t from, uint32_t to)
{
    uint32_t count =
        value->from_size / file->patch_layouts[file->patch_migrations[value->migration - 1].old_layout].size;

    return (struct molt_patch_root){ .module = transfer->module,
                                     .layout = from,
                                     .count = count,
                                     .stride = file->patch_layouts[from].size,
                                     .new_layout = to,
                                     .new_count = count,
                                     .name = value->variable,
                                     .line = transfer->line,
                                     .kind = MOLT_FIELD_MEMBER };
}

/* Values of ITEM that are instances of a changed type; those that do not stay come from what is given. */
static void make_instances(struct making *making, const struct molt_patch_transfer *record,
                           struct transfer *item)
{
    const struct patch_file *file = &making->update->patch.file;
    struct transfer_value *values = (struct transfer_value *)item->values;

    item->instances = &making->recipes->instances[making->instance_count];
    item->given_room = item->given_size;
    for (uint32_t i = 0; i < record->value_count; i++) {
        const struct molt_patch_value *value = &file->patch_values[record->value + i];
        struct molt_patch_root *roots = &making->recipes->roots[2 * making->instance_count];
        if (!value->migration) {
            continue;
        }
        const struct molt_patch_migration *migration = &file->patch_migrations[value->migration - 1];
        bool stays = value->to == value->from && value->size == value->from_size;
        uint32_t given = (item->given_room + GIVEN_ALIGNMENT - 1) & ~(GIVEN_ALIGNMENT - 1);
        roots[0] = root_of(file, record, value, migration->old_layout, migration->new_layout);
        roots[1] = root_of(file, record, value, migration->new_layout, migration->old_layout);
        making->recipes->instances[making->instance_count++] =
            (struct transfer_instance){ &roots[0], &roots[1], value->from, value->from_size, stays, given };
        item->instance_count++;
        if (!stays) {
            values[i].from = TRANSFER_POLICY;
            values[i].from_number = given;
            values[i].from_size = 0;
            item->given_room = given + value->size;
        }
    }
}

static void make_recipe(struct making *making, const struct molt_patch_transfer *record)
{
    struct transfer *item = &making->recipes->items[making->recipes->count];

    *item = (struct transfer){
        .from = making->back ? place_in_patch(making, record, record->old_place)
                             : place_before(making, record, record->old_place),
        .to = making->back ? place_before(making, record, record->new_place)
                           : place_in_patch(making, record, record->new_place),
        .cfa_register = (uint8_t)record->cfa_register,
        .cfa_offset = record->cfa_offset,
        .old_size = record->old_size,
        .new_size = record->new_size,
        .is_setjmp = record->flags & MOLT_TRANSFER_SETJMP,
        .value_count = record->value_count,
        .function = keep_text(making, record->function),
        .unit = keep_text(making, record->unit),
        .reason = record->reason ? keep_text(making, record->reason) : NULL,
        .line = record->line,
        .moves = record->flags & MOLT_TRANSFER_MOVES,
        .moves_taken = record->flags & MOLT_TRANSFER_MOVES_TAKEN,
    };
    if (!is_awaited(making, item->from) || !item->to) {
        return; /* of a function that this update does not replace here */
    }
    item->values = make_values(making, record, record->value, record->value_count);
    if (!item->values || !make_policy(making, record, item)) {
        item->reason = "what one of its values is cannot be told in this process";
        item->policy = NULL;
    } else {
        make_instances(making, record, item);
    }
    making->recipes->count++;
}

/* ---- functions that call setjmp -------------------------------------------------------------------- */

static bool is_of(const struct transfer *item, const char *function, const char *unit)
{
    return strcmp(item->function, function) == 0 && strcmp(item->unit, unit) == 0;
}

size_t recipes_setjmps(const struct recipes *recipes)
{
    size_t count = 0;

    for (size_t i = 0; recipes && i < recipes->count; i++) {
        count += recipes->items[i].is_setjmp && !recipes->items[i].reason;
    }
    return count;
}

/* Whether superseded code at AT has room for what leads on. */
static bool has_room(const struct making *making, uintptr_t at)
{
    bool room = false;

    for (size_t i = 0; i < making->update->transition_count; i++) {
        const struct version *before = &making->update->transitions[i].before;
        for (size_t k = 0; k < before->count; k++) {
            const struct code_range *range = &before->ranges[k];
            room = room || (at > range->start && at + SETJMP_SITE_SIZE <= range->start + range->size);
        }
    }
    for (size_t i = 0; i < making->recipes->count; i++) {
        const struct transfer *other = &making->recipes->items[i];
        room = room && !(other->is_setjmp && other->from > at && other->from - at < SETJMP_SITE_SIZE);
    }
    return room;
}

/* Why longjmp cannot be led on from where RECORD says. NULL: it can. */
static const char *refuse_setjmp(const struct making *making, const struct molt_patch_transfer *record)
{
    uintptr_t from = making->back ? place_in_patch(making, record, record->old_place)
                                  : place_before(making, record, record->old_place);
    const struct transfer *item = NULL;

    for (size_t i = 0; i < making->recipes->count; i++) {
        const struct transfer *each = &making->recipes->items[i];
        item = each->is_setjmp && each->from == from ? each : item;
    }
    if (making->back) {
        return "longjmp may come back to it with what setjmp has saved before the update, and only new code "
               "can "
               "go on with that; instead of rolling back, undo the edit and update once more";
    }
    if (!item) {
        return "longjmp may come back to it, and where is not known";
    }
    if (setjmp_sites_room() < recipes_setjmps(making->recipes)) {
        return "longjmp may come back to it, and to too many other places that were superseded";
    }
    if (!has_room(making, from)) {
        return "longjmp may come back to it, and there is no room behind its call of setjmp for a jump to "
               "the "
               "new version";
    }
    return item->reason ? item->reason : setjmp_sites_refuse(item);
}

/* Of each function that calls setjmp either all recipes count, or none. */
static void need_setjmps(struct making *making)
{
    const struct patch_file *file = &making->update->patch.file;

    for (size_t i = 0; i < file->patch_transfers_count; i++) {
        const struct molt_patch_transfer *record = &file->patch_transfers[i];
        if (!is_wanted(making, record) || !(record->flags & MOLT_TRANSFER_SETJMP)) {
            continue;
        }
        const char *reason = refuse_setjmp(making, record);
        for (size_t k = 0; k < making->recipes->count; k++) {
            struct transfer *item = &making->recipes->items[k];
            if (is_of(item, patch_file_string(file, record->function),
                      patch_file_string(file, record->unit))) {
                item->has_setjmp = true;
                item->reason = item->reason ? item->reason : reason;
            }
        }
    }
}

void recipes_share_refusals(struct recipes *recipes)
{
    for (size_t i = 0; i < recipes->count; i++) {
        const struct transfer *lost = &recipes->items[i];
        for (size_t k = 0; lost->is_setjmp && lost->reason && k < recipes->count; k++) {
            struct transfer *item = &recipes->items[k];
            bool same = item->has_setjmp && is_of(item, lost->function, lost->unit);
            item->reason = item->reason || !same ? item->reason : lost->reason;
        }
    }
}

void recipes_lead_on(struct recipes *recipes, bool on)
{
    if (!on && recipes) {
        setjmp_sites_remove(recipes->items, recipes->count);
        return;
    }
    last_set++; /* a frame that was turned by them before they were rolled back has another number */
    for (size_t i = 0; recipes && i < recipes->count; i++) {
        recipes->items[i].set = last_set;
        if (recipes->items[i].is_setjmp && !recipes->items[i].reason) {
            setjmp_sites_add(&recipes->items[i]);
        }
    }
}

static void destroy(struct recipes *recipes)
{
    free(recipes->items);
    free(recipes->values);
    free(recipes->instances);
    free(recipes->roots);
    free(recipes->text);
    free(recipes);
}

int recipes_make(struct update *update, bool back, struct recipes **ret)
{
    const struct patch_file *file = &update->patch.file;
    struct making making = { .update = update, .recipes = calloc(1, sizeof(struct recipes)), .back = back };
    int status = making.recipes ? reserve(&making) : -ENOMEM;
    for (size_t i = 0; i < file->patch_transfers_count && status == 0; i++) {
        if (is_wanted(&making, &file->patch_transfers[i])) {
            make_recipe(&making, &file->patch_transfers[i]);
        }
    }
    if (status < 0) {
        if (making.recipes) {
            destroy(making.recipes);
        }
        return status;
    }
    need_setjmps(&making);
    SORT_BY(making.recipes->items, making.recipes->count, struct transfer, from);
    *ret = making.recipes;
    return 0;
}

void recipes_release(struct recipes *recipes)
{
    if (recipes && transfer_uses(recipes->items, recipes->count)) {
        recipes->next = lingering;
        lingering = recipes;
    } else if (recipes) {
        destroy(recipes);
    }
}

void recipes_reclaim(void)
{
    for (struct recipes **link = &lingering; *link;) {
        struct recipes *recipes = *link;
        if (transfer_uses(recipes->items, recipes->count)) {
            link = &recipes->next;
        } else {
            *link = recipes->next;
            destroy(recipes);
        }
    }
}

struct transfers recipes_transfers(const struct recipes *forth, const struct recipes *back, uint32_t after_ms)
{
    return (struct transfers){
        .recipes = forth ? forth->items : NULL,
        .count = forth ? forth->count : 0,
        .cancelled = back ? back->items : NULL,
        .cancelled_count = back ? back->count : 0,
        .after_ms = after_ms,
    };
}
