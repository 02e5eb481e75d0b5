/*
 * Policies in a patch: their code as contributions like any other, all of it new; then the records that tell the engine which
 * function leads from which layout to which, where pointers into an instance follow, and what has to hold afterwards.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/policy_private.h"

static void compare_with_nothing(struct policies *policies)
{
    policies->nothing = policies->nothing ? policies->nothing : object_empty();
    for (size_t i = policies->comparisons.count; i < policies->sources.count; i++) {
        struct comparison *comparison = must_calloc(1, sizeof(*comparison));
        comparison_init(comparison, policies->nothing, policies->sources.items[i]->object, NULL, NULL);
        LIST_ADD(&policies->comparisons, comparison);
    }
}

static void contribute(struct policies *policies, struct emission *emission, const struct image *image,
                       size_t index)
{
    struct policy_source *source = policies->sources.items[index];
    struct contribution *contribution = must_calloc(1, sizeof(*contribution));

    *contribution = (struct contribution){ .comparison = policies->comparisons.items[index],
                                           .image = image,
                                           .name = source->name,
                                           .source = source->entry->file,
                                           .policy = true };
    LIST_ADD(&policies->contributions, contribution);
    emission_add(emission, contribution);
}

void policies_contribute(struct policies *policies, struct emission *emission,
                         const struct image *const *images, size_t count)
{
    for (size_t i = 0; i < policies->contributions.count; i++) {
        free(policies->contributions.items[i]); /* of an emission that was given up */
    }
    policies->contributions.count = 0;
    emission->source = policies->text;
    compare_with_nothing(policies);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < policies->sources.count; k++) {
            contribute(policies, emission, images[i], k);
        }
    }
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
    for (size_t i = 0; i < emitting->policies->contributions.count; i++) {
        const struct contribution *contribution = emitting->policies->contributions.items[i];
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

/* The same of what PLAN does. A record without its function would leave instances as they were without a word, so that is an error. */
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

/* ---- segments ------------------------------------------------------------------------------------------------------ */

typedef LIST(struct molt_patch_segment) segments;

static void add_segment(segments *list, uint64_t old, uint64_t size, uint64_t new)
{
    if (size) {
        LIST_ADD(list, (struct molt_patch_segment){ .old_offset = old, .size = size, .new_offset = new });
    }
}

static void add_plan_segments(const struct policy_plans *plans, const struct policy_plan *plan, uint64_t old,
                              uint64_t new, segments *list);

/* The value of type OLD_TYPE, at OLD, is that of NEW_TYPE at NEW. */
static void add_value_segments(const struct policy_plans *plans, const struct type *old_type, uint64_t old,
                               const struct type *new_type, uint64_t new, segments *list)
{
    const struct policy_plan *inner = policy_plan_of(plans, old_type, new_type);
    enum type_conversion conversion = policy_conversion(plans, old_type, new_type);

    old_type = type_strip(old_type);
    new_type = type_strip(new_type);
    if (inner && conversion == TYPE_CONVERT_MIGRATE) {
        add_plan_segments(plans, inner, old, new, list);
    } else if (conversion == TYPE_CONVERT_ARRAY) {
        uint64_t count = old_type->count < new_type->count ? old_type->count : new_type->count;
        for (uint64_t i = 0; i < count; i++) {
            add_value_segments(plans, old_type->inner, old + i * old_type->inner->size, new_type->inner,
                               new + i * new_type->inner->size, list);
        }
    } else if (conversion != TYPE_CONVERT_NONE) {
        add_segment(list, old, old_type->size < new_type->size ? old_type->size : new_type->size, new);
    }
}

static void add_plan_segments(const struct policy_plans *plans, const struct policy_plan *plan, uint64_t old,
                              uint64_t new, segments *list)
{
    for (size_t i = 0; i < plan->steps.count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        bool bits = (step->old.member && step->old.member->bit_size) ||
                    (step->new.member && step->new.member->bit_size);
        if (step->kind == POLICY_STEP_UNION) {
            add_segment(list, old + step->old.bit / 8, step->size, new + step->new.bit / 8);
        } else if (step->kind == POLICY_STEP_VALUE && !step->choice && !step->indirect && !bits) {
            add_value_segments(plans, step->old.type, old + step->old.bit / 8, step->new.type,
                               new + step->new.bit / 8, list);
        }
    }
}

static int compare_segments(const void *one, const void *other)
{
    const struct molt_patch_segment *a = one, *b = other;

    return a->old_offset < b->old_offset ? -1 : a->old_offset > b->old_offset;
}

/* Sorts, joins what moved together, and leaves out what would overlap (a member that several new ones come from). */
static void tidy_segments(segments *list)
{
    size_t kept = 0;

    if (list->count) {
        qsort(list->items, list->count, sizeof(*list->items), compare_segments);
    }
    for (size_t i = 0; i < list->count; i++) {
        struct molt_patch_segment next = list->items[i], *last = kept ? &list->items[kept - 1] : NULL;
        if (last && next.old_offset < last->old_offset + last->size) {
            continue;
        }
        if (last && next.old_offset == last->old_offset + last->size &&
            next.new_offset == last->new_offset + last->size) {
            last->size += next.size;
        } else {
            list->items[kept++] = next;
        }
    }
    list->count = kept;
}

/* The same the other way round. */
static void turn_segments(segments *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct molt_patch_segment *segment = &list->items[i];
        uint32_t old = segment->old_offset;
        segment->old_offset = segment->new_offset;
        segment->new_offset = old;
    }
}

