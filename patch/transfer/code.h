/*
 * One function's machine code, decoded: instructions, where control goes from each, and what each reads and
 * writes, the frame's bytes being named by their distance from the CFA (the stack pointer before the call
 * that entered the function).
 */
#ifndef MOLT_PATCH_TRANSFER_CODE_H
#define MOLT_PATCH_TRANSFER_CODE_H

#include "patch/code/object.h"

/*
 * Everything that an instruction may read or write without being told an address at run time has a number:
 *
 *     0 .. 127            bytes of the general registers, eight each, by DWARF's numbers
 *     PLACE_FLAGS         the flags, as one
 *     PLACE_VECTOR + n    vector register n, as one
 *     PLACE_CFA + offset  bytes of the frame
 */
enum {
    PLACE_FLAGS = 128,
    PLACE_VECTOR = 129,
    VECTORS = 32,
    PLACE_REGISTERS_END = PLACE_VECTOR + VECTORS,
    PLACE_CFA = 1 << 24,
};

enum { RAX, RDX, RCX, RBX, RSI, RDI, RBP, RSP, R8, R12 = 12, R15 = 15, REGISTERS };

#define NO_OFFSET INT32_MIN
#define NO_INSTRUCTION UINT32_MAX

enum segment { SEGMENT_NONE, SEGMENT_FS, SEGMENT_GS };

enum operand_kind { OPERAND_REGISTER, OPERAND_VECTOR, OPERAND_MEMORY, OPERAND_NUMBER, OPERAND_OTHER };

struct code_operand {
    uint8_t kind, number, base, index, scale; /* registers by DWARF's numbers; REGISTERS: none */
    uint8_t first;                            /* byte of the register: 1 for ah */
    bool read, written, relative;             /* relative: to the instruction, a place that `named` tells */
    uint8_t segment;                          /* enum segment */
    uint16_t size;                            /* bytes */
    int64_t value;                            /* immediate or displacement */
    int32_t frame; /* of memory in the frame: its offset from the CFA; else NO_OFFSET */
    const struct object_relocation *relocation; /* of the field, or NULL */
};

struct code_touch {
    int32_t place;
    uint32_t size;
    bool read, written; /* both: what is written depends on what was there */
};

enum instruction_flags {
    CODE_CALL = 1,
    CODE_ENDS = 2,     /* control does not go on behind it */
    CODE_EXIT = 4,     /* control may leave the function for good: return, tail call */
    CODE_INDIRECT = 8, /* a jump to a place that is computed */
    CODE_READS = 16,   /* memory that is not known to be elsewhere than in the frame */
    CODE_COPY = 32,    /* moves a value without changing it: its first read touch to its first written one */
    CODE_READS_FLAGS = 64,
    CODE_WRITES_FLAGS = 128,
};

struct code_instruction {
    uint64_t address; /* as the debug information states it */
    uint8_t length, operand_count, visible_count;
    uint16_t flags, mnemonic;
    uint32_t operand, touch, touch_count; /* the first of each */
    uint32_t jump;                        /* index of its target, or NO_INSTRUCTION */
    uint32_t block;
    int32_t stack; /* offset of the stack pointer before it, or NO_OFFSET */
    const char *file;
    unsigned line;
};

/* An address in the frame that gets where it is not followed: into memory, into a call, into a computation.
 */
struct code_taken {
    uint32_t at;    /* instruction */
    int32_t offset; /* from the CFA */
    bool indexed;   /* a number is added that only the running program knows: it may mean any object */
};

struct code_block {
    uint32_t first, end;
    LIST(uint32_t) next, before;
    int32_t pointers[REGISTERS]; /* on entry: offset in the frame that the register points to, or NO_OFFSET */
    uint64_t written;            /* mask of the places that it writes */
    bool reached;
};

struct code_part {
    const struct object_section *section;
    const struct object_symbol *symbol;
    uint64_t start, end; /* addresses */
};

/* A place inside the function that something names. */
struct code_label {
    uint32_t instruction;
    const struct object_section *section; /* of the table that names it; NULL: code does */
    uint64_t table;                       /* where the table begins in it */
};

/* A computed jump that only leads where a certain table says. */
struct code_table_jump {
    uint32_t at;
    const struct object_section *section;
    uint64_t table;
};

/* A file as the line table names it, and where it is. */
struct code_path {
    const char *name; /* borrowed */
    char *path;
};

/* What searches through the blocks need, kept between them. */
struct code_search {
    uint32_t *seen; /* by block: the last search that came by */
    uint32_t number;
    LIST(uint32_t) waiting;
    uint64_t **reached; /* by block: a bit for each that its end leads to; NULL: nobody has asked */
};

/* Bytes of the frame. */
struct live_range {
    int32_t offset; /* from the CFA */
    uint32_t size;
};

typedef LIST(struct live_range) live_ranges;

struct code {
    struct object *object;
    const struct object_symbol *symbol;
    LIST(struct code_part) parts; /* the function, then those that were split off */
    LIST(struct code_instruction) instructions;
    LIST(struct code_operand) operands;
    LIST(struct code_touch) touches;
    LIST(struct code_block) blocks;
    LIST(struct code_taken) taken;
    LIST(struct code_label) labels;
    LIST(struct code_table_jump) table_jumps;
    LIST(struct code_path) paths;
    const live_ranges
        *escaped; /* what addresses lead to, once that is known: others may have written it, too */
    struct code_search *search;
    Dwarf_Die *unit;
    bool realigned; /* it aligns its frame: offsets below where it does so count from there, not from the CFA
                     */
    const char *problem; /* why nothing can be said of it ("has no code"), or NULL */
};

