/*
 * Locals. A variable may be in a register, in the frame, a constant, or in several pieces; its location list
 * says which during the call. Scopes are those of the call itself: what was declared in a block that does not
 * hold the call is not alive when it returns. Two variables of one name are told apart by how deep they are
 * declared: through how many inlined calls, and in which of the blocks around the call.
 */
#include "patch/transfer/locals.h"
#include "patch/types/die_facts.h"

#include <dwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define SCOPES_MAX 64
#define EXPRESSIONS_MAX 4

/* What the frame base is at one instruction. */
struct frame_base {
    const struct code *code;
    uint32_t at;
    int32_t base; /* or NO_OFFSET */
};

void function_debug_init(struct function_debug *debug, const struct code *code,
                         const struct code_index *index)
{
    const struct code_range *range = code_index_find(index, object_address(code->object, code->symbol));

    *debug = (struct function_debug){ .code = code };
    if (range) {
        debug->die = range->die;
        debug->unit = range->unit;
        debug->known = true;
    }
}

/* The register of an operation: DW_OP_reg5, DW_OP_breg5, and the forms with a number. */
static unsigned register_of(const Dwarf_Op *operation)
{
    if (operation->atom >= DW_OP_reg0 && operation->atom <= DW_OP_reg31) {
        return operation->atom - DW_OP_reg0;
    }
    if (operation->atom >= DW_OP_breg0 && operation->atom <= DW_OP_breg31) {
        return operation->atom - DW_OP_breg0;
    }
    return operation->number;
}

static bool is_register(const Dwarf_Op *operation)
{
    return (operation->atom >= DW_OP_reg0 && operation->atom <= DW_OP_reg31) || operation->atom == DW_OP_regx;
}

static bool is_based(const Dwarf_Op *operation)
{
    return operation->atom >= DW_OP_breg0 && operation->atom <= DW_OP_breg31;
}

static struct frame_base frame_base_of(const struct function_debug *debug, uint32_t at)
{
    struct frame_base ret = { .code = debug->code, .at = at, .base = NO_OFFSET };
    Dwarf_Die die = debug->die;
    Dwarf_Attribute attribute;
    Dwarf_Op *operations;
    size_t count;

    if (!dwarf_attr(&die, DW_AT_frame_base, &attribute) ||
        dwarf_getlocation_addr(&attribute, debug->code->instructions.items[at].address, &operations, &count,
                               1) != 1 ||
        count != 1) {
        return ret;
    }
    if (operations[0].atom == DW_OP_call_frame_cfa) {
        ret.base = 0;
    } else if (is_register(&operations[0]) && register_of(&operations[0]) < REGISTERS) {
        ret.base = code_pointer(debug->code, at, register_of(&operations[0]));
    } else if (is_based(&operations[0]) && register_of(&operations[0]) < REGISTERS) {
        int32_t pointer = code_pointer(debug->code, at, register_of(&operations[0]));
        ret.base = pointer == NO_OFFSET ? NO_OFFSET : pointer + (int32_t)operations[0].number;
    }
    return ret;
}

/* The offset in the frame that OPERATION leads to; false: somewhere else. */
static bool frame_offset(const struct frame_base *base, const Dwarf_Op *operation, int64_t *ret)
{
    int32_t from = NO_OFFSET;

    if (operation->atom == DW_OP_fbreg) {
        from = base->base;
    } else if (is_based(operation) && register_of(operation) < REGISTERS) {
        from = code_pointer(base->code, base->at, register_of(operation));
    }
    *ret = from + (int64_t)operation->number;
    return from != NO_OFFSET;
}

static bool literal(const Dwarf_Op *operation, int64_t *ret)
{
    if (operation->atom >= DW_OP_lit0 && operation->atom <= DW_OP_lit31) {
        *ret = operation->atom - DW_OP_lit0;
        return true;
    }
    switch (operation->atom) {
    case DW_OP_const1u:
    case DW_OP_const1s:
    case DW_OP_const2u:
    case DW_OP_const2s:
    case DW_OP_const4u:
    case DW_OP_const4s:
    case DW_OP_const8u:
    case DW_OP_const8s:
    case DW_OP_constu:
    case DW_OP_consts:
        *ret = operation->number;
        return true;
    default:
        return false;
    }
}

static bool is_entry(const Dwarf_Op *operation)
{
    return operation->atom == DW_OP_entry_value || operation->atom == DW_OP_GNU_entry_value;
}

static bool is_arithmetic(const Dwarf_Op *operation)
{
    switch (operation->atom) {
    case DW_OP_plus_uconst:
    case DW_OP_plus:
    case DW_OP_minus:
    case DW_OP_mul:
    case DW_OP_neg:
    case DW_OP_not:
    case DW_OP_and:
    case DW_OP_or:
    case DW_OP_xor:
    case DW_OP_shl:
    case DW_OP_shr:
    case DW_OP_shra:
    case DW_OP_convert:
    case DW_OP_GNU_convert:
    case DW_OP_stack_value:
        return true;
    default:
        return false;
    }
}

