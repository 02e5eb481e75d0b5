/*
 * Declarations of the types that policies speak of. Old ones that changed get a suffix, so that both versions
 * can stand side by side; what did not change is one type for both.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/policy/path.h"
#include "patch/policy/stage.h"
#include "patch/policy/write_private.h"

/* Whether TYPE, of the old model, is declared with the suffix: it changed, or a plan leads away from it. */
static bool is_suffixed(void *context, const struct type *type)
{
    const struct policy_plans *plans = context;

    if (type_is_changed(plans->changes, type)) {
        return true;
    }
    for (size_t i = 0; i < plans->list.count; i++) {
        if (plans->list.items[i]->old == type) {
            return true;
        }
    }
    return false;
}

bool policy_is_suffixed(void *context, const struct type *type)
{
    return is_suffixed((void *)((struct policy_knowledge *)context)->plans, type);
}

/* Whether an earlier one of the updates that are put together changes TYPE: what a pointer to it leads to is
 * as it was before that when the policies run. */
static bool is_hidden(void *context, const struct type *type)
{
    const struct policy_knowledge *knowledge = context;
    char *key = type_key(type);
    bool hidden = policy_stages_change(knowledge->plans->before, key);

    free(key);
    return hidden;
}

bool policy_is_known(void *context, const char *name)
{
    const struct policy_knowledge *knowledge = context;

    return (knowledge->names && table_get(knowledge->names, name)) ||
           (knowledge->declarations && declarations_has(knowledge->declarations, name));
}

/* Declares what the pointers on the way to PATH lead to. */
static void declare_on_the_way(struct declarations *declarations, const struct type *type, const char *path)
{
    for (const char *arrow = strstr(path, "->"); arrow; arrow = strstr(arrow + 2, "->")) {
        char *prefix = must_strndup(path, arrow - path);
        struct policy_place place;
        if (policy_place_find(type, prefix, &place) && type_strip(place.type)->inner) {
            declare(declarations, type_strip(type_strip(place.type)->inner));
        }
        free(prefix);
    }
}

void policy_declare_old(const struct policy_plan *plan, struct declarations *declarations)
{
    declare(declarations, plan->old);
    for (size_t i = 0; i < plan->steps.count; i++) {
        if (plan->steps.items[i].indirect) {
            declare_on_the_way(declarations, plan->old, plan->steps.items[i].old.path);
        }
    }
}

bool policy_is_plain(void *context, const struct type *type)
{
    return false;
}

static bool is_of(const struct policy_text *text, const struct policy_statement *statement)
{
    for (size_t i = 0; i < text->statements.count; i++) {
        if (text->statements.items[i] == statement) {
            return true;
        }
    }
    return false;
}

/* Declares the new types that the statements of TEXT are about and its headers do not tell: those of a source
 * file. */
static void declare_new(const struct policy_plans *plans, const struct policy_text *text,
                        struct declarations *declarations)
{
    for (size_t i = 0; i < plans->uses.count; i++) {
        const struct policy_use *use = &plans->uses.items[i];
        if (!is_of(text, use->statement)) {
            continue;
        }
        if (use->new) {
            declare(declarations, use->new);
        }
        for (size_t k = 0; k < use->statement->choices.count; k++) {
            const struct type *choice =
                type_model_find(plans->new_types, use->statement->choices.items[k], NULL, NULL);
            if (choice) {
                declare(declarations, type_strip(choice));
            }
        }
    }
}

char *policy_write_types_for(const struct policy_plans *plans, const struct policy_text *user)
{
    struct text text = { 0 };
    struct policy_knowledge before = { .plans = plans, .names = &user->names }, after = before;
    struct declaration_rules old_rules = { .suffix = POLICY_OLD_SUFFIX,
                                           .suffixed = policy_is_suffixed,
                                           .hidden = is_hidden,
                                           .known = policy_is_known,
                                           .context = &before };
    struct declaration_rules new_rules = {
        .suffix = "", .suffixed = policy_is_plain, .known = policy_is_known, .context = &after
    };

    text_puts(&text, "");
    struct declarations *old_types = declarations_create(&old_rules, &text);
    after.declarations = old_types;
    struct declarations *new_types = declarations_create(&new_rules, &text);
    for (size_t i = 0; i < plans->uses.count; i++) { /* of types of one name, those that it speaks of */
        const struct type *old = plans->uses.items[i].old;
        if (old && is_suffixed((void *)plans, old) && is_of(user, plans->uses.items[i].statement)) {
            declare(old_types, old);
        }
    }
    for (size_t i = 0; i < plans->list.count; i++) {
        if (!*plans->list.items[i]->group) {
            policy_declare_old(plans->list.items[i], old_types);
        }
    }
    declare_new(plans, user, new_types);
    declarations_destroy(old_types);
    declarations_destroy(new_types);
    return must_have(text_steal(&text));
}
