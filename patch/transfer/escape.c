/*
 * Addresses followed through one function: for each register, on entry to each block, a set of objects that
 * its value may come from; for the frame's memory one such set for the whole function, since it is written
 * rarely. Whatever is computed from an address counts as one. What is loaded from elsewhere does not, as
 * storing an address there has let it escape. Memory of the frame that is reached by address is taken for
 * one: what was stored anywhere in it is loaded from everywhere in it, and escapes with its address.
 */
#include "patch/transfer/escape.h"

#include <Zydis/Zydis.h>
#include <stdlib.h>
#include <string.h>

#include "patch/transfer/origins.h"

#define ADDRESS 8
#define PLACES (REGISTERS + VECTORS) /* of a state */
#define OBJECTS_MAX 60
#define ANY (UINT64_C(1) << 63) /* an address that is no known object's: it may be any of them */
#define OWN (UINT64_C(1) << 62) /* an address in the frame of a function whose arguments are followed */

static const uint8_t argument_registers[FLOW_ARGUMENTS] = { RDI, RSI, RDX, RCX, R8, 9 };

/* The objects that an address at OFFSET may be meant to lead to; INDEXED: after something has been added to
 * it. */
static uint64_t objects_at(const struct address_flow *flow, int32_t offset, bool indexed)
{
    uint64_t what = 0, ends = 0;

    if (flow->arguments) {
        return OWN;
    }
    for (size_t i = 0; i < flow->objects->count; i++) {
        const struct frame_object *object = &flow->objects->items[i];
        int32_t end = object->offset + (int32_t)object->size;
        bool inside = indexed ? offset == object->offset : offset >= object->offset && offset < end;
        uint64_t bit = i < OBJECTS_MAX ? UINT64_C(1) << i : ANY;
        what |= inside || (offset == end && object->array) ? bit : 0;
        ends |= offset == end ? bit : 0;
    }
    what = what ? what : ends; /* where something begins, it is meant, unless an array may end there */
    return what || offset >= 0 ? what : ANY;
}

static uint64_t slot_holds(const struct address_flow *flow, int32_t offset, uint32_t size)
{
    uint64_t what = 0;

    for (size_t i = 0; i < flow->slots.count; i++) {
        const struct flow_slot *slot = &flow->slots.items[i];
        bool here = offset < slot->offset + (int32_t)slot->size && slot->offset < offset + (int32_t)size;
        what |= here ? slot->what : 0;
    }
    return what;
}

/* What is found where the addresses WHAT lead. */
static uint64_t found_at(const struct address_flow *flow, uint64_t what)
{
    return what & (flow->arguments ? OWN : ~UINT64_C(0)) ? flow->contents : 0;
}

static void escape(struct address_flow *flow, uint32_t at, uint64_t what)
{
    what |= found_at(flow, what);
    if (what && flow->final) {
        LIST_ADD(&flow->escapes, (struct flow_escape){ at, what });
    }
}

/* Whether SIZE bytes at OFFSET of the frame may be read by way of an address. */
static bool is_reached(const struct address_flow *flow, int32_t offset, uint32_t size)
{
    for (size_t i = 0; flow->escaped && i < flow->escaped->count; i++) {
        const struct live_range *range = &flow->escaped->items[i];
        if (offset < range->offset + (int32_t)range->size && range->offset < offset + (int32_t)size) {
            return true;
        }
    }
    /* Of a function whose objects are not known: whatever lies at or above an address that it takes. */
    for (size_t i = 0; flow->arguments && i < flow->code->taken.count; i++) {
        const struct code_taken *taken = &flow->code->taken.items[i];
        if (taken->indexed || taken->offset < offset + (int32_t)size) {
            return true;
        }
    }
    return offset >= 0;
}

/* WHAT gets into the frame; who reaches that memory by address finds GIVEN. */
static void store_in_frame(struct address_flow *flow, int32_t offset, uint32_t size, uint64_t what,
                           uint64_t given)
{
    if (!what) {
        return;
    }
    if (is_reached(flow, offset, size)) {
        flow->changed = flow->changed || (flow->contents | given) != flow->contents;
        flow->contents |= given;
    }
    for (size_t i = 0; i < flow->slots.count; i++) {
        struct flow_slot *slot = &flow->slots.items[i];
        if (slot->offset == offset && slot->size == size) {
            flow->changed = flow->changed || (slot->what | what) != slot->what;
            slot->what |= what;
            return;
        }
    }
    LIST_ADD(&flow->slots, (struct flow_slot){ offset, size, what });
    flow->changed = true;
}

