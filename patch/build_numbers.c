/*
 * Where numbers about types go, through the whole program. What is known of each function by itself are its
 * flows (patch/probe/flows.c). A function that is given a number is followed from that parameter on, and what
 * came of it is kept: where it was put, whether it is returned, or goes to where another parameter leads.
 * What leads to an object of the caller's own is told by the caller: a container on the stack is not kept.
 *
 * Functions are read when a number gets there, so what is found at first may be a part of it only.
 */
#include "patch/build_numbers.h"

#include <stdlib.h>
#include <string.h>

#define DEEP 40 /* calls inside of each other */

/* What may be known of a number in a function: it is in END's MEMBER, and was put there at PLACE. */
struct fact {
    const char *end, *member;
    const struct number_reading *reading; /* of PLACE */
    const struct candidate *place;        /* NULL: nowhere yet */
    bool leads;                           /* END is a pointer, whatever it was declared as */
};

/* What came of a number that a function was given. */
struct outcome {
    enum { KEPT, RETURNED, OUT, UNKNOWN } kind;
    size_t parameter; /* OUT */
    struct fact fact; /* its `end`, of UNKNOWN: the function */
};

struct number_summary {
    const struct number_reading *reading;
    char *function, *end, *member;
    const struct candidate *place; /* that it was given with */
    LIST(struct outcome) outcomes;
    LIST(struct fact) facts;
    unsigned depth;
    bool open; /* being put together */
};

static struct number_summary *summarise(struct numbers *numbers, const struct number_reading *reading,
                                        const char *function, const struct fact *start, unsigned depth);

/* ---- facts ----------------------------------------------------------------------------------------- */

static void add_outcome(struct number_summary *summary, struct outcome outcome)
{
    for (size_t i = 0; i < summary->outcomes.count; i++) {
        const struct outcome *known = &summary->outcomes.items[i];
        if (known->kind == outcome.kind && known->parameter == outcome.parameter &&
            known->fact.place == outcome.fact.place && strcmp(known->fact.member, outcome.fact.member) == 0 &&
            strcmp(known->fact.end, outcome.fact.end) == 0) {
            return;
        }
    }
    LIST_ADD(&summary->outcomes, outcome);
}

static void add_fact(struct number_summary *summary, struct fact fact)
{
    for (size_t i = 0; i < summary->facts.count; i++) {
        const struct fact *known = &summary->facts.items[i];
        if (strcmp(known->end, fact.end) == 0 && strcmp(known->member, fact.member) == 0 &&
            known->leads >= fact.leads) {
            return;
        }
    }
    LIST_ADD(&summary->facts, fact);
}

/* It got to memory that may last. */
static void add_kept(struct number_summary *summary, const struct fact *fact)
{
    if (fact->place) {
        add_outcome(summary, (struct outcome){ .kind = KEPT, .fact = *fact });
    }
}

/* FACT was learnt of what a pointer leads to, and FLOW is where the pointer came from: that leads there,
 * too. */
static void step_back(struct number_summary *summary, const struct fact *fact, const struct flow *flow)
{
    struct fact before = *fact;

    before.end = flow->from;
    before.leads = !*flow->to_member;
    if (*flow->to_member && strcmp(flow->to_member, "*") != 0) {
        return; /* that was put into it */
    }
    if (flow->from[0] == 'm' || (*flow->from_member && !*flow->to_member)) {
        add_kept(summary, fact); /* it was found in memory */
        return;
    }
    if (*flow->to_member) { /* its address was taken */
        before.member = strcmp(fact->member, "*") == 0 ? "" : fact->member;
    }
    add_fact(summary, before);
}

/* FACT is about where FLOW comes from. False: about another member. */
static bool step_member(const struct fact *fact, const struct flow *flow, const char **ret)
{
    const char *member = fact->member;

    if (strcmp(flow->from_member, "*") == 0) { /* what it leads to is read */
        member = strcmp(member, "*") == 0 ? "" : member;
        if (!*fact->member) {
            return false;
        }
    } else if (*flow->from_member) {
        if (strcmp(member, flow->from_member) != 0) {
            return false;
        }
        member = "";
    }
    *ret =
        *member ? (strcmp(member, "*") == 0 && *flow->to_member ? flow->to_member : member) : flow->to_member;
    return true;
}

