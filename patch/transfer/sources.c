/*
 * Where a value that the new code reads is in the old frame. What the debug information calls a variable is where it says
 * that the old version keeps the variable of the same name and scope; anything else is where the same computation left it.
 * What is a number, or the address of something, needs no source.
 */
#include <Zydis/Zydis.h>
#include <stdlib.h>
#include <string.h>

#include "patch/transfer/private.h"

/* Why a variable's value is not known. */
enum { PROBLEM_NEW = 1, PROBLEM_TYPE = 2, PROBLEM_LOST = 4 };

bool transfer_take_piece(const struct local_piece *piece, uint32_t offset, uint32_t size,
                         struct recipe_value *ret)
{
    uint32_t inside = offset - piece->offset;

    switch (piece->kind) {
    case LOCAL_REGISTER:
        ret->from_kind = MOLT_VALUE_REGISTER;
        ret->from = piece->value;
        ret->from_size = size;
        ret->addend = piece->addend;
        return !inside && piece->value < REGISTERS && register_is_preserved(piece->value) && size <= 8;
    case LOCAL_SLOT:
        ret->from_kind = MOLT_VALUE_SLOT;
        ret->from = piece->value + inside;
        ret->from_size = size;
        return true;
    case LOCAL_CONSTANT:
        ret->from_kind = MOLT_VALUE_CONSTANT;
        ret->from = piece->value;
        return !inside && size <= 8;
    case LOCAL_FRAME: /* the address of a local: whether it may move is judged for all of them */
    case LOCAL_COMPUTED:
        break;
    }
    return false;
}

/* What is read of a variable may be wider in the new version. */
static bool widens(const struct local *old, const struct local *new, uint32_t size, bool *ret_signed)
{
    struct local a = *old, b = *new;
    bool new_signed;

    return a.typed && b.typed && local_is_integer(&a.type, ret_signed) &&
           local_is_integer(&b.type, &new_signed) && a.size < b.size && size == b.size &&
           (!*ret_signed || new_signed);
}

/* The value of LOCAL, a variable of the new version, SIZE bytes at OFFSET of it. */
static char *from_local(const struct transfer_work *work, const struct local *local, uint32_t offset,
                        uint32_t size, unsigned *ret_problem, struct recipe_value *ret)
{
    const struct local *old = local_counterpart(work->old->locals, work->new->locals, local);
    struct local a, b = *local;
    bool is_signed = false;

    *ret_problem = 0;
    if (!old) {
        *ret_problem = PROBLEM_NEW;
        return must_printf("local `%s` is alive and new, or cannot be told from another of the name",
                           local->name);
    }
    a = *old;
    if (!a.typed || !b.typed || !same_local_type(&a.type, &b.type)) {
        if (offset || transfer_is_given(work, local) || !widens(old, local, size, &is_signed)) {
            *ret_problem = PROBLEM_TYPE;
            return must_printf("local `%s` has another type", local->name);
        }
        size = old->size;
    }
    const struct local_piece *piece = local_piece_of(old, offset, size);
    if (piece && transfer_take_piece(piece, offset, size, ret)) {
        ret->is_signed = is_signed;
        return NULL;
    }
    *ret_problem = PROBLEM_LOST;
    return must_printf("local `%s` is alive and %s in the version that runs", local->name,
                       piece ? "not kept as such" : "optimised out");
}

static bool same_source(const struct recipe_value *a, const struct recipe_value *b)
{
    return a->from_kind == b->from_kind && a->from == b->from && a->from_size == b->from_size &&
           a->addend == b->addend;
}

bool transfer_subtract(struct recipe_value *value, int64_t addend)
{
    if (value->from_kind == MOLT_VALUE_CONSTANT) {
        value->from -= addend;
    } else if (value->from_kind < MOLT_VALUE_PLACES) {
        value->addend -= addend;
    } else {
        return !addend;
    }
    return value->addend == (int32_t)value->addend && (!value->addend || value->from_size <= 8);
}

