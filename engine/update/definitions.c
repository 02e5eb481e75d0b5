/*
 * The registry only grows and shrinks at its end, so what an update has added is all behind where it began.
 * While its safe point is awaited the program runs, and may fork: the child, which has nobody to commit the
 * update, takes the definitions back.
 */
#include "engine/update/definitions.h"

#include <errno.h>

#include "engine/update/stage.h"

static struct update *awaited; /* its definitions are published, its safe point is awaited */

static void forget(const struct update *update)
{
    registry_forget_definitions(update->definitions_before);
    registry_forget_functions(update->functions_before);
}

static int register_all(struct update *update)
{
    const struct patch_file *file = &update->patch.file;
    int status = 0;

    update->definitions_before = registry_definition_count();
    update->functions_before = registry_function_count();
    for (size_t i = 0; i < file->patch_definitions_count && status == 0; i++) {
        const struct molt_patch_definition *definition = &file->patch_definitions[i];
        const Elf64_Sym *symbol = &file->symbols[definition->symbol];
        const struct loaded_section *section = &update->patch.sections[symbol->st_shndx];
        if (section->class == SECTION_UNLOADED) {
            continue; /* for a module that is absent */
        }
        const char *unit = patch_file_string(file, definition->unit),
                   *name = patch_file_string(file, definition->name);
        bool is_tls = section->class == SECTION_TLS;
        uintptr_t address =
            is_tls ? section->address + symbol->st_value : update->patch.symbols[definition->symbol].address;
        status = registry_define(unit, name, is_tls, address);
        if (status == 0 && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && !registry_function_at(address)) {
            struct image *home = update->patch.modules[section->module].image;
            uint32_t size = (uint32_t)symbol->st_size;
            status =
                registry_add_function(unit, name, address, size, plan_room(file, definition->symbol), home)
                    ? 0
                    : -ENOMEM;
        }
    }
    if (status < 0) {
        forget(update);
    }
    return status;
}

int definitions_publish(struct update *update)
{
    enter_critical();
    int status = register_all(update);
    awaited = status == 0 ? update : NULL;
    leave_critical();
    return status;
}

void definitions_withdraw(struct update *update)
{
    enter_critical();
    if (awaited == update) {
        forget(update);
        awaited = NULL;
    }
    leave_critical();
}

void definitions_keep(void)
{
    awaited = NULL;
}

void definitions_after_fork(void)
{
    if (awaited) {
        forget(awaited);
        awaited = NULL;
    }
}
