/*
 * What wrote a place last, on all ways that lead to an instruction.
 *
 * A copy is passed over where it is the only origin, or where what it copies was made in the same block: then
 * the two are executed equally often. Elsewhere it stands for itself, since a copy may be older than the
 * value that its source has now.
 */
#include "patch/transfer/origins.h"

#include <Zydis/Zydis.h>
#include <stdlib.h>

#define ORIGINS_MAX 512 /* of one place */

/* Whether INSTRUCTION writes the place; *RET_PART: only a part of it, or it cannot be told what. */
static bool writes(const struct code *code, uint32_t at, int32_t place, uint32_t size, bool *ret_part)
{
    const struct code_instruction *instruction = &code->instructions.items[at];
    bool written = false;

    for (uint32_t i = 0; i < instruction->touch_count; i++) {
        const struct code_touch *touch = &code->touches.items[instruction->touch + i];
        if (touch->written && touch_overlaps(touch, place, size)) {
            written = true;
            *ret_part = *ret_part || touch->place > place ||
                        touch->place + (int32_t)touch->size < place + (int32_t)size;
        }
    }
    return written;
}

bool origins_known(const struct origins *origins)
{
    return !origins->unknown && !origins->parts;
}

static void add_origin(struct origins *origins, uint32_t at, int32_t place, uint32_t size)
{
    for (size_t i = 0; i < origins->list.count; i++) {
        if (origins->list.items[i].at == at) {
            return;
        }
    }
    if (origins->list.count == ORIGINS_MAX) {
        origins->unknown = true;
        return;
    }
    LIST_ADD(&origins->list, (struct origin){ at, place, size });
}

/* The last instruction of a block, in front of END, that writes the place; NO_INSTRUCTION: none does. */
static uint32_t last_writer(const struct code *code, uint32_t first, uint32_t end, int32_t place,
                            uint32_t size, bool *ret_part)
{
    for (uint32_t i = end; i-- > first;) {
        if (writes(code, i, place, size, ret_part)) {
            return i;
        }
    }
    return NO_INSTRUCTION;
}

static bool search_block(const struct code *code, uint32_t first, uint32_t end, int32_t place, uint32_t size,
                         struct origins *ret)
{
    uint32_t writer = last_writer(code, first, end, place, size, &ret->parts);

    if (writer != NO_INSTRUCTION) {
        add_origin(ret, writer, place, size);
    }
    return writer != NO_INSTRUCTION;
}

void find_writers(const struct code *code, uint32_t at, int32_t place, uint32_t size, struct origins *ret)
{
    const struct code_block *own = &code->blocks.items[code->instructions.items[at].block];
    uint32_t entry =
        code->instructions.items[code_at(code, object_address(code->object, code->symbol))].block;
    uint64_t mask = code_place_mask(place, size);
    struct code_search *search = code->search;

    ret->list.count = 0;
    ret->unknown = ret->parts = false;
    if (search_block(code, own->first, at, place, size, ret)) {
        return;
    }
    search->number++;
    search->waiting.count = 0;
    LIST_ADD(&search->waiting, (uint32_t)(own - code->blocks.items));
    while (search->waiting.count && !ret->unknown && !ret->parts) {
        uint32_t index = search->waiting.items[--search->waiting.count];
        const struct code_block *block = &code->blocks.items[index];
        if (index == entry) {
            add_origin(ret, ENTRY, place, size);
        }
        for (size_t i = 0; i < block->before.count; i++) {
            uint32_t before = block->before.items[i];
            const struct code_block *from = &code->blocks.items[before];
            bool comes = place_in_frame(place) || !code_is_longjmp(code, before, index);
            if (search->seen[before] != search->number && from->reached && comes) {
                search->seen[before] = search->number;
                bool wrote =
                    (from->written & mask) && search_block(code, from->first, from->end, place, size, ret);
                if (!wrote) {
                    LIST_ADD(&search->waiting, before);
                }
            }
        }
    }
}

/* Whether ORIGIN is a copy, and then what it copies: not of what is reached by addresses, too, since nothing
 * tells who wrote that. */
