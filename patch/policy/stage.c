/* Policies taken out of one build and put into another. Names that two of them could share get the number of
 * the step. */
#include "patch/policy/stage.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "patch/policy/compose.h"
#include "patch/policy/private.h"
#include "patch/policy/segments.h"

char *policy_stage_name(const char *name, unsigned stage)
{
    return must_printf("%s_step_%u", name, stage);
}

static json_t *place_of(const struct policy_statement *statement)
{
    return statement ? json_pack("{s:s, s:i}", "file", statement->file, "line", (int)statement->line)
                     : json_null();
}

static json_t *segments_to_json(const struct policy_plans *plans, const struct policy_plan *plan)
{
    policy_segments segments = { 0 };
    json_t *result = json_array();

    policy_segments_of(plans, plan, false, &segments);
    for (size_t i = 0; i < segments.count; i++) {
        const struct molt_patch_segment *segment = &segments.items[i];
        if (segment->flags & MOLT_SEGMENT_BITS) {
            continue; /* nothing is copied by them */
        }
        json_array_append_new(result, json_pack("[iii]", (int)segment->old_offset, (int)segment->size,
                                                (int)segment->new_offset));
    }
    LIST_FREE(&segments);
    return result;
}

/* Adds to TYPE, the manifest's entry of PLAN, what composing needs. */
static void complete(const struct policy_plans *plans, const struct policy_plan *plan, json_t *type)
{
    const struct policy_statement *forth = plan->migrate.count ? plan->migrate.items[0] : NULL;
    const struct policy_statement *back = plan->invert.count ? plan->invert.items[0] : NULL;
    json_t *more =
        json_pack("{s:I, s:b, s:b, s:b, s:b, s:b, s:o, s:o, s:o}", "size", (json_int_t)plan->new->size,
                  "split", plan->split || plan->is_split, "flexible",
                  plan->old->flexible || plan->new->flexible, "validates", policy_has_validation(plans, plan),
                  "generated", policy_is_generated(plans, plan), "generated_back", !back, "segments",
                  segments_to_json(plans, plan), "place", place_of(forth), "place_back", place_of(back));

    json_object_update(type, must_have(more));
    json_decref(more);
}

/* What POLICIES define, and what they use that they do not define. */
static void add_names(const struct policies *policies, json_t *stage)
{
    struct table defined = { 0 };
    json_t *names = json_array(), *calls = json_array();

    for (unsigned wanted = 0; wanted < 2; wanted++) {
        for (size_t i = 0; i < policies->sources.count; i++) {
            const struct object *object = policies->sources.items[i]->object;
            for (size_t k = 1; k < object->symbol_count; k++) {
                const struct object_symbol *symbol = &object->symbols[k];
                bool global = symbol->bind != STB_LOCAL && *symbol->name;
                if (global && symbol->section && wanted == 0 && !table_put(&defined, symbol->name, names)) {
                    json_array_append_new(names, json_string(symbol->name));
                } else if (global && !symbol->section && wanted == 1 && !table_get(&defined, symbol->name)) {
                    json_array_append_new(calls, json_string(symbol->name));
                }
            }
        }
    }
    table_deinit(&defined);
    json_object_set_new(stage, "names", names);
    json_object_set_new(stage, "calls", calls);
}

json_t *policies_stage(const struct policies *policies, const json_t *manifest)
{
    json_t *sources = json_array(), *changed = json_array(), *function;
    json_t *types = policies ? policies_to_json(policies) : json_array();
    size_t index, next = 0;

    for (size_t i = 0; policies && i < policies->sources.count; i++) {
        const struct policy_source *source = policies->sources.items[i];
        json_array_append_new(sources, json_pack("{s:s, s:s}", "name", source->name, "text", source->text));
    }
    json_array_foreach(json_object_get(manifest, "functions"), index, function)
    {
        json_array_append(changed, json_object_get(function, "name"));
    }
    for (size_t i = 0; policies && i < policies->plans.list.count; i++) {
        const struct policy_plan *plan = policies->plans.list.items[i];
        if (type_is_compound(plan->old)) { /* in the order of policies_to_json */
            complete(&policies->plans, plan, json_array_get(types, next++));
        }
    }
    json_t *stage = json_pack("{s:o, s:o, s:o}", "sources", sources, "types", types, "changed", changed);
    if (policies) {
        add_names(policies, must_have(stage));
    }
    return must_have(stage);
}

/* TEXT of stage NUMBER with each of NAMES under one of its own. Owned by the caller. */
static char *rename_all(const char *source, const json_t *names, unsigned number)
{
    struct text text = { 0 };
    size_t index;
    json_t *name;

    text_printf(&text, "/* Step %u. */\n", number);
    json_array_foreach(names, index, name)
    {
        char *own = policy_stage_name(json_string_value(name), number);
        text_printf(&text, "#define %s %s\n", json_string_value(name), own);
        free(own);
    }
    text_puts(&text, source);
    return must_have(text_steal(&text));
}

void policy_stages_add_sources(const json_t *stages, policy_sources *sources)
{
    size_t stage, index;
    json_t *entry, *source;

    json_array_foreach(stages, stage, entry)
    {
        json_array_foreach(json_object_get(entry, "sources"), index, source)
        {
            char *name =
                must_printf("step-%zu/%s", stage + 1, json_string_value(json_object_get(source, "name")));
            const char *text = json_string_value(json_object_get(source, "text"));
            policy_sources_add(sources, name,
                               rename_all(text, json_object_get(entry, "names"), (unsigned)stage + 1));
            free(name);
        }
    }
}

bool policy_stages_change(const json_t *stages, const char *key)
{
    size_t stage, index;
    json_t *entry, *type;

    json_array_foreach(stages, stage, entry)
    {
        json_array_foreach(json_object_get(entry, "types"), index, type)
        {
            const char *name = json_string_value(json_object_get(type, "new_name"));
            if (name && strcmp(name, key) == 0) {
                return true;
            }
        }
    }
    return false;
}
