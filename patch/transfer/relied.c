/*
 * Registers that the ABI lets a called function change. Compilers that know of one that leaves some alone may
 * keep values in them (gcc's -fipa-ra). Such a value is still there if the old version has it there, too; the
 * engine changes none of these registers.
 *
 * Liveness takes each call for one that reads all registers of arguments. Whether a register is really read
 * is found out here, by what the debug information says of the functions that are called.
 */
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>
#include <Zydis/Zydis.h>

#include "patch/transfer/origins.h"
#include "patch/transfer/private.h"
#include "patch/types/die_facts.h"

#define ADDRESS 8
#define ARGUMENTS 6 /* in general registers; */
#define VECTOR_ARGUMENTS 8

static int32_t place_of(unsigned number)
{
    return number < REGISTERS ? (int32_t)number * ADDRESS : PLACE_VECTOR + (int32_t)(number - REGISTERS);
}

/* How a function is called. */
struct signature {
    unsigned general, vectors; /* at most so many registers */
    bool variadic;
    bool returns_general, returns_vector, returns_two;
};

/* The type behind the type of DIE, without typedefs and qualifiers; 0: it has none. */
static int kind_of_type(Dwarf_Die *die, Dwarf_Word *ret_size, bool *ret_real)
{
    Dwarf_Attribute attribute;
    Dwarf_Word encoding = 0;
    Dwarf_Die type;

    *ret_size = 0;
    if (!die_plain_type(die, &type)) {
        return 0;
    }
    dwarf_aggregate_size(&type, ret_size);
    if (dwarf_attr(&type, DW_AT_encoding, &attribute)) {
        dwarf_formudata(&attribute, &encoding);
    }
    *ret_real = encoding == DW_ATE_float || encoding == DW_ATE_complex_float;
    return dwarf_tag(&type);
}

static bool is_scalar(int tag)
{
    return tag == DW_TAG_base_type || tag == DW_TAG_pointer_type || tag == DW_TAG_enumeration_type;
}

/* A scalar takes one register; a structure may take two of either kind; one that does not fit takes none. */
static void add_parameter(struct signature *signature, Dwarf_Die *die)
{
    Dwarf_Word size;
    bool real = false, scalar = is_scalar(kind_of_type(die, &size, &real));

    signature->general += scalar ? !real : 2;
    signature->vectors += scalar ? real : 2;
}