/* What a register that is read holds: objects, by what is known of its address. */
static uint64_t register_holds(const struct address_flow *flow, const uint64_t *state,
                               const int32_t *pointers, unsigned number)
{
    if (number == REGISTERS) {
        return 0;
    }
    return number == RSP || (pointers[number] != NO_OFFSET && !state[number])
               ? objects_at(flow, pointers[number] == NO_OFFSET ? -1 : pointers[number], true)
               : state[number];
}

static uint64_t address_holds(const struct address_flow *flow, const uint64_t *state, const int32_t *pointers,
                              const struct code_operand *operand)
{
    uint64_t what = operand->index < REGISTERS ? state[operand->index] : 0;

    if (operand->base < REGISTERS && pointers[operand->base] != NO_OFFSET) {
        int32_t offset = pointers[operand->base] + (int32_t)operand->value;
        return what | objects_at(flow, offset, operand->index < REGISTERS);
    }
    return what | (operand->base == RSP && !flow->arguments ? ANY
                   : operand->base < REGISTERS              ? state[operand->base]
                                                            : 0);
}

static bool is_zeroing(const struct code *code, const struct code_instruction *instruction)
{
    for (uint32_t i = 0; i < instruction->touch_count; i++) {
        if (code->touches.items[instruction->touch + i].read) {
            return false;
        }
    }
    return true;
}

/* What the instruction computes with. */
static uint64_t takes(const struct address_flow *flow, const struct code_instruction *instruction,
                      const uint64_t *state, const int32_t *pointers)
{
    const struct code *code = flow->code;
    uint64_t what = 0;

    if (is_zeroing(code, instruction) && instruction->mnemonic != ZYDIS_MNEMONIC_LEA &&
        instruction->mnemonic != ZYDIS_MNEMONIC_MOV) {
        return 0;
    }
    for (unsigned i = 0; i < instruction->operand_count; i++) {
        const struct code_operand *operand = &code->operands.items[instruction->operand + i];
        bool lea = instruction->mnemonic == ZYDIS_MNEMONIC_LEA && operand->kind == OPERAND_MEMORY;
        if (lea) {
            what |= address_holds(flow, state, pointers, operand);
        } else if (operand->kind == OPERAND_REGISTER && operand->read) {
            bool hidden = operand->number == RSP && i >= instruction->visible_count;
            what |= hidden ? 0 : register_holds(flow, state, pointers, operand->number);
        } else if (operand->kind == OPERAND_VECTOR && operand->read) {
            what |= state[REGISTERS + operand->number];
        } else if (operand->kind == OPERAND_MEMORY && operand->read) {
            what |= operand->frame != NO_OFFSET
                        ? slot_holds(flow, operand->frame, operand->size)
                        : found_at(flow, address_holds(flow, state, pointers, operand));
        }
    }
    return what;
}

/* What register NUMBER holds when it is handed to others. An address that is known to the byte is that of
 * what lies there: compilers do work with addresses beside an object, but give none away. */
static uint64_t hands_over(const struct address_flow *flow, const uint64_t *state, const int32_t *pointers,
                           unsigned number)
{
    return pointers[number] != NO_OFFSET ? objects_at(flow, pointers[number], false) & ~ANY : state[number];
}

/* Whether INSTRUCTION stores a register as it is; then which one, else REGISTERS. */
static unsigned stored_register(const struct code *code, const struct code_instruction *instruction)
{
    const struct code_operand *to = &code->operands.items[instruction->operand], *from = to + 1;

    return instruction->mnemonic == ZYDIS_MNEMONIC_MOV && to->kind == OPERAND_MEMORY &&
                   from->kind == OPERAND_REGISTER
               ? from->number
               : REGISTERS;
}

