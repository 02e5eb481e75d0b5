/*
 * The check of the records about active frames. Whoever rebuilds a frame by them reads and writes a stack:
 * what passes here stays inside the two frames, but for incoming arguments, which lie a little above the CFA.
 */
#include "base/patch_file_private.h"

#define FRAME_MAX (1 << 23)     /* bytes; larger than the usual stack */
#define ARGUMENTS_MAX (1 << 16) /* bytes of incoming arguments */

static bool is_string(const struct patch_file *file, uint32_t offset)
{
    return offset < file->strings_size;
}

static bool is_preserved(int64_t number)
{
    return number == MOLT_REGISTER_RBX || number == MOLT_REGISTER_RBP ||
           (number >= MOLT_REGISTER_R12 && number <= MOLT_REGISTER_R15);
}

static bool is_slot(int64_t offset, uint32_t size, uint32_t frame, int64_t above)
{
    return size >= 1 && size <= FRAME_MAX && offset >= -(int64_t)frame && offset + size <= above;
}

/* Of a structure that a policy is called with. */
static bool is_within(int64_t offset, uint32_t size, uint32_t whole)
{
    return size >= 1 && size <= FRAME_MAX && offset >= 0 && offset <= FRAME_MAX && offset + size <= whole;
}

static bool is_source(const struct patch_file *file, const struct molt_patch_transfer *transfer,
                      const struct molt_patch_value *value)
{
    switch ((enum molt_value_place)value->from_kind) {
    case MOLT_VALUE_REGISTER:
        return is_preserved(value->from) && value->from_size >= 1 && value->from_size <= 8;
    case MOLT_VALUE_SLOT:
        return value->from_size >= 1 && (!value->addend || value->size <= 8) &&
               is_slot(value->from, value->from_size, transfer->old_size, ARGUMENTS_MAX);
    case MOLT_VALUE_CONSTANT:
    case MOLT_VALUE_ADDRESS:
        return value->size <= 8;
    case MOLT_VALUE_GUARD:
        return value->size == 8 && !value->from && !value->addend;
    case MOLT_VALUE_FRAME:
        return value->size == 8 && value->from >= -(int64_t)transfer->new_size &&
               value->from <= ARGUMENTS_MAX;
    case MOLT_VALUE_CONTENT_AT:
        return value->size <= 8 && value->from_size >= 1 && value->from_size <= 8;
    case MOLT_VALUE_CONTENT:
        return value->size <= 8 && value->from_size >= 1 && value->from_size <= 8 && value->symbol > 0 &&
               value->symbol < file->symbol_count;
    case MOLT_VALUE_SYMBOL:
        return value->size <= 8 && value->symbol > 0 && value->symbol < file->symbol_count;
    case MOLT_VALUE_POLICY:
        return value->from_size >= 1 && (!value->addend || value->size <= 8) &&
               is_within(value->from, value->from_size, transfer->given_size);
    case MOLT_VALUE_SOURCES:
        break;
    }
    return false;
}

static bool is_destination(const struct molt_patch_transfer *transfer, const struct molt_patch_value *value,
                           bool seen)
{
    if (seen) {
        return value->to_kind == MOLT_VALUE_POLICY && !value->migration &&
               value->from_kind != MOLT_VALUE_POLICY &&
               is_within(value->to, value->size, transfer->seen_size);
    }
    if (value->to_kind == MOLT_VALUE_REGISTER) {
        return is_preserved(value->to) && value->size == 8 && !value->migration;
    }
    return value->to_kind == MOLT_VALUE_SLOT && is_slot(value->to, value->size, transfer->new_size, 0);
}

/* A local that is an instance, or an array of them, and becomes another: as many of the one as of the other.
 */
static bool is_instance(const struct patch_file *file, const struct molt_patch_value *value)
{
    const struct molt_patch_migration *migration = &file->patch_migrations[value->migration - 1];

    if (migration->old_layout >= file->patch_layouts_count ||
        migration->new_layout >= file->patch_layouts_count || migration->flags & MOLT_MIGRATION_SPLIT) {
        return false;
    }
    uint32_t old = file->patch_layouts[migration->old_layout].size,
             new = file->patch_layouts[migration->new_layout].size;
    return old && new && value->from_kind == MOLT_VALUE_SLOT && value->to_kind == MOLT_VALUE_SLOT &&
           !value->addend && value->from < 0 && value->from_size % old == 0 && value->size % new == 0 &&
           value->from_size / old == value->size / new;
}

/* Whether the frame stays as it is. */
static bool stays(const struct molt_patch_transfer *transfer)
{
    return !transfer->old_size && !transfer->new_size;
}

