/*
 * The loader (DESIGN 4.3). A shared object could not be used for patches, since the dynamic linker binds to
 * no static functions and variables; so relocatable objects are loaded near their module, and every undefined
 * symbol is bound by what the builder found.
 *
 * The order follows from who needs whose address: code and variables get their places, symbols are bound to
 * them or to the program, constants are relocated and interned (a constant may name another, which goes
 * first), and at last code and variables are relocated and the code is made executable.
 */
#include "engine/code/load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/code/lookup.h"
#include "engine/code/registry.h"
#include "engine/code/tls.h"
#include "engine/code/unwind_tables.h"

int load_refuse(struct loaded_patch *patch, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(patch->reason, sizeof(patch->reason), format, arguments);
    va_end(arguments);
    return -EINVAL;
}

const char *load_symbol_name(const struct loaded_patch *patch, size_t symbol)
{
    const char *name = patch_file_symbol_name(&patch->file, symbol);
    uint16_t section = patch->file.symbols[symbol].st_shndx;

    return *name || section >= patch->file.section_count ? name
                                                         : patch_file_section_name(&patch->file, section);
}

/* ---- modules ----------------------------------------------------------------------------------------- */

/* Whether module INDEX is one that the patch named before: copies of one program have one build-id. */
static bool is_known(const struct loaded_patch *patch, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (!patch->modules[i].absent &&
            patch->modules[i].module.start == patch->modules[index].module.start) {
            return true;
        }
    }
    return false;
}

/* A unit that is linked into several programs and libraries makes a patch for all of them; a process has
 * loaded some. */
static int find_modules(struct loaded_patch *patch)
{
    const struct patch_file *file = &patch->file;
    bool present = false;

    for (size_t i = 0; i < file->patch_modules_count; i++) {
        const struct molt_patch_module *wanted = &file->patch_modules[i];
        struct loaded_module *loaded = &patch->modules[i];
        int status = module_find(wanted->build_id, wanted->build_id_size, &loaded->module);
        if (status == -ENOENT || (status == 0 && is_known(patch, i))) {
            loaded->absent = true;
            continue;
        }
        present = true;
        status = status < 0 ? status
                            : arena_of(&loaded->module, wanted->flags & MOLT_MODULE_FIXED, &loaded->arena);
        if (status < 0) {
            return load_refuse(patch,
                               "no memory for patches within reach of %s: %s; restart the program to go on",
                               loaded->module.path, strerror(-status));
        }
        loaded->mark = arena_mark(loaded->arena);
        status = preempted_find(loaded->module.bias, &loaded->preempted);
        if (status < 0) {
            return status;
        }
    }
    return present ? 0
                   : load_refuse(
                         patch,
                         "the patch is for another build of %s: no module of this program has that build-id; "
                         "make the patch against the build that runs",
                         patch_file_string(file, file->patch_modules[0].name));
}

static int open_pools(struct loaded_patch *patch)
{
    for (size_t i = 0; i < patch->file.patch_modules_count; i++) {
        int status = patch->modules[i].absent ? 0 : arena_pools_open(patch->modules[i].arena);
        if (status < 0) {
            return status;
        }
    }
    patch->pools_open = true;
    return 0;
}

static void close_pools(struct loaded_patch *patch)
{
    for (size_t i = 0; i < patch->file.patch_modules_count && patch->pools_open; i++) {
        if (!patch->modules[i].absent) {
            arena_pools_close(patch->modules[i].arena);
        }
    }
    patch->pools_open = false;
}

/* ---- symbols ----------------------------------------------------------------------------------------- */

static void set_reserve_symbol(struct loaded_symbol *symbol, size_t offset)
{
    symbol->address = tls_module_offset() + offset;
    symbol->tls_module = tls_module_id();
    symbol->tls_static = true;
    symbol->tls_offset = tls_thread_offset() + (intptr_t)offset;
}