static void leave(struct address_flow *flow, uint32_t at, uint64_t what, const int32_t *pointers,
                  uint64_t *state)
{
    const struct code_instruction *instruction = &flow->code->instructions.items[at];
    unsigned stored = stored_register(flow->code, instruction);
    uint64_t given = stored < REGISTERS ? hands_over(flow, state, pointers, stored) : what;

    for (unsigned i = 0; i < instruction->operand_count; i++) {
        const struct code_operand *operand = &flow->code->operands.items[instruction->operand + i];
        if (!operand->written) {
            continue;
        }
        if (operand->kind == OPERAND_REGISTER) {
            bool whole = operand->size >= 4;
            state[operand->number] = whole ? what : state[operand->number] | what;
        } else if (operand->kind == OPERAND_VECTOR) {
            bool zeroing = !operand->read && is_zeroing(flow->code, instruction);
            state[REGISTERS + operand->number] = zeroing ? 0 : state[REGISTERS + operand->number] | what;
        } else if (operand->kind == OPERAND_MEMORY && operand->frame != NO_OFFSET) {
            store_in_frame(flow, operand->frame, operand->size, what, given);
        } else if (operand->kind == OPERAND_MEMORY || i < instruction->visible_count) {
            escape(flow, at, given);
        }
    }
}

/* Copying, filling and comparing by rsi and rdi. */
static bool step_string(struct address_flow *flow, uint32_t at, const int32_t *pointers,
                        const uint64_t *state)
{
    const struct code_instruction *instruction = &flow->code->instructions.items[at];

    if (!code_is_string_operation(flow->code, instruction)) {
        return false;
    }
    switch (instruction->mnemonic) {
    case ZYDIS_MNEMONIC_STOSB:
    case ZYDIS_MNEMONIC_STOSW:
    case ZYDIS_MNEMONIC_STOSD:
    case ZYDIS_MNEMONIC_STOSQ:
        escape(flow, at, state[RAX]);
        break;
    case ZYDIS_MNEMONIC_MOVSB:
    case ZYDIS_MNEMONIC_MOVSW:
    case ZYDIS_MNEMONIC_MOVSD:
    case ZYDIS_MNEMONIC_MOVSQ:
        escape(flow, at, found_at(flow, register_holds(flow, state, pointers, RSI)));
        break;
    default:
        break;
    }
    return true;
}

/* Pushing, popping, `leave`. */
static bool step_stack(struct address_flow *flow, uint32_t at, const int32_t *pointers, uint64_t *state)
{
    const struct code_instruction *instruction = &flow->code->instructions.items[at];
    const struct code_operand *operand = &flow->code->operands.items[instruction->operand];
    int32_t stack = pointers[RSP];
    uint64_t what = 0;

    switch (instruction->mnemonic) {
    case ZYDIS_MNEMONIC_PUSH:
        what = operand->kind == OPERAND_REGISTER ? register_holds(flow, state, pointers, operand->number)
               : operand->kind != OPERAND_MEMORY ? 0
               : operand->frame != NO_OFFSET     ? slot_holds(flow, operand->frame, operand->size)
                                             : found_at(flow, address_holds(flow, state, pointers, operand));
        if (stack == NO_OFFSET) {
            escape(flow, at, what);
        } else {
            store_in_frame(flow, stack - ADDRESS, ADDRESS, what, what);
        }
        return true;
    case ZYDIS_MNEMONIC_POP:
        if (operand->kind == OPERAND_REGISTER) {
            state[operand->number] = stack == NO_OFFSET ? 0 : slot_holds(flow, stack, ADDRESS);
        }
        return true;
    case ZYDIS_MNEMONIC_LEAVE:
        state[RBP] = pointers[RBP] == NO_OFFSET ? 0 : slot_holds(flow, pointers[RBP], ADDRESS);
        return true;
    default:
        return false;
    }
}

/* What CALLEE, called at AT, does with what is in its argument registers. Returns what the result may lead
 * to. */
static uint64_t hand_arguments(struct address_flow *flow, uint32_t at, const struct capture *callee,
                               const int32_t *pointers, const uint64_t *state)
{
    uint64_t returned = 0;

    for (unsigned i = 0; i < FLOW_ARGUMENTS; i++) {
        unsigned number = argument_registers[i];
        uint64_t what = hands_over(flow, state, pointers, number);
        if ((callee->kept >> i & 1) && callee->stores && pointers[RSI] != NO_OFFSET) {
            store_in_frame(flow, pointers[RSI], ADDRESS, state[number], state[number]);
        } else if (callee->kept >> i & 1) {
            escape(flow, at, what);
        } else if (!callee->blind) {
            escape(flow, at, found_at(flow, what));
        }
        returned |= callee->returned >> i & 1 ? state[number] : 0;
    }
    return returned;
}

