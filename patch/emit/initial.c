/*
 * Initial values that changed. An update must not overwrite what the program has set since it started, nor
 * keep what it never set: so the patch says, part by part, what variables began with and what they begin with
 * now, and the engine compares. A part is what a programmer sets at once: a scalar, a string, a union; of
 * structures each member, of arrays each element.
 *
 * Both values come along whole, with their relocations, so that the engine has them as the program would.
 * Pointers to constants without a name are compared by what they lead to: copies of a string have many
 * addresses.
 */
#include "patch/emit/initial.h"

#include <stdlib.h>
#include <string.h>

#define LARGE_ARRAY 1024 /* elements; such tables are one part */

/* Where one part is. */
struct part_place {
    const struct type *type;
    uint64_t bit; /* from the start of the variable */
    uint32_t bits;
};

static struct object_section *section_of(struct object *object, const struct object_symbol *symbol)
{
    return &object->sections[symbol->section];
}

/* ---- are two values the same? ---------------------------------------------------------------------- */

static const struct object_relocation *relocation_at(const struct object_section *section, uint64_t offset)
{
    size_t index = object_relocation_at(section, offset);

    return index < section->relocation_count && section->relocations[index].offset == offset
               ? &section->relocations[index]
               : NULL;
}

/* What the pointer at OFFSET of SYMBOL begins with leads to. False: to nothing. */
static bool pointer_at(struct object *object, const struct object_symbol *symbol, uint64_t offset,
                       struct object_place *ret)
{
    const struct object_section *section = section_of(object, symbol);
    const struct object_relocation *relocation = relocation_at(section, symbol->value + offset);

    if (relocation) {
        *ret = object_target(object, section, relocation);
    }
    return relocation != NULL;
}

static uint64_t size_behind(const struct type *type)
{
    return type->kind == TYPE_POINTER ? type_strip(type->inner)->size : 0;
}

/* Whether pointers of the types BEFORE and AFTER both lead to the same element of the same definition. */
static bool same_target(const struct object_place *old, const struct type *before,
                        const struct object_place *new, const struct type *after)
{
    uint64_t old_size = size_behind(before), new_size = size_behind(after);
    bool resized = old_size && new_size && old_size != new_size;

    if (!old->symbol || !new->symbol || !old->symbol->key != !new->symbol->key) {
        return false;
    }
    bool same = strcmp(old->symbol->key ? old->symbol->key : old->symbol->name,
                       new->symbol->key ? new->symbol->key : new->symbol->name) == 0;
    return same && (resized ? old->offset / (int64_t)old_size == new->offset / (int64_t)new_size
                            : old->offset == new->offset);
}

/* The bytes of a part as a number; up to eight. */
static uint64_t number_at(struct object *object, const struct object_symbol *symbol,
                          const struct part_place *place, bool sign)
{
    const struct object_section *section = section_of(object, symbol);
    uint64_t size = place->bits ? (place->bit % 8 + place->bits + 7) / 8 : place->type->size, number = 0;
    uint64_t offset = symbol->value + place->bit / 8;
    unsigned width = place->bits ? place->bits : 8 * size;

    if (section->bytes && size <= sizeof(number) && offset + size <= section->size) {
        memcpy(&number, section->bytes + offset, size);
    }
    number >>= place->bits ? place->bit % 8 : 0;
    if (width && width < 64) {
        number <<= 64 - width;
        number = sign ? (uint64_t)((int64_t)number >> (64 - width)) : number >> (64 - width);
    }
    return number;
}

static bool is_integer(const struct type *type)
{
    return type->kind == TYPE_ENUM || (type->kind == TYPE_BASE && type->encoding <= TYPE_BOOL);
}

/* Whether the SIZE bytes AT a place of SECTION hold nothing, and no pointer will be put there. */
static bool is_zero(const struct object_section *section, uint64_t at, uint64_t size)
{
    bool zero = object_relocation_at(section, at) == object_relocation_at(section, at + size);

    for (uint64_t i = 0; section->bytes && zero && i < size; i++) {
        zero = !section->bytes[at + i];
    }
    return zero;
}

