/*
 * Which code a call may come to. An update leaves the address of a function as it is and puts other code
 * behind it, so in a program that was updated before, one function has several: the binary's, those of
 * earlier patches, and the one that this build makes. What links them is what each of these files says of
 * the function: its address in the binary, or, if a patch was first to define it, its unit and name.
 *
 * The code that is in force is there twice, in the old object of a unit that the build has compiled and in
 * the patch (or binary) that has brought it. The object is asked then, since more is known of it.
 */
#include "patch/build_codes.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "patch/transfer/locals.h"

/* A function of the program. */
struct identity {
    uint64_t address;        /* in the binary; 0: it is not there, or is not to be told by that */
    const char *name, *unit; /* if not; "" for extern ones */
};

enum identified { IS_UNKNOWN, IS_ITSELF, IS_KNOWN, IS_LIBRARY };

/* Where the build's own units have it. */
struct unit_code {
    char *key;
    struct function_code old, now; /* without a symbol: they do not */
    bool same;                     /* `now` is `old` */
};

struct program_side {
    const struct object *object;
    struct transfer_side side;
};

void program_codes_init(struct program_codes *codes, const struct emission *emission,
                        const struct image *image)
{
    *codes = (struct program_codes){ .emission = emission, .image = image };
    image_functions_init(&codes->functions, image);
}

void program_codes_deinit(struct program_codes *codes)
{
    for (size_t i = 0; i < codes->sides.count; i++) {
        transfer_side_deinit(&codes->sides.items[i]->side);
        free(codes->sides.items[i]);
    }
    for (size_t i = 0; i < codes->made.count; i++) {
        free(codes->made.items[i]->key);
        free(codes->made.items[i]);
    }
    for (size_t i = 0; i < codes->patches.count; i++) {
        object_destroy(codes->patches.items[i]);
    }
    LIST_FREE(&codes->sides);
    LIST_FREE(&codes->made);
    LIST_FREE(&codes->patches);
    table_deinit(&codes->units);
    image_functions_deinit(&codes->functions);
}

/* The file of earlier patch number INDEX as an object, or NULL. */
static struct object *patch_object(struct program_codes *codes, size_t index)
{
    for (size_t i = codes->patches.count; i <= index; i++) {
        const struct earlier_patch *patch = &codes->emission->earlier[i];
        struct object *object = NULL;
        struct molt_error *error = object_read(patch->path, patch->file.bytes, patch->file.size, &object);
        molt_error_destroy(error); /* nothing is known of its functions then */
        LIST_ADD(&codes->patches, object);
    }
    return codes->patches.items[index];
}

/* ---- what a function is known by ------------------------------------------------------------------- */

static bool is_of_image(const struct program_codes *codes, const struct patch_file *file, uint32_t module)
{
    return memcmp(file->patch_modules[module].build_id, codes->image->build_id,
                  codes->image->build_id_size) == 0;
}

static enum identified identify_name(const struct program_codes *codes, const char *name,
                                     struct identity *ret)
{
    const struct image_symbol *found = image_find_global(codes->image, name);
    bool defined = bind_earlier(codes->emission->earlier, codes->emission->earlier_count, name, "");

    if (image_is_exported(codes->image, name) || (found && defined)) {
        return IS_UNKNOWN; /* another module may have taken its place; or it was removed and came back */
    }
    *ret = (struct identity){ found ? found->value : 0, name, "" };
    return IS_KNOWN;
}

/* SYMBOL is a definition of an object of CONTRIBUTION. */
static enum identified identify_own(const struct program_codes *codes,
                                    const struct contribution *contribution,
                                    const struct object_symbol *symbol, struct identity *ret)
{
    const struct emission *emission = codes->emission;
    const char *name = symbol->key ? symbol->key : symbol->name;
    bool ambiguous = false;

    if (symbol->bind != STB_LOCAL) {
        return identify_name(codes, symbol->name, ret);
    }
    *ret = (struct identity){ 0, name, contribution->key };
    if (!emission->earlier_count) {
        return IS_KNOWN;
    }
    bool defined = bind_earlier(emission->earlier, emission->earlier_count, name, contribution->key);
    const struct image_symbol *found = bind_find(contribution, symbol, &ambiguous);
    ret->address = found ? found->value : 0;
    return ambiguous || (found && defined) ? IS_UNKNOWN : IS_KNOWN;
}

