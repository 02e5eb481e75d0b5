/*
 * Where each part of an old instance is in the new one, for pointers that lead into it. Members that become
 * something else keep no place, so nothing follows into them.
 */
#include "patch/policy/segments.h"

#include <stdlib.h>

#include "patch/policy/compose.h"

static void add_segment(policy_segments *list, uint64_t old, uint64_t size, uint64_t new, uint32_t flags)
{
    if (size) {
        LIST_ADD(list, (struct molt_patch_segment){ old, size, new, flags });
    }
}

/* Whether an assignment of TYPE copies each byte: structures have bytes that are no member's, bool need not
 * be copied as it is, long double has bytes that do not count. */
static bool has_only_value_bytes(const struct type *type)
{
    type = type_strip(type);
    while (type->kind == TYPE_ARRAY) {
        type = type_strip(type->inner);
    }
    return type->kind == TYPE_ENUM || type->kind == TYPE_POINTER ||
           (type->kind == TYPE_BASE && type->size <= sizeof(uint64_t) && type->encoding != TYPE_BOOL &&
            type->encoding != TYPE_COMPLEX);
}

static void add_plan_segments(const struct policy_plans *plans, const struct policy_plan *plan, uint64_t old,
                              uint64_t new, policy_segments *list);

/* The value of type OLD_TYPE, at OLD, is that of NEW_TYPE at NEW. */
static void add_value_segments(const struct policy_plans *plans, const struct type *old_type, uint64_t old,
                               const struct type *new_type, uint64_t new, policy_segments *list)
{
    const struct policy_plan *inner = policy_plan_of(plans, old_type, new_type);
    enum type_conversion conversion = policy_conversion(plans, old_type, new_type);

    old_type = type_strip(old_type);
    new_type = type_strip(new_type);
    if (inner && conversion == TYPE_CONVERT_MIGRATE) {
        add_plan_segments(plans, inner, old, new, list);
    } else if (conversion == TYPE_CONVERT_ARRAY) {
        uint64_t count = old_type->count < new_type->count ? old_type->count : new_type->count;
        for (uint64_t i = 0; i < count; i++) {
            add_value_segments(plans, old_type->inner, old + i * old_type->inner->size, new_type->inner,
                               new + i * new_type->inner->size, list);
        }
    } else if (conversion != TYPE_CONVERT_NONE) {
        bool copied = conversion == TYPE_CONVERT_COPY && old_type->size == new_type->size &&
                      has_only_value_bytes(old_type) && has_only_value_bytes(new_type);
        add_segment(list, old, old_type->size < new_type->size ? old_type->size : new_type->size, new,
                    copied ? MOLT_SEGMENT_COPIED : 0);
    }
}

/* The bytes of a bit-field that keeps its place in them. Nobody has a pointer to one, but words that are
 * nothing (an array's elements that were never used) may hold such addresses. */
static void add_bits(const struct policy_step *step, uint64_t old, uint64_t new, policy_segments *list)
{
    const struct type_member *before = step->old.member, *after = step->new.member;

    if (before && after && before->bit_size && before->bit_size == after->bit_size &&
        step->old.bit % 8 == step->new.bit % 8) {
        uint64_t first = step->old.bit / 8, last = (step->old.bit + before->bit_size - 1) / 8;
        add_segment(list, old + first, last - first + 1, new + step->new.bit / 8, MOLT_SEGMENT_BITS);
    }
}

static void add_plan_segments(const struct policy_plans *plans, const struct policy_plan *plan, uint64_t old,
                              uint64_t new, policy_segments *list)
{
    for (size_t i = 0; i < plan->steps.count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        bool bits = (step->old.member && step->old.member->bit_size) ||
                    (step->new.member && step->new.member->bit_size);
        if (step->kind == POLICY_STEP_UNION) {
            add_segment(list, old + step->old.bit / 8, step->size, new + step->new.bit / 8, 0);
        } else if (step->kind != POLICY_STEP_VALUE || step->choice || step->indirect) {
            continue;
        } else if (bits) {
            add_bits(step, old, new, list);
        } else {
            add_value_segments(plans, step->old.type, old + step->old.bit / 8, step->new.type,
                               new + step->new.bit / 8, list);
        }
    }
}

static int compare_segments(const void *one, const void *other)
{
    const struct molt_patch_segment *a = one, *b = other;

    return a->old_offset < b->old_offset ? -1 : a->old_offset > b->old_offset;
}

/* Sorts, joins what moved together, and leaves out what would overlap (a member that several new ones come
 * from). */
static void tidy_segments(policy_segments *list)
{
    size_t kept = 0;

    if (list->count) {
        qsort(list->items, list->count, sizeof(*list->items), compare_segments);
    }
    for (size_t i = 0; i < list->count; i++) {
        struct molt_patch_segment next = list->items[i], *last = kept ? &list->items[kept - 1] : NULL;
        uint64_t end = last ? (uint64_t)last->old_offset + last->size : 0;
        if (last && next.old_offset < end) {
            /* what overlaps in the old type may overlap otherwise in the new one */
            last->flags &= ~(uint32_t)MOLT_SEGMENT_COPIED;
            if (next.flags & last->flags & MOLT_SEGMENT_BITS && next.old_offset + next.size > end &&
                next.new_offset - next.old_offset == last->new_offset - last->old_offset) {
                last->size += next.old_offset + next.size - end; /* of one word */
            }
            continue;
        }
        if (last && next.old_offset == last->old_offset + last->size &&
            next.new_offset == last->new_offset + last->size && next.flags == last->flags) {
            last->size += next.size;
        } else {
            list->items[kept++] = next;
        }
    }
    list->count = kept;
}

/* The same the other way round. */
static void turn_segments(policy_segments *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct molt_patch_segment *segment = &list->items[i];
        uint32_t old = segment->old_offset;
        segment->old_offset = segment->new_offset;
        segment->new_offset = old;
    }
}

void policy_segments_of(const struct policy_plans *plans, const struct policy_plan *plan, bool back,
                        policy_segments *ret)
{
    if (plan->composed) {
        composition_segments(plan->composed, ret);
    } else if (type_is_compound(plan->old)) {
        add_plan_segments(plans, plan, 0, 0, ret);
    }
    if (back) {
        turn_segments(ret);
    }
    tidy_segments(ret);
}
