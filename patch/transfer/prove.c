/*
 * Whether a place of the new code and one of the old hold the same value, by where they got it from. Both are
 * followed back to the instructions that wrote them last, on all ways. These must be aligned with each other,
 * one by one, and what they compute with must correspond in turn. A question that comes up again while it is
 * being answered is taken for answered (a variable that a loop counts up): what has no difference anywhere is
 * the same.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/transfer/origins.h"

#define DEPTH_MAX 400 /* of operands of operands */
#define NO_RESULT 255
#define FLAGS_RESULT 254

struct question {
    uint32_t new_at, old_at;
    int32_t new_place, old_place;
    uint32_t size;
};

/* Where the bytes of a place came from, kept since many questions lead there. */
struct remembered {
    uint32_t at, size; /* size 0: nothing is remembered here */
    int32_t place;
    struct origins origins;
};

#define REMEMBERED 1024 /* of one version; a power of two */

enum answer { NOT_ASKED, ASSUMED, PROVEN, REFUTED, FORGOTTEN };

struct proofs {
    struct asked {
        struct question question;
        enum answer answer;
    } * slots;
    size_t count, capacity;
    LIST(struct question) assumed; /* since the last question from outside */
    struct remembered old[REMEMBERED], new[REMEMBERED];
};

void proofs_destroy(struct proofs *proofs)
{
    for (size_t i = 0; proofs && i < REMEMBERED; i++) {
        LIST_FREE(&proofs->old[i].origins.list);
        LIST_FREE(&proofs->new[i].origins.list);
    }
    if (proofs) {
        LIST_FREE(&proofs->assumed);
        free(proofs->slots);
        free(proofs);
    }
}

static uint64_t hash_of(const struct question *question)
{
    uint64_t hash = question->new_at * UINT64_C(0x9e3779b97f4a7c15) + question->old_at;

    hash = hash * UINT64_C(0xff51afd7ed558ccd) + (uint32_t)question->new_place;
    hash = hash * UINT64_C(0xff51afd7ed558ccd) + (uint32_t)question->old_place + question->size;
    return hash ^ hash >> 29;
}

static struct asked *find_slot(struct asked *slots, size_t capacity, const struct question *question)
{
    size_t i = hash_of(question) & (capacity - 1);

    while (slots[i].answer != NOT_ASKED && memcmp(&slots[i].question, question, sizeof(*question)) != 0) {
        i = (i + 1) & (capacity - 1);
    }
    return &slots[i];
}

static void grow(struct proofs *proofs)
{
    size_t capacity = proofs->capacity ? proofs->capacity * 2 : 1024;
    struct asked *slots = must_calloc(capacity, sizeof(*slots));

    for (size_t i = 0; i < proofs->capacity; i++) {
        if (proofs->slots[i].answer != NOT_ASKED) {
            *find_slot(slots, capacity, &proofs->slots[i].question) = proofs->slots[i];
        }
    }
    free(proofs->slots);
    proofs->slots = slots;
    proofs->capacity = capacity;
}

static struct asked *slot_of(struct proofs *proofs, const struct question *question)
{
    if (proofs->count * 2 >= proofs->capacity) {
        grow(proofs);
    }
    return find_slot(proofs->slots, proofs->capacity, question);
}

/* As find_origins, from what is remembered; valid until the next call. */
static const struct origins *recall(struct match *match, const struct code *code, uint32_t at, int32_t place,
                                    uint32_t size)
{
    at = find_earliest(code, at, place, size);
    struct question key = { .new_at = at, .new_place = place, .size = size };
    struct remembered *all = code == match->new ? match->proofs->new : match->proofs->old;
    struct remembered *one = &all[hash_of(&key) & (REMEMBERED - 1)];

    if (one->at != at || one->place != place || one->size != size) {
        find_origins(code, at, place, size, &one->origins);
        one->at = at;
        one->place = place;
        one->size = size;
    }
    return &one->origins;
}

static void copy_origins(const struct origins *from, struct origins *ret)
{
    *ret = (struct origins){ .unknown = from->unknown, .parts = from->parts };
    if (from->list.count) {
        ret->list.count = ret->list.capacity = from->list.count;
        ret->list.items = must_calloc(from->list.count, sizeof(*ret->list.items));
        memcpy(ret->list.items, from->list.items, from->list.count * sizeof(*ret->list.items));
    }
}

