/* What was found in a unit's source, as JSON in the cache. The questions are not in it: their answers are
 * in the object. */
#include <stdlib.h>
#include <string.h>

#include "patch/probe/probe.h"

static const char *const roles[] = {
#define X(name) #name,
    EVIDENCE_ROLES(X)
#undef X
};

static const char *const origin_kinds[] = {
#define X(name) #name,
    ORIGIN_KINDS(X)
#undef X
};

static json_t *argument_to_json(const struct candidate_argument *argument)
{
    return json_pack("[b,b,b,b,b,I]", argument->constant, argument->one, argument->sized, argument->text,
                     argument->product, (json_int_t)argument->parameters);
}

static json_t *evidence_to_json(const struct evidence *evidence)
{
    return json_pack("[s,i,i,b,b]", roles[evidence->role], (int)evidence->argument, (int)evidence->term,
                     evidence->product, evidence->callers_place);
}

static json_t *candidate_to_json(const struct candidate *candidate)
{
    json_t *arguments = json_array(), *evidence = json_array();

    for (size_t i = 0; i < candidate->arguments.count; i++) {
        json_array_append_new(arguments, argument_to_json(&candidate->arguments.items[i]));
    }
    for (size_t i = 0; i < candidate->evidence.count; i++) {
        json_array_append_new(evidence, evidence_to_json(&candidate->evidence.items[i]));
    }
    return json_pack("{s:s*, s:s*, s:s*, s:s, s:s, s:i, s:i, s:i, s:b, s:b, s:o, s:o}", "callee",
                     candidate->callee, "path", candidate->path, "member", candidate->member, "function",
                     candidate->function, "file", candidate->file, "line", (int)candidate->line, "last",
                     (int)candidate->last_line, "column", (int)candidate->column, "shifted",
                     candidate->shifted, "size", candidate->size, "arguments", arguments, "evidence",
                     evidence);
}

static json_t *origin_to_json(const struct origin *origin)
{
    return json_pack("[s,s,s?,s?,s,i,b]", origin_kinds[origin->kind], origin->function, origin->callee,
                     origin->place, origin->file, (int)origin->line, origin->cast);
}

static json_t *flow_to_json(const struct flow *flow)
{
    return json_pack("[s,s,s,s,s,I]", flow->function, flow->from, flow->from_member, flow->to,
                     flow->to_member, (json_int_t)flow->place);
}

char *probe_to_text(const struct probe *probe)
{
    json_t *calls = json_array(), *origins = json_array(), *flows = json_array(), *functions = json_array();

    for (size_t i = 0; i < probe->candidates.count; i++) {
        json_array_append_new(calls, candidate_to_json(probe->candidates.items[i]));
    }
    for (size_t i = 0; i < probe->origins.count; i++) {
        json_array_append_new(origins, origin_to_json(&probe->origins.items[i]));
    }
    for (size_t i = 0; i < probe->flows.count; i++) {
        json_array_append_new(flows, flow_to_json(&probe->flows.items[i]));
    }
    for (size_t i = 0; i < probe->functions.count; i++) {
        json_array_append_new(functions, json_string(probe->functions.items[i]));
    }
    json_t *all =
        json_pack("{s:o, s:o, s:o, s:o, s:b, s:b}", "calls", calls, "origins", origins, "flows", flows,
                  "functions", functions, "answered", probe->answered, "failed", probe->failed);
    char *text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return must_have(text);
}

static bool argument_from_json(json_t *value, struct candidate *candidate)
{
    int constant, one, sized, text, product;
    json_int_t parameters;

    if (json_unpack(value, "[b,b,b,b,b,I]", &constant, &one, &sized, &text, &product, &parameters) < 0) {
        return false;
    }
    LIST_ADD(&candidate->arguments,
             (struct candidate_argument){ constant, one, sized, text, product, parameters });
    return true;
}

static bool evidence_from_json(json_t *value, struct candidate *candidate)
{
    struct evidence evidence = { 0 };
    const char *role;
    int argument, term, product, callers_place;

    if (json_unpack(value, "[s,i,i,b,b]", &role, &argument, &term, &product, &callers_place) < 0) {
        return false;
    }
    while (evidence.role < EVIDENCE_ROLE_COUNT && strcmp(roles[evidence.role], role) != 0) {
        evidence.role++;
    }
    evidence.argument = argument;
    evidence.term = term;
    evidence.product = product;
    evidence.callers_place = callers_place;
    LIST_ADD(&candidate->evidence, evidence);
    return evidence.role < EVIDENCE_ROLE_COUNT;
}

