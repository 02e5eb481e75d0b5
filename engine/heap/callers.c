/*
 * Call frame information (LSB, "Exception Frames"; DWARF 5, 6.4), as much of it as says where a return
 * address and the caller's rbp lie in a frame that is suspended in a call. A small interpreter: it follows
 * the CFA, rbp and the return address, and whatever is more than an offset (expressions, other registers)
 * makes it give up.
 *
 * The tables are those of loaded modules, which are believed like their code; a length still bounds each
 * reading.
 */
#include "engine/heap/callers.h"

#include <string.h>

#include "base/cursor.h"
#include "base/search.h"

enum { REGISTER_RBP = 6, REGISTER_RSP = 7, REGISTER_RETURN = 16 };
enum {
    ENCODING_ABSOLUTE = 0x00,
    ENCODING_SDATA4 = 0x0b,
    ENCODING_UDATA4 = 0x03,
    ENCODING_PCREL = 0x10,
    ENCODING_NONE = 0xff
};

#define STATES_REMEMBERED 8

struct state {
    int64_t cfa_offset;
    int64_t rbp_offset; /* from the CFA; 0: rbp is the caller's */
    uint64_t cfa_register;
    bool cfa_lost, rbp_lost, return_lost;
};

struct common {
    uint64_t code_alignment;
    int64_t data_alignment;
    uint8_t encoding; /* of addresses */
    bool augmented, signal_frame;
    struct state initial;
    struct cursor instructions;
};

struct program {
    const struct common *common;
    struct state state, remembered[STATES_REMEMBERED];
    size_t depth;
    uintptr_t location, wanted;
};

static uint64_t read_uleb(struct cursor *cursor)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;

    do {
        byte = cursor_u8(cursor);
        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        shift += 7;
    } while (byte & 0x80);
    return value;
}

static int64_t read_sleb(struct cursor *cursor)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;

    do {
        byte = cursor_u8(cursor);
        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        shift += 7;
    } while (byte & 0x80);
    return (int64_t)(shift < 64 && byte & 0x40 ? value | ~(uint64_t)0 << shift : value);
}

/* An address in one of the encodings that compilers use for code; other ones fail the cursor. */
static uintptr_t read_address(struct cursor *cursor, uint8_t encoding)
{
    uintptr_t base = encoding & ENCODING_PCREL ? (uintptr_t)(cursor->bytes + cursor->position) : 0;

    switch (encoding & ~ENCODING_PCREL) {
    case ENCODING_ABSOLUTE:
        return base + cursor_u64(cursor);
    case ENCODING_SDATA4:
        return base + (uintptr_t)(int64_t)(int32_t)cursor_u32(cursor);
    case ENCODING_UDATA4:
        return base + cursor_u32(cursor);
    default:
        cursor->failed = true;
        return 0;
    }
}

/* ---- instructions ------------------------------------------------------------------------------------ */

static void set_rule(struct program *program, uint64_t which, int64_t offset)
{
    if (which == REGISTER_RBP) {
        program->state.rbp_offset = offset;
        program->state.rbp_lost = false;
    } else if (which == REGISTER_RETURN) {
        program->state.return_lost = offset != -8;
    }
}

static void lose_rule(struct program *program, uint64_t which)
{
    program->state.rbp_lost |= which == REGISTER_RBP;
    program->state.return_lost |= which == REGISTER_RETURN;
}

static void restore_rule(struct program *program, uint64_t which)
{
    const struct state *initial = &program->common->initial;

    if (which == REGISTER_RBP) {
        program->state.rbp_offset = initial->rbp_offset;
        program->state.rbp_lost = initial->rbp_lost;
    } else if (which == REGISTER_RETURN) {
        program->state.return_lost = initial->return_lost;
    }
}

static void set_cfa(struct program *program, uint64_t which, int64_t offset)
{
    program->state.cfa_register = which;
    program->state.cfa_offset = offset;
    program->state.cfa_lost = false;
}

static void remember(struct program *program, struct cursor *code)
{
    if (program->depth < STATES_REMEMBERED) {
        program->remembered[program->depth++] = program->state;
    } else {
        code->failed = true;
    }
}

static void recall(struct program *program, struct cursor *code)
{
    if (program->depth) {
        program->state = program->remembered[--program->depth];
    } else {
        code->failed = true;
    }
}