static bool ask(struct match *match, const struct question *question, unsigned depth);

static bool ask_for(struct match *match, uint32_t new_at, int32_t new_place, uint32_t old_at,
                    int32_t old_place, uint32_t size, unsigned depth)
{
    struct question question = { new_at, old_at, new_place, old_place, size };

    return ask(match, &question, depth + 1);
}

/* Registers that are read: they hold the same address in the frame, or the same value. */
static bool same_register(struct match *match, uint32_t new_at, const struct code_operand *new,
                          unsigned new_number, uint32_t old_at, unsigned old_number, uint32_t size,
                          unsigned depth)
{
    if (new_number == REGISTERS || old_number == REGISTERS) {
        return new_number == old_number;
    }
    int32_t a = code_pointer(match->new, new_at, new_number),
            b = code_pointer(match->old, old_at, old_number);
    if (a != NO_OFFSET || b != NO_OFFSET) {
        return a == b && size == 8;
    }
    return ask_for(match, new_at, new_number * 8 + new->first, old_at, old_number * 8 + new->first, size,
                   depth);
}

static bool same_memory(struct match *match, uint32_t new_at, const struct code_operand *new, uint32_t old_at,
                        const struct code_operand *old, unsigned depth)
{
    bool content = new->read &&new->frame != NO_OFFSET;

    if (content && old->frame != NO_OFFSET) {
        int32_t a = PLACE_CFA + new->frame, b = PLACE_CFA + old->frame;
        bool new_escaped = code_is_reached(match->new, a, new->size);
        bool old_escaped = code_is_reached(match->old, b, old->size);
        return new_escaped || old_escaped ? a == b : ask_for(match, new_at, a, old_at, b, new->size, depth);
    }
    bool same = match_same_name(match, old, new) && (new->relocation || new->value == old->value);
    if (!same && !(new->read && !match->unsure[new_at] &&
                   match_same_member(match, old, new))) { /* its address is another thing */
        return false;
    }
    return same_register(match, new_at, new, new->base, old_at, old->base, 8, depth) &&
           same_register(match, new_at, new, new->index, old_at, old->index, 8, depth);
}

static bool same_operand(struct match *match, uint32_t new_at, const struct code_operand *new,
                         uint32_t old_at, const struct code_operand *old, unsigned depth)
{
    switch ((enum operand_kind) new->kind) {
    case OPERAND_REGISTER:
        return new->first == old->first &&new->size == old->size &&
               (!new->read ||
                same_register(match, new_at, new, new->number, old_at, old->number, new->size, depth));
    case OPERAND_VECTOR:
        return !new->read || ask_for(match, new_at, PLACE_VECTOR + new->number, old_at,
                                     PLACE_VECTOR + old->number, 1, depth);
    case OPERAND_MEMORY: /* what is only written to takes no part in what other places get */
        return (new->written && !new->read) || same_memory(match, new_at, new, old_at, old, depth);
    case OPERAND_NUMBER:
        return new->relative || (new->relocation ? match_same_name(match, old, new)
                                                 : !old->relocation &&new->value == old->value);
    case OPERAND_OTHER:
        break;
    }
    return true;
}

static bool reads_nothing(const struct code *code, const struct code_instruction *instruction)
{
    for (uint32_t i = 0; i < instruction->touch_count; i++) {
        if (code->touches.items[instruction->touch + i].read) {
            return false;
        }
    }
    return true;
}

/* Whether two aligned instructions compute the same. What a call returns is what the call of the old code
 * returned. */
