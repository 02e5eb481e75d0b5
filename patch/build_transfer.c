/*
 * Active frames in a build: for each affected function the recipes of both directions
 * (patch/transfer/transfer.h), as records. What differs between the objects that recipes speak of and the
 * running program is said here: the old code is the binary's, whose instructions may lie elsewhere than in
 * the object, or an earlier patch's.
 */
#include "patch/build_transfer.h"

#include <stdlib.h>
#include <string.h>

#include "patch/build_codes.h"
#include "patch/build_locals.h"
#include "patch/build_state_private.h"
#include "patch/code/baseline.h"
#include "patch/transfer/frame_policy.h"
#include "patch/transfer/transfer.h"

/* A literal that recipes lead to. */
struct emitted_literal {
    const uint8_t *text; /* in the old object */
    uint32_t symbol;
};

/* One unit in one binary. */
struct unit_transfers {
    struct build *build;
    struct emission *emission;
    struct contribution *contribution;
    struct transfer_side old, new;
    struct transfer_pair forward, back;
    LIST(struct emitted_literal) literals;
};

/* One function of it. */
struct function_transfers {
    struct unit_transfers *unit;
    struct object_symbol *old, *new;
    const struct molt_patch_function *record;
    bool inverse;
    bool lost_setjmp;                   /* it calls setjmp, and where the program does is not known */
    const struct object_symbol *placed; /* of the old object: whose `places` are known */
    const struct image_symbol *found;
    uint32_t *places; /* see baseline_places */
    json_t *waits, *given, *differ;
    unsigned calls, recipes;
};

/* The symbol of OBJECT whose code ADDRESS (of its debug information) lies in: SYMBOL or a part of it. */
static struct object_symbol *symbol_around(struct object *object, struct object_symbol *symbol,
                                           uint64_t address)
{
    struct object_section *section = &object->sections[symbol->section];

    if (address >= section->base + symbol->value && address <= section->base + symbol->value + symbol->size) {
        return symbol;
    }
    for (size_t i = 1; i < object->symbol_count; i++) {
        struct object_symbol *part = &object->symbols[i];
        if (symbol_is_part(part) && part->section && address >= object_address(object, part) &&
            address <= object_address(object, part) + part->size) {
            return part;
        }
    }
    return NULL;
}

/* The code of function SYMBOL in the latest earlier patch that defines it; NULL if none does. */
static const uint8_t *earlier_code(const struct emission *emission, const struct molt_patch_function *record,
                                   uint64_t *ret_size)
{
    const char *name = emission->strings.bytes + record->name, *unit = emission->strings.bytes + record->unit;

    for (size_t i = emission->earlier_count; i-- > 0;) {
        const struct patch_file *file = &emission->earlier[i].file;
        uint32_t symbol = 0;
        for (size_t k = 0; k < file->patch_functions_count; k++) {
            const struct molt_patch_function *each = &file->patch_functions[k];
            bool same = each->symbol && strcmp(patch_file_string(file, each->name), name) == 0 &&
                        (!*unit || strcmp(patch_file_string(file, each->unit), unit) == 0);
            symbol = same ? each->symbol : symbol;
        }
        for (size_t k = 0; k < file->patch_definitions_count && !symbol; k++) {
            const struct molt_patch_definition *each = &file->patch_definitions[k];
            bool same = strcmp(patch_file_string(file, each->name), name) == 0 &&
                        strcmp(patch_file_string(file, each->unit), unit) == 0;
            symbol = same ? each->symbol : symbol;
        }
        if (symbol) {
            const Elf64_Sym *found = &file->symbols[symbol];
            const uint8_t *bytes = patch_file_section_bytes(file, found->st_shndx);
            *ret_size = found->st_size;
            return bytes ? bytes + found->st_value : NULL;
        }
    }
    return NULL;
}