static bool candidate_from_json(json_t *value, struct probe *probe)
{
    const char *callee = NULL, *path = NULL, *member = NULL, *function, *file;
    int line, last, column, shifted, size;
    json_t *arguments, *evidence, *item;
    size_t i;

    if (json_unpack(value, "{s?s, s?s, s?s, s:s, s:s, s:i, s:i, s:i, s:b, s:b, s:o, s:o}", "callee", &callee,
                    "path", &path, "member", &member, "function", &function, "file", &file, "line", &line,
                    "last", &last, "column", &column, "shifted", &shifted, "size", &size, "arguments",
                    &arguments, "evidence", &evidence) < 0) {
        return false;
    }
    struct candidate *candidate = must_calloc(1, sizeof(*candidate));
    candidate->callee = callee ? must_strdup(callee) : NULL;
    candidate->path = path ? must_strdup(path) : NULL;
    candidate->member = member ? must_strdup(member) : NULL;
    candidate->function = must_strdup(function);
    candidate->file = must_strdup(file);
    candidate->line = line;
    candidate->last_line = last;
    candidate->column = column;
    candidate->shifted = shifted;
    candidate->size = size;
    LIST_ADD(&probe->candidates, candidate);
    bool good = true;
    json_array_foreach(arguments, i, item)
    {
        good = good && argument_from_json(item, candidate);
    }
    json_array_foreach(evidence, i, item)
    {
        good = good && evidence_from_json(item, candidate);
    }
    return good;
}

static bool origin_from_json(json_t *value, struct probe *probe)
{
    struct origin origin = { 0 };
    const char *kind, *function, *file;
    json_t *callee, *place;
    int line, cast;

    if (json_unpack(value, "[s,s,o,o,s,i,b]", &kind, &function, &callee, &place, &file, &line, &cast) < 0) {
        return false;
    }
    while (origin.kind < ORIGIN_KIND_COUNT && strcmp(origin_kinds[origin.kind], kind) != 0) {
        origin.kind++;
    }
    origin.function = must_strdup(function);
    origin.callee = json_is_string(callee) ? must_strdup(json_string_value(callee)) : NULL;
    origin.place = json_is_string(place) ? must_strdup(json_string_value(place)) : NULL;
    origin.file = must_strdup(file);
    origin.line = line;
    origin.cast = cast;
    LIST_ADD(&probe->origins, origin);
    return origin.kind < ORIGIN_KIND_COUNT;
}

static bool flow_from_json(json_t *value, struct probe *probe)
{
    const char *function, *from, *from_member, *to, *to_member;
    json_int_t place;

    if (json_unpack(value, "[s,s,s,s,s,I]", &function, &from, &from_member, &to, &to_member, &place) < 0 ||
        place < 0 || (size_t)place > probe->candidates.count) {
        return false;
    }
    LIST_ADD(&probe->flows, (struct flow){ must_strdup(function), must_strdup(from), must_strdup(from_member),
                                           must_strdup(to), must_strdup(to_member), place });
    return true;
}

struct probe *probe_from_text(const char *text, size_t length)
{
    json_t *all = json_loadb(text, length, 0, NULL), *calls = json_object_get(all, "calls"),
           *origins = json_object_get(all, "origins"), *flows = json_object_get(all, "flows"),
           *functions = json_object_get(all, "functions"), *item;
    struct probe *probe = must_calloc(1, sizeof(*probe));
    bool good =
        json_is_array(calls) && json_is_array(origins) && json_is_array(flows) && json_is_array(functions);
    size_t i;

    probe->answered = json_is_true(json_object_get(all, "answered"));
    probe->failed = json_is_true(json_object_get(all, "failed"));
    json_array_foreach(calls, i, item)
    {
        good = good && candidate_from_json(item, probe);
    }
    json_array_foreach(origins, i, item)
    {
        good = good && origin_from_json(item, probe);
    }
    json_array_foreach(flows, i, item)
    {
        good = good && flow_from_json(item, probe);
    }
    json_array_foreach(functions, i, item)
    {
        good = good && json_is_string(item);
        if (good) {
            LIST_ADD(&probe->functions, must_strdup(json_string_value(item)));
        }
    }
    json_decref(all);
    if (!good) {
        probe_destroy(probe);
        return NULL;
    }
    return probe;
}
