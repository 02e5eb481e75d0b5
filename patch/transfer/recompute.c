/*
 * Temporaries that are worked out anew: what the new code has made of another value by adding a number or by
 * extending it, such as the address of a member, is made so again of that value, wherever the old frame has
 * it.
 *
 * The new code made the temporary when it came by the last time. Its operand may have been written since, and
 * be another value by now: so whatever writes the operand must not be able to come to the call but by way of
 * the instruction that makes the temporary. Then what the operand holds at the call, or the old code's
 * counterpart of it, is what the temporary was made of.
 */
#include <Zydis/Zydis.h>
#include <stdlib.h>

#include "patch/transfer/origins.h"
#include "patch/transfer/private.h"

#define STEPS_MAX 8
#define DEPTH_MAX 3 /* of recomputed operands of recomputed values */

/* What an instruction does with its one operand. */
struct made {
    int32_t place; /* the operand's */
    uint32_t size; /* of it that counts */
    bool is_signed;
    int64_t addend;
};

static bool is_general(const struct code_operand *operand)
{
    return operand->kind == OPERAND_REGISTER && operand->number != RSP && !operand->first;
}

/* The place of an operand that is read; 0 is that of rax, so NO_OFFSET: it is none. */
static int32_t place_of(const struct code_operand *operand)
{
    return operand->kind == OPERAND_REGISTER
               ? (is_general(operand) ? (int32_t)operand->number * 8 : NO_OFFSET)
           : operand->kind == OPERAND_MEMORY && operand->frame != NO_OFFSET ? PLACE_CFA + operand->frame
                                                                            : NO_OFFSET;
}

/* `lea NUMBER(%register)`. */
static bool makes_address(const struct code_operand *to, const struct code_operand *from, struct made *ret)
{
    ret->size = to->size;
    ret->place = (int32_t)from->base * 8;
    ret->addend = from->value;
    return from->base < REGISTERS && from->base != RSP && from->index == REGISTERS && !from->relocation &&
           !from->segment;
}

/* `add NUMBER, PLACE` and `sub`. */
static bool makes_sum(const struct code_operand *to, const struct code_operand *from, int sign,
                      struct made *ret)
{
    ret->size = to->size;
    ret->place = place_of(to);
    ret->addend = sign * from->value;
    return from->kind == OPERAND_NUMBER && !from->relocation && ret->place != NO_OFFSET;
}

/* What is moved, perhaps to a wider place. */
static bool makes_copy(const struct code_operand *from, bool is_signed, struct made *ret)
{
    ret->size = from->size;
    ret->place = place_of(from);
    ret->is_signed = is_signed;
    return ret->place != NO_OFFSET;
}

/* What INSTRUCTION leaves in the SIZE bytes at PLACE. False: it is no operation that is known here. */
static bool makes(const struct code *code, const struct code_instruction *instruction, int32_t place,
                  uint32_t size, struct made *ret)
{
    const struct code_operand *to = &code->operands.items[instruction->operand], *from = to + 1;

    *ret = (struct made){ .place = NO_OFFSET };
    if (instruction->visible_count != 2 || place_of(to) != place ||
        (to->size < size && !(to->kind == OPERAND_REGISTER && to->size == 4)) || size > 8) {
        return false;
    }
    switch (instruction->mnemonic) {
    case ZYDIS_MNEMONIC_LEA:
        return makes_address(to, from, ret);
    case ZYDIS_MNEMONIC_ADD:
        return makes_sum(to, from, 1, ret);
    case ZYDIS_MNEMONIC_SUB:
        return makes_sum(to, from, -1, ret);
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_MOVZX:
        return makes_copy(from, false, ret);
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD:
        return makes_copy(from, true, ret) && to->size >= size;
    default:
        return false;
    }
}

/* Whether control may come from behind instruction FROM to instruction TO without passing BY. */
static bool gets_past(const struct code *code, uint32_t from, uint32_t to, uint32_t by)
{
    const struct code_block *blocks = code->blocks.items;
    uint32_t end = code->instructions.items[to].block, gate = code->instructions.items[by].block;
    uint32_t block = code->instructions.items[from].block;
    bool past = false;

    if (block == end && from < to && !(from < by && by < to)) {
        return true;
    }
    if (block == gate && from < by) {
        return false;
    }
    struct code_search *search = code->search;
    search->number++;
    search->waiting.count = 0;
    LIST_ADD(&search->waiting, block);
    while (search->waiting.count && !past) {
        const struct code_block *at = &blocks[search->waiting.items[--search->waiting.count]];
        for (size_t i = 0; i < at->next.count && !past; i++) {
            uint32_t next = at->next.items[i];
            past = next == end && !(gate == end && by < to);
            if (search->seen[next] != search->number && next != gate) {
                search->seen[next] = search->number;
                LIST_ADD(&search->waiting, next);
            }
        }
    }
    return past;
}

