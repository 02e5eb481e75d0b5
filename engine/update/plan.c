/*
 * Planning: from the patch's records to transitions of functions, the code that no stack may hold, and room
 * in the undo log. All that can be refused is refused here, while the program runs on undisturbed.
 */
#include "engine/update/plan.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sort.h"
#include "engine/threads/jump_buffers.h"
#include "engine/threads/setjmp_sites.h"
#include "engine/update/history.h"
#include "engine/update/rebind.h"
#include "engine/update/recipes.h"

#define BREAKPOINT 0xcc

/* ---- identity -------------------------------------------------------------------------------------- */

/* The patch must have been made for exactly the updates that are in force: same ids, same order. */
static int check_order(struct update *update, const json_t *after)
{
    struct update_entry entry;
    size_t known = json_array_size(after);

    for (size_t i = 0; update_history(i, &entry); i++) {
        if (strcmp(entry.id, update->id) == 0) {
            return load_refuse(&update->patch,
                               "this patch is in force already; there is nothing left to apply");
        }
        const char *id = json_string_value(json_array_get(after, i));
        if (i >= known || !id || strcmp(id, entry.id) != 0) {
            return load_refuse(
                &update->patch,
                "the program has update %zu (%s) in force, which this patch was not made after; make the "
                "patch with --after, from the sources that update leads to, or roll it back",
                i + 1, *entry.title ? entry.title : entry.id);
        }
    }
    if (known > history_count()) {
        return load_refuse(&update->patch,
                           "the patch comes after %zu updates, but the program has only %zu in force; apply "
                           "the missing ones first",
                           known, history_count());
    }
    return 0;
}

static int read_manifest(struct update *update)
{
    const struct patch_file *file = &update->patch.file;
    json_t *manifest = json_loadb(file->manifest, file->manifest_size, 0, NULL);
    const char *id = NULL, *title = "";
    json_t *after = NULL;
    int format = 0, status;

    if (!manifest || json_unpack(manifest, "{s:i, s:s, s?s, s?o}", "format", &format, "id", &id, "title",
                                 &title, "after", &after) != 0) {
        status = load_refuse(&update->patch, "malformed manifest");
    } else if (format != MOLT_PATCH_FORMAT) {
        status = load_refuse(&update->patch,
                             "the patch has format %d, this engine knows %d: make it again with the molt "
                             "that started the program",
                             format, MOLT_PATCH_FORMAT);
    } else {
        update->id = strdup(id);
        update->title = strdup(title);
        status = update->id && update->title ? check_order(update, after) : -ENOMEM;
    }
    json_decref(manifest);
    return status;
}

/* ---- functions ------------------------------------------------------------------------------------- */

/* Whether symbol name PART is FUNCTION's followed by a dot: f.cold, f.part.0. */
static bool is_part_of(const char *part, const char *function)
{
    size_t length = strlen(function);

    return strncmp(part, function, length) == 0 && part[length] == '.';
}

uint32_t plan_room(const struct patch_file *file, uint32_t symbol)
{
    const Elf64_Sym *entry = &file->symbols[symbol];
    bool last = entry->st_value + entry->st_size == file->sections[entry->st_shndx].sh_size;

    return last && entry->st_size < JUMP_SIZE ? JUMP_SIZE : (uint32_t)entry->st_size;
}

/* The version of a function that SYMBOL of the patch defines. */
static struct version version_of(const struct loaded_patch *patch, uint32_t symbol)
{
    const struct patch_file *file = &patch->file;
    const Elf64_Sym *entry = &file->symbols[symbol];
    const char *name = patch_file_symbol_name(file, symbol);
    struct version version = {
        .image = patch->modules[patch->sections[entry->st_shndx].module].image,
        .ranges = { { patch->symbols[symbol].address, entry->st_size } },
        .count = 1,
        .room = plan_room(file, symbol),
    };

    for (size_t i = 1; i < file->symbol_count && version.count < VERSION_RANGES_MAX; i++) {
        const Elf64_Sym *part = &file->symbols[i];
        if (part->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(part->st_info) == STT_FUNC &&
            is_part_of(patch_file_symbol_name(file, i), name)) {
            version.ranges[version.count++] = (struct code_range){ patch->symbols[i].address, part->st_size };
        }
    }
    return version;
}

