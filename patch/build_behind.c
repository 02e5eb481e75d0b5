/*
 * Types that exist behind pointers only: no allocation call is known to make one, no variable is or holds
 * one, and no function has one by value. What makes their instances is not known then (a pool, a wrapper that
 * was not seen through), and where no pointer of their type leads to them, nobody would notice that they were
 * missed. The engine is told, and refuses if there may be any.
 *
 * A function that has one by value (a key to search by, say) tells nothing where some allocation call makes
 * others in a way that is not understood.
 *
 * A union that changed by its members alone is left out: those that it is made of count for themselves, and a
 * union of all kinds of objects is often nothing but a name to cast by.
 */
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "patch/build_state_private.h"
#include "patch/types/die_facts.h"
#include "patch/sites/heap_settings.h"

/* A type that changed and has instances of its own. */
struct candidate {
    const struct type_change *change;
    char *name;
    uint32_t old_layout, new_layout; /* 0: in no record */
    bool made;
    bool allocated; /* by some call, in a way that is not understood */
    bool view;      /* molt.toml says that it has no instances of its own */
};

typedef LIST(struct candidate) candidate_list;

/* ---- what makes one -------------------------------------------------------------------------------- */

/* Whether an object of OUTER is or holds one of INNER. */
static bool holds(const struct type *outer, const struct type *inner)
{
    outer = type_strip(outer);
    while (outer->kind == TYPE_ARRAY) {
        outer = type_strip(outer->inner);
    }
    if (outer == inner) {
        return true;
    }
    for (size_t i = 0; type_is_compound(outer) && i < outer->member_count; i++) {
        if (holds(outer->members[i].type, inner)) {
            return true;
        }
    }
    return false;
}

/* What is made by an allocation call, or is a variable. */
static void mark_recorded(candidate_list *list, const struct emission *emission)
{
    bool *made = must_calloc(emission->layouts.count, sizeof(*made));

    for (size_t i = 0; i < emission->sites.count; i++) {
        made[emission->sites.items[i].layout] = true;
    }
    for (size_t i = 0; i < emission->roots.count; i++) {
        const struct molt_patch_root *root = &emission->roots.items[i];
        if (root->kind == MOLT_FIELD_MEMBER) {
            made[root->layout] = made[root->new_layout] = true;
        }
    }
    for (size_t i = 0; i < list->count; i++) {
        struct candidate *candidate = &list->items[i];
        candidate->made = (candidate->old_layout && made[candidate->old_layout]) ||
                          (candidate->new_layout && made[candidate->new_layout]);
    }
    free(made);
}

/* What lies in something that is made is made with it; whatever holds a changed type has changed itself. */
static void mark_held(candidate_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        for (size_t k = 0; !list->items[i].made && k < list->count; k++) {
            list->items[i].made =
                list->items[k].made && holds(list->items[k].change->old, list->items[i].change->old);
        }
    }
}

/* What the calls in SITES make that are not understood. */
static void mark_allocated(candidate_list *list, const struct build_state *state, const struct sites *sites)
{
    for (size_t i = 0; sites && i < sites->items.count; i++) {
        const char *name = sites->items.items[i].may_be;
        const struct type *type = *name ? type_model_find(state->old, name, NULL, NULL) : NULL;
        for (size_t k = 0; type && k < list->count; k++) {
            list->items[k].allocated |= holds(type, list->items[k].change->old);
        }
    }
}

/* ---- by value in functions ------------------------------------------------------------------------- */

/* The name by which patches know the structure or union that DIE is of, or an array of; NULL: none. Owned
 * by the caller. */
static char *name_of_value(const Dwarf_Die *die)
{
    struct die_facts facts;
    const char *alias = NULL;

    die_facts_read(die, &facts);
    while (facts.typed) {
        Dwarf_Die type = facts.type;
        die_facts_read(&type, &facts);
        if (facts.tag == DW_TAG_structure_type || facts.tag == DW_TAG_union_type) {
            const char *word = facts.tag == DW_TAG_union_type ? "union" : "struct";
            return facts.name ? must_printf("%s %s", word, facts.name) : alias ? must_strdup(alias) : NULL;
        }
        if (facts.tag != DW_TAG_typedef && facts.tag != DW_TAG_array_type && facts.tag != DW_TAG_const_type &&
            facts.tag != DW_TAG_volatile_type && facts.tag != DW_TAG_atomic_type) {
            return NULL;
        }
        alias = facts.tag == DW_TAG_typedef ? facts.name : alias;
    }
    return NULL;
}

