/*
 * Where a value that the new code reads is in the old frame. What the debug information calls a variable is
 * where it says that the old version keeps the variable of the same name and scope; anything else is where
 * the same computation left it, or is worked out anew. What is a number, or the address of something, needs
 * no source.
 */
#include <Zydis/Zydis.h>
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "patch/transfer/private.h"
#include "patch/types/die_facts.h"

#define STACK_GUARD 0x28 /* where a thread's is, by the ABI of thread-local storage of glibc and musl */

/* What -fstack-protector puts in front of the return address: the same in all frames of a process. */
static bool is_guard(const struct code_instruction *instruction, const struct code_operand *to,
                     const struct code_operand *from)
{
    return instruction->mnemonic == ZYDIS_MNEMONIC_MOV && to->size == 8 && from->kind == OPERAND_MEMORY &&
           from->segment == SEGMENT_FS && from->value == STACK_GUARD && from->base == REGISTERS &&
           from->index == REGISTERS && !from->relocation && !from->relative;
}

/* Whether VARIABLE, or what it is an array of, is const: then it has one value for good, and compilers rely
 * on that. */
static bool is_const(Dwarf_Die *variable)
{
    Dwarf_Die type;
    bool found = die_type(variable, &type), constant = false;

    while (found && (dwarf_tag(&type) == DW_TAG_typedef || dwarf_tag(&type) == DW_TAG_array_type ||
                     dwarf_tag(&type) == DW_TAG_const_type)) {
        constant = constant || dwarf_tag(&type) == DW_TAG_const_type;
        Dwarf_Die whole = type;
        found = die_type(&whole, &type);
    }
    return constant && found && dwarf_tag(&type) != DW_TAG_volatile_type;
}

/* Whether the unit of VERSION says of the variable NAME, all of that name, that it is const. */
static bool names_const(const struct version *version, const char *name)
{
    Dwarf_Die unit = version->unit, die;
    bool all = true, any = false;

    for (int more = unit.addr ? dwarf_child(&unit, &die) : 1; more == 0 && all;
         more = dwarf_siblingof(&die, &die)) {
        const char *found = dwarf_tag(&die) == DW_TAG_variable ? dwarf_diename(&die) : NULL;
        if (found && strcmp(found, name) == 0) {
            any = true;
            all = is_const(&die);
        }
    }
    return any && all;
}

/* What FROM, which the new code loads TO from, holds if that is a variable that never changes. */
static bool take_content(const struct transfer_work *work, const struct code_operand *to,
                         const struct code_operand *from, uint32_t size, struct recipe_value *ret)
{
    struct object_place place;

    if (to->kind != OPERAND_REGISTER || to->size < 4 || to->size < size || size > 8 ||
        from->kind != OPERAND_MEMORY || !from->relative || from->segment ||
        !code_named(&work->new->code, from, &place) || from->relocation->type != R_X86_64_PC32 ||
        !place.symbol || place.symbol->type == STT_FUNC || !names_const(work->new, place.symbol->name)) {
        return false;
    }
    ret->from_kind = MOLT_VALUE_CONTENT;
    ret->symbol = place;
    ret->from = place.offset;
    return true;
}

/* The address of something, as FROM takes it from the global offset table. */
static bool take_offset_table(const struct transfer_work *work, const struct code_operand *to,
                              const struct code_operand *from, uint32_t size, struct recipe_value *ret)
{
    if (to->kind != OPERAND_REGISTER || size != 8 || to->size != 8 || from->kind != OPERAND_MEMORY ||
        !from->relative || !code_named(&work->new->code, from, &ret->symbol) || !ret->symbol.symbol ||
        (from->relocation->type != R_X86_64_GOTPCREL && from->relocation->type != R_X86_64_GOTPCRELX &&
         from->relocation->type != R_X86_64_REX_GOTPCRELX)) {
        return false;
    }
    ret->from_kind = MOLT_VALUE_SYMBOL;
    ret->from = ret->symbol.offset = 0;
    return true;
}