/* The instructions about the frame's address; false: OPCODE is none of them. */
static bool execute_cfa(struct program *program, struct cursor *code, uint8_t opcode)
{
    const struct common *common = program->common;
    uint64_t which;

    switch (opcode) {
    case 0x0c: /* def_cfa */
        which = read_uleb(code);
        set_cfa(program, which, (int64_t)read_uleb(code));
        break;
    case 0x0d: /* def_cfa_register */
        program->state.cfa_register = read_uleb(code);
        break;
    case 0x0e: /* def_cfa_offset */
        program->state.cfa_offset = (int64_t)read_uleb(code);
        break;
    case 0x0f: /* def_cfa_expression */
        cursor_take(code, read_uleb(code));
        program->state.cfa_lost = true;
        break;
    case 0x12: /* def_cfa_sf */
        which = read_uleb(code);
        set_cfa(program, which, read_sleb(code) * common->data_alignment);
        break;
    case 0x13: /* def_cfa_offset_sf */
        program->state.cfa_offset = read_sleb(code) * common->data_alignment;
        break;
    default:
        return false;
    }
    return true;
}

/* The instructions about single registers; false: OPCODE is none of them. */
static bool execute_rule(struct program *program, struct cursor *code, uint8_t opcode)
{
    const struct common *common = program->common;
    uint64_t which;

    switch (opcode) {
    case 0x05: /* offset_extended */
        which = read_uleb(code);
        set_rule(program, which, (int64_t)read_uleb(code) * common->data_alignment);
        break;
    case 0x06: /* restore_extended */
        restore_rule(program, read_uleb(code));
        break;
    case 0x07: /* undefined */
        lose_rule(program, read_uleb(code));
        break;
    case 0x08: /* same_value */
        set_rule(program, read_uleb(code), 0);
        break;
    case 0x09: /* register */
        lose_rule(program, read_uleb(code));
        read_uleb(code);
        break;
    case 0x10: /* expression */
    case 0x16: /* val_expression */
        lose_rule(program, read_uleb(code));
        cursor_take(code, read_uleb(code));
        break;
    case 0x11: /* offset_extended_sf */
        which = read_uleb(code);
        set_rule(program, which, read_sleb(code) * common->data_alignment);
        break;
    case 0x14: /* val_offset */
    case 0x15: /* val_offset_sf */
        lose_rule(program, read_uleb(code));
        read_uleb(code);
        break;
    default:
        return false;
    }
    return true;
}

/* The instructions whose operands are not part of the opcode (DWARF 5, 7.24). */
static void execute_extended(struct program *program, struct cursor *code, uint8_t opcode)
{
    const struct common *common = program->common;

    if (execute_cfa(program, code, opcode) || execute_rule(program, code, opcode)) {
        return;
    }
    switch (opcode) {
    case 0x00: /* nop */
        break;
    case 0x01: /* set_loc */
        program->location = read_address(code, common->encoding);
        break;
    case 0x02: /* advance_loc1 */
        program->location += cursor_u8(code) * common->code_alignment;
        break;
    case 0x03: /* advance_loc2 */
        program->location += cursor_u16(code) * common->code_alignment;
        break;
    case 0x04: /* advance_loc4 */
        program->location += cursor_u32(code) * common->code_alignment;
        break;
    case 0x0a: /* remember_state */
        remember(program, code);
        break;
    case 0x0b: /* restore_state */
        recall(program, code);
        break;
    case 0x2e: /* GNU_args_size */
        read_uleb(code);
        break;
    default:
        code->failed = true;
    }
}

/* Runs CODE up to the state at the wanted location. */
static void execute(struct program *program, struct cursor *code)
{
    while (cursor_left(code) && program->location <= program->wanted) {
        uint8_t byte = cursor_u8(code);
        uint8_t operand = byte & 0x3f;
        struct state before = program->state;

        switch (byte >> 6) {
        case 0:
            execute_extended(program, code, byte);
            break;
        case 1: /* advance_loc */
            program->location += operand * program->common->code_alignment;
            break;
        case 2: /* offset */
            set_rule(program, operand, (int64_t)read_uleb(code) * program->common->data_alignment);
            break;
        default: /* restore */
            restore_rule(program, operand);
        }
        if (cursor_failed(code)) {
            program->state = before;
            program->state.cfa_lost = true;
            return;
        }
    }
}

/* ---- tables ------------------------------------------------------------------------------------------ */

/* The content of the entry at ENTRY, behind its length and its id; its id in *ret_id. */
static struct cursor open_entry(const uint8_t *entry, uint32_t *ret_id)
{
    uint32_t length;

    memcpy(&length, entry, sizeof(length));
    memcpy(ret_id, entry + 4, sizeof(*ret_id));
    return cursor_of(entry + 8, length >= 4 && length != UINT32_MAX ? length - 4 : 0);
}