static int bind_earlier(struct loaded_patch *patch, const struct molt_patch_binding *binding,
                        struct loaded_symbol *symbol)
{
    const char *unit = patch_file_string(&patch->file, (uint32_t)binding->value);
    const char *name = patch_file_string(&patch->file, binding->module);
    const struct definition *definition = registry_definition(unit, name);

    if (!definition) {
        return load_refuse(
            patch, "%s comes from an earlier patch that is not in this program; apply that one first", name);
    }
    if (definition->is_tls) {
        set_reserve_symbol(symbol, definition->address);
    } else {
        symbol->address = definition->address;
    }
    return 0;
}

static int bind_import(struct loaded_patch *patch, const struct molt_patch_binding *binding,
                       struct loaded_symbol *symbol)
{
    const char *name = patch_file_symbol_name(&patch->file, binding->symbol);
    const char *version = patch_file_string(&patch->file, (uint32_t)binding->value);
    bool weak = ELF64_ST_BIND(patch->file.symbols[binding->symbol].st_info) == STB_WEAK;

    symbol->address = lookup_symbol(name, version, NULL);
    return symbol->address || weak
               ? 0
               : load_refuse(patch,
                             "%s is defined nowhere: not in the patch, the program or its libraries; "
                             "link the library that has it, or define it",
                             name);
}

/* Where code that names the definition at ADDRESS of a module is to go: there, unless it is a function
 * without room for a jump that an earlier update brought a new version of. */
static uintptr_t in_force(uintptr_t address)
{
    const struct function *function = registry_function_at(address);

    return function && function->room < JUMP_SIZE && function->current.image
               ? function->current.ranges[0].start
               : address;
}

static int bind_address(struct loaded_patch *patch, const struct molt_patch_binding *binding,
                        struct loaded_symbol *symbol)
{
    const struct loaded_module *module = &patch->modules[binding->module];
    uintptr_t own = module->module.bias + binding->value;
    uintptr_t place = preempted_place(&module->preempted, own, binding->size, false);

    symbol->address = place ? in_force(place) : 0;
    return place ? 0 : load_refuse_copy(patch, patch_file_symbol_name(&patch->file, binding->symbol), module);
}

static int bind_symbol(struct loaded_patch *patch, const struct molt_patch_binding *binding)
{
    struct loaded_symbol *symbol = &patch->symbols[binding->symbol];
    const struct module *module;
    int status = 0;

    if ((binding->kind == MOLT_BINDING_ADDRESS || binding->kind == MOLT_BINDING_TLS) &&
        patch->modules[binding->module].absent) {
        return load_refuse(patch,
                           "%s lies in %s, which this program has not loaded; apply the patch when it has",
                           patch_file_symbol_name(&patch->file, binding->symbol),
                           patch_file_string(&patch->file, patch->file.patch_modules[binding->module].name));
    }
    switch ((enum molt_binding_kind)binding->kind) {
    case MOLT_BINDING_ADDRESS:
        status = bind_address(patch, binding, symbol);
        break;
    case MOLT_BINDING_TLS:
        module = &patch->modules[binding->module].module;
        symbol->address = binding->value;
        symbol->tls_module = module->tls_id;
        symbol->tls_static = module->tls_static;
        symbol->tls_offset = module->tls_offset + (intptr_t)binding->value;
        if (!module->tls_id) {
            status = load_refuse(patch, "%s has no thread-local storage", module->path);
        }
        break;
    case MOLT_BINDING_IMPORT:
        status = bind_import(patch, binding, symbol);
        break;
    case MOLT_BINDING_EARLIER:
        status = bind_earlier(patch, binding, symbol);
        break;
    case MOLT_BINDING_COUNT:
        break;
    }
    symbol->identity = symbol->address;
    return status;
}

/* Where the code of function record RECORD was before this patch: its identity. */
static uintptr_t identity_of(const struct loaded_patch *patch, const struct molt_patch_function *record)
{
    if (record->flags & MOLT_FUNCTION_EARLIER) {
        const struct function *function = registry_function_named(
            patch_file_string(&patch->file, record->unit), patch_file_string(&patch->file, record->name));
        return function ? function->identity : 0;
    }
    return patch->modules[record->module].module.bias + record->address;
}