/* Nothing is nothing, of whatever size: a union may have got larger. */
static bool are_zero(const struct initial_value *value, const struct part_place *old,
                     const struct part_place *new)
{
    const struct comparison *comparison = value->contribution->comparison;

    return !old->bits &&
           !new->bits &&is_zero(section_of(comparison->old, value->old), value->old->value + old->bit / 8,
                                old->type->size) &&
           is_zero(section_of(comparison->new, value->new), value->new->value + new->bit / 8,
                   new->type->size);
}

static bool same_value(const struct initial_value *value, const struct part_place *old,
                       const struct part_place *new)
{
    const struct comparison *comparison = value->contribution->comparison;
    struct object_place before, after;

    if (pointer_at(comparison->old, value->old, old->bit / 8, &before) &&
        pointer_at(comparison->new, value->new, new->bit / 8, &after) &&
        same_target(&before, old->type, &after, new->type)) {
        return true;
    }
    if (is_integer(old->type) && is_integer(new->type) && old->type->size <= 8 && new->type->size <= 8) {
        return number_at(comparison->old, value->old, old, old->type->encoding == TYPE_SIGNED) ==
               number_at(comparison->new, value->new, new, new->type->encoding == TYPE_SIGNED);
    }
    if (are_zero(value, old, new)) {
        return true;
    }
    return old->type->size == new->type->size &&comparison_same_value(
                                  comparison, section_of(comparison->old, value->old),
                                  value->old->value + old->bit / 8, section_of(comparison->new, value->new),
                                  value->new->value + new->bit / 8, new->type->size);
}

/* ---- parts ----------------------------------------------------------------------------------------- */

/* How many constant bytes the pointer at PLACE leads to. 0: to something with a name, or to nothing. */
static uint32_t text_at(struct object *object, const struct object_symbol *symbol,
                        const struct part_place *place)
{
    struct object_place target;
    const struct type *inner =
        place->type->kind == TYPE_POINTER ? type_strip(place->type->inner) : place->type;

    if (!pointer_at(object, symbol, place->bit / 8, &target) || target.symbol || !target.section->bytes ||
        target.offset < 0 || (uint64_t)target.offset >= target.section->size) {
        return 0;
    }
    const char *bytes = (const char *)target.section->bytes + target.offset;
    uint64_t most = object_anonymous_extent(target.section, target.offset);
    bool string = inner->kind == TYPE_BASE && inner->size == 1;
    size_t length = strnlen(bytes, most);
    return string && length < most ? length + 1 : most;
}

static void add_part(struct initial_value *value, const struct part_place *old, const struct part_place *new,
                     const struct text *path)
{
    const struct comparison *comparison = value->contribution->comparison;
    struct emission *emission = value->state->emission;
    struct molt_patch_part part = {
        .new_offset = new->bit / 8,
        .new_bit = new->bits ? new->bit % 8 : 0,
        .new_size = new->bits ? (new->bit % 8 + new->bits + 7) / 8 : new->type->size,
        .bits = new->bits,
        .new_text = text_at(comparison->new, value->new, new),
        .name = path->length ? emission_string(emission, path->bytes) : 0,
    };

    if (old) {
        part.old_offset = old->bit / 8;
        part.old_bit = old->bits ? old->bit % 8 : 0;
        part.old_size = old->bits ? (old->bit % 8 + old->bits + 7) / 8 : old->type->size;
        part.bits = old->bits == new->bits ? new->bits : 0;
        part.old_text = text_at(comparison->old, value->old, old);
    }
    LIST_ADD(&value->parts, part);
}

/* Whether a bit-field became something else: there is no comparing it bit by bit. */
static bool is_reshaped(const struct part_place *old, const struct part_place *new)
{
    return old->bits != new->bits;
}

static void compare_parts(struct initial_value *value, struct part_place old, struct part_place new,
                          struct text *path);

static void compare_new(struct initial_value *value, const struct part_place *new, const struct text *path)
{
    const struct comparison *comparison = value->contribution->comparison;
    const struct object_section *section = section_of(comparison->new, value->new);
    uint64_t at = value->new->value + new->bit / 8, size = new->type->size;

    if (!value->moves && section->bytes && size && !is_zero(section, at, size)) {
        add_part(value, NULL, new, path);
    }
}

