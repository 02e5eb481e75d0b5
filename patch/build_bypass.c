/*
 * Functions too short for a jump: `void nothing(void) {}` at -Os is one byte, and the next function begins
 * right after it. Such a one is changed by changing all that call it: they come along in the patch and call
 * the new definition directly, and a caller may be too short itself. This holds only if all callers are
 * known, so a function whose address is taken anywhere is refused. The baseline's objects say who refers to
 * it, the binary whether that is all.
 *
 * A function that an earlier patch bypassed stays bypassed: the engine leads new calls to the version in
 * force, but the new code must not take its address either.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/code/baseline.h"
#include "patch/build_take.h"
#include "patch/code/definition_line.h"
#include "patch/emit/mentions.h"

struct short_function {
    const struct image *image;
    uint64_t address;
    const char *name;
    const char *unit;                /* its translation unit's name */
    struct changed_unit *within;     /* that changes it; NULL: an earlier patch has bypassed it */
    const struct object_symbol *old; /* in the unit's old object */
};

typedef LIST(struct short_function) short_functions;

/* A field that names a short function. */
struct mention {
    const struct short_function *named;
    struct changed_unit *unit;
    struct object *object; /* one of the unit's */
    const struct object_section *section;
    const struct object_relocation *relocation;
};

/* ---- which they are ---------------------------------------------------------------------------------- */

static bool is_known(const short_functions *list, const struct image *image, uint64_t address)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].image == image && list->items[i].address == address) {
            return true;
        }
    }
    return false;
}

/* Adds those that CONTRIBUTION changes. */
static void find_changed(const struct build *build, const struct contribution *contribution,
                         short_functions *ret)
{
    const struct comparison *comparison = contribution->comparison;
    struct object *object = comparison->old;

    for (size_t i = 1; i < object->symbol_count; i++) {
        struct object_symbol *old = &object->symbols[i];
        bool ambiguous;
        if (!old->key || comparison->old_change[i] != CHANGE_CHANGED || !comparison->new_of[i] ||
            !symbol_is_function(object, old) || symbol_is_part(old)) {
            continue;
        }
        const struct image_symbol *found = bind_find(contribution, old, &ambiguous);
        if (!found || image_room(contribution->image, found) >= MOLT_JUMP_ROOM ||
            is_known(ret, contribution->image, found->value) ||
            bind_earlier(build->earlier, build->earlier_count, bind_name(object, old),
                         old->bind == STB_LOCAL ? contribution->key : "")) {
            continue;
        }
        LIST_ADD(ret, (struct short_function){ contribution->image, found->value, old->name,
                                               contribution->name, build_unit_of(build, comparison), old });
    }
}

static const struct image *image_of(const struct build *build, const struct molt_patch_module *module)
{
    for (size_t i = 0; i < build->session->images.count; i++) {
        const struct image *image = build->session->images.items[i];
        if (image->build_id_size == module->build_id_size &&
            memcmp(image->build_id, module->build_id, image->build_id_size) == 0) {
            return image;
        }
    }
    return NULL;
}

/* Adds those that earlier patches bypassed. */
static void find_earlier(const struct build *build, short_functions *ret)
{
    for (size_t i = 0; i < build->earlier_count; i++) {
        const struct patch_file *file = &build->earlier[i].file;
        for (size_t k = 0; k < file->patch_functions_count; k++) {
            const struct molt_patch_function *function = &file->patch_functions[k];
            const struct image *image = function->flags & MOLT_FUNCTION_BYPASSED
                                            ? image_of(build, &file->patch_modules[function->module])
                                            : NULL;
            if (image && !is_known(ret, image, function->address)) {
                LIST_ADD(ret, (struct short_function){ image, function->address,
                                                       patch_file_string(file, function->name),
                                                       patch_file_string(file, function->unit), NULL, NULL });
            }
        }
    }
}

/* ---- who names them ---------------------------------------------------------------------------------- */

bool build_contribution_of(const struct build *build, const struct changed_unit *unit,
                           const struct image *image, struct contribution *ret)
{
    const struct compile_entry *entry = unit->unit->entry;

    for (size_t i = 0; i < build->contributions.count; i++) {
        const struct contribution *contribution = build->contributions.items[i];
        if (contribution->comparison == &unit->comparison && contribution->image == image) {
            *ret = *contribution;
            return true;
        }
    }
    const struct image_unit *image_unit = image_find_unit(image, entry->file, entry->name);
    *ret = (struct contribution){ .comparison = &unit->comparison,
                                  .image = image,
                                  .image_unit = image_unit,
                                  .time = &build->session->db.time,
                                  .source = entry->file };
    return image_unit;
}

