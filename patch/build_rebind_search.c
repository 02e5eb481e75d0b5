/*
 * A variable moves, and the binary is searched for whoever names an address in it. What an operand means is
 * told by the source where there is one: the relocation in the object says which variable is meant, though
 * the address may lie in the one beside it, as that of `table[i - 1]` does. An operand of code whose source
 * nobody knows (an assembly file, a library that was linked in) is judged by its address. It is bound anew
 * if it names a place within the variable by itself, and all that the variable held before is where it was,
 * from its start on; where a register is added to the address, a neighbour of the variable may be meant as
 * well, and that is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/build_take.h"
#include "patch/code/baseline.h"
#include "patch/code/operands.h"
#include "patch/types/types.h"
#include "patch/types/variables.h"

/* How far beside a variable an address may lie that is meant for it, in code without sources: bytes. */
#define BESIDE 64

/* ---- types ------------------------------------------------------------------------------------------- */

/* Whether everything in OLD is at the same place in NEW, which may go on behind it. */
static bool begins_alike(const struct type *old, const struct type *new)
{
    old = type_strip(old);
    new = type_strip(new);
    if (old->hash == new->hash) {
        return true;
    }
    if (old->kind == TYPE_ARRAY && new->kind == TYPE_ARRAY) {
        return type_strip(old->inner)->hash == type_strip(new->inner)->hash && new->count >= old->count;
    }
    bool alike =
        old->kind == TYPE_STRUCT && new->kind == TYPE_STRUCT &&new->member_count >= old->member_count;
    for (size_t i = 0; alike && i < old->member_count; i++) {
        const struct type_member *a = &old->members[i], *b = &new->members[i];
        bool last = i + 1 == old->member_count;
        alike = a->bit_offset == b->bit_offset && a->bit_size == b->bit_size &&
                (type_strip(a->type)->hash == type_strip(b->type)->hash ||
                 (last && begins_alike(a->type, b->type)));
    }
    return alike;
}

static const struct type *type_in(struct type_model *model, struct object *object,
                                  const struct object_symbol *symbol, variable_list *variables)
{
    variables_of_all(object_dwarf(object), variables);
    const struct variable *variable = variables_find(variables, object_address(object, symbol), false);

    return variable && !variable->size ? type_of_object(model, &variable->die) : NULL;
}

static bool grows_at_its_end(const struct moved_variable *moved)
{
    const struct comparison *comparison = &moved->unit->comparison;
    struct type_model *before = type_model_create(), *after = type_model_create();
    variable_list old_variables = { 0 }, new_variables = { 0 };

    type_model_add_all(before, object_dwarf(comparison->old), "");
    type_model_add_all(after, object_dwarf(comparison->new), "");
    const struct type *old = type_in(before, comparison->old, moved->old, &old_variables);
    const struct type *new = type_in(after, comparison->new, moved->new, &new_variables);
    bool alike = old && new &&begins_alike(old, new);
    LIST_FREE(&old_variables);
    LIST_FREE(&new_variables);
    type_model_destroy(before);
    type_model_destroy(after);
    return alike;
}

/* ---- what operands mean ------------------------------------------------------------------------------ */

/* One variable that moves, in a binary. */
struct search {
    struct build *build;
    size_t index; /* of build->moved */
    const struct moved_variable *moved;
    struct contribution *definer;
    const struct image *image;
    uint64_t start, end;
    bool asked, grows; /* whether it holds all that it did at the same place, if that was asked */
};

enum meaning {
    MEANS_ANOTHER, /* variable, or a number that is no address */
    MEANS_NOBODY_KNOWS,
    MEANS_BY_ADDRESS, /* no source tells */
};

