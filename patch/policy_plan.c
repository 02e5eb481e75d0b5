/*
 * Making plans. The pairs of members come from the comparison of the types; statements are laid over them; then what lies in
 * unions is decided, as their members cannot be told apart by name; last, what is left without a way is handed to the
 * type's MOLT_MIGRATE, if there is one, or marked as impossible.
 */
#include "patch/policy_plan.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "patch/policy_path.h"

static char *own(struct policy_plan *plan, char *string)
{
    LIST_ADD(&plan->owned, string);
    return string;
}

static void fail(struct policy_plans *plans, const struct policy_statement *statement, const char *type,
                 const char *member)
{
    char *message = must_printf("%s has no member '%s'", type, member);

    molt_diagnostics_add(plans->diagnostics, MOLT_SEVERITY_ERROR, statement->file, statement->line, 0,
                         "policy", "%s", message);
    if (!plans->error) {
        plans->error = molt_error_at(MOLT_ERROR_REFUSED, statement->file, statement->line, "%s", message);
    }
    free(message);
}

/* A word for TYPE in functions' names, unlike any other's. */
static char *name_of(struct policy_plans *plans, const struct type *type)
{
    char *key = type_key(type), *space = strrchr(key, ' ');
    struct text word = { 0 };

    text_puts(&word, "");
    for (const char *at = space ? space + 1 : key; *at; at++) {
        text_printf(&word, "%c", isalnum((unsigned char)*at) ? *at : '_');
    }
    size_t length = word.length;
    for (unsigned i = 2; table_get(&plans->names, word.bytes); i++) {
        word.length = length;
        text_printf(&word, "_%u", i);
    }
    free(key);
    return must_have(text_steal(&word));
}

static struct policy_end end_of(const char *path, const struct type_member *member, uint64_t bit)
{
    return (struct policy_end){ path, member ? member->type : NULL, member, bit };
}

static struct policy_step step_of_pair(const struct type_pair *pair)
{
    enum policy_step_kind kind = !pair->old_path   ? POLICY_STEP_NEW
                                 : !pair->new_path ? POLICY_STEP_GONE
                                                   : POLICY_STEP_VALUE;

    return (struct policy_step){ .kind = kind,
                                 .old = end_of(pair->old_path, pair->old_member, pair->old_bit),
                                 .new = end_of(pair->new_path, pair->new_member, pair->new_bit),
                                 .conversion = pair->conversion,
                                 .confidence = pair->confidence,
                                 .evidence = pair->evidence };
}

static void add_pairs(struct policy_plan *plan, const struct type_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        LIST_ADD(&plan->steps, step_of_pair(&pairs[i]));
    }
}

struct policy_plan *policy_plan_of(const struct policy_plans *plans, const struct type *old,
                                   const struct type *new)
{
    for (size_t i = 0; i < plans->list.count; i++) {
        struct policy_plan *plan = plans->list.items[i];
        if (plan->old == type_strip(old) && plan->new == type_strip(new)) {
            return plan;
        }
    }
    return NULL;
}

