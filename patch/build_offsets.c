/*
 * Numbers about types that the program keeps in its data: how large an element is (`vector_new(sizeof(struct
 * item))`), how far a link is from the start of what it is in (`list->where = offsetof(struct item, link)`).
 * When the type changes, the new code stores the new number, and what lives keeps the old one: it would be
 * used as if it were right. Such numbers are not told from others in memory, so the patch is refused.
 *
 * The functions that name such a number have other code than before, so only units that take part are
 * searched for it. Where it goes is followed through all units (build_numbers.c).
 */
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/build_numbers.h"
#include "patch/build_state_private.h"
#include "patch/policy/path.h"
#include "patch/sites/heap_settings.h"
#include "patch/types/die_facts.h"

/* A number that is another one now. */
struct changed_number {
    const struct number_reading *reading;
    const struct candidate *candidate;
    const char *function; /* that names it */
    size_t index;         /* of the candidate, from 1 */
    const struct type *whole;
    uint64_t before, after; /* bytes */
};

struct checking {
    struct build *build;
    struct numbers numbers;
    struct heap_settings settings;
    LIST(struct changed_number) changed;
    LIST(const char *) warned; /* functions */
};

/* ---- what they are about --------------------------------------------------------------------------- */

/* The answer that CANDIDATE has for ROLE, or NULL. */
static const struct evidence *answer(const struct candidate *candidate, enum evidence_role role)
{
    for (size_t i = 0; i < candidate->evidence.count; i++) {
        if (candidate->evidence.items[i].role == role && candidate->evidence.items[i].known) {
            return &candidate->evidence.items[i];
        }
    }
    return NULL;
}

/* DIE without typedefs around arrays, and the arrays: their element. */
static Dwarf_Die element_of(Dwarf_Die die)
{
    Dwarf_Die plain, inner;

    while (dwarf_peel_type(&die, &plain) == 0 && dwarf_tag(&plain) == DW_TAG_array_type &&
           die_type(&plain, &inner)) {
        die = inner;
    }
    while (dwarf_tag(&die) == DW_TAG_const_type || dwarf_tag(&die) == DW_TAG_volatile_type) {
        if (!die_type(&die, &inner)) {
            break;
        }
        die = inner;
    }
    return die;
}

/* The structure or union that ANSWER (may be NULL) is, or is an array of, as the unit KEY means it; NULL if
 * it is none or has no name. */
static const struct type *type_of_answer(const struct build_state *state, const struct evidence *answer,
                                         const char *key)
{
    Dwarf_Die die = answer ? element_of(answer->type) : (Dwarf_Die){ 0 };
    const char *name = answer ? dwarf_diename(&die) : NULL;
    const char *word = !name                                      ? ""
                       : dwarf_tag(&die) == DW_TAG_structure_type ? "struct "
                       : dwarf_tag(&die) == DW_TAG_union_type     ? "union "
                                                                  : "";
    char *written = name ? must_printf("%s%s", word, name) : NULL;
    const struct type *type = written ? type_model_find(state->old, written, key, NULL) : NULL;

    free(written);
    return type ? type_strip(type) : NULL;
}

/* What PATH of WHOLE, which CHANGE is about, is before and after in bytes: its size, or its place. False:
 * the same, or not known. */
static bool measure_member(const struct type_change *change, const char *path, bool size,
                           struct changed_number *ret)
{
    struct policy_place before, after;

    if (!policy_place_find(change->old, path, &before) || !policy_place_find(change->new, path, &after)) {
        return false;
    }
    ret->before = size ? before.type->size : before.bit / 8;
    ret->after = size ? after.type->size : after.bit / 8;
    return ret->before != ret->after;
}

/* Whether the number that CANDIDATE is has changed, and what it is then. */
static bool is_changed(const struct build_state *state, const struct number_reading *reading,
                       const struct candidate *candidate, struct changed_number *ret)
{
    const struct type *whole = type_of_answer(state, answer(candidate, EVIDENCE_SIZEOF), reading->key);
    const struct type_change *change = whole ? type_changes_of_old(state->changes, whole) : NULL;

    ret->whole = whole;
    if (!candidate->size) {
        return change && change->new &&measure_member(change, candidate->path, false, ret);
    }
    if (change && change->new && change->old->size != change->new->size) {
        ret->before = change->old->size;
        ret->after = change->new->size;
        return true;
    }
    const struct type *around = type_of_answer(state, answer(candidate, EVIDENCE_OFFSETOF), reading->key);
    change = around ? type_changes_of_old(state->changes, around) : NULL;
    ret->whole = around;
    return change && change->new && candidate->path &&measure_member(change, candidate->path, true, ret);
}

