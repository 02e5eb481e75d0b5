/*
 * Frames that are not moved: those of variable size (`alloca`, arrays of variable length), and those that the
 * function aligns when it is entered. Nobody but the running program knows how far what is in them is from
 * the CFA. But if both versions make the frame in the same way, the one that is there serves the new code as
 * it is: control goes on in the new code, and at most registers get other values.
 *
 * For that, all instructions that move the stack pointer to where it is not known must be the same in both
 * versions, with the same operands, in front of which it was at the same place; and all that the new code
 * finds in the frame must lie where the old one has it.
 */
#include <Zydis/Zydis.h>
#include <dwarf.h>

#include "patch/transfer/private.h"
#include "patch/types/die_facts.h"

#define ADDRESS 8
#define TYPES_MAX 500 /* that one local leads to */
#define SCOPES_MAX 64

bool transfer_stays(const struct transfer_work *work, uint32_t old_call, uint32_t new_call)
{
    return work->old->code.instructions.items[old_call + 1].stack == NO_OFFSET ||
           work->new->code.instructions.items[new_call + 1].stack == NO_OFFSET || work->old->code.realigned ||
           work->new->code.realigned;
}

static bool writes_stack_pointer(const struct code *code, const struct code_instruction *instruction)
{
    for (unsigned i = 0; i < instruction->operand_count; i++) {
        const struct code_operand *operand = &code->operands.items[instruction->operand + i];
        if (operand->kind == OPERAND_REGISTER && operand->number == RSP && operand->written) {
            return true;
        }
    }
    return false;
}

/* Whether AT leaves the stack pointer where only the running program knows, or aligns it. */
static bool moves_stack(const struct code *code, uint32_t at)
{
    const struct code_instruction *instruction = &code->instructions.items[at];

    return code->blocks.items[instruction->block].reached &&
           !(instruction->flags & (CODE_CALL | CODE_ENDS | CODE_EXIT)) &&
           writes_stack_pointer(code, instruction) &&
           (instruction->mnemonic == ZYDIS_MNEMONIC_AND || code_pointer_after(code, at, RSP) == NO_OFFSET);
}

static bool same_numbers(const struct match *match, uint32_t old_at, uint32_t new_at)
{
    const struct code_instruction *old = &match->old->instructions.items[old_at];
    const struct code_instruction *new = &match->new->instructions.items[new_at];

    for (unsigned i = 0; i < new->visible_count; i++) {
        const struct code_operand *a = &match->old->operands.items[old->operand + i];
        const struct code_operand *b = &match->new->operands.items[new->operand + i];
        if (a->kind == OPERAND_NUMBER && a->value != b->value) {
            return false;
        }
    }
    return true;
}

static bool same_move(struct match *match, uint32_t old_at, uint32_t new_at)
{
    return old_at != NO_INSTRUCTION && new_at != NO_INSTRUCTION && !match->unsure[new_at] &&
           code_pointer(match->old, old_at, RSP) == code_pointer(match->new, new_at, RSP) &&
           same_numbers(match, old_at, new_at) && match_same_computation(match, new_at);
}

/* Whether both versions make the same frame. */
static bool same_frames(struct match *match)
{
    bool same = match->old->realigned == match->new->realigned;

    for (uint32_t i = 0; i < match->old->instructions.count && same; i++) {
        same = !moves_stack(match->old, i) || match->new_of[i] != NO_INSTRUCTION;
    }
    for (uint32_t i = 0; i < match->new->instructions.count &&same; i++) {
        same = !moves_stack(match->new, i) || same_move(match, match->old_of[i], i);
    }
    return same;
}

/* Types that were looked at, by their DIEs. */
typedef LIST(void *) seen_types;

/* Notes PLAIN; whether it is to be looked at. */
static bool is_unseen(seen_types *seen, const Dwarf_Die *plain)
{
    for (size_t i = 0; i < seen->count; i++) {
        if (seen->items[i] == plain->addr) {
            return false;
        }
    }
    LIST_ADD(seen, plain->addr);
    return true;
}

/* Whether TYPE changes, or somebody who has one may come to an instance of a type that does. */
static bool may_lead_to_change(const struct transfer_work *work, Dwarf_Die type, seen_types *seen)
{
    const struct transfer_pair *pair = work->pair;
    Dwarf_Die plain, next, child;
    uint32_t migration;
    bool found = false;

    if (dwarf_peel_type(&type, &plain) != 0 || seen->count == TYPES_MAX) {
        return true;
    }
    if (!is_unseen(seen, &plain)) {
        return false;
    }
    if (pair->changes(pair->changes_context, &type, NULL, pair->back, &migration) == LOCAL_DIFFERS) {
        return true;
    }
    switch (dwarf_tag(&plain)) {
    case DW_TAG_pointer_type:
    case DW_TAG_array_type:
        return !die_type(&plain, &next) || may_lead_to_change(work, next, seen);
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
        for (int more = dwarf_child(&plain, &child); more == 0 && !found;
             more = dwarf_siblingof(&child, &child)) {
            found = dwarf_tag(&child) == DW_TAG_member && die_type(&child, &next) &&
                    may_lead_to_change(work, next, seen);
        }
        return found || dwarf_hasattr(&plain, DW_AT_declaration);
    default:
        return false;
    }
}