static struct function *find_function(struct update *update, const struct molt_patch_function *record)
{
    const struct patch_file *file = &update->patch.file;
    const char *unit = patch_file_string(file, record->unit), *name = patch_file_string(file, record->name);

    if (record->flags & MOLT_FUNCTION_EARLIER) {
        return registry_function_named(unit, name);
    }
    const struct module *module = &update->patch.modules[record->module].module;
    uintptr_t identity = module->bias + record->address;
    if (identity < module->start || identity >= module->end || module->end - identity < JUMP_SIZE) {
        load_refuse(&update->patch, "malformed patch: %s lies outside of %s", name, module->path);
        return NULL;
    }
    struct function *function = registry_function_at(identity);
    return function ? function
                    : registry_add_function(unit, name, identity, record->size, record->room, NULL);
}

static int check_function(struct update *update, const struct function *function, bool bypassed)
{
    const uint8_t *code = (const uint8_t *)function->identity;

    if (bypassed) {
        return 0;
    }
    if (function->room < JUMP_SIZE) {
        return load_refuse(
            &update->patch,
            "%s (%s) is %u bytes long, too short for the jump to its new version; give it a body of some "
            "statements in the baseline, or rebuild without -Os",
            function->name, function->unit, (unsigned)function->room);
    }
    if (code[0] == BREAKPOINT) {
        return load_refuse(&update->patch,
                           "a debugger has a breakpoint at the entry of %s; remove it, then apply again",
                           function->name);
    }
    return 0;
}

static int plan_transition(struct update *update, const struct molt_patch_function *record)
{
    struct function *function = find_function(update, record);

    if (!function) {
        return *update->patch.reason ? -EINVAL : -ENOMEM;
    }
    bool bypassed = record->flags & MOLT_FUNCTION_BYPASSED;
    int status = check_function(update, function, bypassed);
    if (status < 0) {
        return status;
    }
    struct version after = version_of(&update->patch, record->symbol);
    if (after.count == VERSION_RANGES_MAX) { /* more may have been left out, and all must be awaited */
        return load_refuse(&update->patch,
                           "%s was split into too many parts by the compiler; divide it into functions",
                           function->name);
    }
    if (!after.image) {
        return load_refuse(&update->patch, "malformed patch: %s has no code", function->name);
    }
    update->transitions[update->transition_count++] = (struct transition){
        .function = function,
        .before = function->current,
        .after = after,
        .keeps_nothing = record->flags & MOLT_FUNCTION_KEEPS_NOTHING,
        .bypassed = bypassed,
    };
    return 0;
}

static void add_range(struct update *update, uintptr_t start, size_t size, const char *name)
{
    if (size) {
        update->ranges[update->range_count++] = (struct affected_range){ start, start + size, name };
    }
}

size_t plan_sort_ranges(struct affected_range *ranges, size_t count)
{
    size_t kept = 0;

    SORT_BY(ranges, count, struct affected_range, start);
    for (size_t i = 1; i < count; i++) {
        if (ranges[i].start < ranges[kept].end) {
            ranges[kept].end = ranges[i].end > ranges[kept].end ? ranges[i].end : ranges[kept].end;
        } else {
            ranges[++kept] = ranges[i];
        }
    }
    return count ? kept + 1 : 0;
}

static int plan_functions(struct update *update)
{
    const struct patch_file *file = &update->patch.file;
    const size_t ranges_each = sizeof(((struct version *)0)->ranges) / sizeof(struct code_range);
    size_t count = file->patch_functions_count;

    update->transitions = calloc(count + 1, sizeof(*update->transitions));
    update->ranges = calloc(count * ranges_each + 3, sizeof(*update->ranges));
    if (!update->transitions || !update->ranges) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const struct molt_patch_function *record = &file->patch_functions[i];
        if (update->patch.modules[record->module].absent) {
            continue;
        }
        if (record->flags & MOLT_FUNCTION_PART && !(record->flags & MOLT_FUNCTION_EARLIER)) {
            add_range(update, update->patch.modules[record->module].module.bias + record->address,
                      record->size, patch_file_string(file, record->name));
        }
        if (record->flags & (MOLT_FUNCTION_PART | MOLT_FUNCTION_REMOVED)) {
            continue;
        }
        int status = plan_transition(update, record);
        if (status < 0) {
            return status;
        }
        const struct transition *transition = &update->transitions[update->transition_count - 1];
        for (size_t k = 0; k < transition->before.count; k++) {
            add_range(update, transition->before.ranges[k].start, transition->before.ranges[k].size,
                      transition->function->name);
        }
    }
    return 0;
}