static void compare_elements(struct initial_value *value, const struct part_place *old,
                             const struct part_place *new, struct text *path)
{
    const struct type *before = type_strip(old->type->inner), *after = type_strip(new->type->inner);
    size_t length = path->length;

    for (uint64_t i = 0; i < old->type->count && i < new->type->count; i++) {
        text_printf(path, "[%lu]", (unsigned long)i);
        compare_parts(value, (struct part_place){ before, old->bit + 8 * i * before->size, 0 },
                      (struct part_place){ after, new->bit + 8 * i * after->size, 0 }, path);
        path->bytes[path->length = length] = '\0';
    }
}

static struct part_place member_place(const struct part_place *whole, const struct type_member *member)
{
    return (struct part_place){ type_strip(member->type), whole->bit + member->bit_offset, member->bit_size };
}

static void enter(struct text *path, const char *member)
{
    text_printf(path, "%s%s", path->length && *member ? "." : "", member);
}

/* The members of a structure that is as it was. */
static void compare_members(struct initial_value *value, const struct part_place *old,
                            const struct part_place *new, struct text *path)
{
    size_t length = path->length;

    for (size_t i = 0; i < new->type->member_count; i++) {
        const struct type_member *member = &new->type->members[i];
        enter(path, member->name ? member->name : "");
        compare_parts(value, member_place(old, &old->type->members[i]), member_place(new, member), path);
        path->length = length;
        if (path->bytes) {
            path->bytes[length] = '\0';
        }
    }
}

/* The members of one that changed, where they are the same members. */
static void compare_pairs(struct initial_value *value, const struct part_place *old,
                          const struct part_place *new, struct text *path)
{
    struct type_pair *pairs;
    size_t count = types_pair_members(value->state->changes, old->type, new->type, &pairs);
    size_t length = path->length;

    for (size_t i = 0; i < count; i++) {
        const struct type_pair *pair = &pairs[i];
        if (!pair->new_member || pair->overlaps) {
            continue;
        }
        struct part_place after = { type_strip(pair->new_member->type), new->bit + pair->new_bit,
                                    pair->new_member->bit_size };
        enter(path, pair->new_path);
        if (pair->old_member && pair->conversion != TYPE_CONVERT_NONE) {
            compare_parts(value,
                          (struct part_place){ type_strip(pair->old_member->type), old->bit + pair->old_bit,
                                               pair->old_member->bit_size },
                          after, path);
        } else if (!pair->old_member && !after.bits) {
            compare_new(value, &after, path);
        }
        path->length = length;
        if (path->bytes) {
            path->bytes[length] = '\0';
        }
    }
    free(pairs);
}

static bool is_table(const struct type *type)
{
    const struct type *inner = type_strip(type->inner);
    bool single = !type_is_compound(inner) && inner->kind != TYPE_ARRAY;

    return single && (inner->size == 1 || type->count > LARGE_ARRAY);
}

static void compare_parts(struct initial_value *value, struct part_place old, struct part_place new,
                          struct text *path)
{
    bool arrays = old.type->kind == TYPE_ARRAY && new.type->kind == TYPE_ARRAY;
    bool structures = old.type->kind == TYPE_STRUCT && new.type->kind == TYPE_STRUCT;
    bool changed = structures && type_is_changed(value->state->changes, old.type);

    if (arrays && !(is_table(old.type) && is_table(new.type))) {
        compare_elements(value, &old, &new, path);
    } else if (structures && !changed && old.type->member_count == new.type->member_count) {
        compare_members(value, &old, &new, path);
    } else if (structures) {
        compare_pairs(value, &old, &new, path);
    } else if (old.type->size && new.type->size && !is_reshaped(&old, &new) &&
               !same_value(value, &old, &new)) {
        add_part(value, &old, &new, path);
    }
}

bool initial_value_changed(struct initial_value *value)
{
    struct text path = { 0 };

    compare_parts(value, (struct part_place){ type_strip(value->old_type), 0, 0 },
                  (struct part_place){ type_strip(value->new_type), 0, 0 }, &path);
    text_deinit(&path);
    return value->parts.count > 0;
}

/* ---- records --------------------------------------------------------------------------------------- */

