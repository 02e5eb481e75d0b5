/*
 * From a place in a new object to the one in the old object, member by member, as type_change pairs them;
 * arrays by their indices. Whatever is the same type on both sides need not be entered.
 */
#include "patch/types/place.h"

#include <stdlib.h>

static const struct type_pair *pair_at(const struct type_pair *pairs, size_t count, uint64_t offset,
                                       uint64_t size)
{
    for (size_t i = 0; i < count; i++) {
        const struct type_member *member = pairs[i].new_member;
        uint64_t start = pairs[i].new_bit / 8;
        if (member && !member->bit_size && !pairs[i].overlaps && offset >= start &&
            offset + size <= start + member->type->size) {
            return &pairs[i];
        }
    }
    return NULL;
}

static enum place_found in_structure(const struct type_changes *changes, const struct type *old,
                                     const struct type *new, uint64_t offset, uint64_t size,
                                     struct type_place *ret)
{
    struct type_pair *pairs;
    size_t count = types_pair_members(changes, old, new, &pairs);
    const struct type_pair *pair = pair_at(pairs, count, offset, size);
    enum place_found found = pair ? PLACE_NEW : PLACE_UNKNOWN;

    if (pair && pair->old_member && !pair->old_member->bit_size) {
        found = types_place(changes, pair->old_member->type, pair->new_member->type,
                            offset - pair->new_bit / 8, size, ret);
        ret->offset += pair->old_bit / 8;
    }
    free(pairs);
    return found;
}

enum place_found types_place(const struct type_changes *changes, const struct type *old,
                             const struct type *new, uint64_t offset, uint64_t size, struct type_place *ret)
{
    const struct type *before = type_strip(old), *after = type_strip(new);
    uint64_t stride = after->kind == TYPE_ARRAY ? type_strip(after->inner)->size : 0;

    *ret = (struct type_place){ 0 };
    if (types_conversion(changes, old, new) == TYPE_CONVERT_COPY && before->size == after->size) {
        *ret = (struct type_place){ offset, size };
        return PLACE_FOUND;
    }
    if (before->kind == TYPE_ARRAY && stride) {
        uint64_t index = offset / stride;
        if (offset % stride + size > stride) {
            return PLACE_UNKNOWN;
        }
        if (index >= before->count) {
            return PLACE_NEW;
        }
        enum place_found found =
            types_place(changes, before->inner, after->inner, offset % stride, size, ret);
        ret->offset += index * type_strip(before->inner)->size;
        return found;
    }
    if (before->kind == TYPE_STRUCT && after->kind == TYPE_STRUCT) {
        return in_structure(changes, before, after, offset, size, ret);
    }
    if (type_is_compound(before) || type_is_compound(after) || offset) {
        return PLACE_UNKNOWN;
    }
    ret->size = before->size;
    return PLACE_FOUND;
}
