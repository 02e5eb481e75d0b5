/*
 * Roots: every variable with static or thread storage whose value the engine has to look at, since it holds
 * addresses or becomes something else. One of another size is defined anew by the patch, with its new initial
 * value, and takes the old one's over; otherwise it stays where it is.
 */
#include "patch/emit/roots.h"

#include <stdlib.h>
#include <string.h>

#include "patch/code/definition_line.h"
#include "patch/code/operands.h"
#include "patch/emit/initial.h"
#include "patch/types/private.h"
#include "patch/types/variables.h"

/* One variable, before and after. */
struct root {
    const struct image *image;
    const char *name, *unit;
    uint64_t address;
    bool tls, earlier;
    uint64_t exported; /* its size if a library offers it to others, else 0 */
    const struct type *old, *new;
    uint32_t symbol;       /* its new definition if it moves */
    bool begins_otherwise; /* its initial value changed: it is recorded, whatever it holds */
    bool folded;           /* the new code takes it for its initial value: likewise */
    const Dwarf_Die *die;
};

void root_emission_deinit(struct root_emission *roots)
{
    number_map_deinit(&roots->places);
}

/* Whether ROOT is not recorded yet; it is from now on. */
static bool is_first(struct root_emission *roots, uint32_t module, const struct root *root)
{
    uint64_t key = hash_number(hash_number(hash_number(HASH_START, module), root->tls), root->address);

    if (root->earlier) {
        key = hash_word(hash_word(key, root->name), root->unit);
    }
    void **place = number_map_at(&roots->places, key);
    bool first = !*place;
    *place = roots;
    return first;
}

static unsigned line_of(const Dwarf_Die *die)
{
    int line = 0;

    return dwarf_decl_line((Dwarf_Die *)die, &line) == 0 ? line : 0;
}

/* The variable's type has become one that its value cannot be taken for. */
static void refuse(struct root_emission *roots, const struct root *root)
{
    char *file = definition_file((Dwarf_Die *)root->die);
    struct text text = { 0 };

    text_printf(&text, "the type of variable %s changed: was ", root->name);
    type_describe(root->old, &text);
    text_puts(&text, ", is ");
    type_describe(root->new, &text);
    text_puts(&text, ": no value of the one can be made from the other; give the new variable another name");
    emission_fail(roots->state->emission, molt_error_at(MOLT_ERROR_REFUSED, file, line_of(root->die), "%s",
                                                        (char *)must_have(text.bytes)));
    text_deinit(&text);
    free(file);
}

/* Whether arrays of OLD and NEW, of several dimensions, differ in more than the first one. */
static bool differs_inside(const struct type *old, const struct type *new)
{
    uint64_t before, after;

    old = type_strip(old);
    new = type_strip(new);
    if (old->kind != TYPE_ARRAY || new->kind != TYPE_ARRAY) {
        return false;
    }
    (void)type_element(old->inner, &before);
    (void)type_element(new->inner, &after);
    return before != after || differs_inside(old->inner, new->inner);
}

/* What a variable of type OLD is after the update if its unit did not change: the same but for what its
 * type's name means. */
static const struct type *type_after(const struct root_emission *roots, const struct type *old)
{
    const struct type *stripped = type_strip(old);

    if (!roots->state->changes || (!type_is_compound(stripped) && stripped->kind != TYPE_ENUM)) {
        return old;
    }
    const struct type *new = type_changes_new_of(roots->state->changes, stripped);
    return new ? new : old;
}

/* What becomes of the elements. False: there is nothing to say about the variable. */
static bool describe(struct root_emission *roots, const struct root *root, struct molt_patch_root *record)
{
    struct state_emission *state = roots->state;
    uint64_t count, new_count;
    const struct type *old = type_named_element(root->old, &count),
                      *new = type_named_element(root->new, &new_count);

    if (type_strip(old) == type_strip(new)) { /* of a unit that is not compiled anew, perhaps */
        new = type_after(roots, old);
    }
    enum type_conversion conversion =
        state->changes ? types_conversion(state->changes, old, new) : TYPE_CONVERT_COPY;

    record->count = count;
    record->new_count = new_count;
    record->stride = type_strip(old)->size;
    if (conversion == TYPE_CONVERT_NONE || differs_inside(root->old, root->new)) {
        refuse(roots, root);
        return false;
    }
    if (conversion == TYPE_CONVERT_COPY && !type_is_compound(type_strip(old))) {
        bool known = emit_kind(state, old, &record->kind, &record->layout);
        if (!known && (root->symbol || root->begins_otherwise || root->folded)) {
            record->kind = MOLT_FIELD_MEMBER;
            record->layout = emit_layout(state, old);
        }
        record->new_layout = record->layout;
        return (known || root->symbol || root->begins_otherwise || root->folded) && count && new_count;
    }
    record->kind = MOLT_FIELD_MEMBER;
    if (conversion == TYPE_CONVERT_NUMBER || conversion == TYPE_CONVERT_ENUM) {
        const struct type_change *value = type_changes_of_value(state->changes, old, new);
        old = value->old;
        new = value->new;
    }
    record->layout = emit_layout(state, old);
    record->new_layout = conversion == TYPE_CONVERT_COPY ? record->layout : emit_layout(state, new);
    return record->layout && record->new_layout && count && new_count;
}

