/*
 * What is kept of a function's flows: those that a number may take, forwards from where it is named, and back
 * along pointers to where these came from. Questions are asked about these only.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/probe/flows.h"

/* What flows into one argument of a call may come out of another, or of the call itself: one key for all. */
static const char *key_of(struct flowing *flowing, const char *end)
{
    if (end[0] != 'a' && end[0] != 'c') {
        return end;
    }
    return flow_keep(flowing, must_strndup(end + 2, strcspn(end + 2, ":")));
}

static bool leads_on(const char *end)
{
    return end[0] == 'q' || end[0] == 'p' || end[0] == 'a';
}

/* Whether END is what a function returns of which the callers are of interest. */
static bool is_wanted_result(struct flowing *flowing, const char *end)
{
    return end[0] == 'c' &&
           scan_is_wanted(flowing->scan, flow_keep(flowing, must_printf("=%s", strrchr(end, ':') + 1)));
}

/* Which of the drafts numbers of this function may take, forwards, and back along pointers; all of them if
 * WHOLE. */
static void mark_wanted(struct flowing *flowing, bool whole, bool *wanted)
{
    struct table reached = { 0 };
    bool more = true;

    while (more) {
        more = false;
        for (size_t i = 0; i < flowing->drafts.count; i++) {
            const struct flow_draft *draft = &flowing->drafts.items[i];
            const char *from = key_of(flowing, draft->from), *to = key_of(flowing, draft->to);
            bool back = leads_on(draft->to) && table_get(&reached, to);
            bool seed = whole || draft->number || is_wanted_result(flowing, draft->from);
            if (wanted[i] || !(seed || back || table_get(&reached, from))) {
                continue;
            }
            wanted[i] = more = true;
            (void)table_put(&reached, to, flowing);
            if (back && draft->from[0] != 'm') {
                (void)table_put(&reached, from, flowing);
            }
        }
    }
    table_deinit(&reached);
}

static void ask(const struct flowing *flowing, struct candidate *candidate, enum evidence_role role,
                TSNode beside, char *question)
{
    const struct scan *scan = flowing->scan;

    scan_add_evidence(
        candidate,
        (struct evidence){ .role = role, .start = scan_start(scan, beside), .end = scan_end(scan, beside) },
        question);
}

static struct candidate *add_candidate(const struct flowing *flowing, TSNode node)
{
    struct scan *scan = flowing->scan;
    struct candidate *candidate = must_calloc(1, sizeof(*candidate));
    const char *file, *last;

    candidate->function = must_strdup(scan->function);
    candidate->line = preprocessed_line(scan->source, scan_start(scan, node), &file);
    candidate->last_line = preprocessed_line(scan->source, scan_end(scan, node), &last);
    candidate->file = must_strdup(file);
    LIST_ADD(&scan->probe->candidates, candidate);
    return candidate;
}

/* The candidate of NUMBER; its number, from 1. */
static size_t add_number(const struct flowing *flowing, struct number *number)
{
    const char *form = number->through_pointer && !number->whole_is_type ? "__typeof__(*(%s)) *\001;"
                                                                         : "__typeof__(%s) *\001;";
    if (number->candidate) {
        return number->candidate;
    }
    struct candidate *candidate = add_candidate(flowing, number->node);
    char *text = scan_text(flowing->scan, number->whole);
    candidate->size = number->size;
    candidate->path = number->path ? must_strdup(number->path) : NULL;
    ask(flowing, candidate, EVIDENCE_SIZEOF, number->node, must_printf(form, text));
    free(text);
    if (number->size && node_is(number->whole, "field_expression")) {
        bool arrow = scan_reads(flowing->scan, node_field(number->whole, "operator"), "->");
        text = scan_text(flowing->scan, node_field(number->whole, "argument"));
        candidate->path = scan_text(flowing->scan, node_field(number->whole, "field"));
        ask(flowing, candidate, EVIDENCE_OFFSETOF, number->node,
            must_printf(arrow ? "__typeof__(*(%s)) *\001;" : "__typeof__(%s) *\001;", text));
        free(text);
    }
    return number->candidate = flowing->scan->probe->candidates.count;
}