/* Whether SYMBOL, in the old or the new object of CONTRIBUTION, is the function. */
static bool is_named(const struct contribution *contribution, const struct object *object,
                     const struct object_symbol *symbol, const struct short_function *function)
{
    const struct comparison *comparison = contribution->comparison;
    bool ambiguous;

    if (symbol->section && object != comparison->old) {
        symbol = comparison->old_of[symbol->index];
    }
    const struct image_symbol *found = !symbol ? NULL
                                       : symbol->section
                                           ? bind_find(contribution, symbol, &ambiguous)
                                           : image_find_global(contribution->image, symbol->name);
    return found && found->value == function->address;
}

static bool is_branch(const struct mention *mention)
{
    return mention->section->kind == SECTION_CODE &&
           mention_is_branch(mention->section->bytes, mention->relocation->offset, mention->relocation->type);
}

typedef struct molt_error *on_mention(struct build *build, const struct mention *mention);

/* Whether what is in the section can call, hold or make addresses: not its debug information, for
 * instance. */
static bool counts(const struct object_section *section)
{
    return section->kind >= SECTION_CODE && section->kind <= SECTION_INIT &&
           section->kind != SECTION_UNWIND && section->bytes;
}

/* Calls ON for each field of OBJECT that names one of the functions. NAMES: what symbol tables call them. */
static struct molt_error *each_mention(struct build *build, struct changed_unit *unit, struct object *object,
                                       const short_functions *functions, const struct table *names,
                                       on_mention *on)
{
    struct molt_error *error = NULL;

    for (size_t i = 1; i < object->section_count; i++) {
        const struct object_section *section = &object->sections[i];
        for (size_t k = 0; counts(section) && k < section->relocation_count; k++) {
            struct object_place place = object_target(object, section, &section->relocations[k]);
            if (!place.symbol || !table_get(names, place.symbol->name)) {
                continue;
            }
            for (size_t n = 0; !error && n < functions->count; n++) {
                const struct short_function *function = &functions->items[n];
                struct contribution contribution;
                if (build_contribution_of(build, unit, function->image, &contribution) &&
                    is_named(&contribution, object, place.symbol, function)) {
                    error = on(build, &(struct mention){ function, unit, object, section,
                                                         &section->relocations[k] });
                }
            }
        }
    }
    return error;
}

static void collect_names(const short_functions *functions, struct table *ret)
{
    for (size_t i = 0; i < functions->count; i++) {
        const struct image *image = functions->items[i].image;
        for (size_t k = 0; k < image->symbol_count; k++) {
            if (image->symbols[k].value == functions->items[i].address) {
                table_put(ret, image->symbols[k].name, (void *)image);
            }
        }
    }
}

/* ---- refusing ---------------------------------------------------------------------------------------- */

/* Refuses because of what stands at LINE of FILE. WHAT completes "too short ..., and". */
static struct molt_error *refuse(struct build *build, const struct short_function *function, const char *file,
                                 unsigned line, const char *what)
{
    unsigned own = function->within ? definition_line(function->within->comparison.old, function->old) : 0;
    char *at = own ? must_printf("%s:%u", function->unit, own) : must_strdup(function->unit);
    char *message =
        must_printf("%s (%s) is too short for the jump to its new version, and %s, so not all that "
                    "call it can be led there: build with -O2 or -falign-functions=16, or give it a "
                    "longer body, and restart the program",
                    function->name, at, what);
    struct molt_error *error = molt_error_at(MOLT_ERROR_REFUSED, file, line, "%s", message);

    molt_diagnostics_add(&build->result->diagnostics, MOLT_SEVERITY_ERROR, file, line, 0, "short-function",
                         "%s", message);
    free(message);
    free(at);
    return error;
}

/* The definition that the field of MENTION is in, NULL if there is none. */
static struct object_symbol *owner_of(const struct mention *mention)
{
    uint64_t offset = mention->relocation->offset;

    for (size_t i = 0; i < mention->section->definition_count; i++) {
        struct object_symbol *symbol = mention->section->definitions[i];
        if (offset >= symbol->value && offset < symbol->value + symbol->size) {
            return symbol;
        }
    }
    return NULL;
}