static enum identified identify_binding(const struct program_codes *codes, const struct patch_file *file,
                                        const struct molt_patch_binding *binding, struct identity *ret)
{
    switch (binding->kind) {
    case MOLT_BINDING_ADDRESS:
        *ret = (struct identity){ .address = binding->value };
        return is_of_image(codes, file, binding->module) ? IS_KNOWN : IS_UNKNOWN;
    case MOLT_BINDING_EARLIER:
        *ret = (struct identity){ 0, patch_file_string(file, binding->module),
                                  patch_file_string(file, (uint32_t)binding->value) };
        return IS_KNOWN;
    case MOLT_BINDING_IMPORT:
        return IS_LIBRARY;
    default:
        return IS_UNKNOWN;
    }
}

/* SYMBOL is of the patch FILE. */
static enum identified identify_in_patch(const struct program_codes *codes, const struct patch_file *file,
                                         const struct object_symbol *symbol, struct identity *ret)
{
    for (size_t i = 0; i < file->patch_functions_count; i++) {
        const struct molt_patch_function *each = &file->patch_functions[i];
        if (each->symbol == symbol->index && !(each->flags & MOLT_FUNCTION_PART)) {
            bool earlier = each->flags & MOLT_FUNCTION_EARLIER;
            *ret = (struct identity){ earlier ? 0 : each->address, patch_file_string(file, each->name),
                                      patch_file_string(file, each->unit) };
            return earlier || is_of_image(codes, file, each->module) ? IS_KNOWN : IS_UNKNOWN;
        }
    }
    for (size_t i = 0; i < file->patch_definitions_count; i++) {
        const struct molt_patch_definition *each = &file->patch_definitions[i];
        if (each->symbol == symbol->index) {
            *ret = (struct identity){ 0, patch_file_string(file, each->name),
                                      patch_file_string(file, each->unit) };
            return IS_KNOWN;
        }
    }
    for (size_t i = 0; i < file->patch_bindings_count; i++) {
        if (file->patch_bindings[i].symbol == symbol->index) {
            return identify_binding(codes, file, &file->patch_bindings[i], ret);
        }
    }
    return symbol->section ? IS_ITSELF : IS_UNKNOWN;
}

/* What OBJECT, which one of the files or units stands for, means by SYMBOL. */
static enum identified identify(const struct program_codes *codes, const struct object *object,
                                const struct object_symbol *symbol, struct identity *ret)
{
    const struct emission *emission = codes->emission;

    for (size_t i = 0; i < emission->contributions.count; i++) {
        const struct contribution *each = emission->contributions.items[i];
        const struct comparison *comparison = each->comparison;
        if (each->image != codes->image || each->policy ||
            (comparison->old != object && comparison->new != object)) {
            continue;
        }
        if (!symbol->section) {
            return identify_name(codes, symbol->name, ret);
        }
        bool new = comparison->old != object;
        const struct object_symbol *old = new ? comparison->old_of[symbol->index] : symbol;
        return old                         ? identify_own(codes, each, old, ret)
               : symbol->bind == STB_LOCAL ? IS_ITSELF
                                           : identify_name(codes, symbol->name, ret);
    }
    for (size_t i = 0; i < codes->patches.count; i++) {
        if (codes->patches.items[i] == object) {
            return identify_in_patch(codes, &emission->earlier[i].file, symbol, ret);
        }
    }
    if (symbol->section || *symbol->name == IMAGE_STATIC_MARK) {
        *ret = (struct identity){ .address = symbol->section ? object_address(object, symbol)
                                                             : strtoul(symbol->name + 1, NULL, 16) };
        return IS_KNOWN;
    }
    return identify_name(codes, symbol->name, ret);
}

static char *identity_key(const struct identity *identity)
{
    return identity->address ? must_printf("%lx", (unsigned long)identity->address)
                             : must_printf("%s\n%s", identity->unit, identity->name);
}

/* ---- where it is ----------------------------------------------------------------------------------- */

static struct unit_code *unit_code_at(struct program_codes *codes, const struct identity *identity, bool make)
{
    char *key = identity_key(identity);
    struct unit_code *found = table_get(&codes->units, key);

    if (found || !make) {
        free(key);
        return found;
    }
    found = must_calloc(1, sizeof(*found));
    found->key = key;
    LIST_ADD(&codes->made, found);
    table_put(&codes->units, key, found);
    return found;
}