static size_t add_kept(const struct flowing *flowing, struct flow_place *place)
{
    if (place->candidate) {
        return place->candidate;
    }
    struct candidate *candidate = add_candidate(flowing, place->beside);
    candidate->member = must_strdup(place->member);
    if (place->holder) {
        ask(flowing, candidate, EVIDENCE_TARGET, place->beside, must_strdup(place->holder));
    }
    if (!ts_node_is_null(place->left)) {
        char *text = scan_text(flowing->scan, place->left);
        ask(flowing, candidate, EVIDENCE_CAST, place->beside, must_printf("__typeof__(%s) *\001;", text));
        free(text);
    }
    return place->candidate = flowing->scan->probe->candidates.count;
}

/* Whether the unit has a definition of FUNCTION. */
static bool is_defined(const struct scan *scan, const char *function)
{
    size_t length = strlen(function);

    for (size_t i = 0; i < scan->source->functions.count; i++) {
        const char *at = scan->text + scan->source->functions.items[i].head,
                   *end = scan->text + scan->source->functions.items[i].body;
        while ((at = memmem(at, end - at, function, length))) {
            bool word = at == scan->text || !scan_is_word_byte(at[-1]);
            at += length;
            if (word && at[strspn(at, " \t\n")] == '(') {
                return true;
            }
        }
    }
    return false;
}

static bool is_noted(const struct scan *scan, const char *function)
{
    bool noted = false;

    for (size_t i = 0; i < scan->probe->functions.count && !noted; i++) {
        noted = strcmp(scan->probe->functions.items[i], function) == 0;
    }
    return noted;
}

/* Notes the function that the end of a call is about if it is the unit's own. */
static void note_callee(struct scan *scan, const char *end)
{
    const char *name = end[0] == 'a' || end[0] == 'c' ? strrchr(end, ':') + 1 : "";

    if (*name && !is_noted(scan, name) && is_defined(scan, name)) {
        LIST_ADD(&scan->probe->functions, must_strdup(name));
    }
}

static void add_flows(struct flowing *flowing, const bool *wanted)
{
    struct scan *scan = flowing->scan;

    for (size_t i = 0; i < flowing->drafts.count; i++) {
        const struct flow_draft *draft = &flowing->drafts.items[i];
        if (!wanted[i]) {
            continue;
        }
        struct flow flow = { .function = must_strdup(scan->function) };
        flow.place = draft->place ? add_kept(flowing, &flowing->places.items[draft->place - 1]) : 0;
        size_t number = draft->number ? add_number(flowing, &flowing->numbers.items[draft->number - 1]) : 0;
        flow.from = number ? must_printf("s:%zu", number) : must_strdup(draft->from);
        flow.from_member = must_strdup(draft->from_member);
        flow.to = draft->to[0] == 'k' ? must_printf("k:%zu", flow.place) : must_strdup(draft->to);
        flow.to_member = must_strdup(draft->to_member);
        LIST_ADD(&scan->probe->flows, flow);
        note_callee(scan, flow.from);
        note_callee(scan, flow.to);
    }
}

void scan_flows(struct scan *scan, TSNode root)
{
    struct flowing flowing = { .scan = scan };
    bool whole = scan_is_wanted(scan, scan->function);

    if (whole && !is_noted(scan, scan->function)) {
        LIST_ADD(&scan->probe->functions, must_strdup(scan->function));
    }
    flow_read(&flowing, root);
    bool *wanted = must_calloc(flowing.drafts.count + 1, sizeof(*wanted));
    mark_wanted(&flowing, whole, wanted);
    add_flows(&flowing, wanted);
    free(wanted);
    for (size_t i = 0; i < flowing.owned.count; i++) {
        free(flowing.owned.items[i]);
    }
    LIST_FREE(&flowing.variables);
    LIST_FREE(&flowing.numbers);
    LIST_FREE(&flowing.places);
    LIST_FREE(&flowing.drafts);
    LIST_FREE(&flowing.owned);
}