/* The source line of the field, in *RET_FILE, which is the caller's. */
static unsigned line_of(const struct mention *mention, const struct object_symbol *owner, char **ret_file)
{
    Dwarf *dwarf = object_dwarf(mention->object);
    Dwarf_Addr address = mention->section->base + mention->relocation->offset;
    Dwarf_CU *unit = NULL;
    Dwarf_Die die;

    *ret_file = must_strdup(mention->unit->unit->entry->file);
    if (mention->section->kind != SECTION_CODE) {
        return owner ? definition_line(mention->object, owner) : 0;
    }
    while (dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &die, NULL) == 0) {
        Dwarf_Line *line = dwarf_getsrc_die(&die, address);
        const char *file = line ? dwarf_linesrc(line, NULL, NULL) : NULL;
        int number = 0;
        if (file && dwarf_lineno(line, &number) == 0 && number > 0) {
            free(*ret_file);
            *ret_file = definition_path(&die, file);
            return number;
        }
    }
    return owner ? definition_line(mention->object, owner) : 0;
}

static struct molt_error *refuse_taken(struct build *build, const struct mention *mention)
{
    const struct object_symbol *owner = owner_of(mention);
    char *file,
        *what = must_printf("its address is taken here%s%s", owner ? ", in " : "", owner ? owner->name : "");
    unsigned line = line_of(mention, owner, &file);
    struct molt_error *error = refuse(build, mention->named, file, line, what);

    free(what);
    free(file);
    return error;
}

/* ---- taking the callers along ------------------------------------------------------------------------ */

static void mark(struct build *build, struct comparison *comparison, const struct object_symbol *caller,
                 const char *callee)
{
    struct object_symbol *new = comparison->new_of[caller->index];

    if (new &&symbol_is_function(comparison->new, new) && comparison->new_change[new->index] == CHANGE_NONE) {
        char *reason = must_printf("calls %s, too short for a jump", callee);
        LIST_ADD(&build->texts, reason);
        comparison_mark(comparison, new, reason);
    }
}

static struct molt_error *on_old(struct build *build, const struct mention *mention)
{
    struct comparison *comparison = &mention->unit->comparison;

    if (!is_branch(mention)) {
        return refuse_taken(build, mention);
    }
    const struct object_symbol *owner = owner_of(mention);
    for (size_t i = 0; i < mention->section->definition_count; i++) {
        if (!owner || mention->section->definitions[i]->value == owner->value) {
            mark(build, comparison, mention->section->definitions[i], mention->named->name);
        }
    }
    return NULL;
}

static struct molt_error *on_new(struct build *build, const struct mention *mention)
{
    return is_branch(mention) ? NULL : refuse_taken(build, mention);
}

/* Functions in one section with a short one, as the attribute `section` makes them: the assembler has
 * resolved their calls. */
static void mark_neighbours(struct build *build, const short_functions *functions)
{
    for (size_t i = 0; i < functions->count; i++) {
        const struct short_function *function = &functions->items[i];
        struct comparison *comparison = &function->within->comparison;
        const struct object_section *section = &comparison->old->sections[function->old->section];
        for (size_t k = 0; k < section->definition_count; k++) {
            mark(build, comparison, section->definitions[k], function->name);
        }
    }
}