/* Whether the earlier patch's code of the function is what the object has, fields of relocations left out. */
static bool is_earlier_code(const struct emission *emission, const struct molt_patch_function *record,
                            const struct object *object, const struct object_symbol *symbol)
{
    const struct object_section *section = &object->sections[symbol->section];
    uint64_t size = 0, at = 0;
    const uint8_t *code = earlier_code(emission, record, &size);

    if (!code || size != symbol->size || !section->bytes) {
        return false;
    }
    for (size_t i = object_relocation_at(section, symbol->value); at < size; i++) {
        bool more = i < section->relocation_count && section->relocations[i].offset < symbol->value + size;
        uint64_t stop = more ? section->relocations[i].offset - symbol->value : size;
        if (stop > at && memcmp(code + at, section->bytes + symbol->value + at, stop - at) != 0) {
            return false;
        }
        at = more ? stop + relocation_width(section->relocations[i].type) : size;
    }
    return true;
}

static bool is_replaced(const struct function_transfers *function)
{
    const struct emission *emission = function->unit->emission;

    return (function->record->flags & MOLT_FUNCTION_EARLIER) ||
           baseline_is_replaced(function->unit->contribution->image, emission->earlier,
                                emission->earlier_count, function->record->address);
}

/* Turns PLACE in the code that the program has now into what records say: an address of the module, or for
 * code of an earlier patch the distance from the function's start. False: it cannot be told. */
static bool running_place(struct function_transfers *function, uint64_t place, uint64_t *ret)
{
    struct contribution *contribution = function->unit->contribution;
    struct object *object = contribution->comparison->old;
    struct object_symbol *symbol = symbol_around(object, function->old, place);
    bool ambiguous;

    if (!symbol) {
        return false;
    }
    uint64_t inside = place - object_address(object, symbol);
    if (is_replaced(function)) {
        *ret = inside;
        return symbol == function->old &&
               is_earlier_code(function->unit->emission, function->record, object, symbol);
    }
    if (function->placed != symbol) {
        free(function->places);
        function->placed = symbol;
        function->found = bind_find(contribution, symbol, &ambiguous);
        function->places = function->found && !ambiguous
                               ? baseline_places(contribution, object, symbol, function->found)
                               : NULL;
    }
    bool known = function->places && function->places[inside] != UINT32_MAX;
    *ret = known ? function->found->value + function->places[inside] : 0;
    return known;
}

/* PLACE in this patch's code: the symbol, and the distance from it. */
static bool patch_place(const struct function_transfers *function, uint64_t place, uint32_t *ret_symbol,
                        uint64_t *ret)
{
    struct contribution *contribution = function->unit->contribution;
    struct object *object = contribution->comparison->new;
    struct object_symbol *symbol = symbol_around(object, function->new, place);

    if (!symbol) {
        return false;
    }
    *ret_symbol = symbol == function->new ? function->record->symbol
                                          : emission_symbol(function->unit->emission, contribution, symbol);
    *ret = place - object_address(object, symbol);
    return *ret_symbol && function->unit->emission->writer.symbols.items[*ret_symbol - 1].section;
}

/* The string literal at PLACE, with the NUL behind it; NULL: there is none. */
static const uint8_t *literal_at(const struct object_place *place, size_t *ret_size)
{
    const struct object_section *section = place->section;
    bool literal = section && section->bytes && (section->flags & SHF_STRINGS) && section->entry_size == 1 &&
                   place->offset >= 0 && (uint64_t)place->offset < section->size;
    const uint8_t *text = literal ? section->bytes + place->offset : NULL;
    size_t left = literal ? section->size - (uint64_t)place->offset : 0,
           size = literal ? strnlen((const char *)text, left) + 1 : 0;

    *ret_size = size;
    return size <= left ? text : NULL;
}