static bool is_whole_function(const struct object *object, const struct object_symbol *symbol)
{
    return symbol->key && symbol_is_function(object, symbol) && !symbol_is_part(symbol);
}

static void add_unit(struct program_codes *codes, const struct contribution *contribution)
{
    const struct comparison *comparison = contribution->comparison;
    struct identity identity;

    for (size_t i = 1; i < comparison->old->symbol_count; i++) {
        const struct object_symbol *old = &comparison->old->symbols[i], *new = comparison->new_of[i];
        if (is_whole_function(comparison->old, old) &&
            identify(codes, comparison->old, old, &identity) == IS_KNOWN) {
            struct unit_code *code = unit_code_at(codes, &identity, true);
            code->old = (struct function_code){ .object = comparison->old, .symbol = old };
            code->now = new ? (struct function_code){ .object = comparison->new, .symbol = new } : code->now;
            code->same = new && comparison->new_change[new->index] == CHANGE_NONE;
        }
    }
    for (size_t i = 1; i < comparison->new->symbol_count; i++) {
        const struct object_symbol *new = &comparison->new->symbols[i];
        if (is_whole_function(comparison->new, new) && !comparison->old_of[i] && new->bind != STB_LOCAL &&
            identify(codes, comparison->new, new, &identity) == IS_KNOWN) {
            struct unit_code *code = unit_code_at(codes, &identity, true);
            code->now = (struct function_code){ .object = comparison->new, .symbol = new };
            code->same = false;
        }
    }
}

static const struct unit_code *in_units(struct program_codes *codes, const struct identity *identity)
{
    const struct emission *emission = codes->emission;

    for (size_t i = 0; i < emission->contributions.count && !codes->listed; i++) {
        const struct contribution *each = emission->contributions.items[i];
        if (each->image == codes->image && !each->policy) {
            add_unit(codes, each);
        }
    }
    codes->listed = true;
    return unit_code_at(codes, identity, false);
}

/* The index of the function's symbol in FILE; 0: it does not have its code. */
static uint32_t in_patch(const struct program_codes *codes, const struct patch_file *file,
                         const struct identity *identity)
{
    uint32_t symbol = 0;

    for (size_t i = 0; i < file->patch_functions_count; i++) {
        const struct molt_patch_function *each = &file->patch_functions[i];
        bool earlier = each->flags & MOLT_FUNCTION_EARLIER, part = each->flags & MOLT_FUNCTION_PART;
        bool same =
            identity->address
                ? !earlier && each->address == identity->address && is_of_image(codes, file, each->module)
                : earlier && strcmp(patch_file_string(file, each->name), identity->name) == 0 &&
                      strcmp(patch_file_string(file, each->unit), identity->unit) == 0;
        symbol = same && !part && each->symbol ? each->symbol : symbol;
    }
    for (size_t i = 0; i < file->patch_definitions_count && !identity->address && !symbol; i++) {
        const struct molt_patch_definition *each = &file->patch_definitions[i];
        bool same = strcmp(patch_file_string(file, each->name), identity->name) == 0 &&
                    strcmp(patch_file_string(file, each->unit), identity->unit) == 0;
        symbol = same ? each->symbol : symbol;
    }
    return symbol;
}

/* What the binary had at first. False: its code cannot be told. */
static bool image_code(struct program_codes *codes, const struct identity *identity,
                       struct function_code *ret)
{
    char *name = must_printf("%c%lx", IMAGE_STATIC_MARK, (unsigned long)identity->address);
    bool found = image_functions_find(&codes->functions, name, &ret->object, &ret->symbol) &&
                 object_address(ret->object, ret->symbol) == identity->address;

    free(name);
    return found;
}

/* Adds the codes that the binary and the earlier patches have, oldest first: the last one is in force. False:
 * one of them cannot be read. */
static bool add_files(struct program_codes *codes, const struct identity *identity, function_codes *ret)
{
    struct function_code code = { 0 };
    bool known = !identity->address || image_code(codes, identity, &code);

    if (code.symbol) {
        LIST_ADD(&ret->list, code);
    }
    for (size_t i = 0; i < codes->emission->earlier_count; i++) {
        uint32_t symbol = in_patch(codes, &codes->emission->earlier[i].file, identity);
        struct object *object = symbol ? patch_object(codes, i) : NULL;
        if (object && symbol < object->symbol_count) {
            LIST_ADD(&ret->list,
                     (struct function_code){ .object = object, .symbol = &object->symbols[symbol] });
        }
        known = known && (!symbol || object);
    }
    return known;
}

