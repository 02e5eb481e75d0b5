/*
 * Control inside a function. It goes on behind each instruction unless that is a jump, a return, or a call
 * that does not come back. Where a jump is computed, it may lead to every place inside the function that
 * anything names: entries of jump tables, labels whose address is taken. That is more than it will do, which
 * is the safe side for all that is asked here.
 */
#include "patch/transfer/code.h"

#include <Zydis/Zydis.h>
#include <stdlib.h>

#include "base/search.h"

static bool is_inside(const struct code *code, uint64_t address)
{
    for (size_t i = 0; i < code->parts.count; i++) {
        if (address >= code->parts.items[i].start && address < code->parts.items[i].end) {
            return true;
        }
    }
    return false;
}

/* Where the jump or call INSTRUCTION with OPERAND leads, as an address of the debug information; 0: outside
 * the object. */
static uint64_t branch_target(const struct code *code, const struct code_instruction *instruction,
                              const struct code_operand *operand)
{
    struct object_place place;

    if (!code_named(code, operand, &place)) {
        return instruction->address + instruction->length + operand->value;
    }
    if (!place.section) {
        return 0;
    }
    return place.section->base + place.offset + (place.symbol ? place.symbol->value : 0);
}

uint32_t code_at(const struct code *code, uint64_t address)
{
    /* parts are in ascending order */
    size_t index = COUNT_BEFORE(i, code->instructions.count, code->instructions.items[i].address < address);

    return index < code->instructions.count && code->instructions.items[index].address == address
               ? index
               : NO_INSTRUCTION;
}

/* Resolves the targets of direct jumps: those that lead outside end an activation. */
static void find_jumps(struct code *code)
{
    for (size_t i = 0; i < code->instructions.count; i++) {
        struct code_instruction *instruction = &code->instructions.items[i];
        const struct code_operand *operand = &code->operands.items[instruction->operand];
        bool jump = instruction->operand_count && operand->kind == OPERAND_NUMBER && operand->relative &&
                    !(instruction->flags & CODE_CALL);
        if (jump) {
            instruction->jump = code_at(code, branch_target(code, instruction, operand));
            if (instruction->jump == NO_INSTRUCTION) {
                instruction->flags |= CODE_EXIT;
            }
        }
    }
}

static void add_label(struct code *code, uint64_t address, const struct object_section *section,
                      uint64_t table)
{
    uint32_t index = is_inside(code, address) ? code_at(code, address) : NO_INSTRUCTION;

    if (index != NO_INSTRUCTION) {
        LIST_ADD(&code->labels, (struct code_label){ index, section, table });
    }
}

/* The last place at or in front of OFFSET of SECTION that something refers to: where the table begins that
 * has a field there. */
static uint64_t table_start(const struct object_section *section, uint64_t offset)
{
    size_t above = object_anonymous_above(section, offset);

    return above ? section->anonymous.items[above - 1] : 0;
}

/* Fields of tables hold addresses, or distances from the table's start: then what the relocation names is too
 * high by the field's own distance. */
static void add_table_labels(struct code *code, const struct object_section *section)
{
    for (size_t i = 0; i < section->relocation_count; i++) {
        const struct object_relocation *relocation = &section->relocations[i];
        const struct object_symbol *named = &code->object->symbols[relocation->symbol];
        if (!named->section || code->object->sections[named->section].kind != SECTION_CODE) {
            continue;
        }
        uint64_t address = code->object->sections[named->section].base + named->value + relocation->addend;
        uint64_t start = table_start(section, relocation->offset);
        address -= relocation_is_relative(relocation->type) ? relocation->offset - start : 0;
        add_label(code, address, section, start);
    }
}

/* Where OPERAND of INSTRUCTION is, if it is a place in the same section: assemblers leave no relocation for
 * it. 0: it is none. */
static uint64_t near_place(const struct code_instruction *instruction, const struct code_operand *operand)
{
    return operand->kind == OPERAND_MEMORY && operand->relative && !operand->relocation
               ? instruction->address + instruction->length + operand->value
               : 0;
}

/* Places inside the function that computed jumps may lead to. */
static void find_labels(struct code *code)
{
    for (size_t i = 1; i < code->object->section_count; i++) {
        const struct object_section *section = &code->object->sections[i];
        if (section->kind == SECTION_CONST || section->kind == SECTION_DATA) {
            add_table_labels(code, section);
        }
    }
    for (size_t i = 0; i < code->instructions.count; i++) {
        const struct code_instruction *instruction = &code->instructions.items[i];
        for (unsigned k = 0; k < instruction->visible_count; k++) {
            const struct code_operand *operand = &code->operands.items[instruction->operand + k];
            struct object_place place;
            if (near_place(instruction, operand)) {
                add_label(code, near_place(instruction, operand), NULL, 0);
            } else if (!(operand->kind == OPERAND_NUMBER && operand->relative) &&
                       code_named(code, operand, &place) && place.section &&
                       place.section->kind == SECTION_CODE) {
                add_label(code, branch_target(code, instruction, operand), NULL, 0);
            }
        }
    }
}

