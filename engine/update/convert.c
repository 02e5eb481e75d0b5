/*
 * Old instances to new ones, and old offsets to new offsets.
 *
 * A migration's function makes one object. What is around it is done here: the elements of arrays, of a
 * flexible array, and bytes that the program keeps behind an object in the same block.
 *
 *     old block   | object            | elements or other bytes |
 *     new block   | object                    | the same; elements converted if their type changes |
 */
#include "engine/update/convert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"

static void *function_of(const struct loaded_patch *patch, uint32_t symbol)
{
    return symbol ? (void *)patch->symbols[symbol].address : NULL;
}

static bool has_shift(const struct conversion *conversion)
{
    const struct patch_file *file = conversion->layouts->file;
    const struct molt_patch_layout *from = conversion->from->record, *to = conversion->to->record;
    bool tail =
        from->tail_stride && (from->tail_offset != to->tail_offset || from->tail_stride != to->tail_stride);

    for (uint32_t i = 0; i < conversion->record->segment_count && !tail; i++) {
        const struct molt_patch_segment *segment = &file->patch_segments[conversion->record->segment + i];
        tail = segment->old_offset != segment->new_offset;
    }
    return tail || conversion->tail;
}

static const struct conversion *tail_conversion(const struct conversion *all,
                                                const struct conversion *conversion)
{
    const struct layouts *layouts = conversion->layouts;
    const struct layout *tail = &layouts->items[conversion->from->tail];

    return conversion->from->record->tail_stride && tail->conversion_count ? &all[tail->first_conversion]
                                                                           : NULL;
}

/* Whether the process has the functions of MIGRATION. */
static bool is_present(const struct loaded_patch *patch, const struct molt_patch_migration *migration)
{
    const uint32_t symbols[] = { migration->migrate, migration->validate, migration->select };

    for (size_t i = 0; i < 3; i++) {
        if (symbols[i] && !patch->symbols[symbols[i]].address) {
            return false;
        }
    }
    return true;
}

void conversions_choose(const struct loaded_patch *patch, bool rollback, bool *in_use)
{
    const struct molt_patch_migration *all = patch->file.patch_migrations;

    for (size_t i = 0; i < patch->file.patch_migrations_count; i++) {
        in_use[i] = rollback == !!(all[i].flags & MOLT_MIGRATION_INVERSE) && is_present(patch, &all[i]);
        for (size_t k = 0; k < i && in_use[i]; k++) {
            in_use[i] = !in_use[k] || all[k].old_layout != all[i].old_layout ||
                        all[k].new_layout != all[i].new_layout;
        }
    }
}

bool conversions_are_complete(const struct loaded_patch *patch, bool rollback, const bool *in_use,
                              const struct molt_patch_migration **ret_missing)
{
    const struct molt_patch_migration *all = patch->file.patch_migrations;
    size_t count = patch->file.patch_migrations_count;

    for (size_t i = 0; i < count; i++) {
        bool found = rollback != !!(all[i].flags & MOLT_MIGRATION_INVERSE);
        for (size_t k = 0; k < count && !found; k++) {
            found =
                in_use[k] && all[k].old_layout == all[i].old_layout && all[k].new_layout == all[i].new_layout;
        }
        if (!found) {
            *ret_missing = &all[i];
            return false;
        }
    }
    return true;
}

static struct conversion bind(const struct loaded_patch *patch, const struct layouts *layouts,
                              const struct molt_patch_migration *record)
{
    return (struct conversion){ .record = record,
                                .layouts = layouts,
                                .from = &layouts->items[record->old_layout],
                                .to = &layouts->items[record->new_layout],
                                .tailed = layouts->items[record->old_layout].record->tail_stride &&
                                          layouts->items[record->new_layout].record->tail_stride,
                                .migrate = function_of(patch, record->migrate),
                                .validate = function_of(patch, record->validate),
                                .select = function_of(patch, record->select),
                                .custom = !(record->flags & MOLT_MIGRATION_GENERATED) && record->migrate,
                                .low = UINTPTR_MAX };
}

int conversions_bind(struct loaded_patch *patch, const struct layouts *layouts, const bool *in_use,
                     struct conversion **ret)
{
    const struct patch_file *file = &patch->file;
    struct conversion *all = calloc(file->patch_migrations_count + 1, sizeof(*all));
    size_t count = 0;

