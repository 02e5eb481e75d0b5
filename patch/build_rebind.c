/*
 * Operands that name a variable which moves, in code that stays. The objects say which they are
 * (relocations), the comparison with the binary where each is in it; the engine writes them when all threads
 * stand. The binary is searched as a whole besides (build_rebind_search.c), since code whose sources nobody
 * knows may name the variable, too.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/build_private.h"
#include "patch/code/baseline.h"
#include "patch/code/definition_line.h"
#include "patch/code/operands.h"

/* What UNIT contributes to IMAGE, or NULL. */
static struct contribution *contribution_in(const struct build *build, const struct changed_unit *unit,
                                            const struct image *image)
{
    for (size_t i = 0; i < build->contributions.count; i++) {
        struct contribution *contribution = build->contributions.items[i];
        if (contribution->image == image && contribution->comparison == &unit->comparison) {
            return contribution;
        }
    }
    return NULL;
}

static void mark(struct contribution *contribution, struct build *build, struct object_symbol *function)
{
    comparison_mark(&build_unit_of(build, contribution->comparison)->comparison, function,
                    "refers to a variable of another size");
}

/* The operand of the binary's instruction at ADDRESS, in RET; its target must be what the old state has
 * there. */
static bool read_operand(const struct image *image, uint64_t address, uint64_t target,
                         struct rebound_operand *ret)
{
    uint64_t left = image_bytes_left(image, address);
    const uint8_t *bytes = image_bytes(image, address, left < 16 ? left : 16);
    struct operands operands;

    if (!bytes || !operands_decode(bytes, left, &operands)) {
        return false;
    }
    const struct operand_field *field = &operands.displacement;
    if (!field->direct || field->size != 4 || (!field->relative && !image->fixed) ||
        operand_target(field, bytes, operands.length, address) != target) {
        return false;
    }
    ret->address = address + field->offset;
    ret->tail = operands.length - field->offset - field->size;
    ret->relative = field->relative;
    return true;
}

/* The start of the instruction of FUNCTION that the byte at OFFSET of its section belongs to. */
static uint64_t instruction_of(const struct object_section *section, const struct object_symbol *function,
                               uint64_t offset)
{
    uint64_t at = function->value;
    struct operands operands;

    while (operands_decode(section->bytes + at, section->size - at, &operands) &&
           at + operands.length <= offset) {
        at += operands.length;
    }
    return at;
}

/* Adds the operand that RELOCATION of OLD, a function of the contribution, stands for. PLACES leads from the
 * object's function to the binary's FOUND. False: it cannot be rebound. */
static bool add_operand(struct build *build, struct contribution *contribution,
                        const struct object_symbol *old, const struct object_relocation *relocation,
                        const uint32_t *places, const struct image_symbol *found)
{
    const struct changed_unit *unit = build_unit_of(build, contribution->comparison);
    struct object *object = unit->comparison.old;
    const struct object_section *section = &object->sections[old->section];
    struct object_place place = object_target(object, section, relocation);
    struct rebound_operand operand = { .unit = unit,
                                       .function = unit->comparison.new_of[old->index],
                                       .name = old->name,
                                       .offset = place.offset };
    bool ambiguous;

    if (!place.symbol || !build_is_moved(build, unit, object, place.symbol, &operand.moved)) {
        return true;
    }
    const struct moved_variable *moved = &build->moved.items[operand.moved];
    operand.definer = contribution_in(build, moved->unit, contribution->image);
    const struct image_symbol *variable =
        operand.definer ? bind_find(operand.definer, moved->old, &ambiguous) : NULL;
    uint32_t at = places[instruction_of(section, old, relocation->offset) - old->value];
    if (!variable || at == UINT32_MAX ||
        !read_operand(contribution->image, found->value + at, variable->value + (uint64_t)place.offset,
                      &operand)) {
        return false;
    }
    LIST_ADD(&build->rebound, operand);
    return true;
}