static struct policy_plan *add_plan(struct policy_plans *plans, const struct type *old,
                                    const struct type *new)
{
    struct policy_plan *plan = policy_plan_of(plans, old, new);
    struct type_pair *pairs = NULL;

    if (plan) {
        return plan;
    }
    plan = must_calloc(1, sizeof(*plan));
    *plan = (struct policy_plan){ .old = old, .new = new, .name = name_of(plans, new) };
    table_put(&plans->names, plan->name, plan);
    LIST_ADD(&plans->list, plan);
    const struct type_change *change = type_changes_of_old(plans->changes, old);
    if (change && change->new == new) {
        add_pairs(plan, change->pairs, change->pair_count);
    } else {
        add_pairs(plan, pairs, types_pair_members(plans->changes, old, new, &pairs));
        free(pairs);
    }
    return plan;
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static struct policy_step *step_to(struct policy_plan *plan, const char *path)
{
    for (size_t i = 0; i < plan->steps.count; i++) {
        const char *to = plan->steps.items[i].new.path;
        if (to && strcmp(to, path) == 0) {
            return &plan->steps.items[i];
        }
    }
    return NULL;
}

static struct policy_step *step_from(struct policy_plan *plan, const char *path)
{
    for (size_t i = 0; i < plan->steps.count; i++) {
        const char *from = plan->steps.items[i].old.path;
        if (from && strcmp(from, path) == 0) {
            return &plan->steps.items[i];
        }
    }
    return NULL;
}

/* The step that leads to PATH, made if there is none. NULL: there is no such member. */
static struct policy_step *make_step_to(struct policy_plans *plans, struct policy_plan *plan,
                                        const struct policy_statement *statement)
{
    struct policy_step *step = step_to(plan, statement->to);
    struct policy_place place;

    if (step) {
        return step;
    }
    if (!policy_place_find(plan->new, statement->to, &place)) {
        fail(plans, statement, statement->new_type, statement->to);
        return NULL;
    }
    LIST_ADD(&plan->steps,
             (struct policy_step){ .kind = POLICY_STEP_NEW,
                                   .new = { statement->to, place.type, place.member, place.bit } });
    return &plan->steps.items[plan->steps.count - 1];
}

/* The old end of STEP is no longer used by it; it is gone if nothing else uses it. */
static void release_old(struct policy_plan *plan, struct policy_step *step)
{
    struct policy_end old = step->old;

    step->old = (struct policy_end){ 0 };
    if (old.path && !step_from(plan, old.path)) {
        struct policy_step gone = { .kind = POLICY_STEP_GONE, .old = old };
        LIST_ADD(&plan->steps, gone);
    }
}

static void drop_gone(struct policy_plan *plan, const char *path)
{
    for (size_t i = 0; i < plan->steps.count; i++) {
        struct policy_step *step = &plan->steps.items[i];
        if (step->kind == POLICY_STEP_GONE && strcmp(step->old.path, path) == 0) {
            plan->steps.count--;
            memmove(step, step + 1, (plan->steps.count - i) * sizeof(*step));
            return;
        }
    }
}

static void apply_rename(struct policy_plans *plans, struct policy_plan *plan,
                         const struct policy_statement *statement)
{
    struct policy_place place;

    if (!policy_place_find(plan->old, statement->from, &place)) {
        fail(plans, statement, statement->old_type, statement->from);
        return;
    }
    drop_gone(plan, statement->from);
    if (!make_step_to(plans, plan, statement)) {
        return;
    }
    if (step_to(plan, statement->to)->old.path) {
        release_old(plan, step_to(plan, statement->to));
    }
    struct policy_step *step = step_to(plan, statement->to);
    step->kind = POLICY_STEP_VALUE;
    step->old = (struct policy_end){ statement->from, place.type, place.member, place.bit };
    step->indirect = place.indirect;
    step->conversion = types_conversion(plans->changes, place.type, step->new.type);
    step->statement = statement;
    step->confidence = 1;
    step->evidence = "the policy says so";
}

/* MOLT_DEFAULT, MOLT_CUSTOM. */
static void apply_to_new(struct policy_plans *plans, struct policy_plan *plan,
                         const struct policy_statement *statement, enum policy_step_kind kind)
{
    if (make_step_to(plans, plan, statement)) {
        release_old(plan, step_to(plan, statement->to));
        struct policy_step *step = step_to(plan, statement->to);
        step->kind = kind;
        step->statement = statement;
    }
}

/* MOLT_DROP, MOLT_TEXT. */
static void apply_to_old(struct policy_plans *plans, struct policy_plan *plan,
                         const struct policy_statement *statement)
{
    struct policy_place place;
    bool any = false;

    for (size_t i = 0; i < plan->steps.count; i++) {
        struct policy_step *step = &plan->steps.items[i];
        if (step->old.path && strcmp(step->old.path, statement->from) == 0) {
            step->drop = step->drop || statement->kind == POLICY_DROP;
            step->text = step->text || statement->kind == POLICY_TEXT;
            step->statement = step->statement ? step->statement : statement;
            any = true;
        }
    }
    if (!any && !policy_place_find(plan->old, statement->from, &place)) {
        fail(plans, statement, statement->old_type, statement->from);
    }
}

static void apply(struct policy_plans *plans, struct policy_plan *plan,
                  const struct policy_statement *statement)
{
    switch (statement->kind) {
    case POLICY_MIGRATE:
        LIST_ADD(&plan->migrate, statement);
        break;
    case POLICY_INVERT:
        LIST_ADD(&plan->invert, statement);
        break;
    case POLICY_VALIDATE:
        LIST_ADD(&plan->validate, statement);
        break;
    case POLICY_DELETE:
        LIST_ADD(&plan->delete, statement);
        break;
    case POLICY_RENAME:
        apply_rename(plans, plan, statement);
        break;
    case POLICY_DEFAULT:
        apply_to_new(plans, plan, statement, POLICY_STEP_EXPRESSION);
        break;
    case POLICY_CUSTOM:
        apply_to_new(plans, plan, statement, POLICY_STEP_CUSTOM);
        break;
    case POLICY_DROP:
    case POLICY_TEXT:
        apply_to_old(plans, plan, statement);
        break;
    default:
        break;
    }
}

/* Whether a statement about TYPE is one about PLAN: those without a new type are about all plans of the old one. */
static bool is_about(const struct policy_use *use, const struct policy_plan *plan)
{
    return use->old == plan->old && (!*use->statement->new_type || use->new == plan->new);
}

/* Statements that set members come last, so that MOLT_DROP and the like see pairs as they are by name. */
static void apply_statements(struct policy_plans *plans, struct policy_plan *plan)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < plans->uses.count; i++) {
            const struct policy_use *use = &plans->uses.items[i];
            bool early = use->statement->kind == POLICY_RENAME || use->statement->kind == POLICY_DEFAULT ||
                         use->statement->kind == POLICY_CUSTOM;
            if (is_about(use, plan) && early == (pass == 0)) {
                apply(plans, plan, use->statement);
            }
        }
    }
}