static void step_forward(struct number_summary *summary, const struct number_reading *reading,
                         const struct fact *fact, const struct flow *flow)
{
    struct fact after = *fact;

    if (!step_member(fact, flow, &after.member)) {
        return;
    }
    bool whole = *fact->member && (!*flow->from_member || strcmp(flow->from_member, fact->member) != 0);
    after.end = flow->to;
    after.leads = false;
    if (flow->place && !(whole && fact->place)) {
        after.reading = reading;
        after.place = reading->probe->candidates.items[flow->place - 1];
    }
    add_fact(summary, after);
}

/* ---- calls ----------------------------------------------------------------------------------------- */

/* What came of an argument of the call CALL ("N:"), of FUNCTION in READING's unit. */
static void take_outcome(struct number_summary *summary, const struct probe *probe, const char *call,
                         size_t length, const char *function, const struct outcome *outcome)
{
    struct fact fact = outcome->fact;

    if (outcome->kind == KEPT || outcome->kind == UNKNOWN) {
        add_outcome(summary, *outcome);
        return;
    }
    char *end = outcome->kind == RETURNED
                    ? must_printf("c:%.*s:%s", (int)length, call, function)
                    : must_printf("a:%.*s:%zu:%s", (int)length, call, outcome->parameter, function);
    for (size_t i = 0; i < probe->flows.count; i++) {
        const struct flow *flow = &probe->flows.items[i];
        if (outcome->kind == RETURNED && strcmp(flow->from, end) == 0) {
            fact.end = flow->from; /* which lasts */
            fact.leads = false;
            add_fact(summary, fact);
        } else if (outcome->kind == OUT && strcmp(flow->to, end) == 0 &&
                   strcmp(flow->function, summary->function) == 0) {
            step_back(summary, &fact, flow);
        }
    }
    free(end);
}

/* Whether FUNCTION is an allocator's, by molt.toml: what it makes of a size is its own business, in front of
 * the block perhaps. Instances that grow out of their blocks move through it, and its accounts with them. */
static bool allocates(const struct numbers *numbers, const char *function)
{
    for (size_t i = 0; i < numbers->settings->allocators.count; i++) {
        if (strcmp(numbers->settings->allocators.items[i].allocate, function) == 0) {
            return true;
        }
    }
    return false;
}

/* FACT is about an argument of a call. */
static void enter(struct numbers *numbers, struct number_summary *summary, const struct fact *fact)
{
    const char *call = fact->end + 2, *place = call + strcspn(call, ":") + 1;
    const char *function = strrchr(fact->end, ':') + 1;
    const struct number_reading *callee = NULL;
    bool known = false;

    if (allocates(numbers, function)) {
        return;
    }
    if (*function) {
        callee = numbers_find_function(numbers, summary->reading, function, &known);
    }
    bool whole = !*fact->member || strcmp(fact->member, "*") == 0;
    if (!callee && !known && whole) {
        struct fact unknown = { .end = function, .member = "" };
        add_outcome(summary, (struct outcome){ .kind = UNKNOWN, .fact = unknown });
    }
    if (!callee || summary->depth >= DEEP) {
        return;
    }
    struct fact start = *fact;
    char *end = must_printf("p:%zu", (size_t)strtoul(place, NULL, 10));
    start.end = end;
    const struct number_summary *inner = summarise(numbers, callee, function, &start, summary->depth + 1);
    for (size_t i = 0; i < inner->outcomes.count; i++) {
        const struct outcome outcome = inner->outcomes.items[i]; /* more may come, if it calls itself */
        take_outcome(summary, summary->reading->probe, call, place - 1 - call, function, &outcome);
    }
    free(end);
}

/* ---- functions ------------------------------------------------------------------------------------- */