/* Whether what SIZE bytes at PLACE held at instruction AT is what was written there last when control is at
 * CALL. */
static bool is_fresh(const struct code *code, const struct origins *writers, uint32_t at, uint32_t call)
{
    bool fresh = origins_known(writers);

    for (size_t i = 0; i < writers->list.count && fresh; i++) {
        uint32_t writer = writers->list.items[i].at;
        fresh = writer == ENTRY || (writer != at && !gets_past(code, writer, call, at));
    }
    return fresh;
}

static bool same_writers(const struct origins *a, const struct origins *b)
{
    bool same = origins_known(a) && origins_known(b) && a->list.count == b->list.count;

    for (size_t i = 0; i < a->list.count && same; i++) {
        bool found = false;
        for (size_t k = 0; k < b->list.count; k++) {
            found = found || a->list.items[i].at == b->list.items[k].at;
        }
        same = found;
    }
    return same;
}

/* What the place that MADE names held at instruction AT, as a value of the old frame. */
static bool take_operand(struct transfer_work *work, const struct made *made, uint32_t at,
                         const struct origins *writers, struct recipe_value *ret)
{
    const struct code *code = &work->new->code;
    struct origins now = { 0 };

    find_writers(code, work->new->at, made->place, made->size, &now);
    bool still = same_writers(writers, &now);
    find_origins(code, at, made->place, made->size, &now);
    bool fresh = is_fresh(code, &now, at, work->new->at);
    LIST_FREE(&now.list);
    if (still && work->depth < DEPTH_MAX) {
        struct recipe_value value = *ret;
        work->depth++;
        char *reason = transfer_source(work, made->place, made->size, &value);
        work->depth--;
        if (!reason) {
            *ret = value;
            return true;
        }
        free(reason);
    }
    return fresh && transfer_take_proven(work, at, made->place, made->size, ret);
}

/* Does to VALUE, the operand's, what MADE says; SIZE bytes of the result count. What is read is extended
 * after the addition. */
static bool apply(const struct made *made, uint32_t size, struct recipe_value *value)
{
    bool anonymous = value->from_kind == MOLT_VALUE_SYMBOL && !value->symbol.symbol;

    if (value->from_kind < MOLT_VALUE_PLACES || value->from_kind == MOLT_VALUE_CONTENT) {
        bool whole = value->from_size >= made->size;
        value->from_size = made->size;
        value->is_signed = made->is_signed;
        value->addend += made->addend;
        return whole && value->addend == (int32_t)value->addend;
    }
    value->from += made->addend;
    return size == 8 && made->size == 8 && !anonymous && value->from_kind != MOLT_VALUE_GUARD;
}

/* Whether some variable of the old version's may be what the new code keeps without a word: then it is none
 * to be worked out anew. */
static bool may_be_variable(const struct transfer_work *work)
{
    for (size_t i = 0; i < work->old->locals->count; i++) {
        const struct local *old = &work->old->locals->items[i];
        const struct local *new = local_counterpart(work->new->locals, work->old->locals, old);
        if (old->pieces.count && new && !new->pieces.count) {
            return true;
        }
    }
    return false;
}

bool transfer_recompute(struct transfer_work *work, int32_t place, uint32_t size, struct recipe_value *ret)
{
    const struct code *code = &work->new->code;
    struct origins writers = { 0 };
    struct recipe_value value = *ret;
    struct made made[STEPS_MAX];
    uint32_t at = work->new->at, count = 0;
    uint32_t wanted[STEPS_MAX];
    bool found = false;

    find_writers(code, at, place, size, &writers);
    while (!found && count < STEPS_MAX && origins_known(&writers) && writers.list.count == 1 &&
           writers.list.items[0].at != ENTRY) {
        at = writers.list.items[0].at;
        wanted[count] = size;
        if (code_is_reached(code, place, size) ||
            !makes(code, &code->instructions.items[at], place, size, &made[count])) {
            break;
        }
        size = made[count].size < size ? made[count].size : size;
        made[count].size = size;
        place = made[count++].place;
        find_writers(code, at, place, size, &writers);
        if (code_is_reached(code, place, size) || !is_fresh(code, &writers, at, work->new->at)) {
            break;
        }
        value = *ret;
        found = take_operand(work, &made[count - 1], at, &writers, &value);
    }
    LIST_FREE(&writers.list);
    for (uint32_t i = count; i-- > 0 && found;) {
        found = apply(&made[i], wanted[i], &value);
    }
    if (!found || may_be_variable(work)) {
        return false;
    }
    *ret = value;
    return true;
}
