/*
 * One version of a function, with all that is found out about it once: its code, its locals, and which of its
 * frame's memory is reached by addresses, so that others may read and write it.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/transfer/private.h"

#define ADDRESS 8

/* The first instruction behind a call: there the frame is set up. */
static uint32_t first_return(const struct code *code)
{
    for (uint32_t i = 0; i + 1 < code->instructions.count; i++) {
        if (code->instructions.items[i].flags & CODE_CALL) {
            return i + 1;
        }
    }
    return 0;
}

static bool holds(const struct frame_object *object, int32_t offset)
{
    return offset >= object->offset && offset < object->offset + (int32_t)object->size;
}

static void add_range(live_ranges *ranges, const struct frame_object *object)
{
    for (size_t i = 0; i < ranges->count; i++) {
        if (ranges->items[i].offset == object->offset && ranges->items[i].size == object->size) {
            return;
        }
    }
    LIST_ADD(ranges, (struct live_range){ object->offset, object->size });
}

/*
 * Memory of the frame, from LOW on, that is no object's, and is written by operands but never read by any: it
 * may be an array that has no name. What operands do read is found alive by that.
 */
static void add_unread(struct version *version, int32_t low)
{
    const struct code *code = &version->code;
    bool *read = must_calloc((size_t)-low + 1, sizeof(*read));

    for (size_t k = 0; k < version->objects.count; k++) {
        const struct frame_object *object = &version->objects.items[k];
        int32_t end = object->offset + (int32_t)object->size;
        for (int32_t at = object->offset > low ? object->offset : low; at < end && at < 0; at++) {
            read[at - low] = true;
        }
    }
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < code->touches.count; i++) {
            const struct code_touch *touch = &code->touches.items[i];
            int32_t offset = touch->place - PLACE_CFA;
            bool here = place_in_frame(touch->place) && offset >= low && offset + (int32_t)touch->size <= 0;
            bool unread = false;
            for (uint32_t n = 0; here && n < touch->size; n++) {
                read[offset - low + (int32_t)n] =
                    read[offset - low + (int32_t)n] || (pass == 0 && touch->read);
                unread = unread || !read[offset - low + (int32_t)n];
            }
            if (pass == 1 && unread && touch->written) {
                add_range(&version->escaped, &(struct frame_object){ .offset = offset, .size = touch->size });
            }
        }
    }
    free(read);
}

/* Whether code may well compute the address behind OBJECT: that of an array, or of a structure that ends with
 * one. */
static bool may_be_passed(const struct frame_object *object)
{
    return object->array || object->size > ADDRESS;
}

/* Notes the objects that the address TAKEN may lead to. False: there may be something else there;
 * *RET_BEHIND: nothing begins there, but one ends. */
static bool find_meant(struct version *version, const struct code_taken *taken, bool *ret_behind)
{
    bool begins = false, ends = false;

    for (size_t k = 0; k < version->objects.count; k++) {
        const struct frame_object *object = &version->objects.items[k];
        bool end = taken->offset == object->offset + (int32_t)object->size;
        bool start = taken->indexed ? taken->offset == object->offset : holds(object, taken->offset);
        if (start || end) {
            add_range(&version->escaped, object);
        }
        begins = begins || start;
        ends = ends || (end && may_be_passed(object));
    }
    *ret_behind = *ret_behind || (ends && !begins);
    return begins || ends;
}

static int32_t lowest_touch(const struct code *code)
{
    int32_t low = 0;

    for (size_t i = 0; i < code->touches.count; i++) {
        int32_t offset = code->touches.items[i].place - PLACE_CFA;
        bool counts = place_in_frame(code->touches.items[i].place) && offset < low;
        low = counts ? offset : low;
    }
    return low;
}

/*
 * Which objects an address that got away may lead to. Where a number is added to it, or it is no object's, it
 * may be any; if it is one inside an object (a member that is an array), any that has a name. Where an object
 * ends and none begins, one without a name may, as the registers that va_arg reads.
 */