/* A call, or a jump to another function. Returns what the result may lead to. */
static uint64_t step_call(struct address_flow *flow, uint32_t at, const int32_t *pointers,
                          const uint64_t *state)
{
    const struct code_instruction *instruction = &flow->code->instructions.items[at];
    bool known = instruction->stack != NO_OFFSET;
    int32_t stack = known ? instruction->stack : -(1 << 20);
    uint64_t given = slot_holds(flow, stack, 1 << 21);

    escape(flow, at, state[10]); /* where a function within this one finds its frame */
    for (unsigned i = 0; i < FLOW_ARGUMENTS; i++) {
        given |= hands_over(flow, state, pointers, argument_registers[i]);
    }
    if (!(given & ~OWN) && !flow->contents) {
        return 0;
    }
    struct capture callee = captures_of_call(flow->captures, flow->code, at);
    if (callee.stack_bytes) {
        escape(flow, at, slot_holds(flow, stack, known ? callee.stack_bytes : 1 << 21));
    }
    return hand_arguments(flow, at, &callee, pointers, state);
}

/* Behind the call AT registers hold what they did if it does not write them. */
static void forget_by_call(const struct code *code, uint32_t at, uint64_t *state, uint64_t returned)
{
    const struct code_instruction *instruction = &code->instructions.items[at];

    for (uint32_t i = 0; i < instruction->touch_count; i++) {
        const struct code_touch *touch = &code->touches.items[instruction->touch + i];
        bool vector = touch->place >= PLACE_VECTOR && touch->place < PLACE_REGISTERS_END;
        unsigned first =
            vector ? REGISTERS + (unsigned)(touch->place - PLACE_VECTOR) : place_register(touch->place);
        if (touch->written && (vector || first < REGISTERS)) {
            memset(state + first, 0, (vector ? touch->size : 1) * sizeof(*state));
        }
    }
    state[RAX] |= returned;
    state[RDX] |= returned;
}

/* Registers that are known to hold an address in the frame hold just that. */
static void note_pointers(const struct address_flow *flow, const struct code_instruction *instruction,
                          const int32_t *pointers, uint64_t *state)
{
    for (unsigned i = 0; i < instruction->operand_count; i++) {
        const struct code_operand *operand = &flow->code->operands.items[instruction->operand + i];
        unsigned number = operand->number;
        if (operand->kind == OPERAND_REGISTER && operand->written && number != RSP &&
            pointers[number] != NO_OFFSET) {
            bool frame_pointer = number == RBP && pointers[number] >= -2 * ADDRESS;
            state[number] = frame_pointer ? 0 : objects_at(flow, pointers[number], false);
        }
    }
}

/* Whether the instruction may be a jump to another function. One that is computed is none where it is known
 * to go by a table, or where the frame is still there. */
static bool is_tail_call(const struct code *code, uint32_t at)
{
    const struct code_instruction *instruction = &code->instructions.items[at];
    bool leaves = (instruction->flags & CODE_EXIT) && instruction->mnemonic != ZYDIS_MNEMONIC_RET;

    if (leaves && (instruction->flags & CODE_INDIRECT)) {
        for (size_t i = 0; i < code->table_jumps.count; i++) {
            leaves = leaves && code->table_jumps.items[i].at != at;
        }
        leaves = leaves && (instruction->stack == -ADDRESS || instruction->stack == NO_OFFSET);
    }
    return leaves;
}

static void step(struct address_flow *flow, uint32_t at, int32_t *pointers, uint64_t *state)
{
    const struct code *code = flow->code;
    const struct code_instruction *instruction = &code->instructions.items[at];
    bool exits = is_tail_call(code, at);

    if ((instruction->flags & CODE_CALL) || exits) {
        uint64_t returned = step_call(flow, at, pointers, state);
        flow->returned |= exits ? returned : 0;
        code_follow(code, instruction, pointers);
        if (instruction->flags & CODE_CALL) {
            forget_by_call(code, at, state, returned);
        }
        return;
    }
    if (instruction->mnemonic == ZYDIS_MNEMONIC_RET) {
        flow->returned |= state[RAX] | state[RDX] | state[REGISTERS] | state[REGISTERS + 1];
    } else if (instruction->mnemonic == ZYDIS_MNEMONIC_SYSCALL) {
        for (unsigned i = 0; i < REGISTERS; i++) {
            escape(flow, at, state[i]);
        }
    } else if (instruction->mnemonic != ZYDIS_MNEMONIC_NOP && !step_stack(flow, at, pointers, state) &&
               !step_string(flow, at, pointers, state)) {
        leave(flow, at, takes(flow, instruction, state, pointers), pointers, state);
    }
    code_follow(code, instruction, pointers);
    note_pointers(flow, instruction, pointers, state);
}