/* Where the frame is not known, only registers are. */
static bool is_frameless(const struct molt_patch_value *value)
{
    return value->to_kind == MOLT_VALUE_REGISTER && value->from_kind != MOLT_VALUE_SLOT &&
           value->from_kind != MOLT_VALUE_FRAME;
}

/* SEEN: by the policy. */
static bool is_value(const struct patch_file *file, const struct molt_patch_transfer *transfer,
                     const struct molt_patch_value *value, bool seen)
{
    bool read = value->from_kind < MOLT_VALUE_PLACES;

    if (!is_string(file, value->variable) || value->migration > file->patch_migrations_count ||
        !is_source(file, transfer, value) || (value->migration && !is_instance(file, value)) ||
        (stays(transfer) && !is_frameless(value))) {
        return false;
    }
    if (read && !value->migration &&
        (value->from_size > value->size || (value->from_size < value->size && value->size > 8))) {
        return false;
    }
    return is_destination(transfer, value, seen);
}

/* Of a recipe that longjmp goes by, when the old frame may be gone. */
static bool is_for_longjmp(const struct molt_patch_transfer *transfer, const struct molt_patch_value *value)
{
    bool in_place = value->to == value->from && value->size == value->from_size;

    return value->from_kind != MOLT_VALUE_POLICY && (!value->migration || in_place) &&
           !(value->to_kind == MOLT_VALUE_REGISTER && value->from_kind == MOLT_VALUE_SLOT) &&
           transfer->new_size && !transfer->policy;
}

static bool has_policy(const struct patch_file *file, const struct molt_patch_transfer *transfer)
{
    if (!transfer->policy) {
        return !transfer->seen_count && !transfer->given_size;
    }
    return patch_file_defines(file, transfer->policy) && is_string(file, transfer->policy_file) &&
           transfer->seen_size <= FRAME_MAX && transfer->given_size <= FRAME_MAX &&
           transfer->seen <= file->patch_values_count &&
           transfer->seen_count <= file->patch_values_count - transfer->seen;
}

static bool is_transfer(const struct patch_file *file, const struct molt_patch_transfer *transfer)
{
    if (!patch_file_defines(file, transfer->symbol) || transfer->module >= file->patch_modules_count ||
        !is_string(file, transfer->function) || !is_string(file, transfer->unit) ||
        !is_string(file, transfer->callee) || !is_string(file, transfer->reason) ||
        transfer->old_place > INT64_MAX || transfer->new_place > INT64_MAX ||
        transfer->value > file->patch_values_count ||
        transfer->value_count > file->patch_values_count - transfer->value) {
        return false;
    }
    const Elf64_Sym *symbol = &file->symbols[transfer->symbol];
    uint64_t here = transfer->flags & MOLT_TRANSFER_INVERSE ? transfer->old_place : transfer->new_place;
    if (here > symbol->st_size) {
        return false;
    }
    if (transfer->reason) {
        return transfer->value_count == 0 && !transfer->policy;
    }
    if (!has_policy(file, transfer)) {
        return false;
    }
    bool rbp = transfer->cfa_register == MOLT_REGISTER_RBP;
    bool sized = transfer->old_size >= 8 && transfer->new_size >= 8;
    if ((!rbp && transfer->cfa_register != MOLT_REGISTER_RSP) ||
        !(sized || (stays(transfer) && !rbp && !transfer->policy)) || transfer->old_size > FRAME_MAX ||
        transfer->new_size > FRAME_MAX || transfer->cfa_offset < 0 || transfer->cfa_offset > FRAME_MAX ||
        (!rbp && (uint32_t)transfer->cfa_offset != transfer->old_size)) {
        return false;
    }
    for (uint32_t i = 0; i < transfer->value_count; i++) {
        const struct molt_patch_value *value = &file->patch_values[transfer->value + i];
        if (!is_value(file, transfer, value, false) ||
            (transfer->flags & MOLT_TRANSFER_SETJMP && !is_for_longjmp(transfer, value))) {
            return false;
        }
    }
    for (uint32_t i = 0; i < transfer->seen_count; i++) {
        if (!is_value(file, transfer, &file->patch_values[transfer->seen + i], true)) {
            return false;
        }
    }
    return true;
}

const char *patch_file_check_transfers(const struct patch_file *file)
{
    for (size_t i = 0; i < file->patch_transfers_count; i++) {
        if (!is_transfer(file, &file->patch_transfers[i])) {
            return "malformed transfer entry";
        }
    }
    return NULL;
}