static void read_signature(Dwarf_Die *function, struct signature *ret)
{
    Dwarf_Die child;
    Dwarf_Word size;
    bool real = false;
    int tag = kind_of_type(function, &size, &real);

    *ret = (struct signature){ .returns_general = tag && !(is_scalar(tag) && real),
                               .returns_vector = tag && !(is_scalar(tag) && !real),
                               .returns_two = tag && (!is_scalar(tag) || size > ADDRESS),
                               .general = tag && !is_scalar(tag) }; /* where its result is to be written */
    for (int more = dwarf_child(function, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        ret->variadic = ret->variadic || dwarf_tag(&child) == DW_TAG_unspecified_parameters;
        if (dwarf_tag(&child) == DW_TAG_formal_parameter) {
            add_parameter(ret, &child);
        }
    }
}

/* How the function NAME is declared in UNIT. False: that is not known, or compilers may have made it take
 * others. */
static bool find_signature(Dwarf_Die *unit, const char *name, struct signature *ret)
{
    Dwarf_Die die;

    for (int more = *name && !strchr(name, '.') ? dwarf_child(unit, &die) : 1; more == 0;
         more = dwarf_siblingof(&die, &die)) {
        const char *found = dwarf_tag(&die) == DW_TAG_subprogram ? dwarf_diename(&die) : NULL;
        if (found && strcmp(found, name) == 0 && dwarf_hasattr_integrate(&die, DW_AT_prototyped)) {
            read_signature(&die, ret);
            return true;
        }
    }
    return false;
}

/* Whether the call or jump AT hands register NUMBER over to another function. */
static bool takes(const struct version *version, uint32_t at, unsigned number)
{
    static const uint8_t arguments[ARGUMENTS] = { RDI, RSI, RDX, RCX, R8, 9 };
    Dwarf_Die unit = version->unit;
    struct signature signature;

    const char *callee = code_callee(&version->code, at);
    if (number == 10 || number == 11) { /* only a function inside another one is given something there */
        return strchr(callee, '.');
    }
    if (!unit.addr || !find_signature(&unit, callee, &signature) || signature.variadic) {
        return number < REGISTERS + VECTOR_ARGUMENTS;
    }
    for (unsigned i = 0; i < signature.general && i < ARGUMENTS; i++) {
        if (arguments[i] == number) {
            return true;
        }
    }
    return number >= REGISTERS && number < REGISTERS + signature.vectors &&
           number < REGISTERS + VECTOR_ARGUMENTS;
}

/* Whether whoever called the function is given register NUMBER. */
static bool gives_back(const struct version *version, unsigned number)
{
    struct signature signature;
    Dwarf_Die die = version->debug.die;
    bool first = number == RAX || number == REGISTERS, second = number == RDX || number == REGISTERS + 1;

    if (!version->debug.known) {
        return first || second;
    }
    read_signature(&die, &signature);
    return (first || (second && signature.returns_two)) &&
           (number < REGISTERS ? signature.returns_general : signature.returns_vector);
}

enum use { USE_NONE, USE_READ, USE_WRITTEN };

/* What the operands of INSTRUCTION do with PLACE. */
static enum use use_by_operands(const struct code *code, const struct code_instruction *instruction,
                                int32_t place)
{
    enum use use = USE_NONE;

    for (uint32_t i = 0; i < instruction->touch_count; i++) {
        const struct code_touch *touch = &code->touches.items[instruction->touch + i];
        uint32_t size = place < PLACE_FLAGS ? ADDRESS : 1;
        if (touch->place >= place + (int32_t)size || place >= touch->place + (int32_t)touch->size) {
            continue;
        }
        if (touch->read) {
            return USE_READ;
        }
        use = touch->place <= place && touch->size >= size ? USE_WRITTEN : use;
    }
    return use;
}

/* What the instruction AT does with register NUMBER. */
static enum use use_of(const struct version *version, uint32_t at, unsigned number)
{
    const struct code *code = &version->code;
    const struct code_instruction *instruction = &code->instructions.items[at];
    bool leaves = (instruction->flags & CODE_EXIT) && !(instruction->flags & CODE_INDIRECT);
    bool returns = instruction->mnemonic == ZYDIS_MNEMONIC_RET;

    if (!(instruction->flags & CODE_CALL) && !leaves) {
        return use_by_operands(code, instruction, place_of(number));
    }
    for (unsigned i = 0; i < instruction->visible_count; i++) {
        const struct code_operand *operand = &code->operands.items[instruction->operand + i];
        if (number < REGISTERS && (operand->base == number || operand->index == number ||
                                   (operand->kind == OPERAND_REGISTER && operand->number == number))) {
            return USE_READ;
        }
    }
    if (returns ? gives_back(version, number) : takes(version, at, number)) {
        return USE_READ;
    }
    bool goes_on =
        leaves ? !(instruction->flags & CODE_ENDS) : !call_clobbers(version->clobbers, code, at, number);
    return goes_on ? USE_NONE : USE_WRITTEN;
}

bool version_reads(const struct version *version, unsigned number)
{
    const struct code *code = &version->code;
    struct code_search *search = code->search;
    bool read = false;

    search->number++;
    search->waiting.count = 0;
    LIST_ADD(&search->waiting, code->instructions.items[version->at].block);
    while (search->waiting.count && !read) {
        const struct code_block *block = &code->blocks.items[search->waiting.items[--search->waiting.count]];
        enum use use = USE_NONE;
        for (uint32_t i = block->first; i < block->end && use == USE_NONE; i++) {
            use = use_of(version, i, number);
        }
        read = use == USE_READ;
        for (size_t i = 0; i < block->next.count && use == USE_NONE; i++) {
            uint32_t next = block->next.items[i];
            if (search->seen[next] != search->number) {
                search->seen[next] = search->number;
                LIST_ADD(&search->waiting, next);
            }
        }
    }
    return read;
}

/* Whether all that SIZE bytes at PLACE may hold at CALL is what calls before have left there: then nobody
 * means it. */
static bool holds_nothing(const struct code *code, uint32_t call, int32_t place, uint32_t size)
{
    struct origins origins = { 0 };

    find_origins(code, call, place, size, &origins);
    bool nothing = origins_known(&origins) && origins.list.count;
    for (size_t i = 0; i < origins.list.count && nothing; i++) {
        nothing = origin_is_nothing(code, &origins.list.items[i]);
    }
    LIST_FREE(&origins.list);
    return nothing;
}

char *transfer_check_relied(struct transfer_work *work, uint32_t old_call, uint32_t new_call, unsigned number,
                            uint32_t size)
{
    int32_t place = place_of(number);
    bool vector = number >= REGISTERS;

    if (call_clobbers(work->new->clobbers, &work->new->code, new_call, number) ||
        (!work->recipe->moves_taken &&
         !call_clobbers(work->old->clobbers, &work->old->code, old_call, number) &&
         match_finds(&work->match, new_call, place, old_call, &place, 1, size) == 0) ||
        holds_nothing(&work->new->code, new_call, place, size) || !version_reads(work->new, number)) {
        return NULL;
    }
    return vector
               ? must_printf(
                     "the new version relies on xmm%u, which the called function happens to leave alone",
                     number - REGISTERS)
               : must_printf("the new version relies on %s, which the called function happens to leave alone",
                             register_name(number));
}