/* Whether the variable becomes something else, and is reached by its symbol only. Asked where it does: it
 * takes a walk over all code. */
static bool is_by_name(const struct root *root, const struct molt_patch_root *record)
{
    bool changes = record->layout != record->new_layout || record->count != record->new_count ||
                   root->folded || root->begins_otherwise;

    return root->exported && changes &&
           !image_names_directly(root->image, root->address, root->address + root->exported);
}

/* False: there is nothing to say about the variable. */
static bool emit_root(struct root_emission *roots, const struct root *root)
{
    struct emission *emission = roots->state->emission;
    uint32_t module = emission_module(emission, root->image);
    struct molt_patch_root record = { .address = root->address,
                                      .module = module,
                                      .symbol = root->symbol,
                                      .flags = (root->tls ? MOLT_ROOT_TLS : 0) |
                                               (root->earlier ? MOLT_ROOT_EARLIER : 0) |
                                               (root->folded ? MOLT_ROOT_FOLDED : 0),
                                      .line = line_of(root->die) };

    if (!is_first(roots, module, root) || !describe(roots, root, &record)) {
        return false;
    }
    record.flags |= is_by_name(root, &record) ? MOLT_ROOT_BY_NAME : 0;
    record.name = emission_string(emission, root->name);
    record.unit = emission_string(emission, root->unit);
    LIST_ADD(&emission->roots, record);
    return true;
}

/* ---- units that were compiled ---------------------------------------------------------------------- */

static bool is_writable(const struct object *object, const struct object_symbol *symbol)
{
    enum section_kind kind = object->sections[symbol->section].kind;

    return symbol->section && (kind == SECTION_DATA || kind == SECTION_TLS);
}

static const struct variable *variable_of(const variable_list *list, const struct object *object,
                                          const struct object_symbol *symbol)
{
    bool tls = object->sections[symbol->section].kind == SECTION_TLS;

    return variables_find(list, object_address(object, symbol), tls);
}

/* Where the program has SYMBOL of the old object. False: it has none, so it needs no record. */
static bool find_place(const struct root_emission *roots, const struct contribution *contribution,
                       const struct comparison *comparison, struct object_symbol *symbol, struct root *root)
{
    const struct emission *emission = roots->state->emission;
    const char *name = bind_name(comparison->old, symbol);
    const char *unit = symbol->bind == STB_LOCAL ? contribution->key : "";
    bool ambiguous;

    root->earlier = bind_earlier(emission->earlier, emission->earlier_count, name, unit) != NULL;
    if (root->earlier) {
        root->name = name;
        root->unit = unit;
        return true;
    }
    const struct image_symbol *found = bind_find(contribution, symbol, &ambiguous);
    root->address = found ? found->value : 0;
    root->exported =
        found && symbol->bind != STB_LOCAL && image_is_exported(root->image, found->name) ? found->size : 0;
    return found != NULL;
}

/* The definition in the patch that takes the place of the variable, 0 if it stays where it is. */
static uint32_t new_place(struct root_emission *roots, struct contribution *contribution,
                          const struct object_symbol *old)
{
    const struct comparison *comparison = contribution->comparison;
    struct object_symbol *symbol = comparison->now_of[old->index];

    return symbol && comparison->new_change[symbol->index] == CHANGE_NEW
               ? emission_symbol(roots->state->emission, contribution, symbol)
               : 0;
}

/* The type of what is at VARIABLE's place. */
static const struct type *type_of_variable(struct type_model *model, const struct variable *variable)
{
    return type_part(type_of_object(model, &variable->die), variable->offset, variable->size);
}

/* What to call it in messages. */
static char *display_name(const struct root *root, const struct variable *variable)
{
    const char *name = dwarf_diename((Dwarf_Die *)root->die);
    struct text text = { 0 }, part = { 0 };

    text_puts(&text, name ? name : root->name);
    if (variable->size && variable_part(variable, &part) && part.length) {
        text_printf(&text, "%s%s", *part.bytes == '[' ? "" : ".", part.bytes);
    }
    text_deinit(&part);
    return must_have(text_steal(&text));
}