    if (!all) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < file->patch_migrations_count; i++) {
        const struct molt_patch_migration *record = &file->patch_migrations[i];
        const struct layout *from = &layouts->items[record->old_layout];
        uint32_t slot = from->first_conversion;
        if (!in_use[i]) {
            continue;
        }
        if (!from->size ||
            (from->conversion_count > 1 && !(record->flags & MOLT_MIGRATION_SPLIT && record->select))) {
            free(all);
            return load_refuse(patch, "malformed patch: the migrations of %s", from->name);
        }
        while (all[slot].record) {
            slot++;
        }
        all[slot] = bind(patch, layouts, record);
        count++;
    }
    for (size_t i = 0; i < count; i++) {
        all[i].tail = tail_conversion(all, &all[i]);
        all[i].custom |= all[i].tail && all[i].tail->custom;
        all[i].shifts = has_shift(&all[i]);
    }
    *ret = all;
    return 0;
}

/* ---- sizes ----------------------------------------------------------------------------------------- */

size_t conversion_count(const struct conversion *conversion, enum place_kind kind, size_t size)
{
    return kind == PLACE_OBJECT ? 1 : size / conversion->from->size;
}

/* Elements of the flexible array of an object of SIZE bytes. */
static size_t tail_count(const struct conversion *conversion, size_t size)
{
    const struct molt_patch_layout *from = conversion->from->record;

    return from->tail_stride && size > from->tail_offset ? (size - from->tail_offset) / from->tail_stride : 0;
}

static size_t tailed_size(const struct conversion *conversion, size_t size)
{
    const struct molt_patch_layout *from = conversion->from->record, *to = conversion->to->record;

    size_t elements = tail_count(conversion, size);
    size_t whole = from->tail_offset + elements * from->tail_stride;
    size_t result = to->tail_offset + elements * to->tail_stride + (size > whole ? size - whole : 0);
    return result > to->size ? result : to->size;
}

size_t conversion_size_of_many(const struct conversion *conversion, enum place_kind kind, size_t size)
{
    if (kind == PLACE_OBJECT) {
        return tailed_size(conversion, size);
    }
    size_t count = size / conversion->from->size;
    return count * conversion->to->size + size % conversion->from->size;
}

size_t conversion_size_before(const struct conversion *conversion, enum place_kind kind, size_t size)
{
    const struct molt_patch_layout *from = conversion->from->record, *to = conversion->to->record;

    if (kind != PLACE_OBJECT) {
        return to->size ? size / to->size * from->size : 0;
    }
    if (conversion->tailed) {
        size_t elements = size > to->tail_offset ? (size - to->tail_offset) / to->tail_stride : 0;
        return from->tail_offset + elements * from->tail_stride;
    }
    return size > to->size ? size - to->size + from->size : from->size;
}

/* ---- making ---------------------------------------------------------------------------------------- */

static void make_object(const struct conversion *conversion, const uint8_t *old, uint8_t *new)
{
    const struct patch_file *file = conversion->layouts->file;

    if (conversion->migrate) {
        conversion->migrate(old, new);
        return;
    }
    for (uint32_t i = 0; i < conversion->record->segment_count; i++) {
        const struct molt_patch_segment *segment = &file->patch_segments[conversion->record->segment + i];
        memcpy(new + segment->new_offset, old + segment->old_offset, segment->size);
    }
}

static void make_tail(const struct conversion *conversion, const uint8_t *old, size_t size, uint8_t *new)
{
    const struct molt_patch_layout *from = conversion->from->record, *to = conversion->to->record;
    size_t count = tail_count(conversion, size), whole = from->tail_offset + count * from->tail_stride;
    size_t each = from->tail_stride < to->tail_stride ? from->tail_stride : to->tail_stride;

    if (!conversion->tail && from->tail_stride == to->tail_stride) {
        memcpy(new + to->tail_offset, old + from->tail_offset, count * from->tail_stride);
    }
    for (size_t i = 0; i < count && (conversion->tail || from->tail_stride != to->tail_stride); i++) {
        const uint8_t *source = old + from->tail_offset + i * from->tail_stride;
        uint8_t *target = new + to->tail_offset + i * to->tail_stride;
        if (conversion->tail) {
            make_object(conversion->tail, source, target);
        } else {
            memcpy(target, source, each);
        }
    }
    if (size > whole) {
        memcpy(new + to->tail_offset + count * to->tail_stride, old + whole, size - whole);
    }
}

