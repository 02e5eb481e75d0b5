/*
 * Numbers about types, as they are written: how large one is, and where in it a member lies.
 *
 *     sizeof(struct item)     sizeof(*item)     sizeof(list->items)
 *     offsetof(struct item, link)
 *     (char *)(&item->link) - (char *)item
 *     &((struct item *)0)->link
 *
 * Code that computes such a number where it uses it is compiled anew when the type changes; a number that was
 * stored is not.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/probe/flows.h"

/* Whether TYPE, a type name, is a pointer or one of C's own. */
static bool is_simple(TSNode type)
{
    TSNode declarator = node_field(type, "declarator");

    return (!ts_node_is_null(declarator) && !node_is(declarator, "abstract_array_declarator")) ||
           node_is(node_field(type, "type"), "primitive_type") ||
           node_is(node_field(type, "type"), "sized_type_specifier");
}

/* sizeof(struct item), sizeof item->list */
static bool read_sizeof(TSNode node, struct number *ret)
{
    TSNode type = node_field(node, "type"), value = scan_inside(node_field(node, "value"));

    ret->size = true;
    ret->whole_is_type = !ts_node_is_null(type);
    ret->whole = ret->whole_is_type ? type : value;
    return !ts_node_is_null(ret->whole) && !(ret->whole_is_type && is_simple(type)) &&
           !node_is(value, "string_literal");
}

/* offsetof(struct item, link) */
static bool read_offsetof(const struct scan *scan, TSNode node, struct number *ret)
{
    TSNode member = node_field(node, "member");

    ret->whole = node_field(node, "type");
    ret->whole_is_type = true;
    ret->path = ts_node_is_null(member) ? NULL : scan_text(scan, member);
    return ret->path && !ts_node_is_null(ret->whole);
}

/* Puts FIELD in front of PATH, which is taken over; NULL: it is the first. */
static char *prepend(const struct scan *scan, TSNode field, char *path)
{
    char *name = scan_text(scan, field), *all = path ? must_printf("%s.%s", name, path) : must_strdup(name);

    free(name);
    free(path);
    return all;
}

/* &item->list.link - item, both as bytes: from the member outwards, up to what is subtracted. */
static bool read_difference(const struct scan *scan, TSNode node, struct number *ret)
{
    TSNode place = scan_without_casts(node_field(node, "left")),
           whole = scan_without_casts(node_field(node, "right"));

    if (!scan_reads(scan, node_field(node, "operator"), "-") || !scan_is_address(place)) {
        return false;
    }
    bool by_address = scan_is_address(whole); /* (char *)&item.link - (char *)&item */
    place = scan_inside(node_field(place, "argument"));
    ret->whole = by_address ? scan_inside(node_field(whole, "argument")) : whole;
    while (node_is(place, "field_expression")) {
        TSNode inner = node_field(place, "argument");
        ret->through_pointer = scan_reads(scan, node_field(place, "operator"), "->");
        ret->path = prepend(scan, node_field(place, "field"), ret->path);
        if (scan_same_text(scan, scan_inside(inner), scan_inside(ret->whole))) {
            return ret->through_pointer != by_address;
        }
        place = ret->through_pointer ? (TSNode){ 0 } : scan_inside(inner);
    }
    return false;
}

/* &((struct item *)0)->list.link */
static bool read_from_null(const struct scan *scan, TSNode node, struct number *ret)
{
    TSNode place = scan_inside(node_field(node, "argument"));

    while (scan_is_address(node) && node_is(place, "field_expression")) {
        ret->through_pointer = scan_reads(scan, node_field(place, "operator"), "->");
        ret->path = prepend(scan, node_field(place, "field"), ret->path);
        place = scan_inside(node_field(place, "argument"));
        if (ret->through_pointer) {
            ret->whole = place;
            return node_is(place, "cast_expression") && scan_reads(scan, scan_without_casts(place), "0");
        }
    }
    return false;
}

bool scan_number(const struct scan *scan, TSNode node, struct number *ret)
{
    *ret = (struct number){ .node = node };
    bool found = node_is(node, "sizeof_expression")     ? read_sizeof(node, ret)
                 : node_is(node, "offsetof_expression") ? read_offsetof(scan, node, ret)
                 : node_is(node, "pointer_expression")
                     ? read_from_null(scan, node, ret)
                     : node_is(node, "binary_expression") && read_difference(scan, node, ret);
    if (!found) {
        free(ret->path);
        ret->path = NULL;
    }
    return found;
}