static void find_escaped(struct version *version)
{
    bool behind = false, above = false;

    for (size_t i = 0; i < version->code.taken.count; i++) {
        const struct code_taken *taken = &version->code.taken.items[i];
        above = above || taken->offset >= 0;
        bool known = find_meant(version, taken, &behind);
        for (size_t k = 0; k < version->objects.count && !known && taken->indexed; k++) {
            known = holds(&version->objects.items[k], taken->offset);
            version->loose = version->loose || known;
        }
        version->wild = version->wild || (!known && taken->offset < 0);
    }
    version->wild = version->wild || (behind && above); /* va_start takes two addresses */
    int32_t low = lowest_touch(&version->code);
    for (size_t k = 0; k < version->objects.count && (version->wild || version->loose); k++) {
        add_range(&version->escaped, &version->objects.items[k]);
    }
    if (version->wild) { /* then any byte may be meant */
        LIST_ADD(&version->escaped, (struct live_range){ low, (uint32_t)(-2 * ADDRESS - low) });
    } else if (version->loose || behind) {
        add_unread(version, low);
    }
}

/* Functions that may return a second time, and in another way than longjmp (setjmp.c): the frame must stay
 * what it was then, and so must its code. What that says of a caller. */
static const struct {
    const char *callee, *problem;
} returning_twice[] = {
    { "getcontext", "calls getcontext, to which setcontext may come back" },
    { "vfork", "calls vfork, whose child is in the same frame" },
};

/* What CODE does that makes its frame one to be returned to a second time; NULL: nothing. */
static const char *returned_to_twice(const struct code *code)
{
    for (uint32_t i = 0; i < code->instructions.count; i++) {
        const char *callee = code->instructions.items[i].flags & CODE_CALL ? code_callee(code, i) : "";
        for (size_t k = 0; k < sizeof(returning_twice) / sizeof(*returning_twice); k++) {
            if (strcmp(callee, returning_twice[k].callee) == 0) {
                return returning_twice[k].problem;
            }
        }
    }
    return NULL;
}

void version_init(struct version *version, const struct transfer_side *side,
                  const struct object_symbol *symbol)
{
    *version = (struct version){ .clobbers = side->clobbers };
    const struct code_range *range = code_index_find(&side->index, object_address(side->object, symbol));
    version->unit = range ? range->unit : (Dwarf_Die){ 0 };
    code_init(&version->code, side->object, symbol, range ? &version->unit : NULL);
    version->code.problem = version->code.problem ? version->code.problem : returned_to_twice(&version->code);
    if (version->code.problem) {
        return;
    }
    clobbers_apply(side->clobbers, &version->code);
    version_link_longjmps(version);
    function_debug_init(&version->debug, &version->code, &side->index);
    find_frame_objects(&version->debug, first_return(&version->code), &version->objects);
    find_escaped(version);
    version->code.escaped = &version->escaped;
    version_find_scopes(version);
}

void version_deinit(struct version *version)
{
    for (size_t i = 0; version->known && i < version->code.instructions.count; i++) {
        if (version->known[i]) {
            locals_free(version->known[i]);
            free(version->known[i]);
        }
    }
    free(version->known);
    code_deinit(&version->code);
    LIST_FREE(&version->objects);
    LIST_FREE(&version->escaped);
    LIST_FREE(&version->setjmps);
    version_forget_scopes(version);
    address_flow_deinit(&version->addresses);
}

const local_list *version_locals(struct version *version, uint32_t call)
{
    if (!version->known) {
        version->known = must_calloc(version->code.instructions.count, sizeof(local_list *));
    }
    if (!version->known[call]) {
        version->known[call] = must_calloc(1, sizeof(local_list));
        locals_at_call(&version->debug, call, version->known[call]);
    }
    return version->known[call];
}