/* A number or an address that the new code itself puts there, on whichever way. */
static bool take_constant(const struct transfer_work *work, int32_t place, uint32_t size,
                          struct recipe_value *ret)
{
    const struct code *code = &work->new->code;
    uint32_t inside, origin = code_only_source(code, work->new->at, place, size, &inside);

    if (origin == NO_INSTRUCTION) {
        return false;
    }
    const struct code_instruction *instruction = &code->instructions.items[origin];
    const struct code_operand *to = &code->operands.items[instruction->operand], *from = to + 1;
    bool to_place = to->kind == OPERAND_REGISTER || (to->kind == OPERAND_MEMORY && to->frame != NO_OFFSET);
    ret->from_size = size;
    if (!to_place || instruction->visible_count != 2) {
        return false;
    }
    if (instruction->mnemonic == ZYDIS_MNEMONIC_XOR && from->kind == OPERAND_REGISTER &&
        from->number == to->number && from->size >= 4) {
        ret->from_kind = MOLT_VALUE_CONSTANT;
        ret->from = 0;
        return true;
    }
    if (instruction->mnemonic == ZYDIS_MNEMONIC_MOV && from->kind == OPERAND_NUMBER && !from->relocation) {
        ret->from_kind = MOLT_VALUE_CONSTANT;
        uint64_t number = to->size == 4 ? (uint32_t)from->value : (uint64_t)from->value;
        ret->from = (int64_t)(number >> (8 * (inside & 7)));
        return to->kind == OPERAND_REGISTER ? to->size >= 4 : to->size >= inside + size;
    }
    if (inside) {
        return false;
    }
    int32_t pointer = size == 8 && to->kind == OPERAND_REGISTER && instruction->mnemonic == ZYDIS_MNEMONIC_LEA
                          ? code_pointer_after(code, origin, to->number)
                          : NO_OFFSET;
    if (pointer != NO_OFFSET) {
        ret->from_kind = MOLT_VALUE_FRAME;
        ret->from = pointer;
        return true;
    }
    if (is_guard(instruction, to, from)) {
        ret->from_kind = MOLT_VALUE_GUARD;
        return size == 8;
    }
    if (instruction->mnemonic == ZYDIS_MNEMONIC_MOV &&
        (take_content(work, to, from, size, ret) || take_offset_table(work, to, from, size, ret))) {
        return true;
    }
    bool lea = instruction->mnemonic == ZYDIS_MNEMONIC_LEA && from->relative;
    bool mov = instruction->mnemonic == ZYDIS_MNEMONIC_MOV && from->kind == OPERAND_NUMBER;
    if ((lea || mov) && size == 8 && code_named(code, from, &ret->symbol)) {
        ret->from_kind = MOLT_VALUE_SYMBOL;
        ret->from = ret->symbol.offset;
        return from->relocation->type == R_X86_64_PC32 || from->relocation->type == R_X86_64_PLT32 ||
               from->relocation->type == R_X86_64_32 || from->relocation->type == R_X86_64_32S;
    }
    return false;
}

static void take_place(int32_t place, uint32_t size, struct recipe_value *ret)
{
    bool in_frame = place_in_frame(place);

    ret->from_kind = in_frame ? MOLT_VALUE_SLOT : MOLT_VALUE_REGISTER;
    ret->from = in_frame ? place - PLACE_CFA : place / 8;
    ret->from_size = size;
}

/* Whether PLACE is, in the version that runs, where nobody keeps anything during the call: below the frame,
 * as arguments that were pushed for another call, and taken off again, are. */
static bool is_gone(const struct transfer_work *work, int32_t place)
{
    return place_in_frame(place) &&
           place - PLACE_CFA < work->old->code.instructions.items[work->old->at].stack;
}

bool transfer_take_proven(struct transfer_work *work, uint32_t at, int32_t place, uint32_t size,
                          struct recipe_value *ret)
{
    const frame_slots *slots = &work->old->slots;
    LIST(int32_t) candidates = { 0 };
    bool found = false;

