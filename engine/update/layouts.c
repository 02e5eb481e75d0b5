/*
 * Layouts made ready for scanning. A patch says what lies in a type member by member; whoever looks through
 * millions of objects wants a flat list of the words that may hold an address. Embedded objects are therefore
 * replaced by their words, and only arrays of objects stay what they are. A layout contains only layouts that
 * stand before it (the patch file's check), so one pass in order does it.
 */
#include "engine/update/layouts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX                                                                                            \
    (16u << 20) /* in all; more can only be made by overlapping members inside overlapping members */

struct growing {
    struct layout_word *words;
    size_t count, capacity;
};

static int add_word(struct growing *list, struct layout_word word)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 256;
        struct layout_word *grown =
            capacity > WORDS_MAX ? NULL : realloc(list->words, capacity * sizeof(*grown));
        if (!grown) {
            return capacity > WORDS_MAX ? -EFBIG : -ENOMEM;
        }
        list->words = grown;
        list->capacity = capacity;
    }
    list->words[list->count++] = word;
    return 0;
}

static int add_member(struct growing *list, const struct layouts *layouts,
                      const struct molt_patch_field *field, uint32_t index)
{
    const struct layout *inner = &layouts->items[field->layout];
    struct layout_word word = {
        field->offset, field->count, field->stride, field->layout, field->kind, index
    };

    if (field->count != 1) {
        return inner->words ? add_word(list, word) : 0;
    }
    for (uint32_t i = 0; i < inner->word_count; i++) {
        word = list->words[inner->first_word + i];
        word.offset += field->offset;
        int status = add_word(list, word);
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

static bool has_aligned_words(const struct growing *list, const struct layouts *layouts,
                              const struct layout *layout)
{
    const struct molt_patch_layout *record = layout->record;
    uint32_t odd = record->tail_stride ? record->tail_offset | record->tail_stride : 0;
    bool aligned = !record->tail_stride || layouts->items[record->tail].aligned;

    for (uint32_t i = 0; i < layout->word_count; i++) {
        const struct layout_word *word = &list->words[layout->first_word + i];
        odd |= word->offset | (word->count > 1 ? word->stride : 0);
        aligned &= word->kind != MOLT_FIELD_MEMBER || layouts->items[word->layout].aligned;
    }
    return aligned && !((odd | record->size) % sizeof(uintptr_t));
}

static int resolve(struct growing *list, const struct layouts *layouts, size_t index)
{
    struct layout *layout = &layouts->items[index];
    const struct molt_patch_layout *record = layout->record;

    layout->first_word = (uint32_t)list->count;
    for (uint32_t i = record->field; i < record->field + record->field_count; i++) {
        const struct molt_patch_field *field = &layouts->file->patch_fields[i];
        int status = 0;
        if (field->kind == MOLT_FIELD_MEMBER) {
            status = add_member(list, layouts, field, i);
        } else if (field->kind != MOLT_FIELD_CODE) {
            status = add_word(list, (struct layout_word){ field->offset, field->count, field->stride,
                                                          field->layout, field->kind, i });
        }
        if (status < 0) {
            return status;
        }
    }
    layout->word_count = (uint32_t)list->count - layout->first_word;
    layout->words = layout->word_count || (record->tail_stride && layouts->items[record->tail].words);
    layout->aligned = has_aligned_words(list, layouts, layout);
    return 0;
}

/* Whether a word of LAYOUT, or one of its embedded objects or elements, leads to a changed layout. */
static bool finds_changed(const struct layouts *layouts, const struct layout *layout)
{
    bool leads = layout->record->tail_stride && layouts->items[layout->tail].leads;

    for (uint32_t i = 0; i < layout->word_count && !leads; i++) {
        const struct layout_word *word = &layouts->words[layout->first_word + i];
        const struct layout *target = &layouts->items[word->layout];
        leads = word->kind != MOLT_FIELD_WORD &&
                (target->leads || (word->kind == MOLT_FIELD_POINTER && target->changed));
    }
    return leads;
}

/* Pointers go round in circles, so it is repeated until nothing changes. */
static void close_over_pointers(struct layouts *layouts)
{
    bool again = true;

    while (again) {
        again = false;
        for (size_t i = 0; i < layouts->count; i++) {
            if (!layouts->items[i].leads && finds_changed(layouts, &layouts->items[i])) {
                layouts->items[i].leads = again = true;
            }
        }
    }
}

/* Marks what contains a changed layout by value; parts stand before what holds them. */
static void close_over_members(struct layouts *layouts)
{
    for (size_t i = 1; i < layouts->count; i++) {
        struct layout *layout = &layouts->items[i];
        const struct molt_patch_layout *record = layout->record;
        for (uint32_t k = record->field; k < record->field + record->field_count; k++) {
            const struct molt_patch_field *field = &layouts->file->patch_fields[k];
            layout->changed = layout->changed ||
                              (field->kind == MOLT_FIELD_MEMBER && layouts->items[field->layout].changed);
        }
        layout->changed = layout->changed || (record->tail_stride && layouts->items[layout->tail].changed);
    }
}

void layouts_single_out(struct layouts *layouts, const bool *asked)
{
    for (size_t i = 1; i < layouts->count; i++) {
        layouts->items[i].changed = asked && asked[i];
        layouts->items[i].leads = !asked;
    }
    close_over_members(layouts);
    close_over_pointers(layouts);
}

void layouts_watch(struct layouts *layouts, uint32_t index)
{
    if (!layouts->items[index].leads) {
        layouts->items[index].leads = true;
        close_over_pointers(layouts);
    }
}

/* The conversions of one layout stand together, in the order of the file. */
static void note_conversions(struct layouts *layouts, const bool *in_use)
{
    const struct patch_file *file = layouts->file;
    uint32_t next = 0;

    for (size_t i = 0; i < layouts->count; i++) {
        layouts->items[i].becomes = layouts->items[i].was = (uint32_t)i;
    }
    for (size_t i = file->patch_migrations_count; i-- > 0;) {
        struct layout *layout = &layouts->items[file->patch_migrations[i].old_layout];
        if (in_use[i]) {
            layout->conversion_count++;
            layout->becomes = file->patch_migrations[i].new_layout;
            layout->changed = true;
        }
    }
    for (size_t i = layouts->count; i-- > 0;) {
        struct layout *after = &layouts->items[layouts->items[i].becomes];
        if (after != &layouts->items[i] && !after->conversion_count) {
            after->was = (uint32_t)i;
        }
    }
    for (size_t i = 0; i < layouts->count; i++) {
        layouts->items[i].first_conversion = next;
        next += layouts->items[i].conversion_count;
    }
}

/* Pointers in what does not change promise types as they were before the update, in the patch; on the way
 * back they lead to what these became. */
static void turn_pointers(struct layouts *layouts)
{
    for (size_t i = 0; i < layouts->count; i++) {
        const struct layout *layout = &layouts->items[i];
        for (uint32_t k = 0; layout->was == i && k < layout->word_count; k++) {
            struct layout_word *word = &layouts->words[layout->first_word + k];
            word->layout = word->kind == MOLT_FIELD_POINTER ? layouts->items[word->layout].was : word->layout;
        }
    }
}

int layouts_init(struct layouts *layouts, const struct patch_file *file, const bool *in_use, bool rollback)
{
    struct growing list = { 0 };
    int status = 0;

    *layouts = (struct layouts){ .file = file, .count = file->patch_layouts_count };
    layouts->items = calloc(layouts->count + 1, sizeof(*layouts->items));
    if (!layouts->items) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < layouts->count && status == 0; i++) {
        const struct molt_patch_layout *record = &file->patch_layouts[i];
        layouts->items[i] = (struct layout){ .record = record,
                                             .name = patch_file_string(file, record->name),
                                             .size = record->size,
                                             .tail = record->tail,
                                             .opaque = record->flags & MOLT_LAYOUT_OPAQUE };
        status = resolve(&list, layouts, i);
    }
    layouts->words = list.words;
    layouts->word_count = list.count;
    if (status < 0) {
        layouts_deinit(layouts);
        return status;
    }
    note_conversions(layouts, in_use);
    if (rollback) {
        turn_pointers(layouts);
    }
    close_over_pointers(layouts);
    return 0;
}

void layouts_deinit(struct layouts *layouts)
{
    free(layouts->items);
    free(layouts->words);
    *layouts = (struct layouts){ 0 };
}

/* The field of LAYOUT that OFFSET lies in, and where in its element; NULL if in none. */
static const struct molt_patch_field *find_member(const struct layouts *layouts, uint32_t index,
                                                  uint64_t offset, uint32_t from, uint64_t *ret_rest)
{
    const struct molt_patch_layout *record = layouts->items[index].record;

    for (uint32_t i = from; i < record->field_count; i++) {
        const struct molt_patch_field *field = &layouts->file->patch_fields[record->field + i];
        uint64_t stride = field->stride ? field->stride : 1;
        uint64_t size =
            field->kind == MOLT_FIELD_MEMBER ? layouts->items[field->layout].size : sizeof(void *);
        uint64_t distance = offset - field->offset;
        if (offset < field->offset ||
            (field->count == 1 ? distance >= size : distance / stride >= field->count)) {
            continue;
        }
        *ret_rest = field->count == 1 ? distance : distance % stride;
        return field;
    }
    return NULL;
}

bool layouts_contain(const struct layouts *layouts, uint32_t outer, uint64_t offset, uint32_t inner)
{
    const struct molt_patch_layout *record = layouts->items[outer].record;

    if (outer == inner && offset == 0) {
        return true;
    }
    for (uint32_t i = 0; i < record->field_count; i++) { /* members may overlap: unions */
        uint64_t rest;
        const struct molt_patch_field *field = find_member(layouts, outer, offset, i, &rest);
        if (!field) {
            return false;
        }
        if (field->kind == MOLT_FIELD_MEMBER && layouts_contain(layouts, field->layout, rest, inner)) {
            return true;
        }
        i = (uint32_t)(field - &layouts->file->patch_fields[record->field]);
    }
    return false;
}

const char *layouts_member(const struct layouts *layouts, uint32_t index, uint64_t offset)
{
    uint64_t rest;
    const struct molt_patch_field *field = find_member(layouts, index, offset, 0, &rest);

    return field ? patch_file_string(layouts->file, field->name) : "";
}

void layouts_walk(const struct layouts *layouts, uint32_t index, uintptr_t at, layout_visitor *visit,
                  void *context)
{
    layouts_walk_here(layouts, index, at, visit, context);
}