/* What the letters of the augmentation announce. */
static void read_augmentation(struct cursor *cursor, const char *letters, struct common *common)
{
    for (; *letters && !cursor_failed(cursor); letters++) {
        if (*letters == 'R') {
            common->encoding = cursor_u8(cursor);
        } else if (*letters == 'L') {
            cursor_u8(cursor);
        } else if (*letters == 'P') {
            uint8_t encoding = cursor_u8(cursor);
            read_address(cursor, encoding & 0x7f); /* 0x80: by way of a pointer */
        } else if (*letters == 'S') {
            common->signal_frame = true;
        } else {
            return; /* the instructions are found by the augmentation's size */
        }
    }
}

static bool read_common(const uint8_t *entry, struct common *ret)
{
    uint32_t id;
    struct cursor cursor = open_entry(entry, &id);
    uint8_t version = cursor_u8(&cursor);
    const char *letters = cursor_string_at(&cursor, cursor.position);

    *ret = (struct common){ 0 };
    if (id || (version != 1 && version != 3) || !letters) {
        return false;
    }
    cursor_seek(&cursor, cursor.position + strlen(letters) + 1);
    ret->code_alignment = read_uleb(&cursor);
    ret->data_alignment = read_sleb(&cursor);
    uint64_t column = version == 1 ? cursor_u8(&cursor) : read_uleb(&cursor);
    if (*letters == 'z') {
        uint64_t size = read_uleb(&cursor);
        struct cursor augmentation = cursor_range(&cursor, cursor.position, size);
        read_augmentation(&augmentation, letters + 1, ret);
        cursor_take(&cursor, size);
        ret->augmented = true;
    } else if (*letters) {
        return false;
    }
    ret->instructions = cursor;
    return column == REGISTER_RETURN && !cursor_failed(&cursor);
}

/* A row of a search table: distances from the table's header. */
struct row {
    int32_t start, entry;
};

static struct row row_at(const uint8_t *header, size_t index)
{
    struct row row;

    memcpy(&row, header + 12 + sizeof(row) * index, sizeof(row));
    return row;
}

/* The FDE that the search table at HEADER has for ADDRESS, or NULL. */
static const uint8_t *find_entry(const uint8_t *header, uintptr_t address)
{
    uint32_t count;

    if (header[0] != 1 || header[2] != ENCODING_UDATA4 || header[3] != 0x3b /* datarel sdata4 */ ||
        (header[1] & 0x0f) != ENCODING_SDATA4) {
        return NULL;
    }
    memcpy(&count, header + 8, sizeof(count));
    size_t started =
        COUNT_BEFORE(i, count, (uintptr_t)header + (uintptr_t)(intptr_t)row_at(header, i).start <= address);
    return started ? header + row_at(header, started - 1).entry : NULL;
}

static bool state_to_rule(const struct state *state, struct caller_rule *ret)
{
    bool from_rbp = state->cfa_register == REGISTER_RBP;

    if (state->cfa_lost || state->rbp_lost || state->return_lost ||
        (!from_rbp && state->cfa_register != REGISTER_RSP) || state->cfa_offset < 8 ||
        state->cfa_offset > INT32_MAX || state->rbp_offset > 0 || state->rbp_offset < -INT32_MAX) {
        return false;
    }
    *ret = (struct caller_rule){ from_rbp, (uint32_t)state->cfa_offset, (uint32_t)-state->rbp_offset };
    return true;
}

bool caller_rule_find(const uint8_t *header, uintptr_t return_address, struct caller_rule *ret)
{
    uintptr_t address = return_address - 1; /* inside the call */
    const uint8_t *entry = find_entry(header, address);
    struct common common;
    uint32_t distance;

    if (!entry) {
        return false;
    }
    struct cursor cursor = open_entry(entry, &distance); /* from its own place back to the CIE */
    if (!distance || !read_common(entry + 4 - distance, &common) || common.signal_frame) {
        return false;
    }
    struct program program = { .common = &common, .wanted = address };
    program.location = read_address(&cursor, common.encoding);
    uintptr_t size = read_address(&cursor, common.encoding & ~ENCODING_PCREL);
    if (common.augmented) {
        cursor_take(&cursor, read_uleb(&cursor));
    }
    if (cursor_failed(&cursor) || address - program.location >= size) {
        return false;
    }
    program.state.cfa_lost = true;
    program.state.return_lost = true;
    execute(&program, &common.instructions);
    common.initial = program.state;
    execute(&program, &cursor);
    return state_to_rule(&program.state, ret);
}