/* ---- their debug information ----------------------------------------------------------------------- */

static const struct transfer_side *side_of(struct program_codes *codes, struct object *object)
{
    Dwarf_Die unit;

    for (size_t i = 0; i < codes->sides.count; i++) {
        if (codes->sides.items[i]->object == object) {
            return &codes->sides.items[i]->side;
        }
    }
    struct program_side *made = must_calloc(1, sizeof(*made));
    made->object = object;
    if (object->elf) {
        transfer_side_init(&made->side, object);
    } else {
        made->side = (struct transfer_side){ .object = object, .clobbers = clobbers_create(object) };
        if (image_unit_at(codes->image, object->sections[1].base, &unit)) {
            code_index_init_unit(&made->side.index, &unit);
        }
    }
    LIST_ADD(&codes->sides, made);
    return &made->side;
}

static Dwarf_Die declaration_of(struct program_codes *codes, const struct function_code *code)
{
    const struct transfer_side *side = side_of(codes, code->object);
    const struct code_range *range =
        code_index_find(&side->index, object_address(code->object, code->symbol));

    return range ? range->die : (Dwarf_Die){ 0 };
}

/* Finds out how each of several codes was declared. */
static void declare(struct program_codes *codes, function_codes *found)
{
    char *first = NULL;

    for (size_t i = 0; i < found->list.count && found->list.count > 1; i++) {
        struct function_code *code = &found->list.items[i];
        code->declared = declaration_of(codes, code);
        struct function_debug debug = { .die = code->declared, .known = code->declared.addr };
        char *text = parameters_text(&debug);
        found->differ = found->differ || !debug.known || (first && strcmp(first, text) != 0);
        if (first) {
            free(text);
        } else {
            first = text;
        }
    }
    free(first);
}

/* ---- the questions --------------------------------------------------------------------------------- */

/* Those of IDENTITY, oldest first. False: they are not all known. */
static bool add_codes(struct program_codes *codes, const struct identity *identity, bool ever,
                      function_codes *ret)
{
    const struct unit_code *units = in_units(codes, identity);
    bool own = units && units->old.symbol;

    if ((!own || codes->emission->earlier_count) && !add_files(codes, identity, ret)) {
        return false;
    }
    if (ret->list.count && !ever) {
        ret->list.items[0] = ret->list.items[ret->list.count - 1];
        ret->list.count = 1;
    }
    if (own) { /* instead of what is in force, which is the same */
        ret->list.count -= ret->list.count ? 1 : 0;
        LIST_ADD(&ret->list, units->old);
    }
    if (units && units->now.symbol && !(own && units->same)) {
        LIST_ADD(&ret->list, units->now);
    }
    return true;
}

bool program_codes_find(void *context, struct object *object, const struct object_symbol *symbol,
                        function_codes *ret)
{
    const struct codes_question *question = context;
    struct identity identity;
    enum identified what = identify(question->codes, object, symbol, &identity);

    if (what == IS_ITSELF) {
        LIST_ADD(&ret->list, (struct function_code){ .object = object, .symbol = symbol });
    }
    if (what != IS_KNOWN) {
        return what != IS_LIBRARY;
    }
    if (!add_codes(question->codes, &identity, question->ever, ret)) {
        ret->list.count = 0;
        return true;
    }
    declare(question->codes, ret);
    return ret->list.count || identity.address;
}

void program_codes_past(struct program_codes *codes, const struct contribution *contribution,
                        const struct object_symbol *symbol, past_codes *ret)
{
    function_codes found = { 0 };
    struct identity identity;

    if (!codes->emission->earlier_count) {
        return;
    }
    bool known = identify_own(codes, contribution, symbol, &identity) == IS_KNOWN &&
                 add_files(codes, &identity, &found) && found.list.count;
    for (size_t i = 0; known && i + 1 < found.list.count; i++) {
        const struct function_code *code = &found.list.items[i];
        LIST_ADD(ret, (struct past_code){ side_of(codes, code->object), code->symbol });
    }
    if (!known) {
        LIST_ADD(ret, (struct past_code){ 0 });
    }
    LIST_FREE(&found.list);
}