/* ---- unions ------------------------------------------------------------------------------------------------------ */

/* MOLT_UNION about the union of PLAN's old type that PATH lies in or is; NULL if there is none. */
static const struct policy_statement *choice_for(const struct policy_plans *plans,
                                                 const struct policy_plan *plan, const char *path)
{
    struct policy_place place, other;
    bool inside = policy_place_find(plan->old, path, &place) && place.in_union;

    for (size_t i = 0; i < plans->uses.count; i++) {
        const struct policy_use *use = &plans->uses.items[i];
        if (use->statement->kind != POLICY_UNION || use->old != plan->old) {
            continue;
        }
        if (strcmp(use->statement->from, path) == 0 ||
            (inside && policy_place_find(plan->old, use->statement->from, &other) &&
             (other.in_union == place.in_union || type_strip(other.type) == place.in_union) &&
             (other.in_union ? other.union_bit : other.bit) == place.union_bit)) {
            return use->statement;
        }
    }
    return NULL;
}

/* The part of PATH that names the union's member: "i" of "as.i.x". */
static char *alternative_of(const char *path, size_t union_length)
{
    const char *from = path + union_length + (union_length > 0);

    return must_strndup(from, strcspn(from, ".["));
}

/* Whether all of the union's old members are in the new one as they were, from BIT of the old whole to the new one's. */
static bool keeps_places(const struct policy_plan *plan, const struct policy_place *first, int64_t *ret_shift,
                         size_t *ret_step)
{
    bool known = false;

    for (size_t i = 0; i < plan->steps.count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        struct policy_place place;
        if (!step->old.path || !policy_place_find(plan->old, step->old.path, &place) ||
            place.in_union != first->in_union || place.union_bit != first->union_bit) {
            continue;
        }
        if (step->kind == POLICY_STEP_GONE && step->drop) {
            continue;
        }
        int64_t shift = (int64_t)step->new.bit - (int64_t)step->old.bit;
        if (step->kind != POLICY_STEP_VALUE || step->conversion != TYPE_CONVERT_COPY || step->statement ||
            shift % 8 || (known && shift != *ret_shift)) {
            return false;
        }
        *ret_step = known ? *ret_step : i;
        *ret_shift = shift;
        known = true;
    }
    return known;
}