static void collect_changed(struct checking *checking, const struct number_reading *reading)
{
    const struct probe *probe = reading->probe;

    if (probe->failed) {
        molt_diagnostics_add(
            &checking->build->result->diagnostics, MOLT_SEVERITY_WARNING, reading->unit->entry->file, 0, 0,
            "number-kept",
            "the source could not be read: whether it keeps sizes of types, or places of their "
            "members, that are others now is not known");
    }
    for (size_t i = 0; probe->path && i < probe->flows.count; i++) {
        const struct flow *flow = &probe->flows.items[i];
        struct changed_number number = { .reading = reading, .function = flow->function };
        if (flow->from[0] != 's') {
            continue;
        }
        number.index = strtoul(flow->from + 2, NULL, 10);
        number.candidate = probe->candidates.items[number.index - 1];
        if (is_changed(checking->build->state, reading, number.candidate, &number)) {
            LIST_ADD(&checking->changed, number);
        }
    }
}

/* ---- where they are kept --------------------------------------------------------------------------- */

/* Whether a policy that was written for this update is about HOLDER, which changes: it says what becomes of
 * the numbers. */
static bool is_spoken_of(const struct build_state *state, const struct type *holder)
{
    for (size_t i = 0; i < state->mentions.count; i++) {
        const struct policy_mention *mention = &state->mentions.items[i];
        const struct type *type = type_model_find(state->old, mention->type, NULL, NULL);
        if (mention->fresh && type && type_strip(type) == holder &&
            type_changes_of_old(state->changes, holder)) {
            return true;
        }
    }
    return false;
}

/* The member of HOLDER (may be NULL) that CANDIDATE, a place, is; NULL if it is not known. */
static const struct type_member *member_of(const struct candidate *candidate, const struct type *holder)
{
    const char *name = candidate->member;
    struct policy_place place;

    if (!holder || !type_is_compound(holder)) {
        return NULL;
    }
    if (*name == '#') {
        size_t index = strtoul(name + 1, NULL, 10);
        return index < holder->member_count ? &holder->members[index] : NULL;
    }
    return policy_place_find(holder, name, &place) ? place.member : NULL;
}

/* Whether CANDIDATE, a place that is MEMBER (if that is known), holds whole numbers. */
static bool holds_numbers(const struct candidate *candidate, const struct type_member *member)
{
    const struct evidence *type = answer(candidate, EVIDENCE_CAST);
    Dwarf_Die plain;

    if (member) {
        enum type_kind kind = type_element(member->type, NULL)->kind;
        return kind == TYPE_BASE || kind == TYPE_ENUM;
    }
    if (!type) {
        for (size_t i = 0; i < candidate->evidence.count; i++) {
            if (candidate->evidence.items[i].role == EVIDENCE_CAST && candidate->evidence.items[i].answered) {
                return false; /* of type void */
            }
        }
        return true;
    }
    Dwarf_Die die = element_of(type->type);
    if (dwarf_peel_type(&die, &plain) != 0) {
        return true;
    }
    bool byte = dwarf_bytesize(&plain) == 1 && !answer(candidate, EVIDENCE_TARGET); /* text, a message */
    return dwarf_tag(&plain) == DW_TAG_enumeration_type || (dwarf_tag(&plain) == DW_TAG_base_type && !byte);
}

static bool is_harmless(const struct checking *checking, const char *name)
{
    bool found = false;

    for (size_t i = 0; i < checking->settings.numbers.count; i++) {
        found = found || strcmp(checking->settings.numbers.items[i], name) == 0;
    }
    return found;
}

/* The file that a compiler in DIRECTORY calls NAME, as people know it. Owned by the caller. */
static char *original_file(const struct build *build, const char *directory, const char *name)
{
    char *path = must_have(path_normalise(directory, name)), *file = tree_original_path(&build->from, path);

    free(path);
    return file;
}

/* "member 'size' of struct vector" */
static void describe_place(const struct candidate *candidate, const struct type *holder,
                           const struct type_member *member, struct text *ret)
{
    const char *name = member && member->name ? member->name : candidate->member;
    bool variable = !answer(candidate, EVIDENCE_TARGET) && *name != '#';

    text_printf(ret, "%s '%s'", variable ? "variable" : "member", name);
    if (holder) {
        text_puts(ret, " of ");
        type_describe(holder, ret);
    }
}

