/*
 * A variable that outgrows its place gets another one. Words that hold its address are led there by their
 * values (forward.c); two kinds of fields are not words: operands of instructions, which the patch lists, and
 * the symbol tables of modules, where the dynamic linker finds the variable for libraries that are loaded
 * later, and for dlsym: an address without the module's load bias.
 *
 * Both go through the undo log, so a rollback brings them back. In a program at a fixed address the bias is
 * 0, and a symbol's value an address as any other: there the forwarding has seen to it.
 */
#include "engine/update/rebind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/code/lookup.h"

/* ---- operands -------------------------------------------------------------------------------------- */

/* What the field of REBIND at FIELD holds when it names TARGET; false: it does not reach that far. */
static bool field_value(const struct molt_patch_rebind *rebind, uintptr_t field, uintptr_t target,
                        uint32_t *ret)
{
    int64_t value = (int64_t)target;

    if (rebind->kind == MOLT_REBIND_RELATIVE) {
        value = (int64_t)(target - (field + sizeof(*ret) + rebind->tail));
    }
    *ret = (uint32_t)value;
    return value == (int32_t)value;
}

static int plan_operand(struct update *update, const struct molt_patch_rebind *rebind)
{
    struct loaded_patch *patch = &update->patch;
    const char *function = patch_file_string(&patch->file, rebind->function);
    const struct module *module = &patch->modules[rebind->module].module;
    uintptr_t field = module->bias + rebind->address;
    uintptr_t before = patch->symbols[rebind->old_symbol].address;
    uintptr_t after = patch->symbols[rebind->new_symbol].address;
    uint32_t expected, found, value;

    if (field < module->start || field >= module->end || module->end - field < sizeof(found)) {
        return load_refuse(patch, "malformed patch: an operand in %s lies outside of %s", function,
                           module->path);
    }
    memcpy(&found, (const void *)field, sizeof(found));
    if (!field_value(rebind, field, before + (uintptr_t)rebind->addend, &expected) || found != expected) {
        return load_refuse(patch,
                           "the code of %s at 0x%lx does not name %s where the patch expects it: somebody "
                           "has written to it; restart the program",
                           function, (unsigned long)field, load_symbol_name(patch, rebind->new_symbol));
    }
    if (!field_value(rebind, field, after + (uintptr_t)rebind->addend, &value)) {
        return load_refuse(patch, "%s has moved out of reach of %s; restart the program to update it",
                           load_symbol_name(patch, rebind->new_symbol), function);
    }
    update->rebounds[update->rebound_count++] = (struct rebound){ field, value, sizeof(value), UNDO_CODE };
    return 0;
}

static int plan_operands(struct update *update)
{
    const struct patch_file *file = &update->patch.file;
    int status = 0;

    update->rebounds = calloc(file->patch_rebinds_count + 1, sizeof(*update->rebounds));
    if (!update->rebounds) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < file->patch_rebinds_count && status == 0; i++) {
        bool absent = update->patch.modules[file->patch_rebinds[i].module].absent;
        status = absent ? 0 : plan_operand(update, &file->patch_rebinds[i]);
    }
    return status;
}

/* ---- symbol tables --------------------------------------------------------------------------------- */

/* Where the variable of ROOT is; 0: in thread-local memory, or it does not move. */
static uintptr_t place_of(const struct update *update, const struct molt_patch_root *root)
{
    const struct patch_file *file = &update->patch.file;

    if (!root->symbol || root->flags & MOLT_ROOT_TLS || update->patch.modules[root->module].absent) {
        return 0;
    }
    if (root->flags & MOLT_ROOT_EARLIER) {
        const struct definition *definition =
            registry_definition(patch_file_string(file, root->unit), patch_file_string(file, root->name));
        return definition ? definition->address : 0;
    }
    return update->patch.modules[root->module].module.bias + root->address;
}

struct symbol_walk {
    struct update *update;
    bool no_memory;
};

static void add_symbol(struct symbol_walk *walk, const Elf64_Sym *entry, uintptr_t value)
{
    struct update *update = walk->update;
    struct rebound *more = realloc(update->rebounds, (update->rebound_count + 1) * sizeof(*update->rebounds));

    if (!more) {
        walk->no_memory = true;
        return;
    }
    update->rebounds = more;
    more[update->rebound_count++] =
        (struct rebound){ (uintptr_t)&entry->st_value, value, sizeof(entry->st_value), UNDO_CONSTANT };
}

static void visit_symbol(void *context, const Elf64_Sym *entry, uintptr_t address)
{
    struct symbol_walk *walk = context;
    const struct patch_file *file = &walk->update->patch.file;
    uintptr_t bias = address - entry->st_value;

    for (size_t i = 0; bias && i < file->patch_roots_count; i++) {
        const struct molt_patch_root *root = &file->patch_roots[i];
        if (place_of(walk->update, root) == address) {
            add_symbol(walk, entry, walk->update->patch.symbols[root->symbol].address - bias);
            return;
        }
    }
}

static int plan_symbols(struct update *update)
{
    struct symbol_walk walk = { update, false };
    bool any = false;

    for (size_t i = 0; i < update->patch.file.patch_roots_count && !any; i++) {
        any = place_of(update, &update->patch.file.patch_roots[i]);
    }
    if (any) {
        lookup_variables(visit_symbol, &walk);
    }
    return walk.no_memory ? -ENOMEM : 0;
}

int rebind_plan(struct update *update)
{
    int status = plan_operands(update);

    return status < 0 ? status : plan_symbols(update);
}

int rebind_make(struct update *update)
{
    int status = 0;

    /* Threads stand between instructions, so each operand is read as it was or as it is. */
    for (size_t i = 0; i < update->rebound_count && status == 0; i++) {
        const struct rebound *rebound = &update->rebounds[i];
        status = undo_write(&update->undo, rebound->kind, rebound->address, &rebound->value, rebound->size);
    }
    return status;
}