static void resolve_defined(struct loaded_patch *patch)
{
    const struct patch_file *file = &patch->file;

    for (size_t i = 1; i < file->symbol_count; i++) {
        const Elf64_Sym *elf = &file->symbols[i];
        struct loaded_symbol *symbol = &patch->symbols[i];
        if (elf->st_shndx == SHN_ABS) {
            symbol->address = symbol->identity = elf->st_value;
        } else if (elf->st_shndx != SHN_UNDEF && patch->sections[elf->st_shndx].class == SECTION_TLS) {
            set_reserve_symbol(symbol, patch->sections[elf->st_shndx].address + elf->st_value);
        } else if (elf->st_shndx != SHN_UNDEF && patch->sections[elf->st_shndx].address) {
            symbol->address = symbol->identity = patch->sections[elf->st_shndx].address + elf->st_value;
        }
    }
}

static void mark_needed(struct loaded_patch *patch)
{
    const struct patch_file *file = &patch->file;

    for (size_t i = 1; i < file->section_count; i++) {
        const Elf64_Shdr *table = &file->sections[patch->sections[i].relocations];
        const Elf64_Rela *relocations = (const Elf64_Rela *)(file->bytes + table->sh_offset);
        if (patch->sections[i].class == SECTION_UNLOADED || !patch->sections[i].relocations) {
            continue;
        }
        for (size_t k = 0; k < table->sh_size / sizeof(Elf64_Rela); k++) {
            patch->symbols[ELF64_R_SYM(relocations[k].r_info)].needed = true;
        }
    }
    for (size_t i = 0; i < file->patch_rebinds_count; i++) {
        if (!patch->modules[file->patch_rebinds[i].module].absent) {
            patch->symbols[file->patch_rebinds[i].old_symbol].needed = true;
        }
    }
}

static int resolve_symbols(struct loaded_patch *patch)
{
    const struct patch_file *file = &patch->file;

    resolve_defined(patch);
    mark_needed(patch);
    for (size_t i = 0; i < file->patch_bindings_count; i++) {
        const struct molt_patch_binding *binding = &file->patch_bindings[i];
        int status = patch->symbols[binding->symbol].needed ? bind_symbol(patch, binding) : 0;
        if (status < 0) {
            return status;
        }
    }
    for (size_t i = 0; i < file->patch_functions_count; i++) {
        const struct molt_patch_function *record = &file->patch_functions[i];
        if (!record->symbol || record->flags & MOLT_FUNCTION_BYPASSED ||
            patch->modules[record->module].absent) {
            continue; /* pointers to a function without a jump lead to its new code */
        }
        const Elf64_Sym *definition = &file->symbols[record->symbol];
        uintptr_t identity = identity_of(patch, record);
        if (!identity) {
            return load_refuse(
                patch, "%s comes from an earlier patch that is not in this program; apply that one first",
                patch_file_string(file, record->name));
        }
        for (size_t k = 1; k < file->symbol_count; k++) { /* aliases and the section's own symbol too */
            const Elf64_Sym *symbol = &file->symbols[k];
            if (symbol->st_shndx == definition->st_shndx && symbol->st_value == definition->st_value) {
                patch->symbols[k].identity = identity;
            }
        }
    }
    return 0;
}

/* ---- constants --------------------------------------------------------------------------------------- */

uintptr_t load_string(struct loaded_patch *patch, size_t section, uint64_t offset)
{
    const char *strings = (const char *)patch_file_section_bytes(&patch->file, section);
    const Elf64_Shdr *header = &patch->file.sections[section];
    uint64_t start = offset;

    if (offset >= header->sh_size) {
        return 0;
    }
    while (start > 0 && strings[start - 1] != '\0') {
        start--;
    }
    uintptr_t copy =
        (uintptr_t)arena_intern(patch->modules[patch->sections[section].module].arena, strings + start,
                                strlen(strings + start) + 1, header->sh_addralign ? header->sh_addralign : 1);
    return copy ? copy + (offset - start) : 0;
}

