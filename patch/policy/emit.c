/*
 * Policies in a patch: their code as contributions like any other, all of it new; then the records that tell
 * the engine which function leads from which layout to which, where pointers into an instance follow, and
 * what has to hold afterwards.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/policy/compose.h"
#include "patch/policy/private.h"
#include "patch/policy/segments.h"

void policies_contribute(struct policies *policies, struct emission *emission,
                         const struct image *const *images, size_t count)
{
    emission->source = policies->text;
    policy_code_contribute(&policies->code, &policies->sources, emission, images, count);
}

/* What is being emitted. */
struct emitting {
    struct policies *policies;
    struct state_emission *state;
    const struct image *image;
};

/* The emitted symbol of the function NAME for the program, 0 if no source defines it. */
static uint32_t function_called(const struct emitting *emitting, const char *name)
{
    for (size_t i = 0; i < emitting->policies->code.contributions.count; i++) {
        const struct contribution *contribution = emitting->policies->code.contributions.items[i];
        const struct object *object = contribution->comparison->new;
        for (size_t k = 1; contribution->image == emitting->image && k < object->symbol_count; k++) {
            if (object->symbols[k].section && strcmp(object->symbols[k].name, name) == 0 &&
                contribution->symbols) {
                return contribution->symbols[k];
            }
        }
    }
    return 0;
}

/* The same of what PLAN does. A record without its function would leave instances as they were without a
 * word, so that is an error. */
static uint32_t function_of_plan(const struct emitting *emitting, const char *what,
                                 const struct policy_plan *plan)
{
    struct emission *emission = emitting->state->emission;
    char *name = must_printf("molt_%s_%s", what, plan->name);
    uint32_t symbol = function_called(emitting, name);

    if (!symbol && !emission->error) {
        emission->error =
            molt_error_new(MOLT_ERROR_INTERNAL, "the compiled policies lack the function %s", name);
    }
    free(name);
    return symbol;
}

static void emit_segments(const struct emitting *emitting, const struct policy_plan *plan, bool back,
                          struct molt_patch_migration *migration)
{
    struct emission *emission = emitting->state->emission;
    policy_segments list = { 0 };

    policy_segments_of(&emitting->policies->plans, plan, back, &list);
    migration->segment = emission->segments.count;
    migration->segment_count = list.count;
    for (size_t i = 0; i < list.count; i++) {
        LIST_ADD(&emission->segments, list.items[i]);
    }
    LIST_FREE(&list);
}

/* ---- migrations ------------------------------------------------------------------------------------ */

bool policy_is_generated(const struct policy_plans *plans, const struct policy_plan *plan)
{
    bool plain = !plan->migrate.count && !plan->delete.count && !plan->split;

    if (plan->composed) {
        return composition_is_generated(plan->composed, false);
    }

    for (size_t i = 0; plain && i < plan->steps.count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        const struct policy_plan *inner = policy_inner_plan(plans, step);
        plain = step->kind != POLICY_STEP_EXPRESSION && !step->choice && !step->indirect &&
                (!inner || policy_is_generated(plans, inner));
    }
    return plain;
}

/* The first statement among those of PLAN and of the instances inside that validates. */
static const struct policy_statement *first_validation(const struct policy_plans *plans,
                                                       const struct policy_plan *plan)
{
    const struct policy_statement *found = plan->validate.count ? plan->validate.items[0] : NULL;

    for (size_t i = 0; !found && i < plan->steps.count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        const struct policy_plan *inner = policy_inner_plan(plans, step);
        found = inner ? first_validation(plans, inner) : NULL;
    }
    return found;
}

static uint32_t emit_file(struct emission *emission, const struct policy_statement *statement)
{
    return statement ? emission_string(emission, statement->file) : 0;
}

/* Where a composed PLAN's policies are, in MIGRATION. */
static void tell_place(struct emission *emission, const struct policy_plan *plan, bool back,
                       struct molt_patch_migration *migration)
{
    unsigned line;
    const char *file = plan->composed ? composition_file(plan->composed, back, &line) : NULL;

    if (file) {
        migration->file = emission_string(emission, file);
        migration->line = line;
    }
}

static void emit_migration(const struct emitting *emitting, struct policy_plan *plan)
{
    const struct policy_plans *plans = &emitting->policies->plans;
    struct emission *emission = emitting->state->emission;
    const struct policy_statement *policy = plan->migrate.count ? plan->migrate.items[0] : plan->split;
    bool validated = policy_has_validation(plans, plan);
    const struct policy_statement *validation = validated ? first_validation(plans, plan) : NULL;
    struct molt_patch_migration migration = {
        .old_layout = emit_layout(emitting->state, plan->old),
        .new_layout = emit_layout(emitting->state, plan->new),
        .migrate = function_of_plan(emitting, "migrate", plan),
        .validate = validated ? function_of_plan(emitting, "validate", plan) : 0,
        .select = plan->split ? function_of_plan(emitting, "select", plan) : 0,
        .flags = (policy_is_generated(plans, plan) ? MOLT_MIGRATION_GENERATED : 0) |
                 (plan->split ? MOLT_MIGRATION_SPLIT : 0),
        .file = emit_file(emission, policy),
        .line = policy ? policy->line : 0,
        .validate_file = emit_file(emission, validation),
        .validate_line = validation ? validation->line : 0,
    };

    tell_place(emission, plan, false, &migration);
    emit_segments(emitting, plan, false, &migration);
    LIST_ADD(&emission->migrations, migration);
    plan->migration = plan->migration ? plan->migration : emission->migrations.count;
}

