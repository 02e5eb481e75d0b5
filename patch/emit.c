/*
 * Emitting. It starts from the definitions that differ and follows relocations: what a relocation names is either part of
 * the patch (changed and new functions, new data), or without a name (strings, constants, jump tables: copied), or in
 * the program already (bound). Sections are copied whole: the compiler gave each definition its own.
 */
#include "patch/emit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/definition_line.h"
#include "patch/hash.h"

void emission_init(struct emission *emission, const struct earlier_patch *earlier, size_t earlier_count,
                   struct molt_diagnostics *diagnostics)
{
    *emission =
        (struct emission){ .earlier = earlier, .earlier_count = earlier_count, .diagnostics = diagnostics };
    emission->json_functions = must_have(json_array());
    emission->json_data = must_have(json_array());
    emission->json_transfers = must_have(json_array());
    text_append(&emission->strings, "", 1);
}

void emission_deinit(struct emission *emission)
{
    for (size_t i = 0; i < emission->contributions.count; i++) {
        free(emission->contributions.items[i]->sections);
        free(emission->contributions.items[i]->symbols);
        emission->contributions.items[i]->sections = NULL;
        emission->contributions.items[i]->symbols = NULL;
    }
    for (size_t i = 0; i < emission->owned.count; i++) {
        free(emission->owned.items[i]);
    }
    LIST_FREE(&emission->owned);
    LIST_FREE(&emission->contributions);
    LIST_FREE(&emission->images);
    LIST_FREE(&emission->sections);
    LIST_FREE(&emission->bindings);
    LIST_FREE(&emission->functions);
    LIST_FREE(&emission->data);
    LIST_FREE(&emission->definitions);
    LIST_FREE(&emission->layouts);
    LIST_FREE(&emission->fields);
    LIST_FREE(&emission->sites);
    LIST_FREE(&emission->allocators);
    LIST_FREE(&emission->roots);
    LIST_FREE(&emission->migrations);
    LIST_FREE(&emission->segments);
    LIST_FREE(&emission->invariants);
    LIST_FREE(&emission->transfers);
    LIST_FREE(&emission->values);
    LIST_FREE(&emission->initials);
    LIST_FREE(&emission->parts);
    text_deinit(&emission->strings);
    table_deinit(&emission->extern_symbols);
    json_decref(emission->json_functions);
    json_decref(emission->json_data);
    json_decref(emission->json_transfers);
    elf_writer_deinit(&emission->writer);
    molt_error_destroy(emission->error);
    *emission = (struct emission){ 0 };
}

void emission_fail(struct emission *emission, struct molt_error *error)
{
    if (emission->error) {
        molt_error_destroy(error);
    } else {
        emission->error = error;
    }
}

uint32_t emission_string(struct emission *emission, const char *string)
{
    uint32_t offset = emission->strings.length;

    if (!*string) {
        return 0;
    }
    text_append(&emission->strings, string, strlen(string) + 1);
    return offset;
}

uint32_t emission_module(struct emission *emission, const struct image *image)
{
    for (size_t i = 0; i < emission->images.count; i++) {
        if (emission->images.items[i] == image) {
            return i;
        }
    }
    LIST_ADD(&emission->images, image);
    return emission->images.count - 1;
}

void emission_add(struct emission *emission, struct contribution *contribution)
{
    const struct object *new = contribution->comparison->new;

    contribution->sections = must_calloc(new->section_count, sizeof(uint32_t));
    contribution->symbols = must_calloc(new->symbol_count, sizeof(uint32_t));
    contribution->needs_indirect = false;
    LIST_ADD(&emission->contributions, contribution);
}

static bool starts(const char *string, const char *prefix)
{
    return strncmp(string, prefix, strlen(prefix)) == 0;
}

/* Copies SECTION without its relocations. */
static uint32_t copy_section(struct emission *emission, struct contribution *contribution,
                             const struct object_section *section)
{
    uint32_t type = section->type == SHT_NOBITS ? SHT_NOBITS : SHT_PROGBITS;
    uint64_t flags = section->flags & (SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR | SHF_TLS);
    char *name = contribution->policy && starts(section->name, ".text")
                     ? must_printf(".text.molt.policy%s", section->name + strlen(".text"))
                     : must_strdup(section->name);
    uint32_t index = out_section(&emission->writer, name, type, flags, section->align, 0);

    free(name);
    if (type == SHT_NOBITS) {
        out_section_at(&emission->writer, index)->size = section->size;
    } else {
        text_append(&out_section_at(&emission->writer, index)->bytes, section->bytes, section->size);
    }
    LIST_ADD(&emission->sections,
             (struct molt_patch_section){ index, emission_module(emission, contribution->image) });
    return index;
}

