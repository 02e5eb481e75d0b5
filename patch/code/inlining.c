/*
 * The debug information of a function names what was inlined into it, and its line table says which lines of
 * each that are. An inlined function whose lines read otherwise in the old sources is a reason for the
 * change; so is one that the old sources do not have. This explains a difference that the objects have shown;
 * it decides nothing.
 *
 * The top level of a unit's debug information is read once: large files have thousands of changed functions
 * when a header changes.
 */
#include "patch/code/inlining.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "base/text.h"
#include "patch/code/definition_line.h"

#define NAMED_MAX 4 /* inlined functions that one reason names */

struct entry {
    Dwarf_Addr low;
    Dwarf_Off die, unit;
};

/* The functions of an object. */
struct functions {
    struct object *object;
    LIST(struct entry) entries; /* with code, by address */
    LIST(char *) names;
    struct table lines; /* name -> line of the definition, as a pointer */
};

struct inlining {
    struct source_lines *lines;
    const char *root;
    LIST(struct functions *) objects;
};

/* A function that code was made from. */
struct source {
    const char *name;
    char *file; /* absolute */
    int first, last;
};

/* One place where a source's code is; deeper ones lie within. */
struct scope {
    Dwarf_Die die;
    unsigned depth;
    size_t source;
};

/* One function with all that was inlined into it. [0] is the function itself. */
struct body {
    LIST(struct source) sources;
    LIST(struct scope) scopes;
};

struct inlining *inlining_create(struct source_lines *lines, const char *root)
{
    struct inlining *inlining = must_calloc(1, sizeof(*inlining));

    inlining->lines = lines;
    inlining->root = root;
    return inlining;
}

void inlining_destroy(struct inlining *inlining)
{
    for (size_t i = 0; inlining && i < inlining->objects.count; i++) {
        struct functions *functions = inlining->objects.items[i];
        for (size_t k = 0; k < functions->names.count; k++) {
            free(functions->names.items[k]);
        }
        LIST_FREE(&functions->names);
        LIST_FREE(&functions->entries);
        table_deinit(&functions->lines);
        free(functions);
    }
    if (inlining) {
        LIST_FREE(&inlining->objects);
    }
    free(inlining);
}

static int by_address(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;

    return a->low < b->low ? -1 : a->low > b->low;
}

static void note_function(struct functions *functions, Dwarf_Die *unit, Dwarf_Die *die)
{
    Dwarf_Addr low;
    int line = 0;
    const char *name = dwarf_diename(die);

    if (dwarf_entrypc(die, &low) == 0) {
        LIST_ADD(&functions->entries, (struct entry){ low, dwarf_dieoffset(die), dwarf_dieoffset(unit) });
    }
    if (name && !dwarf_hasattr(die, DW_AT_declaration) && dwarf_decl_line(die, &line) == 0 && line > 0) {
        LIST_ADD(&functions->names, must_strdup(name));
        table_put(&functions->lines, functions->names.items[functions->names.count - 1],
                  (void *)(uintptr_t)line);
    }
}

static struct functions *functions_of(struct inlining *inlining, struct object *object)
{
    for (size_t i = 0; i < inlining->objects.count; i++) {
        if (inlining->objects.items[i]->object == object) {
            return inlining->objects.items[i];
        }
    }
    struct functions *functions = must_calloc(1, sizeof(*functions));
    Dwarf *dwarf = object_dwarf(object);
    Dwarf_CU *unit = NULL;
    Dwarf_Die top, die;
    functions->object = object;
    while (dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &top, NULL) == 0) {
        for (int more = dwarf_child(&top, &die); more == 0; more = dwarf_siblingof(&die, &die)) {
            if (dwarf_tag(&die) == DW_TAG_subprogram) {
                note_function(functions, &top, &die);
            }
        }
    }
    if (functions->entries.count > 1) {
        qsort(functions->entries.items, functions->entries.count, sizeof(struct entry), by_address);
    }
    LIST_ADD(&inlining->objects, functions);
    return functions;
}

/* ---- what one function was made from ----------------------------------------------------------------- */

static void body_deinit(struct body *body)
{
    for (size_t i = 0; i < body->sources.count; i++) {
        free(body->sources.items[i].file);
    }
    LIST_FREE(&body->sources);
    LIST_FREE(&body->scopes);
}

static size_t source_of(struct body *body, Dwarf_Die *die)
{
    const char *name = dwarf_diename(die);
    int line = 0;

    name = name ? name : "";
    dwarf_decl_line(die, &line);
    for (size_t i = 0; i < body->sources.count; i++) {
        if (body->sources.items[i].first == line && strcmp(body->sources.items[i].name, name) == 0) {
            return i;
        }
    }
    LIST_ADD(&body->sources, (struct source){ name, definition_file(die), line, line });
    return body->sources.count - 1;
}

static void collect(struct body *body, Dwarf_Die *scope, unsigned depth);

static void collect_inside(struct body *body, Dwarf_Die *parent, unsigned depth)
{
    Dwarf_Die die;

    for (int more = dwarf_child(parent, &die); more == 0; more = dwarf_siblingof(&die, &die)) {
        if (dwarf_tag(&die) == DW_TAG_inlined_subroutine) {
            collect(body, &die, depth + 1);
        } else if (dwarf_tag(&die) == DW_TAG_lexical_block) {
            collect_inside(body, &die, depth);
        }
    }
}