/* A new section of values that the running ones are compared with. */
static uint32_t initial_section(struct emission *emission, const struct contribution *contribution)
{
    uint32_t index = out_section(&emission->writer, ".rodata.molt.initial", SHT_PROGBITS, SHF_ALLOC, 16, 0);

    LIST_ADD(&emission->sections,
             (struct molt_patch_section){ index, emission_module(emission, contribution->image) });
    return index;
}

/* An empty copy of SYMBOL's value, to be relocated. */
static uint32_t copy_bytes(struct emission *emission, const struct contribution *contribution,
                           struct object *object, const struct object_symbol *symbol)
{
    const struct object_section *source = section_of(object, symbol);
    uint32_t index = initial_section(emission, contribution);
    struct text *bytes = &out_section_at(&emission->writer, index)->bytes;

    if (source->bytes) {
        text_append(bytes, source->bytes + symbol->value, symbol->size);
    } else {
        for (uint64_t i = 0; i < symbol->size; i++) {
            text_append(bytes, "", 1);
        }
    }
    return index;
}

static uint32_t copy_new(const struct initial_value *value)
{
    struct contribution *contribution = value->contribution;
    struct object *object = contribution->comparison->new;
    struct emission *emission = value->state->emission;
    const struct object_section *source = section_of(object, value->new);
    uint32_t index = copy_bytes(emission, contribution, object, value->new);
    uint64_t start = value->new->value, end = start + value->new->size;

    for (size_t i = object_relocation_at(source, start);
         i < source->relocation_count && source->relocations[i].offset < end; i++) {
        const struct object_relocation *relocation = &source->relocations[i];
        emission_relocation(emission, contribution, source, relocation, index, relocation->offset - start);
    }
    return out_symbol(&emission->writer, value->new->name, STT_OBJECT, STB_LOCAL, index, 0, value->new->size);
}

/* The constant without a name that OLD leads to, for comparison. */
static uint32_t copy_constant(struct emission *emission, const struct contribution *contribution,
                              const struct object_place *old)
{
    uint32_t index = initial_section(emission, contribution);

    text_append(&out_section_at(&emission->writer, index)->bytes, old->section->bytes + old->offset,
                object_anonymous_extent(old->section, old->offset));
    return out_section_symbol(&emission->writer, index);
}

/* Whether what OLD leads to can be had again: a constant without pointers of its own. */
static bool is_plain(const struct object_place *old)
{
    return old->section && old->section->kind == SECTION_CONST && old->section->bytes && old->offset >= 0 &&
           (uint64_t)old->offset < old->section->size &&
           object_relocation_at(old->section, old->offset) ==
               object_relocation_at(old->section,
                                    old->offset + object_anonymous_extent(old->section, old->offset));
}

/* Takes the parts out that have [OFFSET, OFFSET + 8) in their old value: it cannot be had, so nothing can
 * be compared with it. */
static void give_up(struct initial_value *value, uint64_t offset)
{
    size_t kept = 0;

    for (size_t i = 0; i < value->parts.count; i++) {
        const struct molt_patch_part *part = &value->parts.items[i];
        bool hit = part->old_offset < offset + sizeof(void *) && offset < part->old_offset + part->old_size;
        if (hit) {
            molt_diagnostics_add(
                value->state->emission->diagnostics, MOLT_SEVERITY_WARNING, value->contribution->source,
                value->line, 0, "initial-value",
                "the initial value of %s changed, but the old one leads to what this patch cannot name: the "
                "running value is kept",
                value->name);
        } else {
            value->parts.items[kept++] = *part;
        }
    }
    value->parts.count = kept;
}