/* Whether COUNT operations need nothing but what registers held at the function's entry. */
static bool is_entered(const Dwarf_Op *operations, size_t count)
{
    bool any = false, others = false;
    int64_t number;

    for (size_t i = 0; i < count; i++) {
        any = any || is_entry(&operations[i]);
        others = others || !(is_entry(&operations[i]) || is_arithmetic(&operations[i]) ||
                             literal(&operations[i], &number));
    }
    return any && !others;
}

/* One simple location: COUNT operations. False: there is none (empty). */
static bool read_place(const struct frame_base *base, const Dwarf_Op *operations, size_t count,
                       struct local_piece *piece)
{
    bool value = count && operations[count - 1].atom == DW_OP_stack_value;

    piece->kind = LOCAL_COMPUTED;
    if (!count) {
        return false;
    }
    if (count == 1 && is_register(&operations[0])) {
        piece->kind = LOCAL_REGISTER;
        piece->value = register_of(&operations[0]);
    } else if (count == 1 && frame_offset(base, &operations[0], &piece->value)) {
        piece->kind = LOCAL_SLOT;
    } else if (count == 2 && value && frame_offset(base, &operations[0], &piece->value)) {
        piece->kind = LOCAL_FRAME;
    } else if (count == 2 && value && literal(&operations[0], &piece->value)) {
        piece->kind = LOCAL_CONSTANT;
    } else if (count == 2 && value && is_based(&operations[0]) && register_of(&operations[0]) < REGISTERS) {
        piece->kind = LOCAL_REGISTER;
        piece->value = register_of(&operations[0]);
        piece->addend = (int64_t)operations[0].number;
    } else if (value && is_entered(operations, count)) {
        piece->kind = LOCAL_ENTERED;
    }
    return true;
}

static void read_location(const struct frame_base *base, const Dwarf_Op *operations, size_t count,
                          struct local *local)
{
    size_t first = 0;
    uint32_t offset = 0;

    for (size_t i = 0; i < count; i++) {
        struct local_piece piece = { .offset = offset };
        if (operations[i].atom != DW_OP_piece) {
            continue;
        }
        piece.size = operations[i].number;
        if (read_place(base, operations + first, i - first, &piece)) {
            LIST_ADD(&local->pieces, piece);
        }
        offset += piece.size;
        first = i + 1;
    }
    struct local_piece whole = { .size = local->size };
    if (!first && read_place(base, operations, count, &whole)) {
        LIST_ADD(&local->pieces, whole);
    }
}

static void read_constant(Dwarf_Die *die, struct local *local)
{
    struct local_piece piece = { .kind = LOCAL_CONSTANT, .size = local->size };
    Dwarf_Attribute attribute;
    Dwarf_Sword number;

    if (dwarf_attr_integrate(die, DW_AT_const_value, &attribute)) {
        piece.kind =
            local->size <= 8 && dwarf_formsdata(&attribute, &number) == 0 ? LOCAL_CONSTANT : LOCAL_COMPUTED;
        piece.value = piece.kind == LOCAL_CONSTANT ? number : 0;
        LIST_ADD(&local->pieces, piece);
    }
}

/* Whether the variable is one of the function's frame: not static, not extern. */
static bool is_automatic(Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    Dwarf_Op *operations;
    size_t count;

    if (dwarf_hasattr_integrate(die, DW_AT_external) || dwarf_hasattr(die, DW_AT_declaration)) {
        return false;
    }
    if (!dwarf_attr(die, DW_AT_location, &attribute) ||
        dwarf_getlocation(&attribute, &operations, &count) != 0 || !count) {
        return true;
    }
    return operations[0].atom != DW_OP_addr && operations[0].atom != DW_OP_addrx &&
           operations[count - 1].atom != DW_OP_form_tls_address &&
           operations[count - 1].atom != DW_OP_GNU_push_tls_address;
}

static void read_size(Dwarf_Die *die, Dwarf_Die *ret_type, bool *ret_typed, uint32_t *ret_size)
{
    Dwarf_Word size = 0;

    *ret_typed = die_type(die, ret_type);
    if (*ret_typed && dwarf_aggregate_size(ret_type, &size) == 0 && size <= INT32_MAX) {
        *ret_size = size;
    }
}

static uint32_t name_hash(const char *name)
{
    uint32_t hash = 0;

    for (; *name; name++) {
        hash = hash * 31 + (unsigned char)*name;
    }
    return hash;
}