/* Records ROOT, and what it begins with if that is something else now. NEW is by the contribution's
 * comparison. */
static void emit_with_value(struct root_emission *roots, struct contribution *contribution,
                            struct object_symbol *old, const struct variable *before, struct root *root)
{
    struct object_symbol *new = contribution->comparison->now_of[old->index];
    bool comparable = new &&is_writable(contribution->comparison->new, new);
    bool differs = comparable && contribution->comparison->new_change[new->index] != CHANGE_NONE;
    char *name = display_name(root, before);
    struct initial_value value = { .state = roots->state,
                                   .contribution = contribution,
                                   .old = old,
                                   .new = new,
                                   .old_type = root->old,
                                   .new_type = root->new,
                                   .moves = root->symbol != 0,
                                   .name = name,
                                   .line = line_of(root->die) };

    differs = differs || type_strip(root->old)->hash != type_strip(root->new)->hash;
    root->begins_otherwise = comparable && differs && initial_value_changed(&value);
    if ((!roots->values_only || root->begins_otherwise) && emit_root(roots, root) && root->begins_otherwise) {
        emit_initial_value(&value, roots->state->emission->roots.count - 1);
    }
    if (comparable && differs && root->tls && !root->earlier && !root->symbol) {
        emit_thread_template(&value, root->address);
    }
    LIST_FREE(&value.parts);
    free(name);
}

/*
 * Whether the variable is in no source any more and too small for what its type has become. It stays as it is
 * then: code that knows it is gone, and a rollback finds it as it was.
 */
static bool is_left_behind(const struct root_emission *roots, const struct object_symbol *new,
                           const struct root *root)
{
    uint64_t count;
    const struct type *element = type_strip(type_named_element(root->old, &count));
    const struct type_change *change =
        !new && roots->state->changes ? type_changes_of_old(roots->state->changes, element) : NULL;

    return change && change->new && change->new->size > element->size;
}

static bool is_folded(const struct root_emission *roots, const struct object_symbol *symbol)
{
    for (size_t i = 0; i < roots->folded_count; i++) {
        if (roots->folded[i] == symbol) {
            return true;
        }
    }
    return false;
}

/* Records ROOT, SYMBOL of the old object, and what it must still be. */
static void emit_folded(struct root_emission *roots, struct contribution *contribution,
                        struct object_symbol *symbol, const struct variable *variable, struct root *root)
{
    char *name = display_name(root, variable);
    struct initial_value value = { .state = roots->state,
                                   .contribution = contribution,
                                   .old = symbol,
                                   .old_type = root->old,
                                   .name = name,
                                   .line = line_of(root->die) };

    root->folded = true;
    root->new = root->old;
    if (emit_root(roots, root)) {
        emit_folded_value(&value, roots->state->emission->roots.count - 1);
    }
    LIST_FREE(&value.parts);
    free(name);
}

/* A variable that shares a section with others stays in it, whatever it asks for (compare.c). */
static bool is_misplaced(struct root_emission *roots, const struct root *root)
{
    uint64_t count;
    uint32_t before = type_strip(type_named_element(root->old, &count))->alignment,
             after = type_strip(type_named_element(root->new, &count))->alignment;

    if (root->symbol || root->earlier || after <= before || !(root->address % after)) {
        return false;
    }
    char *file = definition_file((Dwarf_Die *)root->die);
    emission_fail(roots->state->emission,
                  molt_error_at(MOLT_ERROR_REFUSED, file, line_of(root->die),
                                "variable %s has to be at a multiple of %u bytes now, and cannot move, since "
                                "its section is shared with others; give the new variable another name",
                                root->name, after));
    free(file);
    return true;
}

/* The variable SYMBOL of CONTRIBUTION's old object, of the type TYPE, is another file's now: there it has to
 * be of that type still. */
static void check_refiled(struct root_emission *roots, const struct contribution *contribution,
                          const struct object_symbol *symbol, const struct type *type)
{
    const struct emission *emission = roots->state->emission;

    for (size_t i = 0; i < emission->contributions.count; i++) {
        const struct contribution *other = emission->contributions.items[i];
        struct object *object = other->comparison->new;
        const struct object_symbol *new = object_find(object, symbol->name);
        variable_list variables;
        if (other->image != contribution->image || !new || !new->section || new->bind == STB_LOCAL ||
            other->policy) {
            continue;
        }
        variables_of_all(object_dwarf(object), &variables);
        const struct variable *variable = variable_of(&variables, object, new);
        const struct type *now = variable ? type_of_variable(roots->new, variable) : NULL;
        if (now && type_strip(now)->hash != type_strip(type)->hash) {
            emission_fail(
                roots->state->emission,
                molt_error_at(MOLT_ERROR_REFUSED, other->source, line_of(&variable->die),
                              "%s came from %s, and its type is not what it was there: let it move in "
                              "one update and change in another",
                              symbol->name, contribution->name));
        }
        LIST_FREE(&variables);
    }
}

