/*
 * Making plans. The pairs of members come from the comparison of the types; statements are laid over them;
 * then what lies in unions is decided, as their members cannot be told apart by name; last, what is left
 * without a way is handed to the type's MOLT_MIGRATE, if there is one, or marked as impossible.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "patch/policy/compose.h"
#include "patch/policy/path.h"
#include "patch/policy/plan_private.h"

char *policy_own(struct policy_plan *plan, char *string)
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
    static const char *const words[] = { "struct ", "union ", "enum " };
    struct text key = { 0 }, word = { 0 };
    const char *start;

    type_describe(type, &key);
    start = key.bytes;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        start += strncmp(start, words[i], strlen(words[i])) == 0 ? strlen(words[i]) : 0;
    }
    text_puts(&word, "");
    for (const char *at = start; *at; at++) {
        text_printf(&word, "%s",
                    isalnum((unsigned char)*at) ? (char[]){ *at, '\0' }
                    : *at == '*'                ? "pointer"
                                                : "_");
    }
    size_t length = word.length;
    for (unsigned i = 2; table_get(&plans->names, word.bytes); i++) {
        word.length = length;
        text_printf(&word, "_%u", i);
    }
    text_deinit(&key);
    return must_have(text_steal(&word));
}

static struct policy_end end_of(const char *path, const struct type_member *member, uint64_t bit)
{
    return (struct policy_end){ path, member ? member->type : NULL, member, bit };
}

struct policy_step policy_step_of_pair(const struct policy_plans *plans, const struct type_pair *pair)
{
    enum policy_step_kind kind = !pair->old_path   ? POLICY_STEP_NEW
                                 : !pair->new_path ? POLICY_STEP_GONE
                                                   : POLICY_STEP_VALUE;

    return (struct policy_step){ .kind = kind,
                                 .old = end_of(pair->old_path, pair->old_member, pair->old_bit),
                                 .new = end_of(pair->new_path, pair->new_member, pair->new_bit),
                                 .conversion = pair->old_path && pair->new_path
                                                   ? policy_conversion(plans, pair->old_member->type,
                                                                       pair->new_member->type)
                                                   : TYPE_CONVERT_NONE,
                                 .confidence = pair->confidence,
                                 .evidence = pair->evidence };
}

static void add_pairs(const struct policy_plans *plans, struct policy_plan *plan,
                      const struct type_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        LIST_ADD(&plan->steps, policy_step_of_pair(plans, &pairs[i]));
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

struct policy_plan *policy_inner_plan(const struct policy_plans *plans, const struct policy_step *step)
{
    bool migrates = step->conversion == TYPE_CONVERT_MIGRATE || step->conversion == TYPE_CONVERT_ARRAY;
    const struct type *old =
        migrates && step->kind == POLICY_STEP_VALUE ? type_element(step->old.type, NULL) : NULL;

    return old && type_is_compound(old) ? policy_plan_of(plans, old, type_element(step->new.type, NULL))
                                        : NULL;
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
    *plan = (struct policy_plan){ .old = old,
                                  .new = new,
                                  .name = name_of(plans, new),
                                  .group = old->ambiguous   ? old->unit
                                           : new->ambiguous ? new->unit
                                                            : "" };
    table_put(&plans->names, plan->name, plan);
    LIST_ADD(&plans->list, plan);
    if (!type_is_compound(old)) {
        LIST_ADD(&plan->steps, (struct policy_step){ .old = { "", old, NULL, 0 },
                                                     .new = { "", new, NULL, 0 },
                                                     .kind = POLICY_STEP_VALUE,
                                                     .conversion = policy_conversion(plans, old, new) });
        return plan;
    }
    const struct type_change *change = type_changes_of_old(plans->changes, old);
    plan->composed = composition_of(plans, old);
    if (plan->composed && plan->composed->new == new) {
        plan->why_not_back = composition_why_not_back(plan->composed);
    } else if (change && change->new == new) {
        add_pairs(plans, plan, change->pairs, change->pair_count);
    } else {
        size_t count = types_pair_members(plans->changes, old, new, &pairs);
        add_pairs(plans, plan, pairs, count);
        free(pairs);
    }
    return plan;
}

/* ---- statements ------------------------------------------------------------------------------------ */

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

/* What follows WHOLE in PATH: ".x" of "size.x"; NULL if PATH does not begin with it. */
static const char *path_behind(const char *whole, const char *path)
{
    size_t length = strlen(whole);

    return strncmp(path, whole, length) == 0 ? path + length : NULL;
}