static void mark_value(candidate_list *list, const Dwarf_Die *die)
{
    char *name = name_of_value(die);

    for (size_t i = 0; name && i < list->count; i++) {
        list->items[i].made |= !list->items[i].allocated && strcmp(list->items[i].name, name) == 0;
    }
    free(name);
}

/* Parameters, locals and what functions return, of all functions below PARENT. */
static void mark_values(candidate_list *list, const Dwarf_Die *parent)
{
    Dwarf_Die die;

    for (int more = dwarf_child((Dwarf_Die *)parent, &die); more == 0; more = dwarf_siblingof(&die, &die)) {
        int tag = dwarf_tag(&die);
        if (tag == DW_TAG_variable || tag == DW_TAG_formal_parameter || tag == DW_TAG_subprogram) {
            mark_value(list, &die);
        }
        if (tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block) {
            mark_values(list, &die);
        }
    }
}

static void mark_by_value(candidate_list *list, const struct build *build)
{
    for (size_t i = 0; i < build->session->images.count; i++) {
        const struct image *image = build->session->images.items[i];
        for (size_t k = 0; build_is_patched(build, image) && k < image->units.count; k++) {
            Dwarf_Die unit;
            if (dwarf_offdie(image->dwarf, image->units.items[k].die, &unit)) {
                mark_values(list, &unit);
            }
        }
    }
}

/* ---- telling the engine ---------------------------------------------------------------------------- */

static bool changed_by_members_alone(const struct type_change *change)
{
    return change->old->kind == TYPE_UNION &&
           !(change->kinds & (TYPE_CHANGE_ADDED | TYPE_CHANGE_REMOVED | TYPE_CHANGE_MOVED |
                              TYPE_CHANGE_RETYPED | TYPE_CHANGE_RENAMED));
}

static uint32_t layout_of(const struct state_emission *records, const struct type *type)
{
    uintptr_t known = (uintptr_t)number_map_get(&records->by_type, (uintptr_t)type);

    return known ? known - 1 : 0;
}

static void collect(const struct build_state *state, const struct state_emission *records,
                    candidate_list *ret)
{
    for (size_t i = 0; i < type_changes_count(state->changes); i++) {
        const struct type_change *change = type_changes_at(state->changes, i);
        if (change->old && change->new &&type_is_compound(change->old)) {
            LIST_ADD(ret, (struct candidate){ .change = change,
                                              .name = type_key(change->old),
                                              .old_layout = layout_of(records, change->old),
                                              .new_layout = layout_of(records, change->new) });
        }
    }
}

static bool any_is_missing(const candidate_list *list)
{
    bool any = false;

    for (size_t i = 0; i < list->count; i++) {
        any = any || !list->items[i].made;
    }
    return any;
}

/* The types that molt.toml calls views of what belongs to others. */
static struct molt_error *mark_views(candidate_list *list, const struct build *build)
{
    struct heap_settings settings;
    struct molt_error *error = heap_settings_read(build->session->db.root, &settings);

    if (error) {
        return error;
    }
    for (size_t i = 0; i < list->count; i++) {
        for (size_t k = 0; k < settings.views.count; k++) {
            list->items[i].view |= strcmp(list->items[i].name, settings.views.items[k]) == 0;
        }
    }
    heap_settings_deinit(&settings);
    return NULL;
}

static void tell(const candidate_list *list, struct emission *emission)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct candidate *candidate = &list->items[i];
        bool cast = candidate->view || changed_by_members_alone(candidate->change);
        uint32_t flag = cast ? MOLT_LAYOUT_CAST : MOLT_LAYOUT_BEHIND;
        if (candidate->made && !candidate->view) {
            continue;
        }
        if (candidate->old_layout) {
            emission->layouts.items[candidate->old_layout].flags |= flag;
        }
        if (candidate->new_layout) {
            emission->layouts.items[candidate->new_layout].flags |= flag;
        }
    }
}

struct molt_error *build_mark_behind(struct build *build, const struct state_emission *records)
{
    candidate_list list = { 0 };
    struct molt_error *error = NULL;

    collect(build->state, records, &list);
    mark_recorded(&list, records->emission);
    mark_held(&list);
    if (any_is_missing(&list)) {
        for (size_t i = 0; i < build->state->images.count; i++) {
            mark_allocated(&list, build->state, build->state->images.items[i].sites);
        }
        mark_by_value(&list, build);
        error = mark_views(&list, build);
        mark_held(&list);
        tell(&list, records->emission);
    }
    for (size_t i = 0; i < list.count; i++) {
        free(list.items[i].name);
    }
    LIST_FREE(&list);
    return error;
}