static struct molt_error *refusal(const struct build *build, const struct changed_number *number,
                                  const struct number_end *end, const char *where, const char *name)
{
    const struct candidate *kept = end->candidate;
    char *file = original_file(build, number->reading->unit->entry->directory, number->candidate->file),
         *other = original_file(build, end->reading->unit->entry->directory, kept->file), *at;
    struct text whole = { 0 };

    type_describe(number->whole, &whole);
    at = strcmp(file, other) == 0 && kept->line == number->candidate->line
             ? must_strdup("")
             : must_printf(" (%s:%u)", other, kept->line);
    const char *path = number->candidate->path;
    struct molt_error *error =
        number->candidate->size
            ? molt_error_at(
                  MOLT_ERROR_REFUSED, file, number->candidate->line,
                  "%s%s keeps in %s the size of %s%s%s: %lu bytes before, %lu now. What lives holds the "
                  "old number, and memory that was divided by it. Restart the program or, if that "
                  "number does no harm there, say so in molt.toml: numbers = [\"%s\"] in [heap]",
                  kept->function, at, where, path ? path : "", path ? " in " : "", whole.bytes,
                  (unsigned long)number->before, (unsigned long)number->after, name)
            : molt_error_at(
                  MOLT_ERROR_REFUSED, file, number->candidate->line,
                  "%s%s keeps in %s how far '%s' is from the start of %s: %lu bytes before, %lu now. What "
                  "lives holds the old number, which would lead the new code astray: put what is new "
                  "behind '%s', so that it stays where it is, or restart the program",
                  kept->function, at, where, path, whole.bytes, (unsigned long)number->before,
                  (unsigned long)number->after, path);
    text_deinit(&whole);
    free(file);
    free(other);
    free(at);
    return error;
}

/* What NUMBER's being kept at END means. */
static struct molt_error *judge(const struct checking *checking, const struct changed_number *number,
                                const struct number_end *end)
{
    const struct build_state *state = checking->build->state;
    const struct type *holder =
        type_of_answer(state, answer(end->candidate, EVIDENCE_TARGET), end->reading->key);
    const struct type_member *member = member_of(end->candidate, holder);
    struct molt_error *error = NULL;
    struct text where = { 0 }, name = { 0 };

    if (!holds_numbers(end->candidate, member) || (holder && is_spoken_of(state, holder))) {
        return NULL;
    }
    describe_place(end->candidate, holder, member, &where);
    if (holder) {
        type_describe(holder, &name);
        text_puts(&name, ".");
    }
    text_puts(&name, member && member->name ? member->name : end->candidate->member);
    if (!is_harmless(checking, name.bytes)) {
        error = refusal(checking->build, number, end, where.bytes, name.bytes);
    }
    text_deinit(&where);
    text_deinit(&name);
    return error;
}

/* FUNCTION, of which nothing is known, is given NUMBER. It is named once. */
static void warn(struct checking *checking, const struct changed_number *number, const char *function)
{
    const struct build *build = checking->build;

    for (size_t i = 0; i < checking->warned.count; i++) {
        if (strcmp(checking->warned.items[i], function) == 0) {
            return;
        }
    }
    LIST_ADD(&checking->warned, function);
    char *file = original_file(build, number->reading->unit->entry->directory, number->candidate->file);
    struct text whole = { 0 };

    type_describe(number->whole, &whole);
    molt_diagnostics_add(&build->result->diagnostics, MOLT_SEVERITY_WARNING, file, number->candidate->line, 0,
                         "number-kept",
                         "the size of %s, %lu bytes before and %lu now, is given to %s%s, of which there is "
                         "no source that could be read: "
                         "if it keeps that number, it will go on with the old one",
                         whole.bytes, (unsigned long)number->before, (unsigned long)number->after,
                         *function ? "" : "a function through a pointer", function);
    text_deinit(&whole);
    free(file);
}

/* ---- following ------------------------------------------------------------------------------------- */

/* Reads what is wanted. */
static struct molt_error *read_wanted(struct checking *checking)
{
    struct compile_setup setup = build_setup(checking->build->session, checking->build->request);
    struct numbers *numbers = &checking->numbers;
    LIST(struct probe_request) requests = { 0 };

