/*
 * Unwind and debug information of what a patch holds.
 *
 * .eh_frame is a list of records; those of functions that are not in the patch are left out, each kept FDE
 * follows a copy of its CIE:
 *
 *     length | 0            | CIE ...
 *     length | back to CIE  | start of function | size | instructions ...
 *
 * Debug sections are kept whole, one after the other's, as a linker would: what one says about another is
 * resolved here (the offsets are final), what it says about code in the patch stays a relocation, and code
 * that is not in the patch becomes address 0, which debuggers take for "was dropped".
 */
#include <stdlib.h>
#include <string.h>

#include "patch/emit/emit.h"

/* The section NAME shared by all units of IMAGE (NULL: of the patch). */
static uint32_t shared_section(struct emission *emission, const char *name, uint64_t flags,
                               const struct image *image)
{
    char *key = must_printf("section %p %s", (const void *)image, name);
    uintptr_t known = (uintptr_t)table_get(&emission->extern_symbols, key);

    if (known) {
        free(key);
        return known;
    }
    uint32_t index = out_section(&emission->writer, name, SHT_PROGBITS, flags, flags ? 8 : 1, 0);
    LIST_ADD(&emission->owned, key);
    table_put(&emission->extern_symbols, key, (void *)(uintptr_t)index);
    if (flags) {
        LIST_ADD(&emission->sections, (struct molt_patch_section){ index, emission_module(emission, image) });
    }
    return index;
}

static uint32_t word_at(const struct object_section *section, uint64_t offset)
{
    uint32_t value = 0;

    if (offset + 4 <= section->size) {
        memcpy(&value, section->bytes + offset, 4);
    }
    return value;
}

/* Appends the record at OFFSET with its relocations; returns where it went. */
static uint64_t copy_record(struct emission *emission, struct contribution *contribution,
                            struct object_section *section, uint64_t offset, uint64_t size, uint32_t out)
{
    struct object *object = contribution->comparison->new;
    struct text *bytes = &out_section_at(&emission->writer, out)->bytes;
    uint64_t at = bytes->length;

    text_append(bytes, section->bytes + offset, size);
    for (size_t i = object_relocation_at(section, offset);
         i < section->relocation_count && section->relocations[i].offset < offset + size; i++) {
        const struct object_relocation *relocation = &section->relocations[i];
        const struct object_symbol *named = &object->symbols[relocation->symbol];
        uint32_t target =
            named->section
                ? out_section_symbol(&emission->writer, emission_section(emission, contribution,
                                                                         &object->sections[named->section]))
                : emission_symbol(emission, contribution, &object->symbols[relocation->symbol]);
        out_relocation(&emission->writer, out, at + relocation->offset - offset, relocation->type, target,
                       relocation->addend + (named->section ? (int64_t)named->value : 0));
    }
    return at;
}

/* Whether the FDE at OFFSET is about code in the patch. */
static bool is_emitted(struct contribution *contribution, const struct object_section *section,
                       uint64_t offset)
{
    struct object *object = contribution->comparison->new;
    size_t i = object_relocation_at(section, offset + 8);

    if (i >= section->relocation_count || section->relocations[i].offset != offset + 8) {
        return false;
    }
    unsigned target = object->symbols[section->relocations[i].symbol].section;
    return target && object->sections[target].kind == SECTION_CODE && contribution->sections[target];
}

static void copy_unwind(struct emission *emission, struct contribution *contribution,
                        struct object_section *section)
{
    uint32_t out = shared_section(emission, ".eh_frame", SHF_ALLOC, contribution->image);
    uint64_t known_cie = UINT64_MAX, new_cie = 0;

    for (uint64_t at = 0, size; at + 8 <= section->size; at += size) {
        size = (uint64_t)word_at(section, at) + 4;
        uint32_t back = word_at(section, at + 4);
        if (size <= 4 || size > section->size - at) {
            break;
        }
        if (!back || !is_emitted(contribution, section, at) || at + 4 < back) {
            continue;
        }
        uint64_t cie = at + 4 - back;
        if (cie != known_cie) {
            new_cie =
                copy_record(emission, contribution, section, cie, (uint64_t)word_at(section, cie) + 4, out);
            known_cie = cie;
        }
        uint64_t place = copy_record(emission, contribution, section, at, size, out);
        uint32_t distance = place + 4 - new_cie;
        memcpy(out_section_at(&emission->writer, out)->bytes.bytes + place + 4, &distance, 4);
    }
}

void emit_unwind(struct emission *emission, struct contribution *contribution)
{
    struct object *object = contribution->comparison->new;

    for (size_t i = 1; i < object->section_count; i++) {
        if (object->sections[i].kind == SECTION_UNWIND && object->sections[i].bytes) {
            copy_unwind(emission, contribution, &object->sections[i]);
        }
    }
}

/* Debug section of one unit and where it went. */
struct moved {
    uint32_t out;
    uint64_t base;
};

static void relocate_debug(struct emission *emission, struct contribution *contribution,
                           const struct object_section *section, const struct moved *moved,
                           const struct object_relocation *relocation)
{
    struct object *object = contribution->comparison->new;
    const struct object_symbol *named = &object->symbols[relocation->symbol];
    const struct moved *here = &moved[section->index];
    unsigned width = relocation_width(relocation->type);
    uint64_t at = here->base + relocation->offset, value = relocation->addend + named->value;
    uint32_t emitted = contribution->sections[named->section];

    if (named->section && moved[named->section].out) {
        value += moved[named->section].base;
    } else if (named->section && emitted && object->sections[named->section].kind != SECTION_TLS) {
        out_relocation(&emission->writer, here->out, at, relocation->type,
                       out_section_symbol(&emission->writer, emitted), value);
        value = 0;
    } else { /* (0, 0) would end the older kind of lists */
        value = strcmp(section->name, ".debug_ranges") == 0 || strcmp(section->name, ".debug_loc") == 0;
    }
    memcpy(out_section_at(&emission->writer, here->out)->bytes.bytes + at, &value, width);
}

void emit_debug(struct emission *emission, struct contribution *contribution)
{
    struct object *object = contribution->comparison->new;
    struct moved *moved = must_calloc(object->section_count, sizeof(*moved));

    for (size_t i = 1; i < object->section_count; i++) {
        const struct object_section *section = &object->sections[i];
        if (section->kind != SECTION_DEBUG || !section->bytes) {
            continue;
        }
        moved[i].out = shared_section(emission, section->name, 0, NULL);
        struct text *bytes = &out_section_at(&emission->writer, moved[i].out)->bytes;
        while (bytes->length % section->align) {
            text_append(bytes, "", 1);
        }
        moved[i].base = bytes->length;
        text_append(bytes, section->bytes, section->size);
    }
    for (size_t i = 1; i < object->section_count; i++) {
        for (size_t k = 0; moved[i].out && k < object->sections[i].relocation_count; k++) {
            relocate_debug(emission, contribution, &object->sections[i], moved,
                           &object->sections[i].relocations[k]);
        }
    }
    free(moved);
}
