/*
 * The debug information describes a variable several times if its function was inlined, and its location may
 * stand at any of these descriptions; all lead to the one that its declaration made. Optimised compilers
 * leave the entry and take the location away when a variable is folded, so a variable that is kept nowhere
 * can be told from one that the source has not.
 */
#include "patch/types/forms.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "patch/types/die_facts.h"
#include "patch/types/variable_address.h"

/* ---- locations ------------------------------------------------------------------------------------- */

static void read_parts(Dwarf_Attribute *attribute, const Dwarf_Op *operations, size_t count,
                       struct form *form)
{
    struct form_piece piece = { 0 };
    size_t first = 0;

    for (size_t i = 0; i < count; i++) {
        if (operations[i].atom != DW_OP_piece) {
            continue;
        }
        piece.size = operations[i].number;
        if (variable_place(attribute, &operations[first], i - first, &piece.address, &piece.tls)) {
            LIST_ADD(&form->pieces, piece);
        }
        piece.offset += piece.size;
        first = i + 1;
    }
}

static void read_location(struct form *form)
{
    struct form_piece whole = { 0 };
    struct variable_scale scale;
    Dwarf_Attribute attribute;
    Dwarf_Op *operations;
    size_t count;

    if (!dwarf_attr(&form->die, DW_AT_location, &attribute)) {
        form->kind = FORM_NONE;
    } else if (variable_address(&form->die, &whole.address, &whole.tls)) {
        form->kind = FORM_WHOLE;
        LIST_ADD(&form->pieces, whole);
    } else if (dwarf_getlocation(&attribute, &operations, &count) != 0 || !count) {
        form->kind = FORM_OTHER;
    } else if (variable_scale(&attribute, operations, count, &scale)) {
        form->kind = FORM_SCALED;
        form->factor = scale.factor;
        form->base = scale.base;
        LIST_ADD(&form->pieces, (struct form_piece){ .address = scale.address, .tls = scale.tls });
    } else {
        read_parts(&attribute, operations, count, form);
        form->kind = form->pieces.count ? FORM_PARTS : FORM_OTHER;
    }
}

/* ---- the list -------------------------------------------------------------------------------------- */

/* The entry that DIE is an instance of. */
static Dwarf_Die origin_of(const Dwarf_Die *die)
{
    Dwarf_Die at = *die, next;
    Dwarf_Attribute attribute;

    while (dwarf_attr(&at, DW_AT_abstract_origin, &attribute) && dwarf_formref_die(&attribute, &next)) {
        at = next;
    }
    return at;
}

static void add(struct forms *forms, Dwarf_Die *die, const char *function)
{
    Dwarf_Die origin = origin_of(die);
    const char *name = dwarf_diename(die);

    if (!name || dwarf_hasattr(die, DW_AT_declaration)) {
        return;
    }
    struct form form = { .function = function, .name = name, .die = *die, .entry = dwarf_dieoffset(&origin) };
    read_location(&form);
    LIST_ADD(&forms->items, form);
}

static void collect(struct forms *forms, const Dwarf_Die *parent, const char *function)
{
    Dwarf_Die die;

    if (dwarf_child((Dwarf_Die *)parent, &die) != 0) {
        return;
    }
    do {
        int tag = dwarf_tag(&die);
        if (tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine) {
            const char *name = dwarf_diename(&die);
            collect(forms, &die, name ? name : "");
        } else if (tag == DW_TAG_lexical_block) {
            collect(forms, &die, function);
        } else if (tag == DW_TAG_variable) {
            add(forms, &die, function);
        }
    } while (dwarf_siblingof(&die, &die) == 0);
}

static int by_entry(const void *left, const void *right)
{
    const struct form *a = left, *b = right;
    int order = strcmp(a->function, b->function);

    order = order ? order : strcmp(a->name, b->name);
    return order ? order : (a->entry > b->entry) - (a->entry < b->entry);
}

/* How much FORM tells of where the variable is. */
static unsigned weight(const struct form *form)
{
    return form->kind == FORM_NONE ? 0 : form->kind == FORM_OTHER ? 1 : 2;
}

static bool same_name(const struct form *one, const struct form *other)
{
    return strcmp(one->function, other->function) == 0 && strcmp(one->name, other->name) == 0;
}

