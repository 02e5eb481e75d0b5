/*
 * Emitting. It starts from the definitions that differ (emit/definitions.c) and follows relocations: what a
 * relocation names is either part of the patch (changed and new functions, new data), or without a name
 * (strings, constants, jump tables: copied), or in the program already (bound). Sections are copied whole:
 * the compiler gave each definition its own.
 */
#include "patch/emit/emit.h"

#include <stdlib.h>
#include <string.h>

static bool starts(const char *string, const char *prefix)
{
    return strncmp(string, prefix, strlen(prefix)) == 0;
}

/* Copies SECTION without its relocations. */
static uint32_t copy_section(struct emission *emission, struct contribution *contribution,
                             const struct object_section *section)
{
    uint32_t type = section->type == SHT_NOBITS ? SHT_NOBITS : SHT_PROGBITS;
    uint64_t flags = section->flags & (SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR | SHF_TLS);
    char *name = contribution->policy && starts(section->name, ".text")
                     ? must_printf(".text.molt.policy%s", section->name + strlen(".text"))
                     : must_strdup(section->name);
    uint32_t index = out_section(&emission->writer, name, type, flags, section->align, 0);

    free(name);
    if (type == SHT_NOBITS) {
        out_section_at(&emission->writer, index)->size = section->size;
    } else {
        text_append(&out_section_at(&emission->writer, index)->bytes, section->bytes, section->size);
    }
    LIST_ADD(&emission->sections,
             (struct molt_patch_section){ index, emission_module(emission, contribution->image) });
    return index;
}

/* Whether the field wants to reach its target directly, as shared libraries' data cannot be. */
static bool is_direct(uint32_t type)
{
    return type == R_X86_64_PC32 || type == R_X86_64_32 || type == R_X86_64_32S;
}

static bool is_import(const struct emission *emission, uint32_t symbol)
{
    for (size_t i = 0; i < emission->bindings.count; i++) {
        if (emission->bindings.items[i].symbol == symbol) {
            return emission->bindings.items[i].kind == MOLT_BINDING_IMPORT;
        }
    }
    return false;
}

bool emission_redefines(const struct contribution *contribution, const struct object_symbol *symbol)
{
    const struct comparison *comparison = contribution->comparison;
    enum change change = comparison->new_change[symbol->index];

    return change == CHANGE_NEW || (change == CHANGE_CHANGED && symbol_is_function(comparison->new, symbol));
}

bool emission_is_refiled(const struct emission *emission, const struct contribution *contribution,
                         const struct object_symbol *symbol)
{
    const refiled_list *list = emission->refiled;

    for (size_t i = 0; list && symbol->bind != STB_LOCAL && i < list->count; i++) {
        if (list->items[i].image == contribution->image && strcmp(list->items[i].name, symbol->name) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether the field holds a place inside a function rather than the function: a label, an entry of a jump
 * table. Such fields name the section, since a function's symbol means its identity, the old address. */
static bool leads_inside(const struct object_section *section, const struct object_relocation *relocation,
                         const struct object_symbol *named, struct object_place place)
{
    if (named->key || !place.section || place.section->kind != SECTION_CODE) {
        return false;
    }
    return place.offset != 0 || (section->kind != SECTION_CODE && relocation_is_relative(relocation->type));
}

void emission_relocation(struct emission *emission, struct contribution *contribution,
                         const struct object_section *section, const struct object_relocation *relocation,
                         uint32_t index, uint64_t offset)
{
    struct object *object = contribution->comparison->new;
    const struct object_symbol *named = &object->symbols[relocation->symbol];
    struct object_place place = object_target(object, section, relocation);
    int64_t addend = relocation->addend;
    uint32_t target;

    if (relocation->type == R_X86_64_NONE) {
        return;
    }
    if (!place.symbol) {
        target =
            out_section_symbol(&emission->writer, emission_section(emission, contribution, place.section));
        addend += named->value;
    } else {
        bool code = place.symbol->section && place.section->kind == SECTION_CODE;
        if (code && section->kind == SECTION_CONST && !section->definition_count &&
            leads_inside(section, relocation, named, place) &&
            contribution->comparison->new_change[place.symbol->index] == CHANGE_NONE) {
            return; /* another function's jump table in the same section: nobody reads it */
        }
        if (leads_inside(section, relocation, named, place) &&
            emission_redefines(contribution, place.symbol)) {
            target = out_section_symbol(&emission->writer,
                                        emission_section(emission, contribution, place.section));
            out_relocation(&emission->writer, index, offset, relocation->type, target,
                           addend + (int64_t)named->value);
            return;
        }
        target = emission_symbol(emission, contribution, place.symbol);
        addend += named == place.symbol ? 0 : (int64_t)(named->value - place.symbol->value);
        if (!place.symbol->section && is_direct(relocation->type) && is_import(emission, target)) {
            contribution->needs_indirect = true;
        }
    }
    out_relocation(&emission->writer, index, offset, relocation->type, target, addend);
}

uint32_t emission_section(struct emission *emission, struct contribution *contribution,
                          struct object_section *section)
{
    uint32_t index = contribution->sections[section->index];

    if (!index) {
        index = contribution->sections[section->index] = copy_section(emission, contribution, section);
        for (size_t i = 0; i < section->relocation_count; i++) {
            const struct object_relocation *relocation = &section->relocations[i];
            emission_relocation(emission, contribution, section, relocation, index, relocation->offset);
        }
    }
    return index;
}

uint32_t emission_define(struct emission *emission, struct contribution *contribution,
                         struct object_symbol *symbol)
{
    struct object *object = contribution->comparison->new;
    unsigned char bind = symbol->bind == STB_LOCAL ? STB_LOCAL : STB_GLOBAL;

    if (!contribution->symbols[symbol->index]) {
        uint32_t result =
            out_symbol(&emission->writer, symbol->name, symbol->type, bind, 0, symbol->value, symbol->size);
        contribution->symbols[symbol->index] = result;
        uint32_t section = emission_section(emission, contribution, &object->sections[symbol->section]);
        emission->writer.symbols.items[result - 1].section = section;
    }
    return contribution->symbols[symbol->index];
}

uint32_t emission_symbol(struct emission *emission, struct contribution *contribution,
                         struct object_symbol *symbol)
{
    if (contribution->symbols[symbol->index]) {
        return contribution->symbols[symbol->index];
    }
    if (!symbol->section) {
        return contribution->symbols[symbol->index] = bind_undefined(emission, contribution, symbol);
    }
    struct object *object = contribution->comparison->new;
    uint32_t result = 0;
    if (!emission_redefines(contribution, symbol)) {
        result = bind_existing(emission, contribution, symbol);
    }
    if (!result && !emission_redefines(contribution, symbol) && !symbol_is_constant(object, symbol) &&
        !symbol_is_function(object, symbol)) {
        emission_fail(emission,
                      molt_error_at(MOLT_ERROR_REFUSED, contribution->source, 0,
                                    "cannot find the variable %s of %s in %s: was it built with other flags?",
                                    symbol->name, contribution->name, contribution->image->path));
        return 0;
    }
    if (!result) { /* new, or inlined everywhere in the program */
        return emission_define(emission, contribution, symbol);
    }
    return contribution->symbols[symbol->index] = result;
}