static void emit_inverse(const struct emitting *emitting, struct policy_plan *plan)
{
    struct emission *emission = emitting->state->emission;
    const struct policy_statement *policy = plan->invert.count ? plan->invert.items[0] : NULL;
    bool generated = plan->composed ? composition_is_generated(plan->composed, true) : !policy;
    struct molt_patch_migration migration = {
        .old_layout = emit_layout(emitting->state, plan->new),
        .new_layout = emit_layout(emitting->state, plan->old),
        .migrate = function_of_plan(emitting, "invert", plan),
        .flags = MOLT_MIGRATION_INVERSE | (generated ? MOLT_MIGRATION_GENERATED : 0),
        .file = emit_file(emission, policy),
        .line = policy ? policy->line : 0,
    };

    tell_place(emission, plan, true, &migration);
    emit_segments(emitting, plan, true, &migration);
    LIST_ADD(&emission->migrations, migration);
    plan->way_back = plan->way_back ? plan->way_back : emission->migrations.count;
}

static void emit_invariants(const struct emitting *emitting)
{
    const struct policy_plans *plans = &emitting->policies->plans;
    struct emission *emission = emitting->state->emission;

    for (size_t i = 0; i < plans->uses.count; i++) {
        const struct policy_use *use = &plans->uses.items[i];
        const struct policy_statement *statement = use->statement;
        if (statement->kind != POLICY_INVARIANT) {
            continue;
        }
        LIST_ADD(&emission->invariants,
                 (struct molt_patch_invariant){
                     .layout = emit_layout(emitting->state, use->new ? use->new : use->old),
                     .check = function_called(emitting, statement->function),
                     .name = emission_string(emission, statement->function),
                     .file = emission_string(emission, statement->file),
                     .line = statement->line,
                 });
    }
}

void policies_emit(struct policies *policies, struct state_emission *state)
{
    struct emitting emitting = { policies, state, NULL };

    for (size_t i = 0; i < policies->plans.list.count; i++) {
        policies->plans.list.items[i]->migration = policies->plans.list.items[i]->way_back = 0;
    }
    for (size_t i = 0; i < policies->code.contributions.count; i++) {
        const struct image *image = policies->code.contributions.items[i]->image;
        if (i > 0 && image == policies->code.contributions.items[i - 1]->image) {
            continue; /* one program's stand together */
        }
        emitting.image = image;
        for (size_t k = 0; k < policies->plans.list.count; k++) {
            struct policy_plan *plan = policies->plans.list.items[k];
            if (!plan->is_split) {
                emit_migration(&emitting, plan);
            }
        }
        for (size_t k = 0; k < policies->plans.list.count; k++) { /* those from one layout stand together */
            if (policy_has_inverse(policies->plans.list.items[k])) {
                emit_inverse(&emitting, policies->plans.list.items[k]);
            }
        }
        emit_invariants(&emitting);
    }
}

uint32_t policies_migration(const struct policies *policies, const struct type *old, const struct type *new,
                            bool back)
{
    const struct policy_plan *plan = policies ? policy_plan_of(&policies->plans, old, new) : NULL;

    return !plan || plan->split ? 0 : back ? plan->way_back : plan->migration;
}

/* Whether the SIZE bytes at OFFSET are those of a member that PLAN makes zero (BACK: of one that is gone). */
static bool is_new_part(const struct policy_plan *plan, bool back, uint64_t offset, uint64_t size)
{
    for (size_t i = 0; i < plan->steps.count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        const struct policy_end *end = back ? &step->old : &step->new;
        bool plain = step->kind == (back ? POLICY_STEP_GONE : POLICY_STEP_NEW) && end->type &&
                     !(end->member && end->member->bit_size);
        if (plain && offset >= end->bit / 8 && offset + size <= end->bit / 8 + end->type->size) {
            return true;
        }
    }
    return false;
}

enum policy_part policies_part(const struct policies *policies, const struct type *old,
                               const struct type *new, bool back, uint64_t offset, uint64_t size,
                               uint64_t *ret)
{
    const struct policy_plans *plans = policies ? &policies->plans : NULL;
    const struct policy_plan *plan = plans ? policy_plan_of(plans, old, new) : NULL;
    enum policy_part part = POLICY_PART_UNKNOWN;
    policy_segments list = { 0 };

    if (!plan || plan->composed || plan->invert.count || !policy_is_generated(plans, plan) ||
        policy_has_validation(plans, plan)) {
        return part;
    }
    policy_segments_of(plans, plan, back, &list);
    for (size_t i = 0; i < list.count; i++) {
        const struct molt_patch_segment *segment = &list.items[i];
        if (segment->flags & MOLT_SEGMENT_COPIED && offset >= segment->new_offset &&
            offset + size <= segment->new_offset + (uint64_t)segment->size) {
            *ret = segment->old_offset + offset - segment->new_offset;
            part = POLICY_PART_COPIED;
        }
    }
    LIST_FREE(&list);
    return part == POLICY_PART_UNKNOWN && is_new_part(plan, back, offset, size) ? POLICY_PART_NEW : part;
}