static bool step_back(const struct code *code, const struct origin *origin, int32_t *ret_place)
{
    int32_t from = 0, to = 0;
    uint32_t size = 0;

    if (origin->at == ENTRY || !(code->instructions.items[origin->at].flags & CODE_COPY)) {
        return false;
    }
    code_copy(code, origin->at, &from, &to, &size);
    if (origin->place < to || origin->place + (int32_t)origin->size > to + (int32_t)size) {
        return false;
    }
    *ret_place = from + origin->place - to;
    return !code_is_reached(code, *ret_place, origin->size);
}

/* Leads each of several origins that is a copy back to what it copies, as long as that is in the same block.
 */
static void settle(const struct code *code, struct origins *origins)
{
    for (size_t i = 0; i < origins->list.count; i++) {
        struct origin *origin = &origins->list.items[i];
        int32_t place;
        while (step_back(code, origin, &place)) {
            uint32_t first = code->blocks.items[code->instructions.items[origin->at].block].first;
            bool part = false;
            uint32_t before = last_writer(code, first, origin->at, place, origin->size, &part);
            if (before == NO_INSTRUCTION || part) {
                break;
            }
            *origin = (struct origin){ before, place, origin->size };
        }
    }
}

uint32_t find_earliest(const struct code *code, uint32_t at, int32_t place, uint32_t size)
{
    const struct code_block *block = &code->blocks.items[code->instructions.items[at].block];
    uint32_t entry =
        code->instructions.items[code_at(code, object_address(code->object, code->symbol))].block;
    uint64_t mask = code_place_mask(place, size);

    if (at != block->first && (block->written & mask)) {
        return at;
    }
    for (size_t steps = 0; steps < code->blocks.count; steps++) {
        uint32_t only = NO_INSTRUCTION, ways = 0;
        for (size_t i = 0; i < block->before.count; i++) {
            if (code->blocks.items[block->before.items[i]].reached) {
                only = block->before.items[i];
                ways++;
            }
        }
        if (ways != 1 || block == &code->blocks.items[entry] || (code->blocks.items[only].written & mask)) {
            break;
        }
        block = &code->blocks.items[only];
    }
    return block->first;
}

void find_origins(const struct code *code, uint32_t at, int32_t place, uint32_t size, struct origins *ret)
{
    find_writers(code, at, place, size, ret);
    while (ret->list.count == 1 && origins_known(ret) && step_back(code, &ret->list.items[0], &place)) {
        find_writers(code, ret->list.items[0].at, place, size, ret);
    }
    settle(code, ret);
}

uint32_t code_origin(const struct code *code, uint32_t at, int32_t place, uint32_t size, int32_t *ret_entry)
{
    struct origins origins = { 0 };

    find_origins(code, at, place, size, &origins);
    bool single = origins.list.count == 1 && origins_known(&origins);
    uint32_t origin = single ? origins.list.items[0].at : NO_INSTRUCTION;
    *ret_entry = single && origin == ENTRY ? origins.list.items[0].place : 0;
    LIST_FREE(&origins.list);
    return origin;
}

/* Adds to LEAVES what is left when all copies are followed, whatever their number. */
static void find_leaves(const struct code *code, uint32_t at, int32_t place, uint32_t size,
                        struct origins *seen, struct origins *leaves)
{
    struct origins origins = { 0 };

    find_writers(code, at, place, size, &origins);
    leaves->unknown = leaves->unknown || !origins_known(&origins);
    for (size_t i = 0; i < origins.list.count && !leaves->unknown; i++) {
        const struct origin *origin = &origins.list.items[i];
        int32_t from;
        if (!step_back(code, origin, &from)) {
            add_origin(leaves, origin->at, origin->place, origin->size);
            continue;
        }
        size_t before = seen->list.count;
        add_origin(seen, origin->at, from, size);
        if (seen->list.count > before) {
            find_leaves(code, origin->at, from, size, seen, leaves);
        }
    }
    LIST_FREE(&origins.list);
}

void find_all_sources(const struct code *code, uint32_t at, int32_t place, uint32_t size, struct origins *ret)
{
    struct origins seen = { 0 };

    find_leaves(code, at, place, size, &seen, ret);
    ret->unknown = ret->unknown || seen.unknown;
    LIST_FREE(&seen.list);
}

