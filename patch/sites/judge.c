/*
 * One call, judged by its surroundings. What the size is made of says most: `sizeof` of a structure is meant.
 * Then the pointers that the block goes to. Where there is nothing but a size that the function was told
 * itself, its caller knows.
 */
#include <dwarf.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "patch/sites/private.h"
#include "patch/types/die_facts.h"

/* TYPE without typedefs, qualifiers and dimensions; false for void. */
static bool plain_type(Dwarf_Die type, Dwarf_Die *ret)
{
    bool known = dwarf_peel_type(&type, ret) == 0;

    while (known && dwarf_tag(ret) == DW_TAG_array_type) {
        known = die_plain_type(ret, ret);
    }
    return known;
}

enum type_sort site_type_sort(Dwarf_Die type, Dwarf_Die *ret_plain)
{
    Dwarf_Die plain;

    if (!plain_type(type, &plain)) {
        return SORT_NONE;
    }
    *ret_plain = plain;
    switch (dwarf_tag(&plain)) {
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
        return SORT_STRUCT;
    case DW_TAG_pointer_type:
        return SORT_POINTER;
    case DW_TAG_base_type:
    case DW_TAG_enumeration_type:
        return dwarf_bytesize(&plain) == 1 ? SORT_BYTE : SORT_SCALAR;
    default:
        return SORT_NONE;
    }
}

bool site_same_type(Dwarf_Die one, Dwarf_Die other)
{
    Dwarf_Die a, b;
    enum type_sort sort = site_type_sort(one, &a);

    if (sort != site_type_sort(other, &b) || dwarf_tag(&a) != dwarf_tag(&b)) {
        return false;
    }
    if (sort == SORT_NONE || dwarf_dieoffset(&a) == dwarf_dieoffset(&b)) {
        return true;
    }
    if (sort == SORT_POINTER) {
        Dwarf_Die x, y;
        bool left = die_type(&a, &x), right = die_type(&b, &y);
        return left && right ? site_same_type(x, y) : left == right;
    }
    const char *name = dwarf_diename(&a), *too = dwarf_diename(&b);
    return name && too && strcmp(name, too) == 0 && dwarf_bytesize(&a) == dwarf_bytesize(&b);
}