/* The file that ATTRIBUTE of DIE is the number of; NULL if there is none. libdw's own function takes number
 * 0, the first one since DWARF 5, for none. */
static const char *file_of(Dwarf_Die *die, unsigned attribute)
{
    Dwarf_Attribute found;
    Dwarf_Word number;
    Dwarf_Files *files;
    Dwarf_Die unit;
    size_t count;

    return dwarf_formudata(dwarf_attr_integrate(die, attribute, &found), &number) == 0 &&
                   dwarf_diecu(die, &unit, NULL, NULL) && dwarf_getsrcfiles(&unit, &files, &count) == 0
               ? dwarf_filesrc(files, number, NULL, NULL)
               : NULL;
}

static void add_local(const struct frame_base *base, Dwarf_Die *die, const char *function, unsigned level,
                      uint64_t address, local_list *ret)
{
    struct local local = { .name = dwarf_diename(die),
                           .file = file_of(die, DW_AT_decl_file),
                           .die = dwarf_dieoffset(die),
                           .function = function,
                           .level = level };
    Dwarf_Attribute attribute;
    Dwarf_Op *operations[EXPRESSIONS_MAX];
    size_t counts[EXPRESSIONS_MAX];
    int line = 0;

    if (!local.name || !is_automatic(die)) {
        return;
    }
    local.hash = name_hash(local.name);
    dwarf_decl_line(die, &line);
    local.line = line;
    read_size(die, &local.type, &local.typed, &local.size);
    for (size_t i = 0; i < ret->count; i++) {
        local.nth += ret->items[i].level == level && local_same_name(&ret->items[i], &local);
    }
    if (dwarf_attr(die, DW_AT_location, &attribute) &&
        dwarf_getlocation_addr(&attribute, address, operations, counts, EXPRESSIONS_MAX) == 1) {
        read_location(base, operations[0], counts[0], &local);
    } else {
        read_constant(die, &local);
    }
    LIST_ADD(ret, local);
}

static bool is_scope(Dwarf_Die *die)
{
    int tag = dwarf_tag(die);

    return tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine;
}

static bool is_variable(Dwarf_Die *die)
{
    int tag = dwarf_tag(die);

    return tag == DW_TAG_variable || tag == DW_TAG_formal_parameter;
}

/* Where in the source an activation is, or an inlined call of one. */
struct source_place {
    const char *file;
    unsigned line;
};

/* Where the inlined call INLINED is made. */
static struct source_place place_of_inlined(Dwarf_Die *inlined)
{
    Dwarf_Attribute attribute;
    Dwarf_Word line = 0;

    dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &line);
    return (struct source_place){ file_of(inlined, DW_AT_call_file), (unsigned)line };
}

/* PLACES: where each level is. */
static void find_late(const struct source_place *places, local_list *ret)
{
    for (size_t i = 0; i < ret->count; i++) {
        struct local *local = &ret->items[i];
        const struct source_place *place = &places[local->level];
        local->late = place->line && local->line > place->line && place->file && local->file &&
                      strcmp(place->file, local->file) == 0;
    }
}

