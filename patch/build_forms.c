/*
 * Variables whose value could be lost without a word, since optimising compilers keep static ones in whatever
 * form they like: whole, member by member, as one bit, or not at all. The debug information of both objects
 * says in which. Where that differs, what is kept nowhere may still be what a variable began with: the same
 * source compiled without optimisation tells whether anything writes to it.
 *
 *     old code         new code          what becomes of the value
 *     nowhere          somewhere         nothing wrote to it: it begins as the new source says. Else it is
 *                                        lost: refused
 *     somewhere        a constant        the new code has its first value baked in: the engine looks whether
 *                                        that is what it holds
 *     whole, in parts  the other         refused
 *     one bit          other values      refused
 */
#include <stdlib.h>
#include <string.h>

#include "patch/code/accesses.h"
#include "patch/build_state_private.h"
#include "patch/code/definition_line.h"
#include "patch/types/edited.h"
#include "patch/types/forms.h"
#include "patch/types/place.h"

/* One unit's source as its author wrote it: every access is in the code. Made when first asked for. */
struct plain {
    bool tried;
    struct object *object; /* NULL: it does not compile so */
    struct forms forms;
};

struct unit_forms {
    struct build *build;
    const struct changed_unit *changed;
    const struct comparison *comparison;
    struct forms before, after;
    struct plain plain_before, plain_after;
    struct edited_sources sources;
    struct molt_error *error; /* the first */
};

/* ---- what the source does -------------------------------------------------------------------------- */

static void make_plain(struct unit_forms *unit, struct plain *plain, struct tree *tree)
{
    struct compile_setup setup = build_setup(unit->build->session, unit->build->request);
    struct compile_job job = { unit->changed->unit, tree, COMMAND_UNOPTIMISED };
    struct molt_diagnostics unsaid = { 0 };
    compile_jobs jobs = { 0 };

    plain->tried = true;
    LIST_ADD(&jobs, &job);
    struct molt_error *error = compile_run(&setup, &jobs, &unsaid);
    if (!error && !job.failed) {
        error = session_object(unit->build->session, job.object, &plain->object);
    }
    if (!error && plain->object) {
        forms_of(object_dwarf(plain->object), &plain->forms);
    }
    molt_error_destroy(error);
    molt_diagnostics_deinit(&unsaid);
    LIST_FREE(&jobs);
    free(job.object);
}

static const struct object_symbol *symbol_at(const struct object *object, const struct form_piece *piece)
{
    for (size_t i = 1; i < object->symbol_count; i++) {
        const struct object_symbol *symbol = &object->symbols[i];
        bool data = symbol->key && symbol->section && !symbol_is_function(object, symbol);
        if (data && (object->sections[symbol->section].kind == SECTION_TLS) == piece->tls &&
            object_address(object, symbol) == piece->address) {
            return symbol;
        }
    }
    return NULL;
}

/* What the source of one side does with SIZE bytes at OFFSET of the variable FORM. */
static struct accesses accesses_in(struct unit_forms *unit, struct plain *plain, struct tree *tree,
                                   const struct form *form, uint64_t offset, uint64_t size)
{
    if (!plain->tried) {
        make_plain(unit, plain, tree);
    }
    if (!plain->object) {
        return (struct accesses){ true, true };
    }
    const struct form *whole = forms_find(&plain->forms, form);
    const struct object_symbol *symbol =
        whole && whole->kind == FORM_WHOLE ? symbol_at(plain->object, &whole->pieces.items[0]) : NULL;
    return symbol ? accesses_of(plain->object, symbol, offset, size)
                  : (struct accesses){ 0 }; /* not static, or in no code */
}

/* ---- refusals -------------------------------------------------------------------------------------- */