static uint64_t *state_of(const struct address_flow *flow, uint32_t block)
{
    return flow->states + (size_t)block * PLACES;
}

static void run_block(struct address_flow *flow, uint32_t index, uint32_t end, uint64_t *state)
{
    const struct code_block *block = &flow->code->blocks.items[index];
    int32_t pointers[REGISTERS];

    memcpy(pointers, block->pointers, sizeof(pointers));
    memcpy(state, state_of(flow, index), PLACES * sizeof(*state));
    for (uint32_t i = block->first; i < end; i++) {
        step(flow, i, pointers, state);
    }
}

static void run_all(struct address_flow *flow)
{
    uint64_t state[PLACES];

    for (uint32_t i = 0; i < flow->code->blocks.count; i++) {
        const struct code_block *block = &flow->code->blocks.items[i];
        if (!block->reached) {
            continue;
        }
        run_block(flow, i, block->end, state);
        for (size_t k = 0; k < block->next.count; k++) {
            uint64_t *next = state_of(flow, block->next.items[k]);
            for (unsigned n = 0; n < PLACES; n++) {
                flow->changed = flow->changed || (next[n] | state[n]) != next[n];
                next[n] |= state[n];
            }
        }
    }
}

static void follow_addresses(struct address_flow *flow)
{
    do {
        flow->changed = false;
        run_all(flow);
    } while (flow->changed);
    flow->final = true;
    run_all(flow);
}

void address_flow_init(struct address_flow *flow, const struct code *code, const frame_objects *objects,
                       const live_ranges *escaped, struct captures *captures)
{
    *flow =
        (struct address_flow){ .code = code, .captures = captures, .objects = objects, .escaped = escaped };
    flow->states = must_calloc(code->blocks.count + 1, PLACES * sizeof(*flow->states));
    follow_addresses(flow);
}

void address_flow_init_arguments(struct address_flow *flow, const struct code *code, unsigned count,
                                 struct captures *captures)
{
    uint32_t entry =
        code->instructions.items[code_at(code, object_address(code->object, code->symbol))].block;

    *flow = (struct address_flow){ .code = code, .captures = captures, .arguments = true };
    flow->states = must_calloc(code->blocks.count + 1, PLACES * sizeof(*flow->states));
    for (unsigned i = 0; i < count; i++) {
        state_of(flow, entry)[argument_registers[i]] = UINT64_C(1) << i;
    }
    follow_addresses(flow);
}

void address_flow_deinit(struct address_flow *flow)
{
    LIST_FREE(&flow->slots);
    LIST_FREE(&flow->escapes);
    free(flow->states);
    *flow = (struct address_flow){ 0 };
}

/* The objects that SIZE bytes at OFFSET are of, and the one that is not known. */
static uint64_t meant_by(const struct address_flow *flow, int32_t offset, uint32_t size)
{
    uint64_t meant = ANY;

    for (size_t i = 0; i < flow->objects->count; i++) {
        const struct frame_object *object = &flow->objects->items[i];
        bool here =
            offset < object->offset + (int32_t)object->size && object->offset < offset + (int32_t)size;
        meant |= here && i < OBJECTS_MAX ? UINT64_C(1) << i : 0;
    }
    return meant;
}

bool address_flow_ever_escapes(const struct address_flow *flow, int32_t offset, uint32_t size)
{
    uint64_t meant = meant_by(flow, offset, size), escaped = 0;

    for (size_t i = 0; i < flow->escapes.count; i++) {
        escaped |= flow->escapes.items[i].what;
    }
    return escaped & meant;
}

bool address_flow_escapes(const struct address_flow *flow, int32_t offset, uint32_t size, uint32_t call)
{
    uint64_t meant = meant_by(flow, offset, size);

    for (size_t i = 0; i < flow->escapes.count; i++) {
        if ((flow->escapes.items[i].what & meant) &&
            code_reaches(flow->code, flow->escapes.items[i].at, call)) {
            return true;
        }
    }
    return false;
}

bool address_flow_has(struct address_flow *flow, uint32_t at, int32_t place, uint32_t size)
{
    uint64_t state[PLACES];

    if (place_in_frame(place)) {
        return slot_holds(flow, place - PLACE_CFA, size);
    }
    bool before = flow->final;
    flow->final = false; /* nothing is to be noted a second time */
    run_block(flow, flow->code->instructions.items[at].block, at, state);
    flow->final = before;
    return state[place_register(place)];
}
