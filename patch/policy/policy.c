/*
 * All about the policies of one patch: the user's files are read first, since they say what the generated
 * code has to do; then the plans are made, the C is written, and everything is compiled at once.
 */
#include "patch/policy/policy.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "patch/policy/compose.h"
#include "patch/policy/private.h"
#include "patch/policy/stage.h"

#define GENERATED "molt/by-name"

/* Whether DECLARATIONS speak of WORD. */
static bool speaks_of(const char *declarations, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = declarations; (at = strstr(at, word)); at += length) {
        bool starts = at == declarations || (!isalnum((unsigned char)at[-1]) && at[-1] != '_');
        if (starts && !isalnum((unsigned char)at[length]) && at[length] != '_') {
            return true;
        }
    }
    return false;
}

/* Whether all statements of TEXT about the old type called WORD are for other updates. */
static bool is_dropped(const struct policy_text *text, const char *word)
{
    bool any = false;

    for (size_t i = 0; i < text->statements.count; i++) {
        const struct policy_statement *statement = text->statements.items[i];
        bool typed = statement->kind != POLICY_INVARIANT && statement->kind != POLICY_VERSIONS &&
                     statement->kind != POLICY_UNIT && !policy_is_for_frames(statement);
        char *own = policy_old_word(statement->old_type);
        bool about = typed && strcmp(own, word) == 0;
        free(own);
        if (about && !statement->dropped) {
            return false;
        }
        any = any || about;
    }
    return any;
}

/* The old types' names that nothing in FILE may use: they are not declared, or left to other updates. */
static void find_unusable(const struct policy_file *file, const char *declarations, struct table *ret)
{
    for (size_t i = 0; i < file->text.pieces.count; i++) {
        const struct policy_piece *piece = &file->text.pieces.items[i];
        for (size_t k = 0; k < piece->olds.count; k++) {
            const char *word = piece->olds.items[k];
            if (!speaks_of(declarations, word) || is_dropped(&file->text, word)) {
                table_put(ret, word, ret);
            }
        }
    }
}

static bool is_used(const struct policy_file *file)
{
    for (size_t i = 0; i < file->text.statements.count; i++) {
        if (!file->text.statements.items[i]->dropped) {
            return true;
        }
    }
    return false;
}

static void add_users_sources(struct policies *policies)
{
    for (size_t i = 0; i < policies->files.count; i++) {
        struct policy_file *file = policies->files.items[i];
        struct table unusable = { 0 };
        if (!is_used(file)) {
            continue;
        }
        char *declarations = policy_write_types_for(&policies->plans, &file->text);
        find_unusable(file, declarations, &unusable);
        policy_sources_add(&policies->sources, file->name,
                           policy_text_reduce(&file->text, &unusable, declarations));
        table_deinit(&unusable);
        free(declarations);
    }
}

/* One source for all types whose names are clear, and one for each unit that means something of its own by a
 * name. */
static void add_generated_sources(struct policies *policies)
{
    const struct policy_plans *plans = &policies->plans;
    struct table seen = { 0 };
    struct text all = { 0 };
    unsigned count = 0;

    for (size_t i = 0; i < plans->list.count; i++) {
        const char *group = plans->list.items[i]->group;
        if (table_put(&seen, group, policies)) {
            continue;
        }
        char *name = *group ? must_printf(GENERATED "-%u.c", ++count) : must_strdup(GENERATED ".c");
        char *text = policy_write_group(plans, group);
        text_puts(&all, text);
        policy_sources_add(&policies->sources, name, text);
        free(name);
    }
    policies->text = all.length ? must_have(text_steal(&all)) : NULL;
    table_deinit(&seen);
}

static struct molt_error *make(struct policies *policies)
{
    const struct policy_input *input = policies->input;
    struct molt_error *error = policy_files_read(&input->setup, &policies->files);

    if (!error) {
        error = compositions_find(&policies->plans);
    }
    if (!error) {
        policy_plans_take(&policies->plans, &policies->files);
        error = policy_plans_make(&policies->plans);
    }
    if (error) {
        return error;
    }
    add_users_sources(policies);
    add_generated_sources(policies);
    if (policies->plans.compositions.count) {
        policy_stages_add_sources(input->stages, &policies->sources);
    }
    return policy_sources_compile(&input->setup, &policies->sources);
}

struct molt_error *policies_create(const struct policy_input *input, struct policies **ret)
{
    struct policies *policies = must_calloc(1, sizeof(*policies));
    struct molt_error *error = NULL;

    policies->input = input;
    policies->plans = (struct policy_plans){ .changes = input->changes,
                                             .old_types = input->old_types,
                                             .new_types = input->new_types,
                                             .earlier = input->earlier,
                                             .earlier_count = input->earlier_count,
                                             .visit_initialisers = input->visit_initialisers,
                                             .initialisers_context = input->initialisers_context,
                                             .stages = input->is_stage ? NULL : input->stages,
                                             .before = input->is_stage ? input->stages : NULL,
                                             .diagnostics = input->setup.diagnostics };
    if (type_changes_count(input->changes)) {
        error = make(policies);
    }
    if (error) {
        policies_destroy(policies);
    } else {
        *ret = policies;
    }
    return error;
}

void policies_destroy(struct policies *policies)
{
    if (!policies) {
        return;
    }
    policy_code_deinit(&policies->code);
    policy_sources_free(&policies->sources);
    policy_plans_deinit(&policies->plans);
    policy_files_free(&policies->files);
    free(policies->text);
    free(policies);
}

const char *policies_text(const struct policies *policies)
{
    return policies->text;
}