/* Whether the field wants to reach its target directly, as shared libraries' data cannot be. */
static bool is_direct(uint32_t type)
{
    return type == R_X86_64_PC32 || type == R_X86_64_32 || type == R_X86_64_32S;
}

static bool is_import(const struct emission *emission, uint32_t symbol)
{
    for (size_t i = 0; i < emission->bindings.count; i++) {
        if (emission->bindings.items[i].symbol == symbol) {
            return emission->bindings.items[i].kind == MOLT_BINDING_IMPORT;
        }
    }
    return false;
}

/* Whether the new definition itself is what references mean, rather than the place of the old one. */
static bool is_redefined(const struct contribution *contribution, const struct object_symbol *symbol)
{
    const struct comparison *comparison = contribution->comparison;
    enum change change = comparison->new_change[symbol->index];

    return change == CHANGE_NEW || (change == CHANGE_CHANGED && symbol_is_function(comparison->new, symbol));
}

/* Whether the field holds a place inside a function rather than the function: a label, an entry of a jump table. Such
 * fields name the section, since a function's symbol means its identity, the old address. */
static bool leads_inside(const struct object_section *section, const struct object_relocation *relocation,
                         const struct object_symbol *named, struct object_place place)
{
    if (named->key || !place.section || place.section->kind != SECTION_CODE) {
        return false;
    }
    return place.offset != 0 || (section->kind != SECTION_CODE && relocation_is_relative(relocation->type));
}

void emission_relocation(struct emission *emission, struct contribution *contribution,
                         const struct object_section *section, const struct object_relocation *relocation,
                         uint32_t index, uint64_t offset)
{
    struct object *object = contribution->comparison->new;
    const struct object_symbol *named = &object->symbols[relocation->symbol];
    struct object_place place = object_target(object, section, relocation);
    int64_t addend = relocation->addend;
    uint32_t target;

    if (relocation->type == R_X86_64_NONE) {
        return;
    }
    if (!place.symbol) {
        target =
            out_section_symbol(&emission->writer, emission_section(emission, contribution, place.section));
        addend += named->value;
    } else {
        bool code = place.symbol->section && place.section->kind == SECTION_CODE;
        if (code && section->kind == SECTION_CONST && !section->definition_count &&
            leads_inside(section, relocation, named, place) &&
            contribution->comparison->new_change[place.symbol->index] == CHANGE_NONE) {
            return; /* another function's jump table in the same section: nobody reads it */
        }
        if (leads_inside(section, relocation, named, place) && is_redefined(contribution, place.symbol)) {
            target = out_section_symbol(&emission->writer,
                                        emission_section(emission, contribution, place.section));
            out_relocation(&emission->writer, index, offset, relocation->type, target,
                           addend + (int64_t)named->value);
            return;
        }
        target = emission_symbol(emission, contribution, place.symbol);
        addend += named == place.symbol ? 0 : (int64_t)(named->value - place.symbol->value);
        if (!place.symbol->section && is_direct(relocation->type) && is_import(emission, target)) {
            contribution->needs_indirect = true;
        }
    }
    out_relocation(&emission->writer, index, offset, relocation->type, target, addend);
}

uint32_t emission_section(struct emission *emission, struct contribution *contribution,
                          struct object_section *section)
{
    uint32_t index = contribution->sections[section->index];

    if (!index) {
        index = contribution->sections[section->index] = copy_section(emission, contribution, section);
        for (size_t i = 0; i < section->relocation_count; i++) {
            const struct object_relocation *relocation = &section->relocations[i];
            emission_relocation(emission, contribution, section, relocation, index, relocation->offset);
        }
    }
    return index;
}

static bool is_const_data(const struct object *object, const struct object_symbol *symbol)
{
    return object->sections[symbol->section].kind == SECTION_CONST;
}

/* Makes SYMBOL a definition of the patch. */
static uint32_t define(struct emission *emission, struct contribution *contribution,
                       struct object_symbol *symbol)
{
    struct object *object = contribution->comparison->new;
    unsigned char bind = symbol->bind == STB_LOCAL ? STB_LOCAL : STB_GLOBAL;