static void emit_variable(struct root_emission *roots, struct contribution *contribution,
                          const struct comparison *comparison, struct object_symbol *symbol,
                          const struct variable *before, const variable_list *after)
{
    struct object_symbol *new = comparison->now_of[symbol->index];
    struct root root = { .image = contribution->image,
                         .name = symbol->name,
                         .unit = contribution->key,
                         .tls = before->tls,
                         .old = type_of_variable(roots->old, before),
                         .die = &before->die };

    bool folded = is_folded(roots, symbol), constant = new && !is_writable(comparison->new, new);
    if ((constant && !folded) || !root.old || !find_place(roots, contribution, comparison, symbol, &root)) {
        return; /* a constant by now: its value is what the new source says */
    }
    if (folded) {
        emit_folded(roots, contribution, symbol, before, &root);
        return;
    }
    if (!new &&emission_is_refiled(roots->state->emission, contribution, symbol)) {
        check_refiled(roots, contribution, symbol, root.old);
    }
    if (is_left_behind(roots, new, &root)) {
        return;
    }
    const struct variable *variable = new ? variable_of(after, comparison->new, new) : NULL;
    if (comparison->old ==
        comparison->new) { /* not compiled anew: the new model knows nothing of its types */
        root.new = root.old;
    } else {
        root.new = variable ? type_of_variable(roots->new, variable) : root.old;
    }
    root.die = variable ? &variable->die : root.die;
    if (!root.new) {
        root.new = root.old;
    }
    root.symbol = new ? new_place(roots, contribution, symbol) : 0;
    if (!is_misplaced(roots, &root)) {
        emit_with_value(roots, contribution, symbol, before, &root);
    }
}

void emit_roots_of_unit(struct root_emission *roots, struct contribution *contribution,
                        const struct comparison *comparison)
{
    variable_list before, after;

    variables_of_all(object_dwarf(comparison->old), &before);
    variables_of_all(object_dwarf(comparison->new), &after);
    for (size_t i = 1; i < comparison->old->symbol_count; i++) {
        struct object_symbol *symbol = &comparison->old->symbols[i];
        const struct variable *variable = symbol->key && is_writable(comparison->old, symbol)
                                              ? variable_of(&before, comparison->old, symbol)
                                              : NULL;
        if (variable && !roots->state->emission->error) {
            emit_variable(roots, contribution, comparison, symbol, variable, &after);
        }
    }
    LIST_FREE(&before);
    LIST_FREE(&after);
}

/* ---- units that were not --------------------------------------------------------------------------- */

/* Whether an earlier patch has defined anew what is at ADDRESS: a unit of its own has told of it. Of
 * tentative definitions in several units (-fcommon) one may have changed. */
static bool is_defined_anew(const struct root_emission *roots, const struct image *image, uint64_t address)
{
    const struct emission *emission = roots->state->emission;
    const struct image_symbol *found = image_symbol_at(image, address);

    return found && !found->file && bind_earlier(emission->earlier, emission->earlier_count, found->name, "");
}

void emit_roots_of_image_unit(struct root_emission *roots, const struct image *image,
                              const struct image_unit *unit)
{
    variable_list variables;
    Dwarf_Die die;

    if (!dwarf_offdie(image->dwarf, unit->die, &die)) {
        return;
    }
    variables_of_unit(&die, &variables);
    for (size_t i = 0; i < variables.count; i++) {
        const struct variable *variable = &variables.items[i];
        const struct type *type = type_of_variable(roots->old, variable);
        const char *name = dwarf_diename((Dwarf_Die *)&variable->die);
        if (!type || (!variable->tls && (!image_is_writable(image, variable->address) ||
                                         is_defined_anew(roots, image, variable->address)))) {
            continue;
        }
        (void)emit_root(roots, &(struct root){ .image = image,
                                               .name = name ? name : "",
                                               .unit = unit->path,
                                               .address = variable->address,
                                               .tls = variable->tls,
                                               .old = type,
                                               .new = type,
                                               .die = &variable->die });
    }
    LIST_FREE(&variables);
}