/* ---- data ------------------------------------------------------------------------------------------ */

/* A thread that is being created has its thread-local memory initialised by its creator: no thread may be
 * doing that. */
static void avoid_thread_creation(struct update *update)
{
    const struct patch_file *file = &update->patch.file;

    bool any = false;

    for (size_t i = 1; i < file->section_count; i++) {
        any |= update->patch.sections[i].class == SECTION_TLS && file->sections[i].sh_size;
    }
    for (size_t i = 0; i < file->patch_data_count; i++) {
        any |= file->patch_data[i].flags & MOLT_DATA_TLS;
    }
    if (any) {
        struct code_range creation = history_thread_creation();
        add_range(update, creation.start, creation.size, "pthread_create");
    }
}

static bool has_frame_policies(const struct patch_file *file)
{
    for (size_t i = 0; i < file->patch_transfers_count; i++) {
        if (file->patch_transfers[i].policy) {
            return true;
        }
    }
    return false;
}

/* While instances migrate, the heap is walked and policies may allocate: nobody may be in the middle of that.
 */
static void avoid_allocator(struct update *update)
{
    if (state_changes(update->state) || has_frame_policies(&update->patch.file)) {
        struct affected_range allocator = state_allocator();
        add_range(update, allocator.start, allocator.end - allocator.start, allocator.name);
    }
}

static int reserve_undo(struct update *update)
{
    const struct patch_file *file = &update->patch.file;
    size_t setjmps = recipes_setjmps(update->forth);
    size_t bytes = 2 * JUMP_SIZE * update->transition_count + sizeof(uint64_t) * update->rebound_count +
                   SETJMP_SITE_SIZE * setjmps;

    for (size_t i = 0; i < file->patch_data_count; i++) {
        bytes += file->patch_data[i].size;
    }
    return undo_reserve(
        &update->undo,
        2 * update->transition_count + update->rebound_count + setjmps + file->patch_data_count, bytes);
}

/* A pinned image holds a function that did not exist before: the program may store pointers to it. */
static void pin_images(struct update *update)
{
    const struct patch_file *file = &update->patch.file;

    for (size_t i = 0; i < file->patch_definitions_count; i++) {
        const Elf64_Sym *symbol = &file->symbols[file->patch_definitions[i].symbol];
        struct image *image = update->patch.modules[update->patch.sections[symbol->st_shndx].module].image;
        if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && image) { /* NULL: for a module that is absent */
            image->pinned = true;
        }
    }
}

/* Tells of functions by which the patch may leave stacks on which it comes back. */
static void note_imports(const struct update *update)
{
    const struct patch_file *file = &update->patch.file;

    for (size_t i = 0; i < file->patch_bindings_count; i++) {
        if (file->patch_bindings[i].kind == MOLT_BINDING_IMPORT) {
            jump_buffers_imported(patch_file_symbol_name(file, file->patch_bindings[i].symbol));
        }
    }
}

int plan_update(struct update *update)
{
    int status = read_manifest(update);

    status = status < 0 ? status : plan_functions(update);
    status = status < 0 ? status : state_plan(&update->patch, false, &update->state);
    status = status < 0 ? status : rebind_plan(update);
    if (status == 0) {
        avoid_thread_creation(update);
        avoid_allocator(update);
        update->range_count = plan_sort_ranges(update->ranges, update->range_count);
        pin_images(update);
        note_imports(update);
        status = recipes_make(update, false, &update->forth);
        status = status < 0 ? status : recipes_make(update, true, &update->back);
        status = status < 0 ? status : reserve_undo(update);
    }
    return status;
}