/* Says of each member of a structure that is gone that it is, if PATH is one of them. */
static void open_gone(struct policy_plan *plan, const char *path)
{
    for (size_t i = 0; i < plan->steps.count; i++) {
        struct policy_step gone = plan->steps.items[i];
        const char *rest = gone.kind == POLICY_STEP_GONE ? path_behind(gone.old.path, path) : NULL;
        const struct type *type = rest ? type_strip(gone.old.type) : NULL;
        if (!type || type->kind != TYPE_STRUCT || *rest != '.') {
            continue;
        }
        plan->steps.count--;
        memmove(&plan->steps.items[i], &plan->steps.items[i + 1],
                (plan->steps.count - i) * sizeof(*plan->steps.items));
        for (size_t k = 0; k < type->member_count; k++) {
            const struct type_member *member = &type->members[k];
            struct policy_step inner = gone;
            if (member->name) {
                inner.old =
                    (struct policy_end){ policy_own(plan, must_printf("%s.%s", gone.old.path, member->name)),
                                         member->type, member, gone.old.bit + member->bit_offset };
                LIST_ADD(&plan->steps, inner);
            }
        }
        i--;
    }
}

static void drop_gone(struct policy_plan *plan, const char *path)
{
    open_gone(plan, path);
    for (size_t i = 0; i < plan->steps.count; i++) {
        struct policy_step *step = &plan->steps.items[i];
        if (step->kind == POLICY_STEP_GONE && strcmp(step->old.path, path) == 0) {
            plan->steps.count--;
            memmove(step, step + 1, (plan->steps.count - i) * sizeof(*step));
            return;
        }
    }
}

static bool is_part(const char *whole, const char *path)
{
    const char *rest = path ? path_behind(whole, path) : NULL;

    return rest && *rest == '.';
}

/* Whole structures whose names differ were compared member by member. What the policy says of the whole holds
 * for these, too: what becomes of them is the business of the structure's own plan. */
static void drop_parts(struct policy_plan *plan, const struct policy_statement *statement)
{
    size_t kept = 0;

    for (size_t i = 0; i < plan->steps.count; i++) {
        struct policy_step step = plan->steps.items[i];
        bool from = is_part(statement->from, step.old.path), to = is_part(statement->to, step.new.path);
        bool part =
            (step.kind == POLICY_STEP_GONE && from) || (step.kind == POLICY_STEP_NEW && to) || (from && to);
        if (!part || step.statement) {
            plan->steps.items[kept++] = step;
        }
    }
    plan->steps.count = kept;
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
    const char *before = step_to(plan, statement->to)->old.path;
    if (before && strcmp(before, statement->from) != 0) {
        release_old(plan, step_to(plan, statement->to));
    }
    struct policy_step *step = step_to(plan, statement->to);
    step->kind = POLICY_STEP_VALUE;
    step->old = (struct policy_end){ statement->from, place.type, place.member, place.bit };
    step->indirect = place.indirect;
    step->conversion = policy_conversion(plans, place.type, step->new.type);
    step->statement = statement;
    step->confidence = 1;
    step->evidence = "the policy says so";
    if (step->conversion != TYPE_CONVERT_NONE) {
        drop_parts(plan, statement);
    }
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

/* Whether a statement about TYPE is one about PLAN: those without a new type are about all plans of the old
 * one. */
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

/* ---- all of them ----------------------------------------------------------------------------------- */

/* Structures without a name are dealt with where they stand. Numbers and pointers have plans for variables
 * and for elements of flexible arrays. */
static bool has_plan(const struct type *type)
{
    bool scalar = type && (type->kind == TYPE_BASE || type->kind == TYPE_ENUM || type->kind == TYPE_POINTER);

    return scalar || (type && type_is_compound(type) && (type->name || type->alias));
}

static void add_changed(struct policy_plans *plans)
{
    for (size_t i = 0; i < type_changes_count(plans->changes); i++) {
        const struct type_change *change = type_changes_at(plans->changes, i);
        if (has_plan(change->old) && has_plan(change->new)) {
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
        if (statement->kind != POLICY_INVARIANT && has_plan(use->old) && has_plan(use->new)) {
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
    add_changed(plans);
    add_asked(plans);
    for (size_t i = 0; i < plans->list.count; i++) {
        if (plans->list.items[i]->composed) { /* decided when its links were made */
            continue;
        }
        apply_statements(plans, plans->list.items[i]);
        policy_decide_unions(plans, plans->list.items[i]);
        policy_settle(plans->list.items[i]);
    }
    policy_settle_all(plans);
    struct molt_error *error = plans->error;
    plans->error = NULL;
    return error ? error : policy_find_makers(plans);
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
    compositions_free(plans);
    LIST_FREE(&plans->list);
    LIST_FREE(&plans->uses);
    table_deinit(&plans->names);
    molt_error_destroy(plans->error);
    plans->error = NULL;
}