/* Decodes SYMBOL, a function of OBJECT; lines are those of UNIT, its compile unit (NULL: without lines). All
 * are borrowed. */
void code_init(struct code *code, struct object *object, const struct object_symbol *symbol, Dwarf_Die *unit);
void code_deinit(struct code *code);

/* The instruction at ADDRESS, or NO_INSTRUCTION. */
uint32_t code_at(const struct code *code, uint64_t address);

/* The absolute path of the file that the line table calls NAME; NULL if that is NULL. As long as CODE. */
const char *code_path(struct code *code, const char *name);

/* Whether SIZE bytes at PLACE are reached by addresses, too. */
bool code_is_reached(const struct code *code, int32_t place, uint32_t size);

/* What OPERAND's relocation names; false: it has none. */
bool code_named(const struct code *code, const struct code_operand *operand, struct object_place *ret);

/* transfer/flow.c: resolves jumps, cuts the code into blocks and links them, computed jumps to whatever is
 * named inside. */
void code_find_flow(struct code *code);

/* Links the blocks again, now that more is known of computed jumps, and forgets what was found out about the
 * frame. */
void code_link_again(struct code *code);

/* Whether the instruction CALL is a call that can be reached, and that control comes back from. */
bool code_comes_back(const struct code *code, uint32_t call);

/* Whether control may have come from instruction FROM to instruction TO. */
bool code_reaches(const struct code *code, uint32_t from, uint32_t to);

/* Whether control can come from behind INSTRUCTION back to it. */
bool code_repeats(const struct code *code, uint32_t instruction);

/* transfer/flow.c: links each call that may be made after INSTRUCTION, a call of setjmp, to what is behind
 * it: longjmp may come back there. Once the frame is known, which longjmp restores. */
void code_link_longjmps(struct code *code, uint32_t instruction);

/* Whether control comes from block FROM to block TO, one of its next, by longjmp: then registers do not come
 * along. */
static inline bool code_is_longjmp(const struct code *code, uint32_t from, uint32_t to)
{
    uint32_t end = code->blocks.items[from].end;

    return (code->instructions.items[end - 1].flags & CODE_CALL) && code->blocks.items[to].first != end;
}

/* transfer/jumps.c: finds out which computed jumps use which table, from the code linked as if each could use
 * all. */
void code_find_tables(struct code *code);

/* transfer/jumps.c: NULL, or words if a jump may lead to more than the places that something names. */
const char *code_check_jumps(const struct code *code);

/* transfer/frame.c: follows the stack pointer, and fills in what is read and written. */
void code_find_frame(struct code *code);

/* What is known of where registers point in the frame, POINTERS, in front of INSTRUCTION becomes what is
 * behind it. */
void code_follow(const struct code *code, const struct code_instruction *instruction, int32_t *pointers);

/* transfer/room.c: whether all that INSTRUCTION does with an address in the frame is to make room below it,
 * or to keep the stack pointer for when that room is given back; POINTERS is what is known in front of it. */
bool code_makes_room(const struct code *code, const struct code_instruction *instruction,
                     const int32_t *pointers);

/* Whether INSTRUCTION works on memory at rsi and rdi: movs, stos, cmps, scas. */
bool code_is_string_operation(const struct code *code, const struct code_instruction *instruction);

/* The offset in the frame that register NUMBER points to in front of INSTRUCTION, or NO_OFFSET. */
int32_t code_pointer(const struct code *code, uint32_t instruction, unsigned number);

/* The same, behind INSTRUCTION. */
int32_t code_pointer_after(const struct code *code, uint32_t instruction, unsigned number);

/* Where INSTRUCTION, a CODE_COPY, takes its value from and where it leaves it; how many bytes. */
void code_copy(const struct code *code, uint32_t instruction, int32_t *ret_from, int32_t *ret_to,
               uint32_t *ret_size);

/* transfer/clobbers.c: what is known of the registers that OBJECT's functions change; borrows it. */
struct clobbers *clobbers_create(struct object *object);
void clobbers_destroy(struct clobbers *clobbers);
struct object *clobbers_object(const struct clobbers *clobbers);

/* Whether the instruction CALL of CODE may change register NUMBER, or from REGISTERS on a vector, by all that
 * can be told of what it calls. */
bool call_clobbers(struct clobbers *clobbers, const struct code *code, uint32_t call, unsigned number);

/* Takes back that CODE's calls write what the functions that they call leave alone. */
void clobbers_apply(struct clobbers *clobbers, struct code *code);

/* A set of bits that stands for the places: sets without a common bit have no common place. */
static inline uint64_t code_place_mask(int32_t place, uint32_t size)
{
    uint64_t mask = 0;

    if (place < PLACE_REGISTERS_END) {
        for (int32_t i = place / 8; i <= (place + (int32_t)size - 1) / 8; i++) {
            mask |= UINT64_C(1) << i;
        }
        return mask;
    }
    if (size > 256) {
        return UINT64_MAX;
    }
    for (int32_t i = place / 8; i <= (place + (int32_t)size - 1) / 8; i++) {
        mask |= UINT64_C(1) << (24 + i % 40);
    }
    return mask;
}

/* The register that a place lies in, or REGISTERS. */
static inline unsigned place_register(int32_t place)
{
    return place < PLACE_FLAGS ? place / 8 : REGISTERS;
}

static inline bool place_in_frame(int32_t place)
{
    return place >= PLACE_REGISTERS_END;
}

/* By the number that debug information uses. As long as the program. */
const char *register_name(unsigned number);

/* Whether functions must leave register NUMBER as it was. */
static inline bool register_is_preserved(unsigned number)
{
    return number == RBX || number == RBP || (number >= R12 && number <= R15);
}

#endif