/* Decides about the union that the old end of step INDEX lies in. */
static void decide_union(struct policy_plans *plans, struct policy_plan *plan, size_t index)
{
    struct policy_step *step = &plan->steps.items[index];
    struct policy_place place;
    int64_t shift;
    size_t first;

    if (!policy_place_find(plan->old, step->old.path, &place) || !place.in_union) {
        return; /* a new union takes over something that was outside of one */
    }
    const struct policy_statement *choice = choice_for(plans, plan, step->old.path);
    if (choice) {
        step->choice = choice;
        step->alternative = own(plan, alternative_of(step->old.path, place.union_length));
    } else if (keeps_places(plan, &place, &shift, &first)) {
        if (first == index) {
            step->kind = POLICY_STEP_UNION;
            step->size = place.in_union->size;
            step->old.bit = place.union_bit;
            step->new.bit = place.union_bit + shift;
        } else if (step->kind == POLICY_STEP_VALUE) {
            step->kind = POLICY_STEP_UNION; /* size 0: the first one's copy has it */
        }
    } else if (step->kind == POLICY_STEP_VALUE) {
        step->kind = POLICY_STEP_IMPOSSIBLE;
        step->why = "which member of the union is in use is not known: say it by MOLT_UNION or MOLT_MIGRATE";
    }
}

/* A union with a name of its own whose members changed, and MOLT_UNION about it: its members become steps of the whole. */
static void open_union(struct policy_plans *plans, struct policy_plan *plan, size_t index)
{
    struct policy_step step = plan->steps.items[index];
    const struct type *old = type_strip(step.old.type), *new = type_strip(step.new.type);
    const struct policy_statement *choice = choice_for(plans, plan, step.old.path);
    struct type_pair *pairs = NULL;

    if (!choice) {
        return;
    }
    size_t count = types_pair_members(plans->changes, old, new, &pairs);
    plan->steps.items[index].kind = POLICY_STEP_CUSTOM; /* nothing is to be done for the union as such */
    plan->steps.items[index].statement = choice;
    for (size_t i = 0; i < count; i++) {
        struct policy_step inner = step_of_pair(&pairs[i]);
        if (!inner.old.path) {
            continue;
        }
        inner.choice = choice;
        inner.alternative = own(plan, alternative_of(inner.old.path, 0));
        inner.old.path = own(plan, must_printf("%s.%s", step.old.path, inner.old.path));
        inner.old.bit += step.old.bit;
        if (inner.new.path) {
            inner.new.path = own(plan, must_printf("%s.%s", step.new.path, inner.new.path));
            inner.new.bit += step.new.bit;
        }
        LIST_ADD(&plan->steps, inner);
    }
    free(pairs);
}

static void decide_unions(struct policy_plans *plans, struct policy_plan *plan)
{
    size_t count = plan->steps.count;

    for (size_t i = 0; i < count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        if (step->kind == POLICY_STEP_VALUE && step->conversion == TYPE_CONVERT_MIGRATE &&
            type_strip(step->old.type)->kind == TYPE_UNION) {
            open_union(plans, plan, i);
        }
    }
    struct policy_step *decided = must_calloc(count, sizeof(*decided));
    for (size_t i = 0; i < count; i++) { /* each looks at the others as they were */
        struct policy_step saved = plan->steps.items[i];
        if (saved.old.path && !saved.choice && !saved.indirect &&
            (saved.kind == POLICY_STEP_VALUE || saved.kind == POLICY_STEP_GONE)) {
            decide_union(plans, plan, i);
        }
        decided[i] = plan->steps.items[i];
        plan->steps.items[i] = saved;
    }
    memcpy(plan->steps.items, decided, count * sizeof(*decided));
    free(decided);
}