static void refuse(struct unit_forms *unit, const struct form *form, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void refuse(struct unit_forms *unit, const struct form *form, const char *format, ...)
{
    struct text text = { 0 };
    va_list arguments;
    int line = 0;

    if (unit->error) {
        return;
    }
    char *file = definition_file((Dwarf_Die *)&form->die);
    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    (void)dwarf_decl_line((Dwarf_Die *)&form->die, &line);
    unit->error = molt_error_at(MOLT_ERROR_REFUSED, file ? file : unit->changed->unit->entry->file, line,
                                "%s", (char *)must_have(text.bytes));
    text_deinit(&text);
    free(file);
}

static void refuse_split(struct unit_forms *unit, const struct form *form, bool was_split)
{
    refuse(unit, form,
           was_split
               ? "the compiler kept the members of the static variable %s apart, and cannot any "
                 "more: its value would be lost; leave its address alone in this update, or give the new "
                 "variable another name"
               : "the compiler keeps the members of the static variable %s apart from now on: its "
                 "value would be lost; let something take its address as before, or give the new variable "
                 "another name",
           form->name);
}

static void refuse_unread(struct unit_forms *unit, const struct form *form, bool part)
{
    refuse(
        unit, form,
        "the running program does not keep what it stores in %sthe static variable %s, since nothing in it "
        "reads that later: the new code, which does, would find the initial value; give the new variable "
        "another name, or restart the program",
        part ? "a part of " : "", form->name);
}

static void refuse_scaled(struct unit_forms *unit, const struct form *old, const struct form *new)
{
    long values[2][2] = { { (long)old->base, (long)(old->base + old->factor) },
                          { (long)new->base, (long)(new->base + new->factor) } };

    if (old->kind == FORM_SCALED && new->kind == FORM_SCALED) {
        refuse(
            unit, new,
            "the compiler keeps the static variable %s as one bit, which stood for %ld or %ld and stands for "
            "%ld "
            "or %ld from now on: what it holds would mean something else; give the new variable another name",
            new->name, values[0][0], values[0][1], values[1][0], values[1][1]);
    } else if (old->kind == FORM_SCALED) {
        refuse(
            unit, new,
            "the compiler kept the static variable %s as one bit, which stood for %ld or %ld, and cannot any "
            "more: what it holds would mean something else; give the new variable another name",
            new->name, values[0][0], values[0][1]);
    } else {
        refuse(
            unit, new,
            "the compiler keeps the static variable %s as one bit from now on, which stands for %ld or %ld: "
            "what it holds would mean something else; give the new variable another name",
            new->name, values[1][0], values[1][1]);
    }
}

/* ---- variables that the new code has somewhere ----------------------------------------------------- */

/* What the old source does with what PIECE of the variable NEW is there. */
static struct accesses old_accesses(struct unit_forms *unit, const struct form *old, const struct form *new,
                                    const struct form_piece *piece)
{
    struct build_state *state = unit->build->state;
    uint64_t offset = 0, size = form_size(old);
    struct type_place place;

    if (piece->size) {
        enum place_found found =
            types_place(state->changes, type_of_object(state->old, &old->die),
                        type_of_object(state->new, &new->die), piece->offset, piece->size, &place);
        if (found == PLACE_NEW) {
            return (struct accesses){ 0 };
        }
        offset = found == PLACE_FOUND ? place.offset : offset;
        size = found == PLACE_FOUND ? place.size : size;
    }
    return accesses_in(unit, &unit->plain_before, &unit->build->from, old, offset, size);
}

/* PIECE of the variable NEW is nowhere in the old code. */
static void check_appeared(struct unit_forms *unit, const struct form *old, const struct form *new,
                           const struct form_piece *piece)
{
    if (!form_is_const(old) && old_accesses(unit, old, new, piece).writes) {
        refuse_unread(unit, new, piece->size);
    }
}

/* Whether the one bit of both means the same. Zero stands for what the variable begins with: where that is
 * another value now, what has not been set takes it. */
static bool same_scale(const struct form *old, const struct form *new)
{
    return old->kind == new->kind && old->base + old->factor == new->base + new->factor;
}

static void check_new(struct unit_forms *unit, const struct object_symbol *symbol)
{
    const struct comparison *comparison = unit->comparison;
    bool tls = comparison->new->sections[symbol->section].kind == SECTION_TLS;
    const struct form_piece *piece = NULL;
    const struct form *new = forms_at(&unit->after, object_address(comparison->new, symbol), tls, &piece);
    const struct form *old = new ? forms_find(&unit->before, new) : NULL;
    bool scaled = old && (old->kind == FORM_SCALED || new->kind == FORM_SCALED);

    if (!old) {
        return;
    }
    if (comparison->was_of[symbol->index]) {
        if (scaled && !same_scale(old, new)) {
            refuse_scaled(unit, old, new);
        }
    } else if (old->kind == FORM_NONE || old->kind == FORM_OTHER ||
               (old->kind == FORM_PARTS && new->kind == FORM_PARTS)) {
        check_appeared(unit, old, new, piece);
    } else if (old->kind == FORM_PARTS || new->kind == FORM_PARTS) {
        refuse_split(unit, new, old->kind == FORM_PARTS);
    }
}

/* ---- variables that neither has -------------------------------------------------------------------- */

/* The old code stores what nothing reads, the new one reads what nothing stores. */
static void check_nowhere(struct unit_forms *unit, const struct form *old)
{
    const struct form *new = old->kind == FORM_NONE ? forms_find(&unit->after, old) : NULL;
    struct build *build = unit->build;

    if (!new || new->kind != FORM_NONE || form_is_const(old) || !is_edited(&unit->sources, old, new)) {
        return;
    }
    uint64_t size = form_size(old);
    if (accesses_in(unit, &unit->plain_before, &build->from, old, 0, size).writes) {
        struct accesses now = accesses_in(unit, &unit->plain_after, &build->to, new, 0, form_size(new));
        if (now.reads && !now.writes) {
            refuse_unread(unit, new, false);
        }
    }
}

/* ---- variables that the old code has somewhere ----------------------------------------------------- */

/* The variable OLD, or PIECE of it, is for the new code what it began with. */
static void check_folded(struct unit_forms *unit, const struct object_symbol *symbol, const struct form *old,
                         const struct form *new, const struct form_piece *piece)
{
    uint64_t whole = form_size(new);
    bool part = piece->size && form_size(old) == whole;
    struct accesses accesses = accesses_in(unit, &unit->plain_after, &unit->build->to, new,
                                           part ? piece->offset : 0, part ? piece->size : whole);

    if (accesses.reads && !accesses.writes && old->kind == FORM_SCALED) {
        refuse(unit, new,
               "nothing in the new version writes to the static variable %s any more, so that the compiler "
               "takes it "
               "for a constant, and what the program keeps for it as one bit (%ld or %ld) would be lost; "
               "give the "
               "new variable another name",
               new->name, (long)old->base, (long)(old->base + old->factor));
    } else if (accesses.reads && !accesses.writes) {
        LIST_ADD(&unit->build->state->folded, symbol);
    }
}

static void check_old(struct unit_forms *unit, const struct object_symbol *symbol)
{
    const struct comparison *comparison = unit->comparison;
    const struct object_symbol *now = comparison->now_of[symbol->index];
    bool tls = comparison->old->sections[symbol->section].kind == SECTION_TLS;
    const struct form_piece *piece = NULL;
    const struct form *old =
        now && object_is_variable(comparison->new, now)
            ? NULL
            : forms_at(&unit->before, object_address(comparison->old, symbol), tls, &piece);
    const struct form *new = old ? forms_find(&unit->after, old) : NULL;

    if (new && !form_is_const(new) &&
        (now || new->kind == FORM_NONE || new->kind == FORM_OTHER ||
         (new->kind == FORM_PARTS && old->kind == FORM_PARTS))) {
        check_folded(unit, symbol, old, new, piece);
    }
}

/* ---- what the debug information does not describe -------------------------------------------------- */

static bool is_function_called(const struct object *object, const char *name, size_t length)
{
    for (size_t i = 1; i < object->symbol_count; i++) {
        const struct object_symbol *symbol = &object->symbols[i];
        if (symbol_is_function(object, symbol) && strncmp(symbol->name, name, length) == 0 &&
            !symbol->name[length]) {
            return true;
        }
    }
    return false;
}

/* Whether SYMBOL is what clang made of a pointer that leads to one block at most: the block itself
 * ("cache.body"), and whether it is there ("cache.init"). The static variables of a function have such names,
 * too. */
static bool is_folded_block(const struct object *object, const struct object_symbol *symbol)
{
    size_t base = strcspn(symbol->name, ".");
    const char *rest = symbol->name + base;
    bool named = strncmp(rest, ".body", 5) == 0 || strncmp(rest, ".init", 5) == 0;

    return named && (!rest[5] || rest[5] == '.') && object_is_variable(object, symbol) &&
           symbol->bind == STB_LOCAL && !is_function_called(object, symbol->name, base);
}

/* Such blocks are described nowhere: they are followed only if all of them stay as they are. */
static struct molt_error *check_blocks(const struct unit_forms *unit)
{
    const struct comparison *comparison = unit->comparison;
    const struct object_symbol *lost = NULL;

    for (size_t i = 1; i < comparison->old->symbol_count; i++) {
        const struct object_symbol *old = &comparison->old->symbols[i], *new = comparison->now_of[i];
        if (is_folded_block(comparison->old, old) &&
            (!new || new->size != old->size || type_changes_any(unit->build->state->changes))) {
            lost = old;
        }
    }
    for (size_t i = 1; i < comparison->new->symbol_count; i++) {
        const struct object_symbol *new = &comparison->new->symbols[i];
        bool part = is_folded_block(comparison->new, new) && !comparison->was_of[i];
        const char *dot = part ? strchr(new->name, '.') : NULL;
        char *base = dot ? must_strndup(new->name, dot - new->name) : NULL;
        lost = base && object_find(comparison->old, base) ? new : lost; /* a pointer before */
        free(base);
    }
    return lost ? molt_error_at(
                      MOLT_ERROR_REFUSED, unit->changed->unit->entry->file, 0,
                      "the compiler made a variable (%s) of the block that the static pointer %.*s leads to, "
                      "and what it holds cannot be found again in the new version: declare the pointer "
                      "without 'static', and restart the program",
                      lost->name, (int)strcspn(lost->name, "."), lost->name)
                : NULL;
}

/* What lies in a variable of another size cannot be followed if nothing says what it is. */
static struct molt_error *check_sizes(const struct unit_forms *unit)
{
    const struct comparison *comparison = unit->comparison;

    for (size_t i = 1; i < comparison->old->symbol_count; i++) {
        const struct object_symbol *old = &comparison->old->symbols[i], *new = comparison->now_of[i];
        bool tls = comparison->old->sections[old->section].kind == SECTION_TLS;
        if (object_is_variable(comparison->old, old) && new &&object_is_variable(comparison->new, new) &&
            new->size != old->size &&
            !forms_at(&unit->before, object_address(comparison->old, old), tls, NULL)) {
            return molt_error_at(
                MOLT_ERROR_REFUSED, unit->changed->unit->entry->file, 0,
                "the variable %s had %lu bytes, has %lu, and its debug information does not say "
                "what they hold: give the new variable another name",
                old->name, (unsigned long)old->size, (unsigned long)new->size);
        }
    }
    return NULL;
}

/* ---- all ------------------------------------------------------------------------------------------- */

static void check_all(struct unit_forms *unit)
{
    const struct comparison *comparison = unit->comparison;

    for (size_t i = 0; i < unit->before.items.count; i++) {
        check_nowhere(unit, &unit->before.items.items[i]);
    }
    for (size_t i = 1; i < comparison->new->symbol_count; i++) {
        const struct object_symbol *symbol = &comparison->new->symbols[i];
        if (object_is_variable(comparison->new, symbol) && symbol->bind == STB_LOCAL) {
            check_new(unit, symbol);
        }
    }
    for (size_t i = 1; i < comparison->old->symbol_count; i++) {
        const struct object_symbol *symbol = &comparison->old->symbols[i];
        if (object_is_variable(comparison->old, symbol) && symbol->bind == STB_LOCAL) {
            check_old(unit, symbol);
        }
    }
}

static struct molt_error *check_unit(struct build *build, const struct changed_unit *changed)
{
    struct unit_forms unit = { .build = build,
                               .changed = changed,
                               .comparison = &changed->comparison,
                               .sources = { .from = &build->from, .to = &build->to } };

    forms_of(object_dwarf(unit.comparison->old), &unit.before);
    forms_of(object_dwarf(unit.comparison->new), &unit.after);
    check_all(&unit);
    unit.error = unit.error ? unit.error : check_sizes(&unit);
    unit.error = unit.error ? unit.error : check_blocks(&unit);
    forms_deinit(&unit.before);
    forms_deinit(&unit.after);
    forms_deinit(&unit.plain_before.forms);
    forms_deinit(&unit.plain_after.forms);
    edited_sources_deinit(&unit.sources);
    return unit.error;
}

struct molt_error *build_forms_check(struct build *build)
{
    struct molt_error *error = NULL;

    for (size_t i = 0; !error && i < build->units.count; i++) {
        const struct changed_unit *changed = build->units.items[i];
        if (changed->compared && changed->comparison.old != changed->comparison.new) {
            error = check_unit(build, changed);
        }
    }
    return error;
}