static bool same_computation(struct match *match, uint32_t new_at, uint32_t old_at, unsigned depth)
{
    const struct code_instruction *new = &match->new->instructions.items[new_at];
    const struct code_instruction *old = &match->old->instructions.items[old_at];

    if (code_is_call(match->new, new_at)) { /* result_index has seen to it that it is a result */
        return !match->unsure[new_at] && code_is_call(match->old, old_at) &&
               strcmp(code_callee(match->new, new_at), code_callee(match->old, old_at)) == 0;
    }
    bool zeroing = reads_nothing(match->new, new) && reads_nothing(match->old, old);
    for (unsigned i = 0; i < new->operand_count; i++) {
        struct code_operand a = match->new->operands.items[new->operand + i];
        struct code_operand b = match->old->operands.items[old->operand + i];
        if (zeroing && a.kind != OPERAND_MEMORY) {
            a.read = false;
        }
        if (a.kind != b.kind || a.read != (b.read && !(zeroing && b.kind != OPERAND_MEMORY)) ||
            !same_operand(match, new_at, &a, old_at, &b, depth)) {
            return false;
        }
    }
    return !(new->flags &CODE_READS_FLAGS) ||
           ask_for(match, new_at, PLACE_FLAGS, old_at, PLACE_FLAGS, 1, depth);
}

/* Which operand a place that the instruction wrote is: equal numbers mean the same of its results. */
static unsigned result_index(const struct code *code, const struct origin *origin)
{
    const struct code_instruction *instruction = &code->instructions.items[origin->at];
    unsigned number = place_register(origin->place);

    if (code_is_call(code, origin->at)) {
        return origin_is_nothing(code, origin) ? NO_RESULT : 256 + (unsigned)origin->place;
    }
    if (origin->place == PLACE_FLAGS) {
        return FLAGS_RESULT;
    }
    for (unsigned i = 0; i < instruction->operand_count; i++) {
        const struct code_operand *operand = &code->operands.items[instruction->operand + i];
        bool here = operand->kind == OPERAND_REGISTER ? operand->number == number
                    : operand->kind == OPERAND_VECTOR ? PLACE_VECTOR + operand->number == origin->place
                    : operand->kind == OPERAND_MEMORY ? place_in_frame(origin->place)
                                                      : false;
        if (operand->written && here) {
            int32_t start = operand->kind == OPERAND_MEMORY && operand->frame != NO_OFFSET
                                ? PLACE_CFA + operand->frame
                            : operand->kind == OPERAND_REGISTER ? (int32_t)number * 8
                                                                : origin->place;
            return i * 16 + (unsigned)(origin->place - start);
        }
    }
    return NO_RESULT;
}

static bool same_origin(struct match *match, const struct origin *new, const struct origin *old,
                        unsigned depth)
{
    if (new->at == ENTRY || old->at == ENTRY) {
        bool unset = place_in_frame(new->place) && new->place < PLACE_CFA &&place_in_frame(old->place) &&
                     old->place < PLACE_CFA; /* nothing yet, wherever it is */
        bool argument = !register_is_preserved(place_register(new->place)) && new->place >= 0 &&
                        !(place_in_frame(new->place) && new->place < PLACE_CFA);
        return new->at == old->at &&
               ((new->place == old->place && (match->same_parameters || !argument)) || unset);
    }
    if (origin_is_nothing(match->new, new) && origin_is_nothing(match->old, old)) {
        return true;
    }
    unsigned result = result_index(match->new, new);
    return match->old_of[new->at] == old->at &&
           new->size == old->size &&result != NO_RESULT &&result == result_index(match->old, old) &&
           same_computation(match, new->at, old->at, depth);
}

/* Whether each of NEW has its counterpart among OLD; which one, alignment tells. */
static bool may_be_same(const struct match *match, const struct origins *new, const struct origins *old)
{
    if (!origins_known(new) || !origins_known(old) || new->list.count != old->list.count ||
        !new->list.count) {
        return false;
    }
    for (size_t i = 0; i < new->list.count; i++) {
        uint32_t expected = new->list.items[i].at == ENTRY ? ENTRY : match->old_of[new->list.items[i].at];
        bool found = false;
        for (size_t k = 0; k < old->list.count; k++) {
            found = found || old->list.items[k].at == expected;
        }
        if (!found || (new->list.items[i].at != ENTRY &&expected == NO_INSTRUCTION)) {
            return false;
        }
    }
    return true;
}

static bool same_origins(struct match *match, const struct origins *new, const struct origins *old,
                         unsigned depth)
{
    if (!may_be_same(match, new, old)) {
        return false;
    }
    for (size_t i = 0; i < new->list.count; i++) {
        uint32_t expected = new->list.items[i].at == ENTRY ? ENTRY : match->old_of[new->list.items[i].at];
        for (size_t k = 0; k < old->list.count; k++) {
            if (old->list.items[k].at == expected &&
                !same_origin(match, &new->list.items[i], &old->list.items[k], depth)) {
                return false;
            }
        }
    }
    return true;
}