static void follow_fact(struct numbers *numbers, struct number_summary *summary, struct fact fact, bool first)
{
    const struct probe *probe = summary->reading->probe;
    char kind = fact.end[0];

    if (kind == 'k') {
        add_kept(summary, &fact);
    } else if (kind == 'r') {
        add_outcome(summary, (struct outcome){ .kind = RETURNED, .fact = fact });
    } else if (kind == 'a') {
        enter(numbers, summary, &fact);
        return; /* what the argument was made of has its own facts */
    } else if (kind == 'p' && *fact.member && !first) {
        add_outcome(summary, (struct outcome){
                                 .kind = OUT, .parameter = strtoul(fact.end + 2, NULL, 10), .fact = fact });
    }
    for (size_t i = 0; i < probe->flows.count; i++) {
        const struct flow *flow = &probe->flows.items[i];
        if (strcmp(flow->function, summary->function) != 0) {
            continue;
        }
        if (strcmp(flow->from, fact.end) == 0) {
            step_forward(summary, summary->reading, &fact, flow);
        }
        if (*fact.member && (fact.leads || kind == 'q' || kind == 'p') && strcmp(flow->to, fact.end) == 0) {
            step_back(summary, &fact, flow);
        }
    }
}

/* Whether pointers that END holds come from nowhere that is known: an argument of another call, perhaps. */
static bool has_no_origin(const struct number_summary *summary, const char *end)
{
    const struct probe *probe = summary->reading->probe;
    bool any = false;

    for (size_t i = 0; i < probe->flows.count && !any; i++) {
        const struct flow *flow = &probe->flows.items[i];
        bool address = strcmp(flow->to_member, "*") == 0 && !flow->place; /* of something: none is written */
        any = strcmp(flow->to, end) == 0 && (!*flow->to_member || address) &&
              strcmp(flow->function, summary->function) == 0;
    }
    return !any;
}

static void follow_all(struct numbers *numbers, struct number_summary *summary)
{
    for (size_t i = 0; i < summary->facts.count; i++) {
        struct fact fact = summary->facts.items[i];
        follow_fact(numbers, summary, fact, i == 0);
        if ((fact.end[0] == 'q' || (fact.leads && fact.end[0] == 'v')) && *fact.member &&
            has_no_origin(summary, fact.end)) {
            add_kept(summary, &fact);
        }
    }
}

static struct number_summary *summarise(struct numbers *numbers, const struct number_reading *reading,
                                        const char *function, const struct fact *start, unsigned depth)
{
    for (size_t i = 0; i < numbers->summaries.count; i++) {
        struct number_summary *known = numbers->summaries.items[i];
        if (known->reading == reading && strcmp(known->function, function) == 0 &&
            known->place == start->place && strcmp(known->end, start->end) == 0 &&
            strcmp(known->member, start->member) == 0) {
            numbers->circular = numbers->circular || known->open;
            return known;
        }
    }
    struct number_summary *summary = must_calloc(1, sizeof(*summary));
    *summary = (struct number_summary){ .reading = reading,
                                        .function = must_strdup(function),
                                        .end = must_strdup(start->end),
                                        .member = must_strdup(start->member),
                                        .place = start->place,
                                        .depth = depth,
                                        .open = true };
    LIST_ADD(&numbers->summaries, summary);
    struct fact first = *start;
    first.end = summary->end;
    first.member = summary->member;
    add_fact(summary, first);
    follow_all(numbers, summary);
    summary->open = false;
    return summary;
}

static size_t count_outcomes(const struct numbers *numbers)
{
    size_t count = 0;

    for (size_t i = 0; i < numbers->summaries.count; i++) {
        count += numbers->summaries.items[i]->outcomes.count;
    }
    return count;
}

/* Functions that call each other were asked about each other before all was known of them: all are gone
 * through again until nothing new comes of it. */
static void settle(struct numbers *numbers)
{
    size_t known = 0, count = numbers->circular ? count_outcomes(numbers) : 0;

    while (count > known) {
        known = count;
        for (size_t i = 0; i < numbers->summaries.count; i++) {
            follow_all(numbers, numbers->summaries.items[i]);
        }
        count = count_outcomes(numbers);
    }
    numbers->circular = false;
}

/* ---- callers --------------------------------------------------------------------------------------- */

static void add_ends(struct numbers *numbers, const struct number_reading *reading, const char *function,
                     const struct fact *start, number_ends *ret);