static void emit_segments(const struct emitting *emitting, const struct policy_plan *plan, bool back,
                          struct molt_patch_migration *migration)
{
    struct emission *emission = emitting->state->emission;
    segments list = { 0 };

    if (type_is_compound(plan->old)) {
        add_plan_segments(&emitting->policies->plans, plan, 0, 0, &list);
    }
    if (back) {
        turn_segments(&list);
    }
    tidy_segments(&list);
    migration->segment = emission->segments.count;
    migration->segment_count = list.count;
    for (size_t i = 0; i < list.count; i++) {
        LIST_ADD(&emission->segments, list.items[i]);
    }
    LIST_FREE(&list);
}

/* ---- migrations ----------------------------------------------------------------------------------------------------- */

/* Whether nothing but reading the old and writing the new instance is done for PLAN. */
static bool is_generated(const struct policy_plans *plans, const struct policy_plan *plan)
{
    bool plain = !plan->migrate.count && !plan->delete.count && !plan->split;

    for (size_t i = 0; plain && i < plan->steps.count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        const struct policy_plan *inner = policy_inner_plan(plans, step);
        plain = step->kind != POLICY_STEP_EXPRESSION && !step->choice && !step->indirect &&
                (!inner || is_generated(plans, inner));
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

static void emit_migration(const struct emitting *emitting, const struct policy_plan *plan)
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
        .flags = (is_generated(plans, plan) ? MOLT_MIGRATION_GENERATED : 0) |
                 (plan->split ? MOLT_MIGRATION_SPLIT : 0),
        .file = emit_file(emission, policy),
        .line = policy ? policy->line : 0,
        .validate_file = emit_file(emission, validation),
        .validate_line = validation ? validation->line : 0,
    };

    emit_segments(emitting, plan, false, &migration);
    LIST_ADD(&emission->migrations, migration);
}

static void emit_inverse(const struct emitting *emitting, const struct policy_plan *plan)
{
    struct emission *emission = emitting->state->emission;
    const struct policy_statement *policy = plan->invert.count ? plan->invert.items[0] : NULL;
    struct molt_patch_migration migration = {
        .old_layout = emit_layout(emitting->state, plan->new),
        .new_layout = emit_layout(emitting->state, plan->old),
        .migrate = function_of_plan(emitting, "invert", plan),
        .flags = MOLT_MIGRATION_INVERSE | (policy ? 0 : MOLT_MIGRATION_GENERATED),
        .file = emit_file(emission, policy),
        .line = policy ? policy->line : 0,
    };

    emit_segments(emitting, plan, true, &migration);
    LIST_ADD(&emission->migrations, migration);
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

    for (size_t i = 0; i < policies->contributions.count; i++) {
        const struct image *image = policies->contributions.items[i]->image;
        if (i > 0 && image == policies->contributions.items[i - 1]->image) {
            continue; /* one program's stand together */
        }
        emitting.image = image;
        for (size_t k = 0; k < policies->plans.list.count; k++) {
            const struct policy_plan *plan = policies->plans.list.items[k];
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