    if (!contribution->symbols[symbol->index]) {
        uint32_t result =
            out_symbol(&emission->writer, symbol->name, symbol->type, bind, 0, symbol->value, symbol->size);
        contribution->symbols[symbol->index] = result;
        uint32_t section = emission_section(emission, contribution, &object->sections[symbol->section]);
        emission->writer.symbols.items[result - 1].section = section;
    }
    return contribution->symbols[symbol->index];
}

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

uint32_t emission_symbol(struct emission *emission, struct contribution *contribution,
                         struct object_symbol *symbol)
{
    if (contribution->symbols[symbol->index]) {
        return contribution->symbols[symbol->index];
    }
    if (!symbol->section) {
        return contribution->symbols[symbol->index] = bind_undefined(emission, contribution, symbol);
    }
    struct object *object = contribution->comparison->new;
    uint32_t result = 0;
    if (!is_redefined(contribution, symbol)) {
        result = bind_existing(emission, contribution, symbol);
    }
    if (!result && !is_redefined(contribution, symbol) && !is_const_data(object, symbol) &&
        !symbol_is_function(object, symbol)) {
        emission_fail(emission,
                      molt_error_at(MOLT_ERROR_REFUSED, contribution->source, 0,
                                    "cannot find the variable %s of %s in %s: was it built with other flags?",
                                    symbol->name, contribution->name, contribution->image->path));
        return 0;
    }
    if (!result) { /* new, or inlined everywhere in the program */
        return define(emission, contribution, symbol);
    }
    return contribution->symbols[symbol->index] = result;
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

/* Adds the entry of a function that the program has (OLD) and the patch changes (to NEW, NULL if it is gone). */
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
    LIST_ADD(&emission->functions, (struct molt_patch_function){
                                       .symbol = part || !new ? 0 : define(emission, contribution, new),
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
    uint32_t section = emission_section(emission, contribution, &object->sections[symbol->section]);
    LIST_ADD(&emission->data, (struct molt_patch_data){
                                  .symbol = out_symbol(&emission->writer, symbol->name, STT_OBJECT, STB_LOCAL,
                                                       section, symbol->value, symbol->size),
                                  .module = emission_module(emission, contribution->image),
                                  .address = found->value,
                                  .size = symbol->size,
                                  .name = emission_string(emission, symbol->name),
                                  .unit = emission_string(emission, contribution->key),
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
        record_definition(emission, contribution, symbol, define(emission, contribution, symbol));
        tell_data(emission, contribution, symbol, "new");
    } else if (is_const_data(comparison->new, symbol)) {
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
        } else if (old) {
            record_function(emission, contribution, old, symbol);
        } else if (!symbol_is_part(symbol)) {
            record_definition(emission, contribution, symbol, define(emission, contribution, symbol));
            tell_function(emission, contribution, symbol->name, definition_line(comparison->new, symbol),
                          reason_of(emission, contribution, symbol));
        }
    }
    for (size_t i = 1; i < comparison->old->symbol_count; i++) {
        struct object_symbol *old = &comparison->old->symbols[i];
        if (old->key && comparison->old_change[i] == CHANGE_REMOVED &&
            symbol_is_function(comparison->old, old)) {
            record_function(emission, contribution, old, NULL);
        }
    }
}

static bool is_announced(const struct contribution *contribution, const struct object_symbol *symbol)
{
    return symbol->key && symbol->bind != STB_LOCAL && is_redefined(contribution, symbol);
}

/* Makes extern definitions of the patch known to all units before any is emitted, so that they find each other. */
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

static void add_table(struct emission *emission, const char *name, const void *records, size_t size)
{
    uint32_t index = out_section(&emission->writer, name, SHT_PROGBITS, 0, 8, 0);

    text_append(&out_section_at(&emission->writer, index)->bytes, records, size);
}

static void fill_modules(struct emission *emission)
{
    LIST(struct molt_patch_module) modules = { 0 };

    for (size_t i = 0; i < emission->images.count; i++) {
        const struct image *image = emission->images.items[i];
        struct molt_patch_module module = {
            .build_id_size = image->build_id_size,
            .name = emission_string(emission, image->path),
            .flags =
                (image->executable ? MOLT_MODULE_EXECUTABLE : 0) | (image->fixed ? MOLT_MODULE_FIXED : 0),
        };
        memcpy(module.build_id, image->build_id, image->build_id_size);
        LIST_ADD(&modules, module);
    }
    add_table(emission, ".molt.modules", modules.items, modules.count * sizeof(*modules.items));
    LIST_FREE(&modules);
}

/* Records held symbols as the writer first numbered them. */
static void renumber(struct emission *emission)
{
    const struct elf_writer *writer = &emission->writer;

    for (size_t i = 0; i < emission->bindings.count; i++) {
        emission->bindings.items[i].symbol = elf_writer_final(writer, emission->bindings.items[i].symbol);
    }
    for (size_t i = 0; i < emission->functions.count; i++) {
        emission->functions.items[i].symbol = elf_writer_final(writer, emission->functions.items[i].symbol);
    }
    for (size_t i = 0; i < emission->data.count; i++) {
        emission->data.items[i].symbol = elf_writer_final(writer, emission->data.items[i].symbol);
    }
    for (size_t i = 0; i < emission->definitions.count; i++) {
        emission->definitions.items[i].symbol =
            elf_writer_final(writer, emission->definitions.items[i].symbol);
    }
    for (size_t i = 0; i < emission->sites.count; i++) {
        struct molt_patch_site *site = &emission->sites.items[i];
        site->symbol = site->symbol ? elf_writer_final(writer, site->symbol) : 0;
    }
    for (size_t i = 0; i < emission->roots.count; i++) {
        struct molt_patch_root *root = &emission->roots.items[i];
        root->symbol = root->symbol ? elf_writer_final(writer, root->symbol) : 0;
    }
    for (size_t i = 0; i < emission->migrations.count; i++) {
        struct molt_patch_migration *migration = &emission->migrations.items[i];
        migration->migrate = migration->migrate ? elf_writer_final(writer, migration->migrate) : 0;
        migration->validate = migration->validate ? elf_writer_final(writer, migration->validate) : 0;
        migration->select = migration->select ? elf_writer_final(writer, migration->select) : 0;
    }
    for (size_t i = 0; i < emission->invariants.count; i++) {
        emission->invariants.items[i].check = elf_writer_final(writer, emission->invariants.items[i].check);
    }
    for (size_t i = 0; i < emission->transfers.count; i++) {
        emission->transfers.items[i].symbol = elf_writer_final(writer, emission->transfers.items[i].symbol);
    }
    for (size_t i = 0; i < emission->values.count; i++) {
        struct molt_patch_value *value = &emission->values.items[i];
        value->symbol = value->symbol ? elf_writer_final(writer, value->symbol) : 0;
    }
    for (size_t i = 0; i < emission->initials.count; i++) {
        struct molt_patch_initial *initial = &emission->initials.items[i];
        initial->old_value = elf_writer_final(writer, initial->old_value);
        initial->new_value = elf_writer_final(writer, initial->new_value);
    }
}

/* The id: a hash over all that the patch does, so not over titles and times. */
static void set_id(struct emission *emission, json_t *manifest)
{
    struct hash hash;
    char hex[HASH_HEX];

    hash_init(&hash);
    for (size_t i = 0; i < emission->writer.sections.count; i++) {
        struct out_section *section = emission->writer.sections.items[i];
        hash_add_string(&hash, section->name);
        hash_add(&hash, section->bytes.bytes, section->bytes.length);
        hash_add(&hash, section->relocations.items, section->relocations.count * sizeof(Elf64_Rela));
    }
    hash_end(&hash, hex);
    json_object_set_new(manifest, "id", json_string(hex));
}

void *emission_finish(struct emission *emission, json_t *manifest, size_t *ret_size)
{
    elf_writer_order(&emission->writer);
    renumber(emission);
    fill_modules(emission);
#define TABLE(array)                                                                                         \
    add_table(emission, ".molt." #array, emission->array.items,                                              \
              emission->array.count * sizeof(*emission->array.items))
    TABLE(sections);
    TABLE(bindings);
    TABLE(functions);
    TABLE(data);
    TABLE(definitions);
    TABLE(layouts);
    TABLE(fields);
    TABLE(sites);
    TABLE(allocators);
    TABLE(roots);
    TABLE(migrations);
    TABLE(segments);
    TABLE(invariants);
    TABLE(transfers);
    TABLE(values);
    TABLE(initials);
    TABLE(parts);
#undef TABLE
    if (emission->source) {
        add_table(emission, ".molt.source", emission->source, strlen(emission->source));
    }
    add_table(emission, ".molt.strings", emission->strings.bytes, emission->strings.length);
    set_id(emission, manifest);
    char *text = must_have(json_dumps(manifest, JSON_COMPACT));
    add_table(emission, ".molt.manifest", text, strlen(text));
    free(text);
    void *bytes = elf_writer_finish(&emission->writer, ret_size);

    patch_file_seal(bytes, *ret_size);
    return bytes;
}