/* Where the program has a string literal with the bytes of that at PLACE; 0: nowhere. Any of them will do. */
static uint64_t literal_address(const struct image *image, const struct object_place *place)
{
    size_t size;
    const uint8_t *text = literal_at(place, &size);

    for (size_t i = 0; text && i < image->segment_count; i++) {
        const Elf64_Phdr *segment = &image->segments[i];
        const uint8_t *bytes = segment->p_type == PT_LOAD && !(segment->p_flags & PF_W)
                                   ? image_bytes(image, segment->p_vaddr, segment->p_filesz)
                                   : NULL;
        const uint8_t *found = bytes ? memmem(bytes, segment->p_filesz, text, size) : NULL;
        if (found) {
            return segment->p_vaddr + (uint64_t)(found - bytes);
        }
    }
    return 0;
}

/*
 * Where the program has what is at WANTED of the old object, as an instruction of its own code of the
 * function says; 0: none does. What has no name, such as the table of a switch, is found in no other way:
 * sections of one function are not the program's.
 */
static uint64_t operand_address(struct function_transfers *function, const struct object_place *wanted)
{
    struct contribution *contribution = function->unit->contribution;
    struct object *object = contribution->comparison->old;
    const struct object_section *code = &object->sections[function->old->section];
    uint64_t end = function->old->value + function->old->size;

    for (size_t i = object_relocation_at(code, function->old->value);
         i < code->relocation_count && code->relocations[i].offset < end; i++) {
        const struct object_relocation *each = &code->relocations[i];
        struct object_place place = object_target(object, code, each);
        bool relative = each->type == R_X86_64_PC32;
        uint64_t behind = code->base + each->offset + sizeof(int32_t) + each->tail, next = 0;
        if (place.symbol != wanted->symbol || place.section != wanted->section ||
            place.offset != wanted->offset ||
            !(relative || each->type == R_X86_64_32 || each->type == R_X86_64_32S) ||
            !running_place(function, behind, &next)) {
            continue;
        }
        int32_t field;
        const uint8_t *bytes =
            image_bytes(contribution->image, next - each->tail - sizeof(field), sizeof(field));
        if (bytes) {
            memcpy(&field, bytes, sizeof(field));
            return relative ? next + (int64_t)field : (uint64_t)(int64_t)field;
        }
    }
    return 0;
}

/* A string literal of the old object as a constant of the patch, which engines keep for ever. */
static uint32_t emit_literal(struct function_transfers *function, const struct object_place *place)
{
    struct unit_transfers *unit = function->unit;
    struct elf_writer *writer = &unit->emission->writer;
    size_t size;
    const uint8_t *text = literal_at(place, &size);

    for (size_t i = 0; i < unit->literals.count; i++) {
        if (unit->literals.items[i].text == text) {
            return unit->literals.items[i].symbol;
        }
    }
    if (!text) {
        return 0;
    }
    uint32_t section = out_section(writer, ".rodata", SHT_PROGBITS, SHF_ALLOC, 1, 0);
    text_append(&out_section_at(writer, section)->bytes, text, size);
    LIST_ADD(
        &unit->emission->sections,
        (struct molt_patch_section){ section, emission_module(unit->emission, unit->contribution->image) });
    uint32_t symbol = out_section_symbol(writer, section);
    LIST_ADD(&unit->literals, (struct emitted_literal){ text, symbol });
    return symbol;
}

/* The address of something that code of an earlier patch names, which is in force again after a rollback. */
static char *name_for_earlier(struct function_transfers *function, const struct object_place *place,
                              struct molt_patch_value *ret)
{
    struct contribution *contribution = function->unit->contribution;
    struct object_symbol *symbol = place->symbol;
    bool ambiguous = false, by_thread = false;

    if (!symbol) {
        ret->symbol = emit_literal(function, place);
        ret->from = 0;
    } else if (symbol->section) {
        bind_find(contribution, symbol, &ambiguous);
        by_thread = symbol->type == STT_TLS;
        ret->symbol = ambiguous || by_thread ? 0 : bind_old(function->unit->emission, contribution, symbol);
    }
    return ret->symbol ? NULL : must_strdup("the address of a constant is not known there");
}

/* Whether an earlier patch has defined SYMBOL, of the old object: what the binary has is left behind, and its
 * code was led to the new place. */