/* Whether two instructions put the same number or address somewhere. */
static bool same_constants(const struct code *code, uint32_t one, uint32_t other)
{
    if (one == ENTRY || other == ENTRY) {
        return one == other;
    }
    const struct code_instruction *a = &code->instructions.items[one], *b = &code->instructions.items[other];
    const struct code_operand *from = &code->operands.items[a->operand] + 1;
    const struct code_operand *also = &code->operands.items[b->operand] + 1;
    struct object_place place, another;
    if (one == other) {
        return true;
    }
    if (a->mnemonic != b->mnemonic || a->visible_count != 2 || b->visible_count != 2 ||
        from->kind != also->kind || from[-1].size != also[-1].size) {
        return false;
    }
    if (code_named(code, from, &place) && code_named(code, also, &another)) {
        return place.symbol == another.symbol && place.section == another.section &&
               place.offset == another.offset;
    }
    return from->kind == OPERAND_NUMBER && !from->relocation && !also->relocation &&
           from->value == also->value;
}

/* How far into what its instruction writes the place of ORIGIN is. */
static uint32_t place_inside(const struct code *code, const struct origin *origin)
{
    const struct code_operand *to =
        origin->at == ENTRY ? NULL : &code->operands.items[code->instructions.items[origin->at].operand];

    if (to && to->kind == OPERAND_REGISTER) {
        return (uint32_t)(origin->place - to->number * 8 - to->first);
    }
    return to && to->kind == OPERAND_MEMORY && to->frame != NO_OFFSET
               ? (uint32_t)(origin->place - PLACE_CFA - to->frame)
               : 0;
}

uint32_t code_only_source(const struct code *code, uint32_t at, int32_t place, uint32_t size,
                          uint32_t *ret_inside)
{
    struct origins seen = { 0 }, leaves = { 0 };

    find_leaves(code, at, place, size, &seen, &leaves);
    bool single = leaves.list.count && !leaves.unknown && !seen.unknown;
    *ret_inside = single ? place_inside(code, &leaves.list.items[0]) : 0;
    for (size_t i = 1; i < leaves.list.count && single; i++) {
        single = same_constants(code, leaves.list.items[0].at, leaves.list.items[i].at) &&
                 place_inside(code, &leaves.list.items[i]) == *ret_inside;
    }
    uint32_t ret = single ? leaves.list.items[0].at : NO_INSTRUCTION;
    LIST_FREE(&seen.list);
    LIST_FREE(&leaves.list);
    return ret;
}

/* Whether the instruction of ORIGIN fills the register by extending 32 bits, and how. */
static enum extension extension_of(const struct code *code, const struct origin *origin)
{
    if (origin->at == ENTRY || code_is_call(code, origin->at)) {
        return EXTENSION_UNKNOWN;
    }
    const struct code_instruction *instruction = &code->instructions.items[origin->at];
    const struct code_operand *to = &code->operands.items[instruction->operand];
    if (to->kind != OPERAND_REGISTER || !to->written || to->number != place_register(origin->place)) {
        return EXTENSION_UNKNOWN;
    }
    return to->size == 4                                                     ? EXTENSION_ZERO
           : to->size == 8 && instruction->mnemonic == ZYDIS_MNEMONIC_MOVSXD ? EXTENSION_SIGN
                                                                             : EXTENSION_UNKNOWN;
}

enum extension code_extension(const struct code *code, uint32_t at, unsigned number)
{
    struct origins origins = { 0 };
    enum extension ret = EXTENSION_UNKNOWN;

    find_origins(code, at, number * 8, 8, &origins);
    for (size_t i = 0; i < origins.list.count && origins_known(&origins); i++) {
        enum extension each = extension_of(code, &origins.list.items[i]);
        ret = i == 0 || each == ret ? each : EXTENSION_UNKNOWN;
        if (ret == EXTENSION_UNKNOWN) {
            break;
        }
    }
    LIST_FREE(&origins.list);
    return ret;
}