/* Whether the structure TYPE ends in an array without a size of its own, [0] and [1] included. */
static bool has_tail(Dwarf_Die type)
{
    Dwarf_Die child, last = { 0 }, array, range, plain;
    Dwarf_Attribute attribute;
    Dwarf_Word bound;
    bool any = false;

    if (site_type_sort(type, &plain) != SORT_STRUCT) {
        return false;
    }
    for (int more = dwarf_child(&plain, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        if (dwarf_tag(&child) == DW_TAG_member) {
            last = child;
            any = true;
        }
    }
    if (!any || !die_type(&last, &array) || dwarf_tag(&array) != DW_TAG_array_type ||
        dwarf_child(&array, &range) != 0) {
        return any && die_type(&last, &array) && dwarf_tag(&array) == DW_TAG_structure_type &&
               has_tail(array);
    }
    if (dwarf_attr(&range, DW_AT_count, &attribute) && dwarf_formudata(&attribute, &bound) == 0) {
        return bound <= 1;
    }
    return !dwarf_attr(&range, DW_AT_upper_bound, &attribute) ||
           (dwarf_formudata(&attribute, &bound) == 0 && (bound == 0 || bound == (Dwarf_Word)-1));
}

/* What the sizes say. */
struct sizes {
    const struct evidence *whole; /* a structure that is not multiplied */
    const struct evidence *each;  /* one that is */
    const struct evidence *small; /* no structure */
    bool conflict;                /* two different structures of one sort */
    bool many;                    /* there is a count that is not 1 */
    bool bytes;                   /* a size in characters, a string's length */
    bool constant;                /* only a number */
    bool told;                    /* by the function's own parameters */
};

static bool is_size(const struct allocation_form *form, unsigned argument)
{
    return argument <= 32 ? form->size & (1u << (argument - 1)) : form->size == UINT32_MAX;
}

/* Whether another size argument than NUMBER multiplies it. */
static bool is_counted(const struct candidate *candidate, const struct allocation_form *form, unsigned number)
{
    for (unsigned i = 1; form->product && i <= candidate->arguments.count; i++) {
        if (i != number && is_size(form, i) && !candidate->arguments.items[i - 1].one) {
            return true;
        }
    }
    return false;
}

static void note(struct sizes *sizes, const struct evidence **place, const struct evidence *evidence)
{
    bool header = evidence->role == EVIDENCE_OFFSETOF; /* of something with a tail, which the other one is */

    if (*place && !site_same_type((*place)->type, evidence->type)) {
        bool before = (*place)->role == EVIDENCE_OFFSETOF;
        sizes->conflict = sizes->conflict || header == before;
        *place = header ? evidence : *place;
        return;
    }
    *place = *place ? *place : evidence;
}

static void note_size(struct sizes *sizes, const struct candidate *candidate,
                      const struct allocation_form *form, const struct evidence *evidence)
{
    bool product = evidence->product || is_counted(candidate, form, evidence->argument);
    Dwarf_Die plain;

    switch (site_type_sort(evidence->type, &plain)) {
    case SORT_STRUCT:
        note(sizes, product ? &sizes->each : &sizes->whole, evidence);
        break;
    case SORT_BYTE:
        sizes->bytes = true;
        break;
    case SORT_SCALAR:
    case SORT_POINTER:
        sizes->small = sizes->small && !product ? sizes->small : evidence;
        break;
    case SORT_NONE:
        break;
    }
}

static void read_sizes(const struct candidate *candidate, const struct allocation_form *form,
                       struct sizes *ret)
{
    ret->constant = true;
    for (size_t i = 0; i < candidate->arguments.count; i++) {
        const struct candidate_argument *argument = &candidate->arguments.items[i];
        if (!is_size(form, i + 1)) {
            continue;
        }
        ret->bytes = ret->bytes || argument->text;
        ret->constant = ret->constant && argument->constant;
        ret->told = ret->told || argument->parameters;
        ret->many = ret->many || argument->product || is_counted(candidate, form, i + 1);
    }
    for (size_t i = 0; i < candidate->evidence.count; i++) {
        const struct evidence *evidence = &candidate->evidence.items[i];
        bool sized = evidence->role == EVIDENCE_SIZEOF || evidence->role == EVIDENCE_OFFSETOF;
        if (sized && evidence->known && is_size(form, evidence->argument)) {
            note_size(ret, candidate, form, evidence);
        }
    }
}

static void describe(Dwarf_Die type, char *ret, size_t size)
{
    Dwarf_Die plain;
    const char *name = dwarf_diename(&type);

    if (!name && plain_type(type, &plain)) {
        name = dwarf_diename(&plain);
    }
    snprintf(ret, size, "%s%s", dwarf_tag(&type) == DW_TAG_structure_type ? "struct " : "",
             name ? name : "?");
}

static void decide(struct site_verdict *verdict, enum molt_site_kind kind, Dwarf_Die type)
{
    verdict->kind = kind;
    verdict->type = type;
    verdict->typed = kind == MOLT_SITE_OBJECT || kind == MOLT_SITE_ARRAY || verdict->typed;
}

/* By structures in the size. False: there are none. */
static bool judge_structures(const struct sizes *sizes, struct site_verdict *ret)
{
    char one[80], other[80];

    if (sizes->conflict) {
        snprintf(ret->reason, sizeof(ret->reason), "its size is that of different structures");
        return true;
    }
    if (!sizes->whole && !sizes->each) {
        return false;
    }
    if (!sizes->whole) {
        decide(ret, MOLT_SITE_ARRAY, sizes->each->type);
        return true;
    }
    Dwarf_Die plain;
    const struct evidence *behind = sizes->each                             ? sizes->each
                                    : sizes->small && sizes->small->product ? sizes->small
                                                                            : NULL;
    bool matters = behind && site_type_sort(behind->type, &plain) != SORT_SCALAR;
    if (matters && sizes->whole->role != EVIDENCE_OFFSETOF && !has_tail(sizes->whole->type)) {
        describe(sizes->whole->type, one, sizeof(one));
        describe(behind->type, other, sizeof(other));
        snprintf(ret->reason, sizeof(ret->reason),
                 "a %s is followed by an array of %s that it does not declare", one, other);
        return true;
    }
    decide(ret, MOLT_SITE_OBJECT, sizes->whole->type);
    return true;
}

/* The pointer that says most about the block; NULL if none says more than "bytes", *RET_BYTES then being
 * set if one does. */
static const struct evidence *best_pointer(const struct candidate *candidate,
                                           const struct allocation_form *form, bool *ret_bytes)
{
    static const enum evidence_role order[] = { EVIDENCE_CAST,     EVIDENCE_TARGET, EVIDENCE_OUT,
                                                EVIDENCE_RETURN,   EVIDENCE_FLOW,   EVIDENCE_POINTER,
                                                EVIDENCE_PARAMETER };

    for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++) {
        for (size_t k = 0; k < candidate->evidence.count; k++) {
            const struct evidence *evidence = &candidate->evidence.items[k];
            Dwarf_Die plain;
            bool counts = evidence->known && evidence->role == order[i];
            counts = counts && (order[i] != EVIDENCE_OUT || form->out);
            counts = counts &&
                     (order[i] != EVIDENCE_POINTER || (form->pointer & (1u << (evidence->argument - 1))));
            enum type_sort sort = counts ? site_type_sort(evidence->type, &plain) : SORT_NONE;
            if (sort > SORT_BYTE) {
                return evidence;
            }
            *ret_bytes = *ret_bytes || sort == SORT_BYTE;
        }
    }
    return NULL;
}