void conversion_run_many(const struct conversion *conversion, enum place_kind kind, const void *old,
                         size_t size, void *new, volatile size_t *index)
{
    size_t from = conversion->from->size, to = conversion->to->size;
    const uint8_t *source = old;
    uint8_t *target = new;

    if (kind == PLACE_OBJECT) {
        if (conversion->tailed) {
            make_tail(conversion, source, size, target);
        } else if (size > from) {
            memcpy(target + to, source + from, size - from);
        }
        make_object(conversion, source, target);
        return;
    }
    size_t count = size / from;
    for (size_t i = 0; i < count; i++) {
        if (index) {
            *index = i;
        }
        make_object(conversion, source + i * from, target + i * to);
    }
    memcpy(target + count * to, source + count * from, size % from);
}

/* ---- back ------------------------------------------------------------------------------------------ */

bool conversion_is_exact(const struct conversion *conversion)
{
    const struct molt_patch_segment *segments =
        &conversion->layouts->file->patch_segments[conversion->record->segment];
    uint32_t count = conversion->record->segment_count, next = 0;

    for (uint32_t i = 0; i < count; i++) {
        bool apart = segments[i].flags & MOLT_SEGMENT_COPIED && segments[i].old_offset == next &&
                     segments[i].new_offset + (uint64_t)segments[i].size <= conversion->to->size;
        for (uint32_t k = 0; k < i && apart; k++) {
            apart = segments[k].new_offset + segments[k].size <= segments[i].new_offset ||
                    segments[i].new_offset + segments[i].size <= segments[k].new_offset;
        }
        if (!apart) {
            return false;
        }
        next += segments[i].size;
    }
    return next == conversion->from->size;
}

void conversion_reverse(const struct conversion *conversion, const void *new, void *old)
{
    const struct molt_patch_segment *segments =
        &conversion->layouts->file->patch_segments[conversion->record->segment];

    for (uint32_t i = 0; i < conversion->record->segment_count; i++) {
        memcpy((uint8_t *)old + segments[i].old_offset, (const uint8_t *)new + segments[i].new_offset,
               segments[i].size);
    }
}

/* ---- where what was is ----------------------------------------------------------------------------- */

/* The first segment that ends behind OFFSET, or their end. */
static const struct molt_patch_segment *segment_from(const struct conversion *conversion, uint64_t offset)
{
    const struct molt_patch_segment *segments =
        &conversion->layouts->file->patch_segments[conversion->record->segment];
    uint32_t index = COUNT_BEFORE(i, conversion->record->segment_count,
                                  segments[i].old_offset + segments[i].size <= offset);

    return &segments[index];
}

/* Whether SEGMENT, of segment_from, is one that starts before END. */
static bool segment_is_before(const struct conversion *conversion, const struct molt_patch_segment *segment,
                              uint64_t end)
{
    const struct molt_patch_segment *segments =
        &conversion->layouts->file->patch_segments[conversion->record->segment];

    return segment < segments + conversion->record->segment_count && segment->old_offset < end;
}

static bool offset_by_segment(const struct conversion *conversion, uint64_t offset, uint64_t *ret)
{
    const struct molt_patch_segment *segment = segment_from(conversion, offset);

    if (!segment_is_before(conversion, segment, offset + 1)) {
        return false;
    }
    *ret = segment->new_offset + (offset - segment->old_offset);
    return true;
}

/* The new member, of what the old member's layout has become, that stands for OLD: the one of its name, or,
 * if it has another name now, the one that holds what followed from its START. */