static bool is_defined_earlier(const struct function_transfers *function, struct object_symbol *symbol)
{
    const struct emission *emission = function->unit->emission;
    struct contribution *contribution = function->unit->contribution;
    const char *name = symbol->section ? bind_name(contribution->comparison->old, symbol) : symbol->name;

    return bind_earlier(emission->earlier, emission->earlier_count, name,
                        symbol->bind == STB_LOCAL ? contribution->key : "") != NULL;
}

/* The address of something that the new code of a recipe names. */
static char *name_symbol(struct function_transfers *function, const struct recipe_value *value,
                         struct molt_patch_value *ret)
{
    struct emission *emission = function->unit->emission;
    struct contribution *contribution = function->unit->contribution;
    struct object_symbol *symbol = value->symbol.symbol;
    bool ambiguous = false;

    if (!function->inverse) {
        ret->symbol = symbol ? emission_symbol(emission, contribution, symbol)
                             : out_section_symbol(&emission->writer, emission_section(emission, contribution,
                                                                                      value->symbol.section));
        return ret->symbol ? NULL : must_strdup("an address that it needs is not known");
    }
    if (symbol && symbol->bind != STB_LOCAL && image_is_exported(contribution->image, symbol->name)) {
        return must_strdup("an address that it needs is known to the dynamic linker only");
    }
    if (is_replaced(function) || (symbol && is_defined_earlier(function, symbol))) {
        return name_for_earlier(function, &value->symbol, ret);
    }
    uint64_t nameless = symbol ? 0 : literal_address(contribution->image, &value->symbol);
    if (!nameless && !symbol) {
        nameless = operand_address(function, &value->symbol);
    }
    if (nameless) {
        ret->from_kind = MOLT_VALUE_ADDRESS;
        ret->from = (int64_t)nameless;
        return NULL;
    }
    const struct image_symbol *found =
        symbol && symbol->section ? bind_find(contribution, symbol, &ambiguous) : NULL;
    if (symbol && !symbol->section && !image_is_exported(contribution->image, symbol->name)) {
        found = image_find_global(contribution->image, symbol->name);
    }
    if (!found || ambiguous || found->type == STT_TLS) {
        return must_strdup("the address of a constant is not known there");
    }
    ret->from_kind = value->from_kind == MOLT_VALUE_CONTENT ? MOLT_VALUE_CONTENT_AT : MOLT_VALUE_ADDRESS;
    ret->from = (int64_t)found->value + value->from;
    return NULL;
}

/* "s of main()" */
static uint32_t name_instance(const struct function_transfers *function, const struct recipe_value *value)
{
    char *name = must_printf("%s of %s()", value->variable, function->new->name);
    uint32_t string = emission_string(function->unit->emission, name);

    free(name);
    return string;
}

static char *add_values(struct function_transfers *function, const struct recipe_value *values, size_t count)
{
    struct emission *emission = function->unit->emission;

    for (size_t i = 0; i < count; i++) {
        const struct recipe_value *value = &values[i];
        struct molt_patch_value record = {
            .from = value->from,
            .to = value->to,
            .to_kind = value->to_kind,
            .from_kind = value->from_kind,
            .size = value->size,
            .from_size = value->from_size,
            .addend = (int32_t)value->addend,
            .flags = value->is_signed ? MOLT_VALUE_SIGNED : 0,
            .migration = value->migration,
            .variable = value->migration  ? name_instance(function, value)
                        : value->variable ? emission_string(emission, value->variable)
                                          : 0,
        };
        bool named = value->from_kind == MOLT_VALUE_SYMBOL || value->from_kind == MOLT_VALUE_CONTENT;
        char *reason = named ? name_symbol(function, value, &record) : NULL;
        if (reason) {
            return reason;
        }
        LIST_ADD(&emission->values, record);
    }
    return NULL;
}

static char *add_policy(struct function_transfers *function, const struct recipe *recipe,
                        struct molt_patch_transfer *record)
{
    struct emission *emission = function->unit->emission;
    const struct frame_policy *policy = recipe->policy;