static int by_number(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

/* All places of IMAGE that name one of FUNCTIONS. */
static void find_references(const struct image *image, const short_functions *functions,
                            image_references *ret)
{
    LIST(uint64_t) targets = { 0 };

    for (size_t i = 0; i < functions->count; i++) {
        if (functions->items[i].image == image) {
            LIST_ADD(&targets, functions->items[i].address);
        }
    }
    if (targets.count) {
        qsort(targets.items, targets.count, sizeof(uint64_t), by_number);
        image_find_references(image, targets.items, targets.count, ret);
    }
    LIST_FREE(&targets);
}

/* Takes the units that may call one of FUNCTIONS: in the binary, or in earlier patches. Should one be
 * missed, its call is refused for want of a source (check_image). */
static struct molt_error *take_units(struct build *build, const short_functions *functions)
{
    struct molt_error *error = build_take_patched(build);

    for (size_t i = 0; !error && i < build->session->images.count; i++) {
        const struct image *image = build->session->images.items[i];
        image_references references = { 0 };
        find_references(image, functions, &references);
        for (size_t k = 0; !error && k < references.count; k++) {
            error = build_take_at(build, image, references.items[k].address);
        }
        LIST_FREE(&references);
    }
    return error;
}

/* Marks the callers of all FUNCTIONS, whichever unit they are in. */
static struct molt_error *take_callers(struct build *build, const short_functions *functions)
{
    struct molt_error *error = take_units(build, functions);
    struct table names = { 0 };

    collect_names(functions, &names);
    mark_neighbours(build, functions);
    for (size_t i = 0; !error && i < build->units.count; i++) {
        struct changed_unit *unit = build->units.items[i];
        if (unit->compared) {
            error = each_mention(build, unit, unit->comparison.old, functions, &names, on_old);
            comparison_spread(&unit->comparison);
        }
    }
    table_deinit(&names);
    return error;
}

static struct molt_error *check_new_code(struct build *build, const short_functions *functions)
{
    struct molt_error *error = NULL;
    struct table names = { 0 };

    collect_names(functions, &names);
    for (size_t i = 0; !error && i < build->units.count; i++) {
        struct changed_unit *unit = build->units.items[i];
        if (unit->compared && unit->comparison.new != unit->comparison.old) {
            error = each_mention(build, unit, unit->comparison.new, functions, &names, on_new);
        }
    }
    table_deinit(&names);
    return error;
}

/* ---- whether that is all ----------------------------------------------------------------------------- */

bool build_is_replaced(const struct build *build, const struct image *image, uint64_t address)
{
    if (baseline_is_replaced(image, build->earlier, build->earlier_count, address)) {
        return true;
    }
    for (size_t i = 0; i < build->contributions.count; i++) {
        const struct contribution *contribution = build->contributions.items[i];
        struct object *object = contribution->comparison->old;
        for (size_t k = 1; contribution->image == image && k < object->symbol_count; k++) {
            const struct object_symbol *symbol = &object->symbols[k];
            bool ambiguous;
            const struct image_symbol *found =
                symbol->key && contribution->comparison->old_change[k] != CHANGE_NONE &&
                        symbol_is_function(object, symbol)
                    ? bind_find(contribution, symbol, &ambiguous)
                    : NULL;
            if (found && found->value == address) {
                return true;
            }
        }
    }
    return false;
}

static struct molt_error *check_reference(struct build *build, const struct short_function *function,
                                          const struct image_reference *reference)
{
    const struct image *image = function->image;
    const struct image_symbol *within = image_symbol_at(image, reference->address);
    char *file = NULL;

    if (reference->branch && within && build_is_replaced(build, image, within->value)) {
        return NULL;
    }
    unsigned line = image_line(image, reference->address, &file);
    char *what = must_printf("%s %s %s, which the sources do not tell",
                             within ? within->name : "something without a name",
                             reference->branch ? "calls it in" : "has its address in", image->path);
    struct molt_error *error = refuse(build, function, file, line, what);
    free(what);
    free(file);
    return error;
}

/* Asks the binary whether somebody names the functions whom the objects did not tell of. */
static struct molt_error *check_image(struct build *build, const struct image *image,
                                      const short_functions *functions)
{
    image_references references = { 0 };
    struct molt_error *error = NULL;

    find_references(image, functions, &references);
    for (size_t i = 0; i < references.count; i++) {
        for (size_t k = 0; !error && k < functions->count; k++) {
            const struct short_function *function = &functions->items[k];
            if (function->image == image && function->address == references.items[i].target) {
                error = check_reference(build, function, &references.items[i]);
            }
        }
    }
    LIST_FREE(&references);
    return error;
}

/* Whether other modules, or patches in force, may have the address of FUNCTION. */
static struct molt_error *check_visibility(struct build *build, const struct short_function *function)
{
    const struct earlier_patch *earlier =
        mention_in_earlier(build->earlier, build->earlier_count, function->image, function->address);
    bool exported = image_is_visible(function->image, function->name);

    if (!exported && !earlier) {
        return NULL;
    }
    char *what = exported ? must_printf("%s exports it", function->image->path)
                          : must_printf("the earlier patch %s takes its address", earlier->path);
    struct molt_error *error = refuse(build, function, NULL, 0, what);
    free(what);
    return error;
}

/* Whether nobody can come to the old code of FUNCTIONS. */
static struct molt_error *check_callers(struct build *build, short_functions *functions)
{
    struct molt_error *error = NULL;

    for (size_t i = 0; !error && i < functions->count; i++) {
        error = check_visibility(build, &functions->items[i]);
    }
    for (size_t i = 0; !error && i < build->session->images.count; i++) {
        error = check_image(build, build->session->images.items[i], functions);
    }
    find_earlier(build, functions);
    return error || !functions->count ? error : check_new_code(build, functions);
}

struct molt_error *build_bypass(struct build *build)
{
    short_functions functions = { 0 };
    struct molt_error *error = NULL;
    bool more = true;

    while (!error && more) {
        size_t known = functions.count;
        for (size_t i = 0; i < build->contributions.count; i++) {
            find_changed(build, build->contributions.items[i], &functions);
        }
        more = functions.count != known;
        if (more) {
            error = take_callers(build, &functions);
            error = error ? error : build_place(build);
        }
    }
    error = error ? error : check_callers(build, &functions);
    LIST_FREE(&functions);
    return error;
}