/* FUNCTION of UNIT returns a number: where that goes in READING, which has what calls it. */
static void follow_results(struct numbers *numbers, const struct number_reading *reading,
                           const char *function, number_ends *ret)
{
    LIST(const char *) met = { 0 };

    for (size_t i = 0; i < reading->probe->flows.count; i++) {
        const struct flow *flow = &reading->probe->flows.items[i];
        bool known = flow->from[0] != 'c' || strcmp(strrchr(flow->from, ':') + 1, function) != 0;
        for (size_t k = 0; k < met.count && !known; k++) {
            known = strcmp(met.items[k], flow->from) == 0;
        }
        if (!known) {
            struct fact start = { .end = flow->from, .member = "" };
            LIST_ADD(&met, flow->from);
            add_ends(numbers, reading, flow->function, &start, ret);
        }
    }
    LIST_FREE(&met);
}

/* The same in all units, unless that was done. */
static void follow_callers(struct numbers *numbers, const struct number_reading *definer,
                           const char *function, number_ends *ret)
{
    number_units units = { 0 };

    for (size_t i = 0; i < numbers->returning.count; i++) {
        if (strcmp(numbers->returning.items[i] + 1, function) == 0) {
            return;
        }
    }
    char *name = must_printf("=%s", function);
    LIST_ADD(&numbers->owned, name);
    LIST_ADD(&numbers->returning, name);
    numbers_find_callers(numbers, function, definer->unit, &units);
    for (size_t i = 0; i < units.count; i++) {
        const struct number_reading *reading = numbers_find_reading(numbers, units.items[i], name);
        if (reading) {
            follow_results(numbers, reading, function, ret);
        } else {
            numbers_want(numbers, units.items[i], name);
        }
    }
    LIST_FREE(&units);
}

static void add_end(number_ends *ends, struct number_end end)
{
    for (size_t i = 0; i < ends->count; i++) {
        if (ends->items[i].candidate == end.candidate && ends->items[i].function == end.function) {
            return;
        }
    }
    LIST_ADD(ends, end);
}

/* Where a number goes that FUNCTION has at START, not from its caller. */
static void add_ends(struct numbers *numbers, const struct number_reading *reading, const char *function,
                     const struct fact *start, number_ends *ret)
{
    const struct number_summary *summary = summarise(numbers, reading, function, start, 0);

    settle(numbers);
    for (size_t i = 0; i < summary->outcomes.count; i++) {
        const struct outcome outcome = summary->outcomes.items[i];
        if (outcome.kind == RETURNED && !*outcome.fact.member) {
            follow_callers(numbers, reading, summary->function, ret);
        } else if (outcome.kind == UNKNOWN) {
            add_end(ret, (struct number_end){ reading, NULL, outcome.fact.end });
        } else if (outcome.fact.place) {
            add_end(ret, (struct number_end){ outcome.fact.reading, outcome.fact.place, NULL });
        }
    }
}

void numbers_follow(struct numbers *numbers, const struct number_reading *reading, const char *function,
                    size_t candidate, number_ends *ret)
{
    char *end = must_printf("s:%zu", candidate);
    struct fact start = { .end = end, .member = "" };

    numbers->returning.count = 0;
    add_ends(numbers, reading, function, &start, ret);
    free(end);
}

void numbers_forget(struct numbers *numbers)
{
    for (size_t i = 0; i < numbers->summaries.count; i++) {
        struct number_summary *summary = numbers->summaries.items[i];
        free(summary->function);
        free(summary->end);
        free(summary->member);
        LIST_FREE(&summary->outcomes);
        LIST_FREE(&summary->facts);
        free(summary);
    }
    numbers->summaries.count = 0;
}

static void forget_readings(struct number_reading **items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        probe_destroy(items[i]->probe);
        LIST_FREE(&items[i]->names);
        free(items[i]);
    }
}

void numbers_deinit(struct numbers *numbers)
{
    numbers_forget(numbers);
    forget_readings(numbers->readings.items, numbers->readings.count);
    forget_readings(numbers->wanted.items, numbers->wanted.count);
    for (size_t i = 0; i < numbers->owned.count; i++) {
        free(numbers->owned.items[i]);
    }
    LIST_FREE(&numbers->owned);
    LIST_FREE(&numbers->returning);
    LIST_FREE(&numbers->summaries);
    LIST_FREE(&numbers->readings);
    LIST_FREE(&numbers->wanted);
    table_deinit(&numbers->definers);
}