/* ---- what is left without a way ---------------------------------------------------------------------------------- */

static void mark(struct policy_plan *plan, const struct policy_step *step, const char *why)
{
    if (!plan->why) {
        plan->why = why;
        plan->line = step->new.member ? step->new.member->line : 0;
    }
}

static void settle(struct policy_plan *plan)
{
    bool custom = plan->migrate.count > 0;

    for (size_t i = 0; i < plan->steps.count; i++) {
        struct policy_step *step = &plan->steps.items[i];
        if (step->kind == POLICY_STEP_VALUE && step->conversion == TYPE_CONVERT_NONE) {
            struct text why = { 0 };
            text_printf(&why, "'%s' (", step->old.path);
            type_describe(step->old.type, &why);
            text_puts(&why, ") cannot become ");
            text_printf(&why, "'%s' (", step->new.path);
            type_describe(step->new.type, &why);
            text_puts(&why, ") by itself: a policy must say how");
            step->kind = POLICY_STEP_IMPOSSIBLE;
            step->why = own(plan, must_have(text_steal(&why)));
        }
        if (step->kind == POLICY_STEP_IMPOSSIBLE && step->drop) {
            step->kind = POLICY_STEP_NEW;
        } else if (step->kind == POLICY_STEP_IMPOSSIBLE && custom) {
            step->kind = POLICY_STEP_CUSTOM;
            step->statement = plan->migrate.items[0];
        } else if (step->kind == POLICY_STEP_IMPOSSIBLE) {
            mark(plan, step, step->why);
        }
    }
}

/* The plan for what an array's elements, or the member itself, become; NULL if that needs none. */
static struct policy_plan *inner_plan(const struct policy_plans *plans, const struct policy_step *step)
{
    bool migrates = step->conversion == TYPE_CONVERT_MIGRATE || step->conversion == TYPE_CONVERT_ARRAY;

    return step->kind == POLICY_STEP_VALUE && migrates
               ? policy_plan_of(plans, type_element(step->old.type, NULL), type_element(step->new.type, NULL))
               : NULL;
}

/* What contains something impossible is impossible, but for what MOLT_MIGRATE of the container does. Returns whether
 * anything came of it. */
static bool spread(const struct policy_plans *plans, struct policy_plan *plan)
{
    bool any = false;

    for (size_t i = 0; i < plan->steps.count; i++) {
        struct policy_step *step = &plan->steps.items[i];
        const struct policy_plan *inner = inner_plan(plans, step);
        if (!inner || !inner->why) {
            continue;
        }
        any = any || !plan->why || plan->migrate.count > 0;
        if (plan->migrate.count) {
            step->kind = POLICY_STEP_CUSTOM;
            step->statement = plan->migrate.items[0];
        } else {
            mark(plan, step, inner->why);
        }
    }
    return any;
}

static void warn(struct policy_plans *plans)
{
    for (size_t i = 0; i < plans->list.count; i++) {
        const struct policy_plan *plan = plans->list.items[i];
        if (plan->why) {
            char *key = type_key(plan->old);
            molt_diagnostics_add(plans->diagnostics, MOLT_SEVERITY_WARNING, plan->new->file,
                                 plan->line ? plan->line : plan->new->line, 0, "no-policy",
                                 "an instance of %s would stop the update: %s", key, plan->why);
            free(key);
        }
    }
}

/* ---- the way back ------------------------------------------------------------------------------------------------ */

/* Whether each value of TYPE comes back from what it was converted to is checked on the way back; here: whether there is
 * a value at all. */