void locals_at_call(const struct function_debug *debug, uint32_t call, local_list *ret)
{
    const struct code_instruction *instruction = &debug->code->instructions.items[call];
    Dwarf_Die scope = debug->die, child, inner;
    /* The activation is inside the call: at the return address the compiler may hold the next statement to be
     * done already. */
    uint64_t during = instruction->address + instruction->length - 1;
    struct source_place places[SCOPES_MAX + 1] = { 0 };
    unsigned level = 0;

    if (!debug->known) {
        return;
    }
    const char *function = dwarf_diename(&scope);
    struct frame_base base = frame_base_of(debug, call + 1);
    for (unsigned depth = 0; depth < SCOPES_MAX; depth++) {
        bool deeper = false;
        for (int more = dwarf_child(&scope, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
            if (is_variable(&child)) {
                add_local(&base, &child, function, level, during, ret);
            } else if (!deeper && is_scope(&child) && dwarf_haspc(&child, instruction->address) == 1) {
                inner = child;
                deeper = true;
            }
        }
        if (!deeper) {
            places[level] = (struct source_place){ instruction->file, instruction->line };
            break;
        }
        if (dwarf_tag(&inner) == DW_TAG_inlined_subroutine) {
            places[level++] = place_of_inlined(&inner);
            function = dwarf_diename(&inner);
        }
        scope = inner;
    }
    find_late(places, ret);
}

bool local_same_name(const struct local *one, const struct local *other)
{
    return one->hash == other->hash && strcmp(one->name, other->name) == 0;
}

void locals_free(local_list *locals)
{
    for (size_t i = 0; i < locals->count; i++) {
        LIST_FREE(&locals->items[i].pieces);
    }
    LIST_FREE(locals);
}

static bool is_array(Dwarf_Die type)
{
    return dwarf_peel_type(&type, &type) == 0 && dwarf_tag(&type) == DW_TAG_array_type;
}

static void add_object(const struct frame_base *base, Dwarf_Die *die, Dwarf_Die *scope, bool whole,
                       frame_objects *ret)
{
    struct frame_object object = {
        .name = dwarf_diename(die), .die = dwarf_dieoffset(die), .scope = *scope, .whole = whole
    };
    Dwarf_Attribute attribute;
    Dwarf_Addr list_base, start, end;
    Dwarf_Op *operations;
    Dwarf_Die type;
    size_t count;
    ptrdiff_t offset = 0;
    bool typed;

    read_size(die, &type, &typed, &object.size);
    object.array = typed && is_array(type);
    if (!object.name || !is_automatic(die) || !object.size || !dwarf_attr(die, DW_AT_location, &attribute)) {
        return;
    }
    while ((offset = dwarf_getlocations(&attribute, offset, &list_base, &start, &end, &operations, &count)) >
           0) {
        int64_t place;
        if (count == 1 && frame_offset(base, &operations[0], &place)) {
            object.offset = (int32_t)place;
            LIST_ADD(ret, object);
        }
    }
}

static void add_objects(const struct frame_base *base, Dwarf_Die *scope, unsigned depth, frame_objects *ret)
{
    Dwarf_Die child;

    for (int more = dwarf_child(scope, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        if (is_variable(&child)) {
            add_object(base, &child, scope, depth == 0, ret);
        } else if (is_scope(&child) && depth < SCOPES_MAX) {
            add_objects(base, &child, depth + 1, ret);
        }
    }
}

void find_frame_objects(const struct function_debug *debug, uint32_t at, frame_objects *ret)
{
    if (debug->known) {
        struct frame_base base = frame_base_of(debug, at);
        Dwarf_Die die = debug->die;
        add_objects(&base, &die, 0, ret);
    }
}

bool frame_object_in_scope(const struct frame_object *object, uint64_t address)
{
    Dwarf_Die scope = object->scope;

    return object->whole || dwarf_haspc(&scope, address) == 1;
}

char *parameters_text(const struct function_debug *debug)
{
    struct text text = { 0 };
    Dwarf_Die die = debug->die, child, type;

    text_puts(&text, "");
    for (int more = debug->known ? dwarf_child(&die, &child) : 1; more == 0;
         more = dwarf_siblingof(&child, &child)) {
        const char *name = dwarf_diename(&child);
        bool typed;
        uint32_t size = 0;
        if (dwarf_tag(&child) == DW_TAG_formal_parameter) {
            read_size(&child, &type, &typed, &size);
            text_printf(&text, "%s:%u ", name ? name : "?", size);
        }
    }
    return must_have(text_steal(&text));
}

const struct local *local_at(const local_list *locals, int32_t place, const struct local_piece **ret_piece)
{
    for (size_t i = 0; i < locals->count; i++) {
        const struct local *local = &locals->items[i];
        for (size_t k = 0; k < local->pieces.count; k++) {
            const struct local_piece *piece = &local->pieces.items[k];
            int64_t start = piece->kind == LOCAL_REGISTER ? piece->value * 8 : PLACE_CFA + piece->value;
            if (piece->kind <= LOCAL_SLOT && piece->size && place >= start && place < start + piece->size) {
                *ret_piece = piece;
                return local;
            }
        }
    }
    return NULL;
}

static unsigned count_alike(const local_list *locals, const struct local *local)
{
    unsigned count = 0;

    for (size_t i = 0; i < locals->count; i++) {
        count += locals->items[i].level == local->level && local_same_name(&locals->items[i], local);
    }
    return count;
}

const struct local *local_counterpart(const local_list *others, const local_list *own,
                                      const struct local *local)
{
    if (count_alike(others, local) != count_alike(own, local)) {
        return NULL;
    }
    for (size_t i = 0; i < others->count; i++) {
        const struct local *other = &others->items[i];
        if (other->level == local->level && other->nth == local->nth && local_same_name(other, local)) {
            return other;
        }
    }
    return NULL;
}

bool local_is_whole(const struct local *local)
{
    const struct local_piece *piece = local->pieces.items;

    return local->pieces.count == 1 && piece->kind == LOCAL_SLOT && !piece->offset &&
           piece->size == local->size;
}

const struct local_piece *local_piece_of(const struct local *local, uint32_t offset, uint32_t size)
{
    for (size_t i = 0; i < local->pieces.count; i++) {
        const struct local_piece *piece = &local->pieces.items[i];
        if (offset >= piece->offset && offset + size <= piece->offset + piece->size) {
            return piece;
        }
    }
    return NULL;
}