/* What the field names that RELOCATION of SECTION, in the old object of CONTRIBUTION, stands for. */
static enum meaning meaning_of_place(const struct search *search, const struct contribution *contribution,
                                     const struct object_section *section,
                                     const struct object_relocation *relocation)
{
    const struct changed_unit *unit = build_unit_of(search->build, contribution->comparison);
    struct object *object = contribution->comparison->old;
    struct object_place place = object_target(object, section, relocation);
    bool ambiguous;
    size_t index;

    if (!place.symbol) {
        bool same = unit == search->moved->unit && place.section->index == search->moved->old->section;
        return same ? MEANS_NOBODY_KNOWS : MEANS_ANOTHER;
    }
    if (build_is_moved(search->build, unit, object, place.symbol, &index) && index == search->index) {
        return MEANS_NOBODY_KNOWS; /* how it could be bound anew, that is */
    }
    const struct image_symbol *named = place.symbol->section
                                           ? bind_find(contribution, place.symbol, &ambiguous)
                                           : image_find_global(search->image, place.symbol->name);
    bool apart = named && (named->value >= search->end ||
                           (named->value < search->start && named->value + named->size <= search->start));
    return apart ? MEANS_ANOTHER : MEANS_NOBODY_KNOWS;
}

/* What the field at ADDRESS names, in FUNCTION of the contribution's old object, which the binary has as
 * FOUND. */
static enum meaning meaning_in(const struct search *search, const struct contribution *contribution,
                               const struct object_symbol *function, const struct image_symbol *found,
                               uint64_t address)
{
    struct object *object = contribution->comparison->old;
    const struct object_section *section = &object->sections[function->section];
    uint32_t *places = baseline_places(contribution, object, function, found);
    uint64_t distance = address - found->value, before = function->size;
    enum meaning meaning = MEANS_NOBODY_KNOWS;

    while (places && before > 0 && (places[before] == UINT32_MAX || places[before] > distance)) {
        before--;
    }
    if (places && places[before] <= distance) {
        uint64_t offset = function->value + before + (distance - places[before]);
        size_t i = object_relocation_at(section, offset);
        bool named = i < section->relocation_count && section->relocations[i].offset == offset;
        meaning =
            named ? meaning_of_place(search, contribution, section, &section->relocations[i]) : MEANS_ANOTHER;
    }
    free(places);
    return meaning;
}

/* What the field at ADDRESS of the binary names, WITHIN being the function that it lies in. */
static enum meaning meaning_at(const struct search *search, const struct image_symbol *within,
                               uint64_t address)
{
    const struct build *build = search->build;
    bool ambiguous;

    for (size_t i = 0; within && i < build->units.count; i++) {
        const struct changed_unit *unit = build->units.items[i];
        struct contribution contribution;
        if (!unit->compared || !build_contribution_of(build, unit, search->image, &contribution) ||
            !contribution.image_unit) {
            continue;
        }
        struct object *object = contribution.comparison->old;
        for (size_t k = 1; k < object->symbol_count; k++) {
            const struct object_symbol *function = &object->symbols[k];
            if (function->key && symbol_is_function(object, function) &&
                strcmp(function->name, within->name) == 0 &&
                bind_find(&contribution, function, &ambiguous) == within) {
                return meaning_in(search, &contribution, function, within, address);
            }
        }
    }
    return MEANS_BY_ADDRESS;
}

/* ---- what becomes of them ---------------------------------------------------------------------------- */

static bool is_rebound(const struct build *build, const struct image *image, uint64_t address)
{
    for (size_t i = 0; i < build->rebound.count; i++) {
        if (build->rebound.items[i].address == address && build->rebound.items[i].definer->image == image) {
            return true;
        }
    }
    return false;
}