#define DEEPEST_CONSTANT                                                                                     \
    64 /* a longer chain of constants is not interned as a whole: the engine's stack is small */

static int place_constant(struct loaded_patch *patch, size_t index, unsigned depth);

/* Places the constants that constant INDEX names. A circle is cut by giving INDEX a place of its own first.
 */
static int place_named_constants(struct loaded_patch *patch, size_t index, unsigned depth)
{
    const struct patch_file *file = &patch->file;
    const Elf64_Shdr *table = &file->sections[patch->sections[index].relocations];
    const Elf64_Rela *relocations = (const Elf64_Rela *)(file->bytes + table->sh_offset);

    for (size_t i = 0; i < table->sh_size / sizeof(Elf64_Rela); i++) {
        uint16_t named = file->symbols[ELF64_R_SYM(relocations[i].r_info)].st_shndx;
        int status =
            named != SHN_UNDEF && named < file->section_count ? place_constant(patch, named, depth + 1) : 0;
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

static void resolve_in_section(struct loaded_patch *patch, size_t index)
{
    const struct patch_file *file = &patch->file;

    for (size_t i = 1; i < file->symbol_count; i++) {
        if (file->symbols[i].st_shndx == index) {
            patch->symbols[i].address = patch->sections[index].address + file->symbols[i].st_value;
            patch->symbols[i].identity = patch->symbols[i].address;
        }
    }
}

static int place_constant(struct loaded_patch *patch, size_t index, unsigned depth)
{
    struct loaded_section *section = &patch->sections[index];
    const Elf64_Shdr *header = &patch->file.sections[index];
    size_t alignment = header->sh_addralign ? header->sh_addralign : 1;
    struct arena *arena = patch->modules[section->module].arena;
    const uint8_t *contents = patch_file_section_bytes(&patch->file, index);
    void *placed;

    if (section->class != SECTION_CONSTANTS || section->address || !contents) {
        return 0;
    }
    if (section->relocations && !section->bytes && depth > DEEPEST_CONSTANT) {
        placed = arena_pool_allocate(arena, ARENA_READ_ONLY, header->sh_size, alignment);
        section->bytes =
            placed ? memcpy(placed, contents, header->sh_size) : NULL; /* relocated with the code */
    } else if (!section->relocations) {
        placed = arena_intern(arena, contents, header->sh_size, alignment);
    } else if (section->bytes) { /* met again on the way: a circle */
        placed = arena_pool_allocate(arena, ARENA_READ_ONLY, header->sh_size, alignment);
    } else {
        section->bytes = malloc(header->sh_size);
        if (!section->bytes) {
            return -ENOMEM;
        }
        memcpy(section->bytes, contents, header->sh_size);
        int status = place_named_constants(patch, index, depth);
        status = status < 0 ? status : relocate_section(patch, index);
        if (status < 0) {
            free(section->bytes);
            section->bytes = NULL;
            return status;
        }
        placed = section->address ? memcpy((void *)section->address, section->bytes, header->sh_size)
                                  : arena_intern(arena, section->bytes, header->sh_size, alignment);
        free(section->bytes);
        section->bytes = NULL;
    }
    if (!placed) {
        return load_refuse(patch, "no room for the patch's constants near %s; restart the program to go on",
                           patch->modules[section->module].module.path);
    }
    section->address = (uintptr_t)placed;
    resolve_in_section(patch, index);
    return 0;
}

/* ---- all of it --------------------------------------------------------------------------------------- */

static int relocate_all(struct loaded_patch *patch)
{
    const struct patch_file *file = &patch->file;
    int status = 0;

    for (size_t i = 1; i < file->section_count && status == 0; i++) {
        status = place_constant(patch, i, 0);
    }
    for (uint32_t i = 0; i < file->patch_modules_count && status == 0; i++) {
        if (patch->modules[i].image) {
            relocate_fill_slots(patch, i);
        }
    }
    for (size_t i = 1; i < file->section_count && status == 0; i++) {
        enum section_class class = patch->sections[i].class;
        if ((class == SECTION_CODE || class == SECTION_DATA || class == SECTION_TLS ||
             class == SECTION_CONSTANTS) &&
            patch->sections[i].bytes) {
            status = relocate_section(patch, i);
        }
    }
    return status;
}

static int seal_images(struct loaded_patch *patch)
{
    for (size_t i = 0; i < patch->file.patch_modules_count; i++) {
        struct image *image = patch->modules[i].image;
        if (!image) {
            continue;
        }
        if (image->eh_frame) {
            /* the search table directly follows .eh_frame and the zero word that ends it */
            int status =
                unwind_tables_make_header(image->eh_frame, (size_t)(image->eh_frame_header - image->eh_frame),
                                          (uintptr_t)image->eh_frame, (uint8_t *)image->eh_frame_header,
                                          (uintptr_t)image->eh_frame_header);
            if (status < 0) {
                return load_refuse(patch, "the patch's unwind table is malformed");
            }
        }
        int status = arena_code_seal((void *)image->start, image->end - image->start);
        if (status < 0) {
            return load_refuse(patch,
                               "this system does not let memory become executable (%s); its security policy "
                               "must allow that to the program",
                               strerror(-status));
        }
        status = image_register(image);
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

static uint64_t newest; /* number of the patch that was loaded last, of those that are there */

int load_patch(struct loaded_patch *patch)
{
    const struct patch_file *file = &patch->file;

    patch->number = ++newest;
    patch->tls_mark = tls_mark();
    patch->modules = calloc(file->patch_modules_count + 1, sizeof(*patch->modules));
    patch->sections = calloc(file->section_count, sizeof(*patch->sections));
    patch->symbols = calloc(file->symbol_count, sizeof(*patch->symbols));
    if (!patch->modules || !patch->sections || !patch->symbols) {
        return -ENOMEM;
    }
    if (!file->patch_modules_count) {
        return file->patch_functions_count || file->patch_data_count
                   ? load_refuse(patch, "the patch names no module")
                   : 0;
    }
    int status = find_modules(patch);
    status = status < 0 ? status : load_check_variables(patch);
    status = status < 0 ? status : open_pools(patch);
    status = status < 0 ? status : place_sections(patch);
    status = status < 0 ? status : resolve_symbols(patch);
    status = status < 0 ? status : relocate_all(patch);
    status = status < 0 ? status : seal_images(patch);
    close_pools(patch);
    return status;
}

void load_finish(struct loaded_patch *patch)
{
    for (size_t i = 0; patch->sections && i < patch->file.section_count; i++) {
        if (patch->sections[i].class == SECTION_TLS) {
            free(patch->sections[i].bytes);
        }
    }
    for (size_t i = 0; patch->modules && i < patch->file.patch_modules_count; i++) {
        free(patch->modules[i].slots);
        preempted_deinit(&patch->modules[i].preempted);
    }
    free(patch->modules);
    free(patch->sections);
    free(patch->symbols);
    free(patch->bytes);
    *patch = (struct loaded_patch){ 0 };
}

void load_discard(struct loaded_patch *patch)
{
    /* What was loaded after this patch lies behind it in the pools, and may share its constants. */
    bool is_newest = patch->number && patch->number == newest;

    for (size_t i = 0; patch->modules && i < patch->file.patch_modules_count; i++) {
        struct loaded_module *loaded = &patch->modules[i];
        if (loaded->image) {
            image_forget(loaded->image);
            arena_code_free(loaded->arena, (void *)loaded->image->start,
                            loaded->image->end - loaded->image->start);
            free(loaded->image);
        }
        if (loaded->arena && is_newest) {
            arena_reset(loaded->arena, loaded->mark);
        }
    }
    if (patch->modules && patch->tls_mark && is_newest) {
        tls_reset(patch->tls_mark);
    }
    newest -= is_newest;
    load_finish(patch);
}