static void judge_way_back(const struct policy_plans *plans, struct policy_plan *plan)
{
    for (size_t i = 0; i < plan->steps.count && !plan->why_not_back; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        const struct policy_plan *inner = inner_plan(plans, step);
        const char *why = step->kind == POLICY_STEP_GONE ? "is gone, and what it held with it"
                          : step->choice                 ? "is in a union that changed"
                          : step->indirect               ? "came from behind a pointer"
                          : step->kind == POLICY_STEP_IMPOSSIBLE || step->kind == POLICY_STEP_CUSTOM
                              ? "is made by a policy that says nothing of the way back"
                          : inner && inner->why_not_back ? inner->why_not_back
                                                         : NULL;
        const char *path = step->old.path ? step->old.path : step->new.path;
        if (why && step->old.path) {
            plan->why_not_back = own(plan, must_printf("'%s' %s", path, why));
        }
    }
    if (plan->delete.count && !plan->why_not_back) {
        plan->why_not_back = "MOLT_DELETE gives memory back";
    }
    if (plan->invert.count) {
        plan->why_not_back = NULL;
    }
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

static void add_changed(struct policy_plans *plans)
{
    for (size_t i = 0; i < type_changes_count(plans->changes); i++) {
        const struct type_change *change = type_changes_at(plans->changes, i);
        if (change->old && change->new &&type_is_compound(change->old) && type_is_compound(change->new)) {
            add_plan(plans, change->old, change->new);
        }
    }
}

/* Plans that only policies ask for: other types, splits. */
static void add_asked(struct policy_plans *plans)
{
    for (size_t i = 0; i < plans->uses.count; i++) {
        const struct policy_use *use = &plans->uses.items[i];
        const struct policy_statement *statement = use->statement;
        if (statement->kind != POLICY_INVARIANT && use->old && use->new &&type_is_compound(use->old) &&
            type_is_compound(use->new)) {
            add_plan(plans, use->old, use->new);
        }
        for (size_t k = 0; k < statement->choices.count; k++) {
            const struct type *new =
                type_model_find(plans->new_types, statement->choices.items[k], NULL, NULL);
            if (new && use->old && type_is_compound(type_strip(new))) {
                add_plan(plans, use->old, type_strip(new))->split = statement;
            }
        }
        if (statement->kind == POLICY_SPLIT) {
            const struct type_change *change = type_changes_of_old(plans->changes, use->old);
            struct policy_plan *plan =
                change && change->new ? policy_plan_of(plans, change->old, change->new) : NULL;
            if (plan && !plan->split) {
                plan->is_split = true;
            }
        }
    }
}

struct molt_error *policy_plans_make(struct policy_plans *plans)
{
    bool again = true;

    add_changed(plans);
    add_asked(plans);
    for (size_t i = 0; i < plans->list.count; i++) {
        apply_statements(plans, plans->list.items[i]);
        decide_unions(plans, plans->list.items[i]);
        settle(plans->list.items[i]);
    }
    while (again) {
        again = false;
        for (size_t i = 0; i < plans->list.count; i++) {
            again = spread(plans, plans->list.items[i]) || again;
        }
    }
    for (size_t i = 0; i < plans->list.count; i++) {
        judge_way_back(plans, plans->list.items[i]);
    }
    warn(plans);
    struct molt_error *error = plans->error;
    plans->error = NULL;
    return error;
}

void policy_plans_deinit(struct policy_plans *plans)
{
    for (size_t i = 0; i < plans->list.count; i++) {
        struct policy_plan *plan = plans->list.items[i];
        for (size_t k = 0; k < plan->owned.count; k++) {
            free(plan->owned.items[k]);
        }
        LIST_FREE(&plan->owned);
        LIST_FREE(&plan->steps);
        LIST_FREE(&plan->migrate);
        LIST_FREE(&plan->invert);
        LIST_FREE(&plan->validate);
        LIST_FREE(&plan->delete);
        free(plan->name);
        free(plan);
    }
    LIST_FREE(&plans->list);
    LIST_FREE(&plans->uses);
    table_deinit(&plans->names);
    molt_error_destroy(plans->error);
    plans->error = NULL;
}