static void collect(struct body *body, Dwarf_Die *scope, unsigned depth)
{
    size_t source = source_of(body, scope);

    LIST_ADD(&body->scopes, (struct scope){ *scope, depth, source });
    collect_inside(body, scope, depth);
}

/* Widens the source that the line at ADDRESS belongs to: that of the deepest scope there. */
static void note_line(struct body *body, Dwarf_Addr address, const char *file, int number)
{
    struct scope *deepest = NULL;

    for (size_t i = 0; i < body->scopes.count; i++) {
        struct scope *scope = &body->scopes.items[i];
        if ((!deepest || scope->depth > deepest->depth) && dwarf_haspc(&scope->die, address) == 1) {
            deepest = scope;
        }
    }
    struct source *source = deepest ? &body->sources.items[deepest->source] : NULL;
    if (source && source->file && number > source->last && strcmp(source->file, file) == 0) {
        source->last = number;
    }
}

static Dwarf_Addr line_address(Dwarf_Lines *lines, size_t index)
{
    Dwarf_Addr address = 0;

    dwarf_lineaddr(dwarf_onesrcline(lines, index), &address);
    return address;
}

static void read_lines(struct body *body, Dwarf_Die *unit, Dwarf_Addr from, Dwarf_Addr to)
{
    Dwarf_Lines *lines;
    size_t count;

    if (dwarf_getsrclines(unit, &lines, &count) != 0) {
        return;
    }
    size_t first = COUNT_BEFORE(i, count, line_address(lines, i) < from);
    for (size_t i = first; i < count; i++) {
        Dwarf_Line *line = dwarf_onesrcline(lines, i);
        Dwarf_Addr address = to;
        int number = 0;
        const char *file = dwarf_linesrc(line, NULL, NULL);
        dwarf_lineaddr(line, &address);
        if (address >= to) {
            break;
        }
        if (file && dwarf_lineno(line, &number) == 0) {
            char *path = definition_path(unit, file);
            note_line(body, address, path, number);
            free(path);
        }
    }
}

/* Fills BODY with what SYMBOL was made from; nothing if the debug information does not say. */
static void read_body(struct inlining *inlining, struct object *object, const struct object_symbol *symbol,
                      struct body *body)
{
    const struct functions *functions = functions_of(inlining, object);
    struct entry wanted = { .low = object_address(object, symbol) };
    const struct entry *entry =
        functions->entries.count
            ? bsearch(&wanted, functions->entries.items, functions->entries.count, sizeof(wanted), by_address)
            : NULL;
    Dwarf_Die die, unit;

    if (entry && dwarf_offdie(object->dwarf, entry->die, &die) &&
        dwarf_offdie(object->dwarf, entry->unit, &unit)) {
        collect(body, &die, 0);
        read_lines(body, &unit, wanted.low, wanted.low + symbol->size);
    }
}

/* ---- what of that changed ---------------------------------------------------------------------------- */

static const struct source *find_source(const struct body *body, const struct source *wanted)
{
    for (size_t i = 0; i < body->sources.count; i++) {
        const struct source *source = &body->sources.items[i];
        if (strcmp(source->name, wanted->name) == 0 && source->file &&
            strcmp(source->file, wanted->file) == 0) {
            return source;
        }
    }
    return NULL;
}

/* Whether SOURCE of the new function reads otherwise in the old sources. */
static bool is_changed(struct inlining *inlining, const struct functions *old_functions,
                       const struct body *old_body, const struct source *source)
{
    const struct source *old = source->file ? find_source(old_body, source) : NULL;
    unsigned old_first =
        old ? (unsigned)old->first : (unsigned)(uintptr_t)table_get(&old_functions->lines, source->name);
    int count = source->last - source->first;

    if (!source->file || !source->first) {
        return false;
    }
    count = old && old->last - old->first > count ? old->last - old->first : count;
    for (int i = 0; i <= count; i++) {
        if (!old_first ||
            !source_lines_equal(inlining->lines, source->file, old_first + i, source->first + i)) {
            return true;
        }
    }
    return false;
}

char *inlining_reason(struct inlining *inlining, const struct comparison *comparison,
                      const struct object_symbol *symbol)
{
    const struct object_symbol *before = comparison->old_of[symbol->index];
    struct body old = { 0 }, new = { 0 };
    struct text reason = { 0 };
    unsigned named = 0;

    if (!before) {
        return NULL;
    }
    read_body(inlining, comparison->old, before, &old);
    read_body(inlining, comparison->new, symbol, &new);
    const struct functions *functions = functions_of(inlining, comparison->old);
    for (size_t i = 1; i < new.sources.count; i++) {
        const struct source *source = &new.sources.items[i];
        if (!is_changed(inlining, functions, &old, source)) {
            continue;
        }
        const char *below = path_below(inlining->root, source->file);
        if (named < NAMED_MAX) {
            text_printf(&reason, "%s%s (%s:%d)", named ? ", " : "inlines ", source->name,
                        below ? below : source->file, source->first);
        } else if (named == NAMED_MAX) {
            text_printf(&reason, " and others");
        }
        named++;
    }
    char *text = named ? text_steal(&reason) : NULL;
    if (named && is_changed(inlining, functions, &old, &new.sources.items[0])) {
        char *both = must_printf("changed; %s", text);
        free(text);
        text = both;
    }
    body_deinit(&old);
    body_deinit(&new);
    return text;
}