static uint32_t copy_old(struct initial_value *value)
{
    struct contribution *contribution = value->contribution;
    struct object *object = contribution->comparison->old;
    struct emission *emission = value->state->emission;
    const struct object_section *source = section_of(object, value->old);
    uint32_t index = copy_bytes(emission, contribution, object, value->old);
    uint64_t start = value->old->value, end = start + value->old->size;

    for (size_t i = object_relocation_at(source, start);
         i < source->relocation_count && source->relocations[i].offset < end; i++) {
        const struct object_relocation *relocation = &source->relocations[i];
        const struct object_symbol *named = &object->symbols[relocation->symbol];
        struct object_place place = object_target(object, source, relocation);
        int64_t addend = relocation->addend;
        uint32_t target = 0;
        if (place.symbol) {
            target = bind_old(emission, contribution, place.symbol);
            addend += named == place.symbol ? 0 : (int64_t)(named->value - place.symbol->value);
        } else if (is_plain(&place)) {
            target = copy_constant(emission, contribution, &place);
            addend = 0;
        }
        if (target && relocation->type == R_X86_64_64) {
            out_relocation(&emission->writer, index, relocation->offset - start, relocation->type, target,
                           addend);
        } else {
            give_up(value, relocation->offset - start);
        }
    }
    return out_symbol(&emission->writer, value->old->name, STT_OBJECT, STB_LOCAL, index, 0, value->old->size);
}

static void record(struct initial_value *value, uint32_t root, uint32_t old, uint32_t new)
{
    struct emission *emission = value->state->emission;

    LIST_ADD(&emission->initials,
             (struct molt_patch_initial){ .root = root,
                                          .old_value = old,
                                          .new_value = new,
                                          .part = emission->parts.count,
                                          .part_count = value->parts.count,
                                          .name = emission_string(emission, value->name) });
    for (size_t i = 0; i < value->parts.count; i++) {
        LIST_ADD(&emission->parts, value->parts.items[i]);
    }
}

void emit_initial_value(struct initial_value *value, uint32_t root)
{
    uint32_t old = copy_old(value);

    if (value->parts.count) {
        record(value, root, old, copy_new(value));
    }
}

/* Adds all parts of what the old version has at PLACE, as parts of the variable that stay. */
static void add_old_parts(struct initial_value *value, struct part_place place)
{
    const struct type *type = place.type;

    if (type->kind == TYPE_ARRAY && !is_table(type)) {
        const struct type *inner = type_strip(type->inner);
        for (uint64_t i = 0; i < type->count; i++) {
            add_old_parts(value, (struct part_place){ inner, place.bit + 8 * i * inner->size, 0 });
        }
        return;
    }
    for (size_t i = 0; type->kind == TYPE_STRUCT && i < type->member_count; i++) {
        add_old_parts(value, member_place(&place, &type->members[i]));
    }
    if (type->kind == TYPE_STRUCT || !type->size) {
        return;
    }
    uint32_t size = place.bits ? (place.bit % 8 + place.bits + 7) / 8 : type->size;
    uint32_t text = text_at(value->contribution->comparison->old, value->old, &place);
    uint32_t bit = place.bits ? place.bit % 8 : 0, offset = place.bit / 8;
    LIST_ADD(&value->parts, (struct molt_patch_part){ .old_offset = offset,
                                                      .new_offset = offset,
                                                      .old_size = size,
                                                      .new_size = size,
                                                      .old_bit = bit,
                                                      .new_bit = bit,
                                                      .bits = place.bits,
                                                      .old_text = text,
                                                      .new_text = text });
}

void emit_folded_value(struct initial_value *value, uint32_t root)
{
    add_old_parts(value, (struct part_place){ type_strip(value->old_type), 0, 0 });
    uint32_t old = copy_old(value);
    if (value->parts.count) {
        record(value, root, old, old);
    }
}

void emit_thread_template(struct initial_value *value, uint64_t offset)
{
    struct emission *emission = value->state->emission;
    const struct comparison *comparison = value->contribution->comparison;

    if (!section_of(comparison->old, value->old)->bytes) { /* the program has no bytes for it, only a zero */
        if (section_of(comparison->new, value->new)->bytes) {
            molt_diagnostics_add(
                emission->diagnostics, MOLT_SEVERITY_WARNING, value->contribution->source, value->line, 0,
                "initial-value",
                "the thread-local variable %s was zero at first, and in threads that start "
                "after the update it still is: give it another name to have it begin with its new value",
                value->name);
        }
        return;
    }

    LIST_ADD(&emission->data, (struct molt_patch_data){
                                  .symbol = copy_new(value),
                                  .module = emission_module(emission, value->contribution->image),
                                  .address = offset,
                                  .size = value->new->size,
                                  .name = emission_string(emission, value->name),
                                  .unit = emission_string(emission, value->contribution->key),
                                  .flags = MOLT_DATA_TLS,
                              });
}