static void link_blocks(struct code *code, uint32_t from, uint32_t instruction)
{
    uint32_t to = code->instructions.items[instruction].block;

    for (size_t i = 0; i < code->blocks.items[from].next.count; i++) {
        if (code->blocks.items[from].next.items[i] == to) {
            return;
        }
    }
    LIST_ADD(&code->blocks.items[from].next, to);
    LIST_ADD(&code->blocks.items[to].before, from);
}

static void cut_blocks(struct code *code)
{
    size_t count = code->instructions.count;
    bool *starts = must_calloc(count + 1, sizeof(*starts));

    for (size_t i = 0; i < code->labels.count; i++) {
        starts[code->labels.items[i].instruction] = true;
    }
    for (size_t i = 0; i < count; i++) {
        const struct code_instruction *instruction = &code->instructions.items[i];
        bool part = i == 0 || instruction->address != instruction[-1].address + instruction[-1].length;
        starts[i] = starts[i] || part;
        if (instruction->jump != NO_INSTRUCTION) {
            starts[instruction->jump] = true;
        }
        if (instruction->jump != NO_INSTRUCTION ||
            (instruction->flags & (CODE_ENDS | CODE_CALL | CODE_EXIT))) {
            starts[i + 1] = true; /* behind a call, too: what is asked is asked there */
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (starts[i]) {
            LIST_ADD(&code->blocks, (struct code_block){ .first = i });
        }
        code->instructions.items[i].block = code->blocks.count - 1;
        code->blocks.items[code->blocks.count - 1].end = i + 1;
    }
    free(starts);
}

/* Where a computed jump may lead. */
static void link_labels(struct code *code, uint32_t block, uint32_t jump)
{
    bool narrowed = false;

    for (size_t i = 0; i < code->table_jumps.count; i++) {
        narrowed = narrowed || code->table_jumps.items[i].at == jump;
    }
    for (size_t k = 0; k < code->labels.count; k++) {
        const struct code_label *label = &code->labels.items[k];
        bool meant = !narrowed;
        for (size_t i = 0; i < code->table_jumps.count && !meant; i++) {
            const struct code_table_jump *table = &code->table_jumps.items[i];
            meant = table->at == jump && table->section == label->section && table->table == label->table;
        }
        if (meant) {
            link_blocks(code, block, label->instruction);
        }
    }
}

/* Whether BLOCK gives registers back that the caller wants: then a jump at its end leaves the function,
 * wherever it may lead. */
static bool tears_down(const struct code *code, const struct code_block *block)
{
    bool found = false;

    for (uint32_t i = block->first; i < block->end && !found; i++) {
        const struct code_instruction *instruction = &code->instructions.items[i];
        const struct code_operand *operand = &code->operands.items[instruction->operand];
        found = instruction->mnemonic == ZYDIS_MNEMONIC_LEAVE ||
                (instruction->mnemonic == ZYDIS_MNEMONIC_POP && operand->kind == OPERAND_REGISTER &&
                 register_is_preserved(operand->number));
    }
    return found;
}

static void connect_blocks(struct code *code)
{
    for (size_t i = 0; i < code->blocks.count; i++) {
        uint32_t last = code->blocks.items[i].end - 1;
        const struct code_instruction *instruction = &code->instructions.items[last];
        bool goes_on = last + 1 < code->instructions.count &&
                       instruction[1].address == instruction->address + instruction->length;
        if (!(instruction->flags & CODE_ENDS) && goes_on) {
            link_blocks(code, i, last + 1);
        }
        if (instruction->jump != NO_INSTRUCTION) {
            link_blocks(code, i, instruction->jump);
        }
        if ((instruction->flags & CODE_INDIRECT) && !tears_down(code, &code->blocks.items[i])) {
            link_labels(code, i, last);
        }
    }
}

static void make_blocks(struct code *code)
{
    bool computed = false;

    for (size_t i = 0; i < code->instructions.count; i++) {
        struct code_instruction *instruction = &code->instructions.items[i];
        if (instruction->flags & CODE_INDIRECT) { /* or a tail call by a pointer */
            instruction->flags |= CODE_EXIT;
            computed = true;
        }
    }
    if (computed) {
        find_labels(code);
    }
    cut_blocks(code);
    connect_blocks(code);
    code->search = must_calloc(1, sizeof(*code->search));
    code->search->seen = must_calloc(code->blocks.count + 1, sizeof(*code->search->seen));
    code->search->reached = must_calloc(code->blocks.count + 1, sizeof(*code->search->reached));
}

void code_find_flow(struct code *code)
{
    find_jumps(code);
    make_blocks(code);
}

void code_link_again(struct code *code)
{
    for (size_t i = 0; i < code->blocks.count; i++) {
        struct code_block *block = &code->blocks.items[i];
        block->next.count = block->before.count = 0;
        block->reached = false;
        block->written = 0;
    }
    for (size_t i = 0; i < code->operands.count; i++) {
        code->operands.items[i].frame = NO_OFFSET;
    }
    for (size_t i = 0; i < code->instructions.count; i++) {
        struct code_instruction *instruction = &code->instructions.items[i];
        instruction->flags &= (uint16_t) ~(CODE_READS | CODE_COPY);
        instruction->stack = NO_OFFSET;
        instruction->touch_count = 0;
    }
    code->touches.count = code->taken.count = 0;
    connect_blocks(code);
}

bool code_comes_back(const struct code *code, uint32_t call)
{
    const struct code_instruction *instruction = &code->instructions.items[call];

    return (instruction->flags & (CODE_CALL | CODE_ENDS)) == CODE_CALL &&
           call + 1 < code->instructions.count &&
           instruction[1].address == instruction->address + instruction->length &&
           code->blocks.items[instruction->block].reached;
}

/* Whether control may go from the end of block FROM to the start of block TO, which may be the same one. */
static bool leads(const struct code *code, uint32_t from, uint32_t to)
{
    bool *seen = must_calloc(code->blocks.count, sizeof(*seen)), found = false;
    LIST(uint32_t) waiting = { 0 };

    LIST_ADD(&waiting, from);
    while (waiting.count && !found) {
        const struct code_block *block = &code->blocks.items[waiting.items[--waiting.count]];
        for (size_t i = 0; i < block->next.count; i++) {
            uint32_t next = block->next.items[i];
            found = found || next == to;
            if (!seen[next]) {
                seen[next] = true;
                LIST_ADD(&waiting, next);
            }
        }
    }
    LIST_FREE(&waiting);
    free(seen);
    return found;
}

/* All blocks that the end of block FROM leads to, as bits. */
static const uint64_t *reached_from(const struct code *code, uint32_t from)
{
    struct code_search *search = code->search;
    uint64_t *reached = search->reached[from];

    if (reached) {
        return reached;
    }
    reached = search->reached[from] = must_calloc(code->blocks.count / 64 + 1, sizeof(*reached));
    search->waiting.count = 0;
    LIST_ADD(&search->waiting, from);
    while (search->waiting.count) {
        const struct code_block *block = &code->blocks.items[search->waiting.items[--search->waiting.count]];
        for (size_t i = 0; i < block->next.count; i++) {
            uint32_t next = block->next.items[i];
            if (!(reached[next / 64] >> next % 64 & 1)) {
                reached[next / 64] |= UINT64_C(1) << next % 64;
                LIST_ADD(&search->waiting, next);
            }
        }
    }
    return reached;
}

bool code_reaches(const struct code *code, uint32_t from, uint32_t to)
{
    uint32_t start = code->instructions.items[from].block, end = code->instructions.items[to].block;

    return (start == end && from <= to) || (reached_from(code, start)[end / 64] >> end % 64 & 1);
}

bool code_repeats(const struct code *code, uint32_t instruction)
{
    uint32_t block = code->instructions.items[instruction].block;

    return leads(code, block, block);
}

/* What was found out about which block leads to which. */
static void forget_reached(struct code *code)
{
    for (size_t i = 0; i < code->blocks.count; i++) {
        free(code->search->reached[i]);
        code->search->reached[i] = NULL;
    }
}

void code_link_longjmps(struct code *code, uint32_t instruction)
{
    bool *made = must_calloc(code->blocks.count, sizeof(*made));

    for (size_t i = 0; i < code->blocks.count; i++) {
        const struct code_block *block = &code->blocks.items[i];
        made[i] = block->reached && block->end - 1 != instruction &&
                  (code->instructions.items[block->end - 1].flags & CODE_CALL) &&
                  code_reaches(code, instruction, block->end - 1);
    }
    for (size_t i = 0; i < code->blocks.count; i++) {
        if (made[i]) {
            link_blocks(code, i, instruction + 1);
        }
    }
    free(made);
    forget_reached(code);
}
