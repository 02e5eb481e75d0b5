/*
 * Where emitting starts: the definitions that differ, one by one. Each becomes a record of the patch, and is
 * told in its manifest. Extern ones get their symbols before any is emitted, so that units find each other's.
 */
#include <string.h>

#include "patch/code/definition_line.h"
#include "patch/code/operands.h"
#include "patch/emit/emit.h"

static void record_definition(struct emission *emission, struct contribution *contribution,
                              struct object_symbol *symbol, uint32_t target)
{
    struct object *object = contribution->comparison->new;
    bool local = symbol->bind == STB_LOCAL;

    LIST_ADD(&emission->definitions, (struct molt_patch_definition){
                                         .symbol = target,
                                         .name = emission_string(emission, bind_name(object, symbol)),
                                         .unit = local ? emission_string(emission, contribution->key) : 0,
                                     });
}

/* Why SYMBOL, a function of the contribution's new object, is in the patch. */
static const char *reason_of(struct emission *emission, const struct contribution *contribution,
                             const struct object_symbol *symbol)
{
    const char *reason = contribution->comparison->reasons[symbol->index];

    if (reason && strcmp(reason, "changed") != 0) {
        return reason;
    }
    char *inlined =
        emission->inlining ? inlining_reason(emission->inlining, contribution->comparison, symbol) : NULL;
    if (inlined) {
        LIST_ADD(&emission->owned, inlined);
    }
    return inlined ? inlined : "changed";
}

static void tell_function(struct emission *emission, const struct contribution *contribution,
                          const char *name, unsigned line, const char *reason)
{
    json_array_append_new(emission->json_functions,
                          json_pack("{s:s, s:s, s:i, s:s, s:s}", "name", name, "unit", contribution->name,
                                    "line", (int)line, "reason", reason, "module",
                                    contribution->image->path));
}

static bool address_known(const struct emission *emission, uint32_t module, uint64_t address)
{
    for (size_t i = 0; i < emission->functions.count; i++) {
        const struct molt_patch_function *function = &emission->functions.items[i];
        if (function->module == module && function->address == address && address) {
            return true;
        }
    }
    return false;
}

/* Adds the entry of a function that the program has (OLD, or NEW itself if another file had it) and the patch
 * changes (to NEW, NULL if it is gone). */
static void record_function(struct emission *emission, struct contribution *contribution,
                            struct object_symbol *old, struct object_symbol *new)
{
    const struct comparison *comparison = contribution->comparison;
    const char *unit = old->bind == STB_LOCAL ? contribution->key : "";
    const char *name = bind_name(comparison->old, old);
    bool earlier = bind_earlier(emission->earlier, emission->earlier_count, name, unit) != NULL;
    const struct image_symbol *found = earlier ? NULL : bind_find_or_fail(emission, contribution, old);
    uint32_t module = emission_module(emission, contribution->image);
    bool part = symbol_is_part(old);
    uint32_t flags = (part ? MOLT_FUNCTION_PART : 0) | (new ? 0 : MOLT_FUNCTION_REMOVED) |
                     (earlier ? MOLT_FUNCTION_EARLIER : 0);
    uint32_t room = found ? image_room(contribution->image, found) : 0;

    if ((!found && !earlier) || (found && address_known(emission, module, found->value))) {
        return; /* inlined everywhere, or an alias of one that is in the list */
    }
    unsigned line = new ? definition_line(comparison->new, new) : 0;
    if (found && new && !part && room < MOLT_JUMP_ROOM) { /* build_bypass.c has seen to its callers */
        flags |= MOLT_FUNCTION_BYPASSED;
    }
    LIST_ADD(&emission->functions,
             (struct molt_patch_function){
                 .symbol = part || !new ? 0 : emission_define(emission, contribution, new),
                 .module = module,
                 .address = found ? found->value : 0,
                 .size = found ? found->size : 0,
                 .room = room,
                 .flags = flags,
                 .name = emission_string(emission, name),
                 .unit = emission_string(emission, earlier ? unit : contribution->key),
                 .line = line,
             });
    if (!part) {
        tell_function(emission, contribution, old->name, line,
                      new ? reason_of(emission, contribution, new) : "removed");
    }
}

/* A constant whose contents changed: the new ones go where the old ones are. */
static void record_constant(struct emission *emission, struct contribution *contribution,
                            struct object_symbol *symbol)
{
    struct object_symbol *old = contribution->comparison->old_of[symbol->index];
    const struct image_symbol *found = bind_find_or_fail(emission, contribution, old);

    if (!found || found->size != symbol->size) {
        return;
    }
    struct object *object = contribution->comparison->new;
    bool by_name = image_is_exported(contribution->image, found->name) &&
                   !image_names_directly(contribution->image, found->value, found->value + found->size);
    uint32_t section = emission_section(emission, contribution, &object->sections[symbol->section]);
    LIST_ADD(&emission->data, (struct molt_patch_data){
                                  .symbol = out_symbol(&emission->writer, symbol->name, STT_OBJECT, STB_LOCAL,
                                                       section, symbol->value, symbol->size),
                                  .module = emission_module(emission, contribution->image),
                                  .address = found->value,
                                  .size = symbol->size,
                                  .name = emission_string(emission, symbol->name),
                                  .unit = emission_string(emission, contribution->key),
                                  .flags = by_name ? MOLT_DATA_BY_NAME : 0,
                              });
}

static void tell_data(struct emission *emission, const struct contribution *contribution,
                      const struct object_symbol *symbol, const char *kind)
{
    json_array_append_new(emission->json_data,
                          json_pack("{s:s, s:s, s:s, s:I}", "name", symbol->name, "unit", contribution->name,
                                    "kind", kind, "size", (json_int_t)symbol->size));
}