/* By the pointer that the block goes to. */
static bool judge_pointer(const struct candidate *candidate, const struct allocation_form *form,
                          const struct sizes *sizes, struct site_verdict *ret)
{
    bool bytes = sizes->bytes;
    const struct evidence *pointer = best_pointer(candidate, form, &bytes);
    Dwarf_Die plain;
    char name[80];

    if (!pointer) {
        ret->kind = bytes ? MOLT_SITE_BYTES : ret->kind;
        return bytes;
    }
    if (site_type_sort(pointer->type, &plain) != SORT_STRUCT) {
        decide(ret, MOLT_SITE_ARRAY, pointer->type);
    } else if (has_tail(pointer->type) || sizes->constant ||
               !form->size) { /* a pool's objects have one size */
        decide(ret, MOLT_SITE_OBJECT, pointer->type);
    } else if (sizes->many && !sizes->small) {
        decide(ret, MOLT_SITE_ARRAY, pointer->type);
    } else {
        ret->type = pointer->type;
        ret->typed = true;
        describe(pointer->type, name, sizeof(name));
        snprintf(ret->reason, sizeof(ret->reason),
                 "its size does not tell whether it is one %s, several or more", name);
    }
    return true;
}

/* By a size that is that of numbers or pointers. */
static bool judge_scalar(const struct candidate *candidate, const struct allocation_form *form,
                         const struct sizes *sizes, struct site_verdict *ret)
{
    bool bytes = false;
    const struct evidence *pointer = best_pointer(candidate, form, &bytes);
    Dwarf_Die plain;

    if (!sizes->small || (pointer && site_type_sort(pointer->type, &plain) == SORT_STRUCT)) {
        return false;
    }
    bool whole = sizes->small->product || sizes->many;
    if (!whole && (bytes || sizes->bytes)) {
        return false; /* a number in front of text */
    }
    bool pointers = pointer && site_type_sort(pointer->type, &plain) == SORT_POINTER &&
                    site_type_sort(sizes->small->type, &plain) == SORT_POINTER;
    decide(ret, MOLT_SITE_ARRAY,
           pointers ? pointer->type : sizes->small->type); /* sizeof(void *) means any pointer */
    return true;
}

/* Whether what the call makes leaves the function without a type: returned, or put where the function was
 * told. */
bool site_escapes(const struct candidate *candidate, bool *ret_stored)
{
    bool returned = false;

    *ret_stored = false;
    for (size_t i = 0; i < candidate->evidence.count; i++) {
        const struct evidence *evidence = &candidate->evidence.items[i];
        Dwarf_Die plain;
        bool untyped =
            evidence->answered && (!evidence->known || site_type_sort(evidence->type, &plain) == SORT_BYTE);
        returned = returned || (evidence->role == EVIDENCE_RETURN && evidence->answered);
        *ret_stored = *ret_stored || (evidence->callers_place && untyped);
    }
    return returned || *ret_stored;
}

void site_judge(const struct candidate *candidate, const struct allocation_form *form, bool may_be_wrapper,
                struct site_verdict *ret)
{
    struct sizes sizes = { 0 };
    bool stored, escapes = site_escapes(candidate, &stored);

    *ret = (struct site_verdict){ .kind = MOLT_SITE_UNKNOWN, .candidate = candidate };
    if (form->text) {
        ret->kind = MOLT_SITE_BYTES;
        return;
    }
    read_sizes(candidate, form, &sizes);
    if (judge_structures(&sizes, ret)) {
        return;
    }
    bool decided = judge_scalar(candidate, form, &sizes, ret) || judge_pointer(candidate, form, &sizes, ret);
    ret->bytes = ret->kind == MOLT_SITE_BYTES;
    bool measured = sizes.small && (sizes.small->product || !sizes.told); /* more than "at least a long" */
    if (may_be_wrapper && escapes && !measured && (sizes.told || !decided)) {
        ret->kind = MOLT_SITE_WRAPPER;
    } else if (!decided && form->typed) {
        decide(ret, MOLT_SITE_OBJECT, form->type);
    } else if (!decided && form->bytes) {
        ret->kind = MOLT_SITE_BYTES;
    } else if (!decided) {
        snprintf(ret->reason, sizeof(ret->reason), "%s",
                 escapes ? "it is returned without a type, by a function that is not recognised as a wrapper"
                         : "neither its size nor the pointers it goes to name a type");
    }
}