/* The operands of FUNCTION, of the contribution's new object. False: there is one that cannot be rebound. */
static bool add_function(struct build *build, struct contribution *contribution,
                         const struct object_symbol *function)
{
    const struct comparison *comparison = contribution->comparison;
    struct object_symbol *old = comparison->old_of[function->index];
    const struct object_section *section = &comparison->old->sections[old->section];
    bool ambiguous, all = true;

    if (bind_earlier(build->earlier, build->earlier_count, bind_name(comparison->old, old),
                     old->bind == STB_LOCAL ? contribution->key : "")) {
        return false; /* what runs is code of an earlier patch */
    }
    const struct image_symbol *found = bind_find(contribution, old, &ambiguous);
    if (!found) {
        return !ambiguous; /* inlined everywhere */
    }
    if (baseline_is_replaced(contribution->image, build->earlier, build->earlier_count, found->value)) {
        return false;
    }
    uint32_t *places = baseline_places(contribution, comparison->old, old, found);
    for (size_t i = object_relocation_at(section, old->value);
         places && all && i < section->relocation_count &&
         section->relocations[i].offset < old->value + old->size;
         i++) {
        all = add_operand(build, contribution, old, &section->relocations[i], places, found);
    }
    all = all && places;
    free(places);
    return all;
}

static bool refers(const struct build *build, const struct contribution *contribution,
                   const struct object_symbol *function)
{
    const struct changed_unit *unit = build_unit_of(build, contribution->comparison);
    struct object *object = unit->comparison.new;
    const struct object_section *section = &object->sections[function->section];
    bool any = false;
    size_t moved;

    for (size_t i = object_relocation_at(section, function->value);
         i < section->relocation_count && section->relocations[i].offset < function->value + function->size &&
         !any;
         i++) {
        const struct object_symbol *named = object_target(object, section, &section->relocations[i]).symbol;
        any = named && build_is_moved(build, unit, object, named, &moved);
    }
    return any;
}

static void add_contribution(struct build *build, struct contribution *contribution)
{
    struct changed_unit *unit = build_unit_of(build, contribution->comparison);
    struct comparison *comparison = &unit->comparison;

    for (size_t i = 1; i < comparison->new->symbol_count; i++) {
        struct object_symbol *function = &comparison->new->symbols[i];
        if (function->key && symbol_is_function(comparison->new, function) &&
            comparison->new_change[i] == CHANGE_NONE && refers(build, contribution, function) &&
            !add_function(build, contribution, function)) {
            mark(contribution, build, function);
        }
    }
    comparison_spread(comparison);
}

/* ---- copies ------------------------------------------------------------------------------------------ */