    if (!policy) {
        return NULL;
    }
    const struct policy_statement *statement = policy->statement;
    record->policy =
        frame_policy_symbol(function->unit->build->frames, policy, function->unit->contribution->image);
    record->policy_file = emission_string(emission, statement->file);
    record->policy_line = statement->line;
    record->seen_size = policy->locals[function->inverse ? FRAME_NEW : FRAME_OLD].size;
    record->given_size = policy->locals[function->inverse ? FRAME_OLD : FRAME_NEW].size;
    record->seen = emission->values.count;
    char *reason = add_values(function, recipe->seen.items, recipe->seen.count);
    record->seen_count = emission->values.count - record->seen;
    return reason || record->policy ? reason
                                    : must_printf("the compiled policies lack the function of %s:%u",
                                                  statement->file, statement->line);
}

/* "molt/server.c:12" */
static json_t *policy_place(const struct frame_policy *policy)
{
    char *place = must_printf("%s:%u", policy->file->name, policy->statement->line);
    json_t *value = must_have(json_string(place));

    free(place);
    return value;
}

/* Says in WAIT which local a policy could give, and for the function all that differ. */
static void add_gap(struct function_transfers *function, json_t *wait, const struct recipe_gap *gap)
{
    const struct contribution *contribution = function->unit->contribution;
    const struct comparison *comparison = contribution->comparison;

    json_object_set_new(wait, "local", must_have(json_string(gap->local)));
    json_object_set_new(wait, "of", must_have(json_string(gap->function)));
    if (!json_object_get(function->differ, gap->function)) {
        json_object_set_new(
            function->differ, gap->function,
            frame_differences(comparison->old, comparison->new, contribution->name, gap->function));
    }
}

static void tell(struct function_transfers *function, const struct recipe *recipe, const char *reason)
{
    function->calls++;
    function->recipes += !reason;
    if (!reason && recipe->policy) {
        json_array_append_new(
            function->given, must_have(json_pack("{s:s, s:i, s:o}", "callee", recipe->callee, "line",
                                                 (int)recipe->line, "policy", policy_place(recipe->policy))));
    }
    if (reason) {
        json_t *wait = must_have(json_pack("{s:s, s:i, s:s}", "callee", recipe->callee, "line",
                                           (int)recipe->line, "reason", reason));
        if (recipe->gap.local) {
            add_gap(function, wait, &recipe->gap);
        }
        json_array_append_new(function->waits, wait);
    }
}

static void add_record(struct function_transfers *function, const struct recipe *recipe)
{
    struct emission *emission = function->unit->emission;
    const struct molt_patch_function *old = function->record;
    struct molt_patch_transfer record = {
        .symbol = old->symbol,
        .module = old->module,
        .flags = (function->inverse ? MOLT_TRANSFER_INVERSE : 0) |
                 (is_replaced(function) ? MOLT_TRANSFER_EARLIER : 0) |
                 (recipe->moves ? MOLT_TRANSFER_MOVES : 0) |
                 (recipe->moves_taken ? MOLT_TRANSFER_MOVES_TAKEN : 0) |
                 (recipe->is_setjmp ? MOLT_TRANSFER_SETJMP : 0),
        .function = old->name,
        .unit = old->unit,
        .line = recipe->line,
        .cfa_register = MOLT_REGISTER_RSP,
        .cfa_offset = (int32_t)recipe->old_size,
        .old_size = recipe->old_size,
        .new_size = recipe->new_size,
        .value = emission->values.count,
    };
    uint64_t patch = 0, running = 0,
             running_address = function->inverse ? recipe->new_place : recipe->old_place;
    uint64_t patch_address = function->inverse ? recipe->old_place : recipe->new_place;
    uint32_t symbol = 0;
    char *reason = recipe->reason ? must_strdup(recipe->reason) : NULL;

    bool known = !running_address || running_place(function, running_address, &running);
    if (!known && !function->inverse) {
        return; /* nobody can be told to wait there: the strict rule stands */
    }
    if (patch_address && !patch_place(function, patch_address, &symbol, &patch)) {
        reason = reason ? reason : must_strdup("the new version's code is not in the patch");
    }
    reason = reason || known ? reason : must_strdup("its code in the program is not known");
    reason = reason || !function->lost_setjmp
                 ? reason
                 : must_strdup(
                       "longjmp may come back to it, and where its code calls setjmp in the program is not "
                       "known");
    record.symbol = symbol ? symbol : record.symbol;
    record.old_place = function->inverse ? patch : running;
    record.new_place = function->inverse ? running : patch;
    record.callee = emission_string(emission, recipe->callee);
    reason = reason ? reason : add_values(function, recipe->values.items, recipe->values.count);
    record.value_count = emission->values.count - record.value;
    reason = reason ? reason : add_policy(function, recipe, &record);
    if (reason) {
        emission->values.count = record.value;
        record.value_count = record.policy = record.seen_count = record.seen_size = record.given_size = 0;
        record.reason = emission_string(emission, reason);
        record.cfa_offset = 0;
        record.cfa_register = 0;
    }
    LIST_ADD(&emission->transfers, record);
    if (!function->inverse) {
        tell(function, recipe, reason);
    }
    free(reason);
}