/* What was written in parts is asked for in parts. */
static bool ask_halves(struct match *match, const struct question *question, unsigned depth)
{
    uint32_t low = question->size > 8 ? 8 : question->size / 2, high = question->size - low;

    return low &&
           ask_for(match, question->new_at, question->new_place, question->old_at, question->old_place, low,
                   depth) &&
           ask_for(match, question->new_at, question->new_place + (int32_t)low, question->old_at,
                   question->old_place + (int32_t)low, high, depth);
}

static bool answer_now(struct match *match, const struct question *question, unsigned depth)
{
    struct origins new = { 0 }, old = { 0 };

    if (depth > DEPTH_MAX || code_is_reached(match->new, question->new_place, question->size) ||
        code_is_reached(match->old, question->old_place, question->size)) {
        return false;
    }
    copy_origins(recall(match, match->new, question->new_at, question->new_place, question->size), &new);
    copy_origins(recall(match, match->old, question->old_at, question->old_place, question->size), &old);
    bool same =
        new.parts &&old.parts ? ask_halves(match, question, depth) : same_origins(match, &new, &old, depth);
    LIST_FREE(&new.list);
    LIST_FREE(&old.list);
    return same;
}

static bool ask(struct match *match, const struct question *question, unsigned depth)
{
    struct asked *slot = slot_of(match->proofs, question);

    if (slot->answer != NOT_ASKED && slot->answer != FORGOTTEN) {
        return slot->answer != REFUTED;
    }
    match->proofs->count += slot->answer == NOT_ASKED;
    *slot = (struct asked){ *question, ASSUMED };
    LIST_ADD(&match->proofs->assumed, *question);
    bool same = answer_now(match, question, depth);
    slot = slot_of(match->proofs, question); /* the table may have grown */
    if (!same) {
        slot->answer = REFUTED;
    }
    return same;
}

/* What was assumed is proven if nothing spoke against it; else it is to be asked again another time. */
static void conclude(struct proofs *proofs, bool proven)
{
    for (size_t i = 0; i < proofs->assumed.count; i++) {
        struct asked *slot = slot_of(proofs, &proofs->assumed.items[i]);
        if (slot->answer == ASSUMED) {
            slot->answer = proven ? PROVEN : FORGOTTEN;
        }
    }
    proofs->assumed.count = 0;
}

static bool is_made_alike(struct match *match, const struct question *question)
{
    bool proven = ask(match, question, 0);

    conclude(match->proofs, proven);
    return proven;
}

/* Whether some of NEW has no counterpart at all in the old code, wherever it is looked for. */
static bool is_only_new(const struct match *match, const struct origins *new)
{
    bool found = !new->list.count;

    for (size_t i = 0; i < new->list.count && !found; i++) {
        uint32_t at = new->list.items[i].at;
        found = at != ENTRY && match->old_of[at] == NO_INSTRUCTION;
    }
    return found && !new->parts;
}

static void proofs_prepare(struct match *match)
{
    if (!match->proofs) {
        match->proofs = must_calloc(1, sizeof(*match->proofs));
    }
}

size_t match_finds(struct match *match, uint32_t new_at, int32_t new_place, uint32_t old_at,
                   const int32_t *old_places, size_t count, uint32_t size)
{
    struct origins new;
    size_t found = count;

    proofs_prepare(match);
    copy_origins(recall(match, match->new, new_at, new_place, size), &new);
    bool hopeless = new.unknown || is_only_new(match, &new);
    for (size_t i = 0; i < count && found == count && !hopeless; i++) {
        struct question question = { new_at, old_at, new_place, old_places[i], size };
        const struct origins *old = recall(match, match->old, old_at, old_places[i], size);
        bool possible = (new.parts && old->parts) || may_be_same(match, &new, old);
        if (possible && is_made_alike(match, &question)) {
            found = i;
        }
    }
    LIST_FREE(&new.list);
    return found;
}

bool match_same_computation(struct match *match, uint32_t at)
{
    proofs_prepare(match);
    bool same = same_computation(match, at, match->old_of[at], 0);
    conclude(match->proofs, same);
    return same;
}
