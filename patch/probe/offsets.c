/*
 * Where a source keeps the place of a member as a number in another structure, as generic containers do:
 *
 *     table->where = offsetof(struct item, link);
 *     table->where = (char *)(&item->link) - (char *)item;
 *
 * Code that computes such a number where it uses it is compiled anew when the member moves; a number that was
 * stored is not.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/probe/calls.h"

/* A place that is kept: WHOLE, of which it is one (a type, or an expression), and the path in it. */
struct kept {
    TSNode whole;
    bool whole_is_type, through_pointer;
    char *path; /* "link", "list.link" */
};

/* Whether ONE and OTHER read the same, parentheses around them left out. */
static bool same_text(const struct scan *scan, TSNode one, TSNode other)
{
    char *left = scan_text(scan, scan_inside(one)), *right = scan_text(scan, scan_inside(other));
    bool same = strcmp(left, right) == 0;

    free(left);
    free(right);
    return same;
}

/* offsetof(struct item, link) */
static bool read_offsetof(const struct scan *scan, TSNode node, struct kept *ret)
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
static bool read_difference(const struct scan *scan, TSNode node, struct kept *ret)
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
        if (same_text(scan, inner, ret->whole)) {
            return ret->through_pointer != by_address;
        }
        place = ret->through_pointer ? (TSNode){ 0 } : scan_inside(inner);
    }
    return false;
}

static bool read_kept(const struct scan *scan, TSNode value, struct kept *ret)
{
    value = scan_without_casts(value);
    return node_is(value, "offsetof_expression")
               ? read_offsetof(scan, value, ret)
               : node_is(value, "binary_expression") && read_difference(scan, value, ret);
}

/* A question about the structure that NODE is, or that the pointer NODE leads to. */
static void ask(struct scan *scan, struct candidate *candidate, enum evidence_role role, TSNode node,
                const char *form, TSNode beside)
{
    char *text = scan_text(scan, node);

    scan_add_evidence(
        candidate,
        (struct evidence){ .role = role, .start = scan_start(scan, beside), .end = scan_end(scan, beside) },
        must_printf(form, text));
    free(text);
}

void scan_kept_offset(struct scan *scan, TSNode assignment)
{
    TSNode left = scan_inside(node_field(assignment, "left")), right = node_field(assignment, "right");
    struct kept kept = { 0 };

    if (!node_is(left, "field_expression") || !node_is(node_field(assignment, "operator"), "=") ||
        !read_kept(scan, right, &kept)) {
        free(kept.path);
        return;
    }
    struct candidate *candidate = must_calloc(1, sizeof(*candidate));
    const char *file, *last;
    candidate->function = must_strdup(scan->function);
    candidate->line = preprocessed_line(scan->source, scan_start(scan, assignment), &file);
    candidate->last_line = preprocessed_line(scan->source, scan_end(scan, assignment), &last);
    candidate->file = must_strdup(file);
    candidate->path = kept.path;
    candidate->member = scan_text(scan, node_field(left, "field"));
    LIST_ADD(&scan->probe->candidates, candidate);
    bool arrow = scan_reads(scan, node_field(left, "operator"), "->");
    ask(scan, candidate, EVIDENCE_TARGET, node_field(left, "argument"),
        arrow ? "__typeof__(*(%s)) *\001;" : "__typeof__(%s) *\001;", right);
    ask(scan, candidate, EVIDENCE_OFFSETOF, kept.whole,
        kept.through_pointer && !kept.whole_is_type ? "__typeof__(*(%s)) *\001;" : "__typeof__(%s) *\001;",
        right);
}