static bool lines_forward(void *context, const char *file, unsigned old_line, unsigned new_line)
{
    return source_lines_equal(context, file, old_line, new_line);
}

static bool lines_back(void *context, const char *file, unsigned old_line, unsigned new_line)
{
    return source_lines_equal(context, file, new_line, old_line);
}

/* Whether longjmp may come back to a place that the program has elsewhere. */
static bool loses_setjmp(struct function_transfers *function, const recipe_list *recipes)
{
    bool lost = false;

    for (size_t i = 0; i < recipes->count; i++) {
        uint64_t place;
        lost = lost ||
               (recipes->items[i].is_setjmp && !running_place(function, recipes->items[i].old_place, &place));
    }
    return lost;
}

static void add_function(struct unit_transfers *unit, struct object_symbol *old, struct object_symbol *new,
                         const struct molt_patch_function *record)
{
    struct function_transfers function = { .unit = unit, .old = old, .new = new, .record = record };
    recipe_list forward = { 0 }, back = { 0 };

    function.waits = must_have(json_array());
    function.given = must_have(json_array());
    function.differ = must_have(json_object());
    transfer_function(&unit->forward, &unit->back, old, new, &forward, &back);
    function.lost_setjmp = loses_setjmp(&function, &forward);
    for (size_t i = 0; i < forward.count; i++) {
        add_record(&function, &forward.items[i]);
    }
    function.inverse = true;
    for (size_t i = 0; i < back.count; i++) {
        add_record(&function, &back.items[i]);
    }
    recipes_free(&forward);
    recipes_free(&back);
    if (function.calls) {
        json_array_append_new(
            unit->emission->json_transfers,
            must_have(json_pack("{s:s, s:s, s:i, s:i, s:O, s:O, s:O}", "name", new->name, "unit",
                                unit->contribution->name, "calls", (int)function.calls, "transferable",
                                (int)function.recipes, "waits", function.waits, "given", function.given,
                                "differ", function.differ)));
    }
    json_decref(function.waits);
    json_decref(function.given);
    json_decref(function.differ);
    free(function.places);
}

/* The record of the function, to be changed, NULL if it has none: it is part of another's, or the program
 * does not have it.
 */
static struct molt_patch_function *record_of(const struct unit_transfers *unit,
                                             const struct object_symbol *new)
{
    const struct emission *emission = unit->emission;
    uint32_t symbol = unit->contribution->symbols[new->index];

    for (size_t i = 0; symbol && i < emission->functions.count; i++) {
        if (emission->functions.items[i].symbol == symbol) {
            return &emission->functions.items[i];
        }
    }
    return NULL;
}

