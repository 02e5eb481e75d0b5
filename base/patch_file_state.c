/*
 * The check of the records about state. Layouts contain only layouts that stand before them, so whoever
 * descends into members comes to an end; and a member lies within what it is a member of, so whoever adds
 * offsets stays inside.
 */
#include "base/patch_file_private.h"

static bool is_string(const struct patch_file *file, uint32_t offset)
{
    return offset < file->strings_size;
}

static bool is_optional_symbol(const struct patch_file *file, uint32_t symbol)
{
    return symbol == 0 || patch_file_defines(file, symbol);
}

/* Whether COUNT objects of SIZE bytes, STRIDE apart, lie within ROOM bytes from OFFSET on. */
static bool fits(uint64_t offset, uint32_t count, uint32_t stride, uint64_t size, uint64_t room)
{
    return count >= 1 && offset <= room && size <= room - offset &&
           (uint64_t)(count - 1) * stride <= room - offset - size;
}

static bool is_field(const struct patch_file *file, const struct molt_patch_field *field, size_t owner,
                     uint32_t room)
{
    bool member = field->kind == MOLT_FIELD_MEMBER;

    if (field->kind >= MOLT_FIELD_KINDS || field->layout >= file->patch_layouts_count ||
        !is_string(file, field->name) || (member && field->layout >= owner)) {
        return false;
    }
    return fits(field->offset, field->count, field->stride,
                member ? file->patch_layouts[field->layout].size : sizeof(void *), room);
}

static bool is_layout(const struct patch_file *file, size_t index)
{
    const struct molt_patch_layout *layout = &file->patch_layouts[index];
    uint32_t alignment = layout->alignment;

    if (!is_string(file, layout->name) || !is_string(file, layout->unit) || !alignment || alignment > 4096 ||
        (alignment & (alignment - 1)) || layout->size > INT32_MAX ||
        layout->field > file->patch_fields_count ||
        layout->field_count > file->patch_fields_count - layout->field) {
        return false;
    }
    if (layout->tail_stride &&
        (layout->tail >= index || layout->tail_stride > INT32_MAX || layout->tail_offset > layout->size ||
         file->patch_layouts[layout->tail].size > layout->tail_stride)) {
        return false;
    }
    for (uint32_t i = 0; i < layout->field_count; i++) {
        const struct molt_patch_field *field = &file->patch_fields[layout->field + i];
        if (!is_field(file, field, index, layout->size) || (i > 0 && field->offset < field[-1].offset)) {
            return false;
        }
    }
    return true;
}

static bool is_site(const struct patch_file *file, const struct molt_patch_site *site)
{
    return site->kind < MOLT_SITE_KINDS && site->layout < file->patch_layouts_count &&
           site->allocator <= file->patch_allocators_count && site->module < file->patch_modules_count &&
           site->address <= INT64_MAX && is_optional_symbol(file, site->symbol) &&
           is_string(file, site->file) && is_string(file, site->carver);
}

static bool is_root(const struct patch_file *file, const struct molt_patch_root *root)
{
    return root->module < file->patch_modules_count && root->layout < file->patch_layouts_count &&
           root->new_layout < file->patch_layouts_count && root->address <= INT64_MAX &&
           root->count <= INT32_MAX && root->new_count <= INT32_MAX && root->stride <= INT32_MAX &&
           root->kind < MOLT_FIELD_KINDS && is_optional_symbol(file, root->symbol) &&
           is_string(file, root->name) && is_string(file, root->unit);
}

static bool is_migration(const struct patch_file *file, const struct molt_patch_migration *migration)
{
    if (migration->old_layout >= file->patch_layouts_count ||
        migration->new_layout >= file->patch_layouts_count || !is_optional_symbol(file, migration->migrate) ||
        !is_optional_symbol(file, migration->validate) || !is_optional_symbol(file, migration->select) ||
        !is_string(file, migration->file) || !is_string(file, migration->validate_file) ||
        migration->segment > file->patch_segments_count ||
        migration->segment_count > file->patch_segments_count - migration->segment) {
        return false;
    }
    for (uint32_t i = 0; i < migration->segment_count; i++) {
        const struct molt_patch_segment *segment = &file->patch_segments[migration->segment + i];
        if (!fits(segment->old_offset, 1, 0, segment->size,
                  file->patch_layouts[migration->old_layout].size) ||
            !fits(segment->new_offset, 1, 0, segment->size,
                  file->patch_layouts[migration->new_layout].size) ||
            (i > 0 && segment->old_offset < segment[-1].old_offset + segment[-1].size)) {
            return false;
        }
    }
    return true;
}