/* All locals that the place is said to hold must agree on what it holds now. */
static char *from_locals(const struct transfer_work *work, int32_t place, uint32_t size, bool *ret_described,
                         unsigned *ret_problems, struct recipe_value *ret)
{
    char *reason = NULL;
    bool taken = false;

    *ret_described = false;
    *ret_problems = 0;
    for (size_t i = 0; i < work->new->locals->count; i++) {
        const struct local *local = &work->new->locals->items[i];
        for (size_t k = 0; k < local->pieces.count; k++) {
            const struct local_piece *piece = &local->pieces.items[k];
            bool in_register = piece->kind == LOCAL_REGISTER;
            int64_t start = in_register ? piece->value * 8 : PLACE_CFA + piece->value;
            if (piece->kind > LOCAL_SLOT || place < start || place >= start + piece->size) {
                continue;
            }
            uint32_t inside = place - start, wanted = size;
            wanted = in_register && wanted > piece->size ? piece->size : wanted;
            if (inside + wanted > piece->size) {
                continue;
            }
            struct recipe_value value = *ret;
            unsigned kind;
            char *problem = from_local(work, local, piece->offset + inside, wanted, &kind, &value);
            if (!problem && !transfer_subtract(&value, piece->addend)) {
                kind = PROBLEM_LOST;
                problem = must_printf("local `%s` is kept in the new version as something else", local->name);
            }
            *ret_described = true;
            if (!problem && !taken) {
                *ret = value;
                ret->variable = local->name;
                taken = true;
            } else if (!problem && !same_source(&value, ret)) {
                free(reason);
                return must_printf("locals `%s` and `%s` share a place only in the new version",
                                   ret->variable, local->name);
            }
            *ret_problems |= kind;
            if (problem && !reason) {
                reason = problem;
            } else {
                free(problem);
            }
        }
    }
    if (taken) {
        free(reason);
        return NULL;
    }
    return reason;
}

/* A number or an address that the new code itself puts there, on whichever way. */
static bool take_constant(const struct transfer_work *work, int32_t place, uint32_t size,
                          struct recipe_value *ret)
{
    const struct code *code = &work->new->code;
    uint32_t origin = code_only_source(code, work->new->at, place, size);

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
        ret->from = to->size == 4 ? (int64_t)(uint32_t)from->value : from->value;
        return to->kind == OPERAND_REGISTER ? to->size >= 4 : to->size >= size;
    }
    int32_t pointer = size == 8 && to->kind == OPERAND_REGISTER && instruction->mnemonic == ZYDIS_MNEMONIC_LEA
                          ? code_pointer_after(code, origin, to->number)
                          : NO_OFFSET;
    if (pointer != NO_OFFSET) {
        ret->from_kind = MOLT_VALUE_FRAME;
        ret->from = pointer;
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

/* Where the old version has the result of the same computation. */
static bool take_proven(struct transfer_work *work, int32_t place, uint32_t size, struct recipe_value *ret)
{
    const frame_slots *slots = &work->old->slots;
    LIST(int32_t) candidates = { 0 };
    bool found = false;

    if (place_in_frame(place) || register_is_preserved(place_register(place))) {
        LIST_ADD(&candidates, place);
    }
    for (unsigned i = 0; i < REGISTERS && size <= 8; i++) {
        if (register_is_preserved(i) && (int32_t)i * 8 != place) {
            LIST_ADD(&candidates, (int32_t)i * 8);
        }
    }
    for (size_t i = 0; i < slots->count; i++) {
        const struct frame_slot *slot = &slots->items[i];
        bool known = slot->size < size || slot->place == place;
        for (uint32_t k = slot->earlier; k != NO_INSTRUCTION && !known; k = slots->items[k].earlier) {
            known = slots->items[k].size >= size;
        }
        if (!known) {
            LIST_ADD(&candidates, slot->place);
        }
    }
    size_t index = match_finds(&work->match, work->new->at, place, work->old->at, candidates.items,
                               candidates.count, size);
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

char *transfer_source(struct transfer_work *work, int32_t place, uint32_t size, struct recipe_value *ret)
{
    unsigned problems;
    bool described;

    if (!place_in_frame(place)) {
        int32_t pointer = code_pointer(&work->new->code, work->new->at, place_register(place));
        if (pointer != NO_OFFSET) {
            ret->from_kind = MOLT_VALUE_FRAME;
            ret->from = pointer;
            ret->from_size = 8;
            return NULL;
        }
    }
    char *reason = from_locals(work, place, size, &described, &problems, ret);
    if (described && !reason && extends(work, place, size, ret)) {
        return NULL;
    }
    struct recipe_value other = { .to = ret->to, .to_kind = ret->to_kind, .size = ret->size };
    if ((!described || !reason || problems == PROBLEM_LOST) && take_proven(work, place, size, &other)) {
        other.variable = ret->variable;
        *ret = other;
        free(reason);
        return NULL;
    }
    bool given = false;
    char *why = reason ? transfer_given(work, place, size, &given, &other) : NULL;
    if (given && (why || extends(work, place, size, &other))) {
        *ret = other;
        free(reason);
        return why;
    }
    if ((!described || problems == PROBLEM_NEW) && take_constant(work, place, size, &other)) {
        *ret = other;
        free(reason);
        return NULL;
    }
    return reason ? reason : temporary_reason(work, place, size);
}