/* Whether IMAGE, a program, keeps a copy of the library's variable NAME, which all use in its stead. */
static bool has_copy(const struct image *image, const char *name)
{
    Elf_Scn *scn = NULL;

    while ((scn = elf_nextscn(image->elf, scn))) {
        const Elf64_Shdr *header = elf64_getshdr(scn);
        Elf_Data *data = header && header->sh_type == SHT_RELA && (header->sh_flags & SHF_ALLOC)
                             ? elf_getdata(scn, NULL)
                             : NULL;
        Elf_Scn *linked = data && header->sh_link ? elf_getscn(image->elf, header->sh_link) : NULL;
        const Elf64_Shdr *table = linked ? elf64_getshdr(linked) : NULL;
        Elf_Data *symbols = table ? elf_getdata(linked, NULL) : NULL;
        for (size_t i = 0; symbols && i < data->d_size / sizeof(Elf64_Rela); i++) {
            const Elf64_Rela *relocation = (const Elf64_Rela *)data->d_buf + i;
            size_t index = ELF64_R_SYM(relocation->r_info);
            const char *own = ELF64_R_TYPE(relocation->r_info) == R_X86_64_COPY &&
                                      index < symbols->d_size / sizeof(Elf64_Sym)
                                  ? elf_strptr(image->elf, table->sh_link,
                                               ((const Elf64_Sym *)symbols->d_buf)[index].st_name)
                                  : NULL;
            if (own && strcmp(own, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* The program that has a copy of NAME, or NULL. */
static const struct image *copier_of(const struct build *build, const char *name)
{
    const struct image *found = NULL;

    for (size_t i = 0; i < build->session->images.count && !found; i++) {
        const struct image *image = build->session->images.items[i];
        found = has_copy(image, name) ? image : NULL;
    }
    return found;
}

/* What DEFINER's library holds of a variable or constant is not what the program uses, if that has a copy:
 * the definition that takes its place would not reach it. */
static struct molt_error *check_copies(const struct build *build, const struct contribution *definer)
{
    const struct comparison *comparison = definer->comparison;
    struct molt_error *error = NULL;

    for (size_t i = 1; !error && i < comparison->new->symbol_count; i++) {
        const struct object_symbol *symbol = &comparison->new->symbols[i];
        bool replaced = symbol->key && symbol->bind != STB_LOCAL && symbol->section &&
                        !symbol_is_function(comparison->new, symbol) &&
                        comparison->new_change[i] == CHANGE_NEW && object_find(comparison->old, symbol->key);
        const struct image *copier = replaced && image_is_exported(definer->image, symbol->name)
                                         ? copier_of(build, symbol->name)
                                         : NULL;
        if (copier) {
            error =
                molt_error_at(MOLT_ERROR_REFUSED, definer->source, definition_line(comparison->new, symbol),
                              "%s gets another size and so another place, and %s has a copy of it, which "
                              "all use instead of the one in %s: compile the files of the program that "
                              "name it with -fPIC -mno-direct-extern-access, or leave its size as it is",
                              symbol->name, copier->path, definer->image->path);
        }
    }
    return error;
}

struct molt_error *build_rebind_find(struct build *build)
{
    struct molt_error *error = NULL;

    for (size_t i = 0; !error && i < build->contributions.count; i++) {
        struct contribution *contribution = build->contributions.items[i];
        error = contribution->image_unit ? check_copies(build, contribution) : NULL;
        if (!error && build->moved.count && contribution->image_unit) {
            add_contribution(build, contribution);
        }
    }
    for (size_t i = 0; !error && i < build->moved.count; i++) {
        for (size_t k = 0; !error && k < build->contributions.count; k++) {
            struct contribution *contribution = build->contributions.items[k];
            if (contribution->comparison == &build->moved.items[i].unit->comparison &&
                contribution->image_unit) {
                error = build_rebind_search(build, i, contribution);
            }
        }
    }
    return error;
}

/* ---- records ----------------------------------------------------------------------------------------- */

/* What stands for a variable in the patch, before and after. */
struct bound_variable {
    size_t moved;
    const struct contribution *definer;
    uint32_t before, after;
    unsigned operands;
};

typedef LIST(struct bound_variable) bound_variables;

static struct bound_variable *bound(const struct build *build, struct emission *emission,
                                    const struct rebound_operand *operand, bound_variables *known)
{
    const struct moved_variable *moved = &build->moved.items[operand->moved];
    struct contribution *definer = operand->definer;

    for (size_t i = 0; i < known->count; i++) {
        if (known->items[i].moved == operand->moved && known->items[i].definer == definer) {
            return &known->items[i];
        }
    }
    struct object_symbol *new = object_find(definer->comparison->new, moved->new->key);
    LIST_ADD(known, (struct bound_variable){ operand->moved, definer, bind_old(emission, definer, moved->old),
                                             new ? emission_symbol(emission, definer, new) : 0 });
    return &known->items[known->count - 1];
}

json_t *build_rebind_emit(struct build *build, struct emission *emission)
{
    json_t *told = must_have(json_array());
    bound_variables known = { 0 };

    for (size_t i = 0; i < build->rebound.count; i++) {
        const struct rebound_operand *operand = &build->rebound.items[i];
        if (operand->unit && operand->unit->comparison.new_change[operand->function->index] != CHANGE_NONE) {
            continue; /* it has come along for another reason */
        }
        struct bound_variable *variable = bound(build, emission, operand, &known);
        LIST_ADD(&emission->rebinds,
                 (struct molt_patch_rebind){
                     .address = operand->address,
                     .addend = operand->offset,
                     .old_symbol = variable->before,
                     .new_symbol = variable->after,
                     .module = emission_module(emission, operand->definer->image),
                     .kind = operand->relative ? MOLT_REBIND_RELATIVE : MOLT_REBIND_ABSOLUTE,
                     .tail = operand->tail,
                     .function = emission_string(emission, operand->name),
                 });
        variable->operands++;
    }
    for (size_t i = 0; i < known.count; i++) {
        const char *name = build->moved.items[known.items[i].moved].new->name;
        json_array_append_new(
            told, must_have(json_pack("{s:s, s:s, s:i}", "name", name, "unit", known.items[i].definer->name,
                                      "operands", (int)known.items[i].operands)));
    }
    LIST_FREE(&known);
    return told;
}