static bool is_invariant(const struct patch_file *file, const struct molt_patch_invariant *invariant)
{
    return invariant->layout < file->patch_layouts_count && patch_file_defines(file, invariant->check) &&
           is_string(file, invariant->name) && is_string(file, invariant->file);
}

static bool is_part(const struct patch_file *file, const struct molt_patch_part *part, uint64_t old_size,
                    uint64_t new_size)
{
    const uint32_t bits = 64;

    return fits(part->old_offset, 1, 0, part->old_size, old_size) &&
           fits(part->new_offset, 1, 0, part->new_size, new_size) && part->new_size &&
           part->old_text <= INT32_MAX && part->new_text <= INT32_MAX &&
           (!part->old_text || part->old_size >= sizeof(void *)) &&
           (!part->new_text || part->new_size >= sizeof(void *)) && part->old_bit < 8 && part->new_bit < 8 &&
           part->bits <= bits && (!part->bits || part->bits + part->new_bit <= 8 * part->new_size) &&
           (!part->bits || !part->old_size || part->bits + part->old_bit <= 8 * part->old_size) &&
           is_string(file, part->name);
}

static bool is_initial(const struct patch_file *file, const struct molt_patch_initial *initial)
{
    if (initial->root >= file->patch_roots_count || !patch_file_defines(file, initial->old_value) ||
        !patch_file_defines(file, initial->new_value) || !is_string(file, initial->name) ||
        initial->part > file->patch_parts_count ||
        initial->part_count > file->patch_parts_count - initial->part) {
        return false;
    }
    for (uint32_t i = 0; i < initial->part_count; i++) {
        if (!is_part(file, &file->patch_parts[initial->part + i], file->symbols[initial->old_value].st_size,
                     file->symbols[initial->new_value].st_size)) {
            return false;
        }
    }
    return true;
}

static bool is_alias(const struct patch_file *file, const struct molt_patch_alias *alias)
{
    return is_string(file, alias->name) && is_string(file, alias->unit);
}

static bool is_allocator(const struct patch_file *file, const struct molt_patch_allocator *allocator)
{
    return allocator->module < file->patch_modules_count && is_string(file, allocator->name) &&
           allocator->allocate <= INT64_MAX && allocator->release <= INT64_MAX && allocator->header <= 4096;
}

#define CHECK_ALL(array, reason, ...)                                                                        \
    for (size_t i = 0; i < file->patch_##array##_count; i++) {                                               \
        if (!(__VA_ARGS__)) {                                                                                \
            return reason;                                                                                   \
        }                                                                                                    \
    }

const char *patch_file_check_state(const struct patch_file *file)
{
    CHECK_ALL(layouts, "malformed layout entry", is_layout(file, i))
    CHECK_ALL(allocators, "malformed allocator entry", is_allocator(file, &file->patch_allocators[i]))
    CHECK_ALL(sites, "malformed site entry", is_site(file, &file->patch_sites[i]))
    CHECK_ALL(roots, "malformed root entry", is_root(file, &file->patch_roots[i]))
    CHECK_ALL(migrations, "malformed migration entry", is_migration(file, &file->patch_migrations[i]))
    CHECK_ALL(aliases, "malformed alias entry", is_alias(file, &file->patch_aliases[i]))
    CHECK_ALL(initials, "malformed initial value entry", is_initial(file, &file->patch_initials[i]))
    CHECK_ALL(invariants, "malformed invariant entry", is_invariant(file, &file->patch_invariants[i]))
    return NULL;
}