    if (place_in_frame(place) ? !is_gone(work, place) : register_is_preserved(place_register(place))) {
        LIST_ADD(&candidates, place);
    }
    for (unsigned i = 0; i < REGISTERS && size <= 8; i++) {
        if (register_is_preserved(i) && (int32_t)i * 8 != place) {
            LIST_ADD(&candidates, (int32_t)i * 8);
        }
    }
    for (size_t i = 0; i < slots->count; i++) {
        const struct frame_slot *slot = &slots->items[i];
        bool known = slot->size < size || slot->place == place || is_gone(work, slot->place);
        for (uint32_t k = slot->earlier; k != NO_INSTRUCTION && !known; k = slots->items[k].earlier) {
            known = slots->items[k].size >= size;
        }
        if (!known) {
            LIST_ADD(&candidates, slot->place);
        }
    }
    size_t index =
        match_finds(&work->match, at, place, work->old->at, candidates.items, candidates.count, size);
    if (index < candidates.count) {
        take_place(candidates.items[index], size, ret);
        found = true;
    }
    LIST_FREE(&candidates);
    return found;
}

static char *temporary_reason(const struct transfer_work *work, int32_t place, uint32_t size)
{
    int32_t entry;
    uint32_t origin = code_origin(&work->new->code, work->new->at, place, size, &entry);
    unsigned line = origin == NO_INSTRUCTION ? 0 : work->new->code.instructions.items[origin].line;
    char *where = place_in_frame(place) ? must_printf("at CFA%+d", place - PLACE_CFA)
                                        : must_strdup(register_name(place_register(place)));
    char *reason =
        line ? must_printf("the version that runs does not have a temporary of line %u (in %s)", line, where)
             : must_printf("the version that runs does not have a temporary (in %s)", where);

    free(where);
    return reason;
}

/* The bytes of a register beyond those of the variable that it holds. */
static bool extends(const struct transfer_work *work, int32_t place, uint32_t size,
                    struct recipe_value *value)
{
    if (place_in_frame(place) || value->from_size >= size || value->from_kind >= MOLT_VALUE_PLACES) {
        return true;
    }
    enum extension extension = code_extension(&work->new->code, work->new->at, place_register(place));
    value->is_signed = value->is_signed || extension == EXTENSION_SIGN;
    return value->from_size == 4 && extension != EXTENSION_UNKNOWN;
}

/* The address of something in the frame. */
static bool take_pointer(const struct transfer_work *work, int32_t place, struct recipe_value *ret)
{
    int32_t pointer = place_in_frame(place)
                          ? NO_OFFSET
                          : code_pointer(&work->new->code, work->new->at, place_register(place));

    ret->from_kind = MOLT_VALUE_FRAME;
    ret->from = pointer;
    ret->from_size = 8;
    return pointer != NO_OFFSET;
}

/* What is no variable that the old version has, but what the new code makes by itself. */
static bool take_made(struct transfer_work *work, int32_t place, uint32_t size, bool described,
                      struct recipe_value *ret)
{
    return !code_is_reached(&work->new->code, place, size) &&
           (take_constant(work, place, size, ret) ||
            (!described && transfer_recompute(work, place, size, ret)));
}

char *transfer_source(struct transfer_work *work, int32_t place, uint32_t size, struct recipe_value *ret)
{
    struct recipe_value value = *ret, other = *ret;
    bool described, given = false, found;
    unsigned problems;

    if (take_pointer(work, place, &value)) {
        *ret = value;
        return NULL;
    }
    value = *ret;
    char *reason = transfer_described(work, place, size, &described, &problems, &value), *why = NULL;
    found = described && !reason && extends(work, place, size, &value);
    if (!found && (!described || !reason || problems == PROBLEM_LOST)) {
        found = transfer_take_proven(work, work->new->at, place, size, &other);
        other.variable = value.variable;
        value = found ? other : value;
    }
    if (!found && reason) {
        other = *ret;
        why = transfer_given(work, place, size, &given, &other);
        found = given && (why || extends(work, place, size, &other));
        value = found ? other : value;
    }
    if (!found && (!described || problems == PROBLEM_NEW)) {
        other = *ret;
        found = take_made(work, place, size, described, &other);
        value = found ? other : value;
    }
    if (found) {
        *ret = value;
        free(reason);
        return why;
    }
    return reason ? reason : temporary_reason(work, place, size);
}