/* Refuses because of OPERAND. WHAT completes "and a function of the program ...". */
static struct molt_error *refuse(const struct search *search, const struct image_operand *operand,
                                 bool has_source, const char *what)
{
    const struct image_symbol *within = image_symbol_at(search->image, operand->address);
    const char *name = search->moved->old->name;
    char *file = NULL;
    unsigned line = image_line(search->image, operand->address, &file);
    struct molt_error *error = molt_error_at(
        MOLT_ERROR_REFUSED, file, line,
        "%s gets another size and so another place, and %s in %s (0x%lx), whose %s, %s: %s, or leave the "
        "size "
        "of %s as it is",
        name, within ? within->name : "code without a name", search->image->path,
        (unsigned long)operand->address,
        has_source ? "code could not be matched with its source" : "source is not in the compile database",
        what, has_source ? "build the program anew" : "compile that together with the rest", name);

    free(file);
    return error;
}

static bool begins_a_symbol(const struct image *image, uint64_t address)
{
    const struct image_symbol *before = image_symbol_before(image, address);

    return before && before->value == address;
}

/* What stands against binding OPERAND of code without sources anew, or NULL; *RET_OTHER: it is not about the
 * variable. */
static const char *obstacle(struct search *search, const struct image_operand *operand, bool *ret_other)
{
    bool within = operand->target >= search->start && operand->target < search->end;

    *ret_other = !within && (begins_a_symbol(search->image, operand->target) ||
                             (!operand->indexed && (operand->direct || operand->target != search->end)));
    if (*ret_other) {
        return NULL;
    }
    if (operand->indexed) {
        return "adds a register to an address by which that variable may be meant, or one beside it";
    }
    if (!within) {
        return "takes the address just behind it";
    }
    search->grows = search->asked ? search->grows : grows_at_its_end(search->moved);
    search->asked = true;
    return !search->grows ? "relies on where its members are" : !operand->direct ? "takes its address" : NULL;
}

static struct molt_error *judge(struct search *search, const struct image_operand *operand)
{
    const struct image *image = search->image;
    const struct image_symbol *within = image_symbol_at(image, operand->address);
    bool other = false;

    if (is_rebound(search->build, image, operand->address) ||
        (within && build_is_replaced(search->build, image, within->value))) {
        return NULL;
    }
    enum meaning meaning = meaning_at(search, within, operand->address);
    if (meaning == MEANS_BY_ADDRESS) { /* no unit that takes part has it; another may */
        struct molt_error *error = build_take_at(search->build, image, operand->address);
        if (error) {
            return error;
        }
        meaning = meaning_at(search, within, operand->address);
    }
    bool inside = operand->target >= search->start && operand->target < search->end;
    if (meaning == MEANS_ANOTHER || (meaning == MEANS_NOBODY_KNOWS && !inside)) {
        return NULL;
    }
    if (meaning == MEANS_NOBODY_KNOWS) {
        return refuse(search, operand, true, "names a place in it");
    }
    const char *why = obstacle(search, operand, &other);
    if (!why && !other) {
        LIST_ADD(&search->build->rebound,
                 (struct rebound_operand){ .moved = search->index,
                                           .definer = search->definer,
                                           .name = within ? within->name : "",
                                           .address = operand->address,
                                           .offset = (int64_t)(operand->target - search->start),
                                           .tail = operand->tail,
                                           .relative = operand->relative });
    }
    return why ? refuse(search, operand, false, why) : NULL;
}

struct molt_error *build_rebind_search(struct build *build, size_t index, struct contribution *definer)
{
    const struct moved_variable *moved = &build->moved.items[index];
    image_operands found = { 0 };
    struct molt_error *error = NULL;
    bool ambiguous;
    const struct image_symbol *variable = bind_find(definer, moved->old, &ambiguous);

    if (variable && variable->size) {
        struct search search = { .build = build,
                                 .index = index,
                                 .moved = moved,
                                 .definer = definer,
                                 .image = definer->image,
                                 .start = variable->value,
                                 .end = variable->value + variable->size };
        image_find_operands(search.image, search.start - BESIDE, search.end + BESIDE, &found);
        for (size_t i = 0; !error && i < found.count; i++) {
            error = judge(&search, &found.items[i]);
        }
    }
    LIST_FREE(&found);
    return error;
}