static void emit_data(struct emission *emission, struct contribution *contribution,
                      struct object_symbol *symbol)
{
    const struct comparison *comparison = contribution->comparison;

    if (comparison->new_change[symbol->index] == CHANGE_NEW) {
        record_definition(emission, contribution, symbol, emission_define(emission, contribution, symbol));
        tell_data(emission, contribution, symbol, "new");
    } else if (symbol_is_constant(comparison->new, symbol)) {
        record_constant(emission, contribution, symbol);
        tell_data(emission, contribution, symbol, "constant");
    } else {
        tell_data(emission, contribution, symbol, "initial value");
        molt_diagnostics_add(
            emission->diagnostics, MOLT_SEVERITY_NOTE, contribution->source,
            definition_line(comparison->new, symbol), 0, "initial-value",
            "the initial value of %s changed: where the program still has the old one, it takes "
            "the new one",
            symbol->name);
    }
}

static void emit_definitions(struct emission *emission, struct contribution *contribution)
{
    const struct comparison *comparison = contribution->comparison;

    for (size_t i = 1; i < comparison->new->symbol_count; i++) {
        struct object_symbol *symbol = &comparison->new->symbols[i];
        struct object_symbol *old = comparison->old_of[i];
        if (!symbol->key || comparison->new_change[i] == CHANGE_NONE) {
            continue;
        }
        if (!symbol_is_function(comparison->new, symbol)) {
            emit_data(emission, contribution, symbol);
        } else if (old || emission_is_refiled(emission, contribution, symbol)) {
            record_function(emission, contribution, old ? old : symbol, symbol);
        } else if (!symbol_is_part(symbol)) {
            record_definition(emission, contribution, symbol,
                              emission_define(emission, contribution, symbol));
            tell_function(emission, contribution, symbol->name, definition_line(comparison->new, symbol),
                          reason_of(emission, contribution, symbol));
        }
    }
    for (size_t i = 1; i < comparison->old->symbol_count; i++) {
        struct object_symbol *old = &comparison->old->symbols[i];
        if (old->key && comparison->old_change[i] == CHANGE_REMOVED &&
            symbol_is_function(comparison->old, old) && !emission_is_refiled(emission, contribution, old)) {
            record_function(emission, contribution, old, NULL);
        }
    }
}

static bool is_announced(const struct contribution *contribution, const struct object_symbol *symbol)
{
    return symbol->key && symbol->bind != STB_LOCAL && emission_redefines(contribution, symbol);
}

/* Makes extern definitions of the patch known to all units before any is emitted, so that they find each
 * other. */
static void announce(struct emission *emission, struct contribution *contribution)
{
    const struct comparison *comparison = contribution->comparison;

    for (size_t i = 1; i < comparison->new->symbol_count; i++) {
        struct object_symbol *symbol = &comparison->new->symbols[i];
        if (!is_announced(contribution, symbol)) {
            continue;
        }
        uint32_t result = out_symbol(&emission->writer, symbol->name, symbol->type, STB_GLOBAL, 0,
                                     symbol->value, symbol->size);
        char *key = must_printf("%p %s", (const void *)contribution->image, symbol->name);
        LIST_ADD(&emission->owned, key);
        table_put(&emission->extern_symbols, key, (void *)(uintptr_t)result);
        contribution->symbols[i] = result;
    }
}

static void place_announced(struct emission *emission, struct contribution *contribution)
{
    struct object *object = contribution->comparison->new;

    for (size_t i = 1; i < object->symbol_count; i++) {
        struct object_symbol *symbol = &object->symbols[i];
        if (is_announced(contribution, symbol)) {
            uint32_t section = emission_section(emission, contribution, &object->sections[symbol->section]);
            emission->writer.symbols.items[contribution->symbols[i] - 1].section = section;
        }
    }
}

static void warn_constructors(struct emission *emission, const struct contribution *contribution)
{
    size_t old = 0, new = 0;

    for (size_t i = 1; i < contribution->comparison->old->section_count; i++) {
        const struct object_section *section = &contribution->comparison->old->sections[i];
        old += section->kind == SECTION_INIT ? section->size : 0;
    }
    for (size_t i = 1; i < contribution->comparison->new->section_count; i++) {
        const struct object_section *section = &contribution->comparison->new->sections[i];
        new += section->kind == SECTION_INIT ? section->size : 0;
    }
    if (new > old) {
        molt_diagnostics_add(emission->diagnostics, MOLT_SEVERITY_WARNING, contribution->source, 0, 0,
                             "constructor", "a new constructor or destructor in %s is not run by an update",
                             contribution->name);
    }
}

struct molt_error *emission_build(struct emission *emission)
{
    for (size_t i = 0; i < emission->contributions.count; i++) {
        emission_module(emission, emission->contributions.items[i]->image);
        announce(emission, emission->contributions.items[i]);
    }
    for (size_t i = 0; i < emission->contributions.count && !emission->error; i++) {
        place_announced(emission, emission->contributions.items[i]);
        if (!emission->contributions.items[i]->policy) {
            emit_definitions(emission, emission->contributions.items[i]);
            warn_constructors(emission, emission->contributions.items[i]);
        }
    }
    for (size_t i = 0; i < emission->contributions.count; i++) {
        emit_unwind(emission, emission->contributions.items[i]);
    }
    for (size_t i = 0; i < emission->contributions.count; i++) {
        emit_debug(emission, emission->contributions.items[i]);
    }
    struct molt_error *error = emission->error;
    emission->error = NULL;
    return error;
}