    for (size_t i = 0; i < numbers->wanted.count; i++) {
        struct number_reading *reading = numbers->wanted.items[i];
        if (reading->names.count) {
            strings_sort(reading->names.items, reading->names.count);
            LIST_ADD(&reading->names, NULL);
        }
        LIST_ADD(&requests, (struct probe_request){ .unit = reading->unit,
                                                    .tree = &checking->build->from,
                                                    .names = reading->names.items,
                                                    .numbers = true });
    }
    struct molt_error *error = probe_run(&setup, requests.items, requests.count);
    for (size_t i = 0; i < requests.count; i++) {
        struct number_reading *reading = numbers->wanted.items[i];
        reading->probe =
            requests.items[i].probe ? requests.items[i].probe : must_calloc(1, sizeof(struct probe));
        LIST_ADD(&numbers->readings, reading);
    }
    numbers->wanted.count = 0;
    LIST_FREE(&requests);
    return error;
}

/* The units that take part, each once. */
static void want_units(struct checking *checking)
{
    const struct build *build = checking->build;
    struct numbers *numbers = &checking->numbers;

    for (size_t i = 0; i < build->contributions.count; i++) {
        const struct contribution *contribution = build->contributions.items[i];
        const struct changed_unit *changed = build_unit_of(build, contribution->comparison);
        bool known = changed->neighbour != NULL;
        for (size_t k = 0; k < numbers->wanted.count && !known; k++) {
            known = numbers->wanted.items[k]->unit == changed->unit;
        }
        if (!known) {
            struct number_reading *reading = must_calloc(1, sizeof(*reading));
            reading->unit = changed->unit;
            reading->key = contribution->key;
            LIST_ADD(&numbers->wanted, reading);
        }
    }
}

/* Follows the changed number with INDEX; all that it needs has been read if nothing is wanted afterwards. */
static struct molt_error *follow(struct checking *checking, size_t index)
{
    const struct changed_number *number = &checking->changed.items[index];
    struct molt_error *error = NULL;
    number_ends ends = { 0 };

    numbers_follow(&checking->numbers, number->reading, number->function, number->index, &ends);
    for (size_t i = 0; i < ends.count && !error && !checking->numbers.wanted.count; i++) {
        if (ends.items[i].candidate) {
            error = judge(checking, number, &ends.items[i]);
        } else {
            warn(checking, number, ends.items[i].function);
        }
    }
    LIST_FREE(&ends);
    return error;
}

/* A unit is preprocessed and compiled each time that something of it is wanted: what all numbers lead to is
 * read at once, a step further each time. */
static struct molt_error *follow_all(struct checking *checking)
{
    struct molt_error *error = NULL;

    for (bool done = false; !error && !done;) {
        for (size_t i = 0; i < checking->changed.count && !error; i++) {
            error = follow(checking, i);
        }
        done = !checking->numbers.wanted.count;
        if (!error && !done) {
            numbers_forget(&checking->numbers);
            error = read_wanted(checking);
        }
    }
    return error;
}

/* Whether a member may be at another place in its type, or something has another size. */
static bool numbers_change(const struct type_changes *changes)
{
    const unsigned harmless = TYPE_CHANGE_ENUMERATORS;
    bool change = false;

    for (size_t i = 0; i < type_changes_count(changes) && !change; i++) {
        const struct type_change *item = type_changes_at(changes, i);
        change = item->old && item->new && (item->kinds & ~harmless);
    }
    return change;
}

struct molt_error *build_offsets_check(struct build *build)
{
    if (!numbers_change(build->state->changes)) {
        return NULL; /* else each unit would have to be preprocessed */
    }
    struct checking checking = { .build = build, .numbers = { .build = build } };
    checking.numbers.settings = &checking.settings;
    struct molt_error *error = heap_settings_read(build->session->db.root, &checking.settings);

    if (error) {
        return error;
    }
    want_units(&checking);
    error = read_wanted(&checking);
    size_t count = checking.numbers.readings.count;
    for (size_t i = 0; i < count && !error; i++) {
        collect_changed(&checking, checking.numbers.readings.items[i]);
    }
    error = error ? error : follow_all(&checking);
    numbers_deinit(&checking.numbers);
    heap_settings_deinit(&checking.settings);
    LIST_FREE(&checking.changed);
    LIST_FREE(&checking.warned);
    return error;
}