static const struct molt_patch_field *new_member(const struct conversion *conversion,
                                                 const struct molt_patch_field *old, uint64_t start)
{
    const struct layouts *layouts = conversion->layouts;
    const struct patch_file *file = layouts->file;
    const struct molt_patch_field *first = &file->patch_fields[conversion->to->record->field];
    const char *name = patch_file_string(file, old->name);
    uint32_t count = conversion->to->record->field_count, becomes = layouts->items[old->layout].becomes;

    for (uint32_t i = 0; i < count; i++) {
        if (first[i].kind == MOLT_FIELD_MEMBER && strcmp(patch_file_string(file, first[i].name), name) == 0) {
            return &first[i];
        }
    }
    const struct molt_patch_segment *segment = segment_from(conversion, start);
    if (!segment_is_before(conversion, segment, start + layouts->items[old->layout].size)) {
        return NULL;
    }
    uint64_t place = segment->new_offset + (segment->old_offset > start ? 0 : start - segment->old_offset);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t stride = first[i].stride ? first[i].stride : layouts->items[becomes].size;
        if (first[i].kind == MOLT_FIELD_MEMBER && first[i].layout == becomes && place >= first[i].offset &&
            place - first[i].offset < first[i].count * stride) {
            return &first[i];
        }
    }
    return NULL;
}

/* By the members: a pointer to an embedded object leads to the member that it is now, even if that object's
 * own members have changed places. */
static bool offset_by_member(const struct conversion *conversion, uint64_t offset, uint32_t wanted,
                             uint64_t *ret)
{
    const struct patch_file *file = conversion->layouts->file;
    const struct molt_patch_layout *from = conversion->from->record;

    for (uint32_t i = from->field; i < from->field + from->field_count; i++) {
        const struct molt_patch_field *old = &file->patch_fields[i];
        uint64_t distance = offset - old->offset, stride = old->stride ? old->stride : 1;
        if (old->kind != MOLT_FIELD_MEMBER || old->layout != wanted || offset < old->offset ||
            distance % stride || distance / stride >= old->count) {
            continue;
        }
        const struct molt_patch_field *new = new_member(conversion, old, offset);
        if (new &&distance / stride < new->count) {
            *ret = new->offset + distance / stride *new->stride;
            return true;
        }
    }
    return false;
}

/* Within one object. Its start is the object's, unless the pointer promises something that merely was its
 * first member. */
static bool object_offset(const struct conversion *conversion, uint64_t offset, uint32_t wanted,
                          uint64_t *ret)
{
    const struct layouts *layouts = conversion->layouts;
    const struct layout *from = conversion->from;

    bool first_member = wanted && &layouts->items[wanted] != from &&
                        &layouts->items[wanted] != conversion->to &&
                        ((layouts->items[wanted].record->flags & MOLT_LAYOUT_SCALAR) ||
                         layouts_contain(layouts, conversion->record->old_layout, 0, wanted));
    if (offset == 0 && !first_member) {
        *ret = 0;
        return true;
    }
    return (wanted && offset_by_member(conversion, offset, wanted, ret)) ||
           offset_by_segment(conversion, offset, ret);
}

static bool offset_in_tail(const struct conversion *conversion, size_t size, uint64_t offset, uint32_t wanted,
                           uint64_t *ret)
{
    const struct molt_patch_layout *from = conversion->from->record, *to = conversion->to->record;
    uint64_t stride = from->tail_stride ? from->tail_stride : 1,
             begins = from->tail_stride ? from->tail_offset : from->size;
    uint64_t distance = offset - begins, rest = distance % stride, found = rest;

    if (conversion->tailed) {
        if (conversion->tail && rest && !object_offset(conversion->tail, rest, wanted, &found)) {
            return false;
        }
        *ret = to->tail_offset + distance / stride * to->tail_stride + found;
    } else {
        *ret = to->size + distance;
    }
    return offset <= size;
}

bool conversion_offset(const struct conversion *conversion, enum place_kind kind, size_t size,
                       uint64_t offset, uint32_t wanted, uint64_t *ret)
{
    const struct layout *from = conversion->from, *to = conversion->to;
    uint64_t found;

    wanted = conversion->layouts->items[wanted]
                 .was; /* on the way back, variables promise what they led to at first */
    if (kind == PLACE_OBJECT) {
        if (offset >= (from->record->tail_stride ? from->record->tail_offset : from->size)) {
            return offset_in_tail(conversion, size, offset, wanted, ret);
        }
        return object_offset(conversion, offset, wanted, ret);
    }
    uint64_t index = offset / from->size, rest = offset % from->size;
    if (index >= size / from->size) { /* just past the end, or what is left over behind the last element */
        *ret = index * to->size + rest;
        return offset <= size;
    }
    if (!object_offset(conversion, rest, wanted, &found)) {
        return false;
    }
    *ret = index * to->size + found;
    return true;
}