static void add_unit(struct unit_transfers *unit)
{
    const struct comparison *comparison = unit->contribution->comparison;

    for (size_t i = 1; i < comparison->new->symbol_count; i++) {
        struct object_symbol *new = &comparison->new->symbols[i], *old = comparison->old_of[i];
        bool affected = new->key &&old &&
                        comparison->new_change[i] != CHANGE_NONE &&symbol_is_function(comparison->new, new) &&
                        !symbol_is_part(new);
        struct molt_patch_function *record = affected ? record_of(unit, new) : NULL;
        if (record) {
            record->flags |= transfer_keeps_nothing(&unit->back, new, old) ? MOLT_FUNCTION_KEEPS_NOTHING : 0;
            struct molt_patch_function copy = *record; /* the list may grow */
            add_function(unit, old, new, &copy);
        }
    }
}

/* Of a unit whose functions have other codes from earlier updates. */
struct unit_past {
    struct program_codes *codes;
    const struct contribution *contribution;
};

static void tell_past(void *context, const struct object_symbol *symbol, past_codes *ret)
{
    const struct unit_past *past = context;

    program_codes_past(past->codes, past->contribution, symbol, ret);
}

static enum local_change local_change(void *context, const Dwarf_Die *old, const Dwarf_Die *new, bool back,
                                      uint32_t *ret_migration)
{
    return build_local_change(context, old, new, back, ret_migration);
}

static enum policy_part local_part(void *context, const Dwarf_Die *old, const Dwarf_Die *new, bool back,
                                   uint64_t offset, uint64_t size, uint64_t *ret)
{
    return build_local_part(context, old, new, back, offset, size, ret);
}

static void add_contribution(struct build *build, struct emission *emission,
                             struct contribution *contribution, struct program_codes *codes)
{
    const struct comparison *comparison = contribution->comparison;
    struct unit_transfers unit = { .build = build, .emission = emission, .contribution = contribution };
    struct build_locals locals = { build->state, contribution->key };
    struct unit_past past = { codes, contribution };
    struct codes_question all = { codes, true }, both = { codes, false };
    struct captures ever, around;

    transfer_side_init(&unit.old, comparison->old);
    transfer_side_init(&unit.new, comparison->new);
    transfer_pair_init(&unit.forward, &unit.old, &unit.new, lines_forward, build->lines, comparison);
    transfer_pair_init(&unit.back, &unit.new, &unit.old, lines_back, build->lines, comparison);
    captures_init(&ever, program_codes_find, &all);
    captures_init(&around, program_codes_find, &both);
    unit.forward.captures = unit.back.captures_after = &ever;
    unit.back.captures = unit.forward.captures_after = &around; /* what moves back has moved forward */
    unit.forward.past = tell_past;
    unit.forward.past_context = &past;
    if (build->state && build->state->migrates) {
        unit.forward.changes = unit.back.changes = local_change;
        unit.forward.parts = unit.back.parts = local_part;
        unit.forward.changes_context = unit.back.changes_context = &locals;
    }
    unit.forward.policies = unit.back.policies = build->frames;
    unit.forward.unit = unit.back.unit = build_unit_of(build, comparison);
    unit.back.back = true;
    add_unit(&unit);
    captures_deinit(&ever);
    captures_deinit(&around);
    transfer_pair_deinit(&unit.forward);
    transfer_pair_deinit(&unit.back);
    transfer_side_deinit(&unit.old);
    transfer_side_deinit(&unit.new);
    LIST_FREE(&unit.literals);
}

void build_transfers_emit(struct build *build, struct emission *emission)
{
    for (size_t k = 0; k < emission->images.count; k++) {
        struct program_codes codes;
        program_codes_init(&codes, emission, emission->images.items[k]);
        for (size_t i = 0; i < emission->contributions.count; i++) {
            struct contribution *contribution = emission->contributions.items[i];
            if (!contribution->policy && contribution->image_unit && contribution->image == codes.image) {
                add_contribution(build, emission, contribution, &codes);
            }
        }
        program_codes_deinit(&codes);
    }
}