/* The first local below SCOPE, in whichever block, that may lead to an instance of a type that changes; NULL:
 * none does. */
static const char *find_leading(const struct transfer_work *work, Dwarf_Die *scope, unsigned depth)
{
    const char *found = NULL;
    Dwarf_Die child, type;

    for (int more = dwarf_child(scope, &child); more == 0 && !found; more = dwarf_siblingof(&child, &child)) {
        int tag = dwarf_tag(&child);
        seen_types seen = { 0 };
        if ((tag == DW_TAG_variable || tag == DW_TAG_formal_parameter) && die_type(&child, &type) &&
            may_lead_to_change(work, type, &seen)) {
            const char *name = dwarf_diename(&child);
            found = name ? name : "?";
        } else if ((tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine) && depth < SCOPES_MAX) {
            found = find_leading(work, &child, depth + 1);
        }
        LIST_FREE(&seen);
    }
    return found;
}

/* Memory that has no name, and is no block of the heap, is never made anew: so no local may lead to an
 * instance of a type that changes, which may be in it. What `alloca` gave is there as long as the frame, even
 * if the block is left that has the local. */
static char *check_instances(const struct transfer_work *work)
{
    Dwarf_Die function = work->old->debug.die;
    const char *local = NULL;

    if (work->pair->changes) {
        local = work->old->debug.known ? find_leading(work, &function, 0) : "?";
    }
    return local ? must_printf("the frame has no fixed size, and local `%s` may lead to an instance in it of "
                               "a type that changes",
                               local)
                 : NULL;
}

char *transfer_prepare_to_stay(struct transfer_work *work, uint32_t old_call, uint32_t new_call)
{
    bool fixed = work->old->code.instructions.items[old_call + 1].stack ==
                 work->new->code.instructions.items[new_call + 1].stack;
    int32_t low = work->old->low < work->new->low ? work->old->low : work->new->low;

    work->recipe->old_size = work->recipe->new_size = (uint32_t)-low;
    if (!work->frames) {
        work->frames = same_frames(&work->match) ? FRAMES_SAME : FRAMES_DIFFER;
    }
    if (work->frames == FRAMES_DIFFER || !fixed) {
        return must_strdup("the frame has no fixed size, and the new version makes it in another way");
    }
    if (work->match.old_of[new_call] != old_call) {
        return must_strdup("the frame has no fixed size, and the code around the call is another one");
    }
    return NULL;
}

/* Whether what VALUE says of its place is so already. */
static bool is_there(struct transfer_work *work, const struct recipe_value *value)
{
    bool in_register = value->to_kind == MOLT_VALUE_REGISTER;
    int32_t place = in_register ? value->to * ADDRESS : PLACE_CFA + value->to;

    if (value->migration) {
        return false;
    }
    if (value->from_kind == value->to_kind) {
        return value->from == value->to && !value->addend && value->size == value->from_size;
    }
    if (value->from_kind == MOLT_VALUE_FRAME && in_register) {
        return value->from == code_pointer(&work->old->code, work->old->at, (unsigned)value->to);
    }
    return match_finds(&work->match, work->new->at, place, work->old->at, &place, 1, value->size) == 0;
}

char *transfer_stay(struct transfer_work *work)
{
    struct recipe *recipe = work->recipe;
    size_t count = 0;
    char *reason = recipe->policy ? must_strdup("the frame has no fixed size: MOLT_TRANSFER cannot change it")
                                  : check_instances(work);

    for (size_t i = 0; i < recipe->values.count && !reason; i++) {
        const struct recipe_value *value = &recipe->values.items[i];
        bool made = value->to_kind == MOLT_VALUE_REGISTER &&
                    (value->from_kind == MOLT_VALUE_REGISTER || value->from_kind == MOLT_VALUE_CONSTANT ||
                     value->from_kind == MOLT_VALUE_SYMBOL || value->from_kind == MOLT_VALUE_CONTENT ||
                     value->from_kind == MOLT_VALUE_GUARD);
        if (is_there(work, value)) {
            continue;
        }
        if (!made) {
            reason =
                must_printf("the frame has no fixed size, and the new version keeps %s%s%s elsewhere in it",
                            value->variable ? "local `" : "a temporary",
                            value->variable ? value->variable : "", value->variable ? "`" : "");
        }
        recipe->values.items[count++] = *value;
    }
    recipe->values.count = count;
    recipe->old_size = recipe->new_size = 0;
    return reason;
}