/* Makes one of the descriptions of each variable, sorted, and counts those of one name. */
static void merge(struct forms *forms)
{
    size_t kept = 0;

    for (size_t i = 0; i < forms->items.count; i++) {
        struct form *form = &forms->items.items[i], *last = kept ? &forms->items.items[kept - 1] : NULL;
        if (last && by_entry(last, form) == 0) {
            bool better = weight(form) > weight(last);
            struct form worse = better ? *last : *form;
            *last = better ? *form : *last;
            last->order = worse.order;
            LIST_FREE(&worse.pieces);
            continue;
        }
        form->order = last && same_name(last, form) ? last->order + 1 : 0;
        forms->items.items[kept++] = *form;
    }
    forms->items.count = kept;
}

/* Takes out those that live on stacks. They were counted: the others of the same name keep their order. */
static void drop_automatic(struct forms *forms)
{
    size_t kept = 0;

    for (size_t i = 0; i < forms->items.count; i++) {
        struct form *form = &forms->items.items[i];
        if (form->kind != FORM_OTHER || !*form->function) {
            forms->items.items[kept++] = *form;
        }
    }
    forms->items.count = kept;
}

static int by_place(const void *left, const void *right)
{
    const struct form_place *a = left, *b = right;

    return a->tls != b->tls ? a->tls - b->tls : (a->address > b->address) - (a->address < b->address);
}

static void index_places(struct forms *forms)
{
    for (size_t i = 0; i < forms->items.count; i++) {
        const struct form *form = &forms->items.items[i];
        for (size_t k = 0; k < form->pieces.count; k++) {
            const struct form_piece *piece = &form->pieces.items[k];
            LIST_ADD(&forms->places, (struct form_place){ piece->address, i, k, piece->tls });
        }
    }
    if (forms->places.count) {
        qsort(forms->places.items, forms->places.count, sizeof(*forms->places.items), by_place);
    }
}

void forms_of(Dwarf *dwarf, struct forms *ret)
{
    Dwarf_CU *unit = NULL;
    Dwarf_Die top;

    *ret = (struct forms){ 0 };
    while (dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &top, NULL) == 0) {
        collect(ret, &top, "");
    }
    if (ret->items.count) {
        qsort(ret->items.items, ret->items.count, sizeof(*ret->items.items), by_entry);
    }
    merge(ret);
    drop_automatic(ret);
    index_places(ret);
}

void forms_deinit(struct forms *forms)
{
    for (size_t i = 0; i < forms->items.count; i++) {
        LIST_FREE(&forms->items.items[i].pieces);
    }
    LIST_FREE(&forms->items);
    LIST_FREE(&forms->places);
}

const struct form *forms_find(const struct forms *forms, const struct form *form)
{
    size_t low = 0, high = forms->items.count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct form *at = &forms->items.items[middle];
        int order = strcmp(at->function, form->function);
        order = order ? order : strcmp(at->name, form->name);
        order = order ? order : (at->order > form->order) - (at->order < form->order);
        if (order == 0) {
            return at;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

const struct form *forms_at(const struct forms *forms, uint64_t address, bool tls,
                            const struct form_piece **ret_piece)
{
    struct form_place wanted = { .address = address, .tls = tls };
    const struct form_place *found =
        forms->places.count
            ? bsearch(&wanted, forms->places.items, forms->places.count, sizeof(wanted), by_place)
            : NULL;
    const struct form *form = found ? &forms->items.items[found->form] : NULL;

    if (form && ret_piece) {
        *ret_piece = &form->pieces.items[found->piece];
    }
    return form;
}

/* ---- types ----------------------------------------------------------------------------------------- */

bool form_is_const(const struct form *form)
{
    Dwarf_Die type = form->die;

    while (die_type(&type, &type)) {
        int tag = dwarf_tag(&type);
        if (tag == DW_TAG_const_type) {
            return true;
        }
        if (tag != DW_TAG_typedef && tag != DW_TAG_volatile_type && tag != DW_TAG_array_type) {
            return false;
        }
    }
    return false;
}

uint64_t form_size(const struct form *form)
{
    Dwarf_Word size = 0;
    Dwarf_Die type;

    return die_type(&form->die, &type) && dwarf_aggregate_size(&type, &size) == 0 ? size : 0;
}
