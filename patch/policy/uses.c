/*
 * Which statements of the policy files count in this update. One does if its type changed (or, where
 * instances become another type, if that is new) and no MOLT_VERSIONS before it in its file says that it is
 * for another change.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/policy/compose.h"

static void fail(struct policy_plans *plans, const struct policy_statement *statement, const char *message)
{
    struct molt_error *error =
        molt_error_at(MOLT_ERROR_REFUSED, statement->file, statement->line, "%s", message);

    molt_diagnostics_add(plans->diagnostics, MOLT_SEVERITY_ERROR, statement->file, statement->line, 0,
                         "policy", "%s", message);
    if (plans->error) {
        molt_error_destroy(error);
    } else {
        plans->error = error;
    }
}

/* The file's MOLT_UNIT for TYPE, or NULL. */
static const char *unit_of(const struct policy_file *file, const char *type)
{
    for (size_t i = 0; i < file->text.statements.count; i++) {
        const struct policy_statement *statement = file->text.statements.items[i];
        if (statement->kind == POLICY_UNIT && strcmp(statement->old_type, type) == 0) {
            return statement->from;
        }
    }
    return NULL;
}

static const struct type *find(struct type_model *model, const struct policy_file *file, const char *name,
                               bool *ret_ambiguous)
{
    const char *unit = unit_of(file, name);
    const struct type *type = *name ? type_model_find(model, name, unit, ret_ambiguous) : NULL;

    return type ? type_strip(type) : NULL;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* Whether the version of TYPE may be called VERSION: the beginning of its hash. */
static bool is_version(const struct type *type, const char *version)
{
    char hex[17] = "";

    if (type) {
        snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)type->hash);
    }
    return strncmp(hex, version, strlen(version)) == 0;
}

/* The MOLT_VERSIONS that counts for statement INDEX of FILE: the last one about its type before it. NULL:
 * there is none. */
static const struct policy_statement *versions_for(const struct policy_file *file, size_t index)
{
    const char *type = file->text.statements.items[index]->old_type;

    for (size_t i = index; i-- > 0;) {
        const struct policy_statement *versions = file->text.statements.items[i];
        if (versions->kind == POLICY_VERSIONS && strcmp(versions->old_type, type) == 0) {
            return versions;
        }
    }
    return NULL;
}

/* Whether an earlier patch has used the statement for another change of its type. */
static bool was_for_others(const struct policy_plans *plans, const struct policy_use *use)
{
    if (use->statement->kind == POLICY_INVARIANT) { /* is for all of them */
        return false;
    }
    for (size_t i = 0; use->old && use->new &&i < plans->earlier_count; i++) {
        size_t index, k;
        json_t *type, *hash;
        json_array_foreach(json_object_get(plans->earlier[i].manifest, "types"), index, type)
        {
            json_array_foreach(json_object_get(type, "policies"), k, hash)
            {
                if (json_is_string(hash) && strcmp(json_string_value(hash), use->statement->hash) == 0) {
                    return !is_version(use->old, text_of(type, "from")) ||
                           !is_version(use->new, text_of(type, "to"));
                }
            }
        }
    }
    return false;
}

/* Whether statement INDEX of FILE is for another change of its type: it says so, or an earlier patch has used
 * it. */
static bool is_for_others(struct policy_plans *plans, const struct policy_file *file, size_t index,
                          const struct policy_use *use)
{
    const struct policy_statement *versions = versions_for(file, index);
    bool others = versions && (!is_version(use->old, versions->from) || !is_version(use->new, versions->to));

    if (others && use->old && type_changes_of_old(plans->changes, use->old)) {
        molt_diagnostics_add(
            plans->diagnostics, MOLT_SEVERITY_NOTE, use->statement->file, use->statement->line, 0,
            "policy-version",
            "not for this update: MOLT_VERSIONS names other versions of %s than %016llx and %016llx",
            use->statement->old_type, (unsigned long long)use->old->hash,
            (unsigned long long)(use->new ? use->new->hash : 0));
    }
    return others || was_for_others(plans, use);
}

/* Whether the type that USE's statement leads to is one that the program has not had. */
static bool leads_to_new(struct policy_plans *plans, const struct policy_file *file,
                         const struct policy_statement *statement)
{
    if (statement->kind == POLICY_SPLIT) {
        for (size_t i = 0; i < statement->choices.count; i++) {
            const char *choice = statement->choices.items[i];
            if (find(plans->new_types, file, choice, NULL) && !find(plans->old_types, file, choice, NULL)) {
                return true;
            }
        }
        return false;
    }
    return strcmp(statement->old_type, statement->new_type) != 0 &&
           find(plans->new_types, file, statement->new_type, NULL) &&
           !find(plans->old_types, file, statement->new_type, NULL);
}

/* Whether the statement is about what this update does. */
static bool is_wanted(struct policy_plans *plans, const struct policy_file *file,
                      const struct policy_use *use)
{
    const struct policy_statement *statement = use->statement;

    if (statement->kind == POLICY_VERSIONS || statement->kind == POLICY_UNIT) {
        return false;
    }
    if (statement->kind == POLICY_INVARIANT) {
        return true;
    }
    return use->old &&
           (type_changes_of_old(plans->changes, use->old) || leads_to_new(plans, file, statement));
}

static void take(struct policy_plans *plans, struct policy_file *file, size_t index)
{
    struct policy_statement *statement = file->text.statements.items[index];

    if (policy_is_for_frames(statement)) {
        statement->dropped = true;
        return;
    }
    bool old_ambiguous = false, new_ambiguous = false;
    struct policy_use use = { statement, find(plans->old_types, file, statement->old_type, &old_ambiguous),
                              find(plans->new_types, file, statement->new_type, &new_ambiguous) };
    char message[512] = "";

    if (!use.new && * statement->new_type) { /* no changed unit speaks of it */
        use.new = use.old &&strcmp(statement->old_type, statement->new_type) == 0
                      ? type_changes_new_of(plans->changes, use.old)
                      : find(plans->old_types, file, statement->new_type, &new_ambiguous);
    }
    statement->dropped = true;
    bool composed = composition_of(plans, use.old) && statement->kind != POLICY_INVARIANT;
    if (composed || is_for_others(plans, file, index, &use)) {
        return;
    }
    if (!use.old && !use.new) {
        snprintf(message, sizeof(message), "the program has no type '%s'", statement->old_type);
    } else if (*statement->new_type && !use.new &&is_wanted(plans, file, &use)) {
        snprintf(message, sizeof(message), "the new sources have no type '%s'", statement->new_type);
    } else if (is_wanted(plans, file, &use)) {
        statement->dropped = false;
        if (old_ambiguous || new_ambiguous) {
            snprintf(message, sizeof(message),
                     "'%s' means different things in different files: say which by "
                     "MOLT_UNIT(%s, \"the file\")",
                     statement->old_type, statement->old_type);
        }
    }
    if (*message) {
        fail(plans, statement, message);
    } else if (!statement->dropped) {
        LIST_ADD(&plans->uses, use);
    }
}

void policy_plans_take(struct policy_plans *plans, policy_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        for (size_t k = 0; k < files->items[i]->text.statements.count; k++) {
            take(plans, files->items[i], k);
        }
    }
}

/* Whether MOLT_RENAME_TYPE says that OLD is NEW. */
static bool is_renamed(const struct policy_plans *plans, const struct type *old, const struct type *new)
{
    for (size_t i = 0; i < plans->uses.count; i++) {
        const struct policy_use *use = &plans->uses.items[i];
        if (use->statement->kind == POLICY_RENAME_TYPE && use->old == old && use->new == new) {
            return true;
        }
    }
    return false;
}

enum type_conversion policy_conversion(const struct policy_plans *plans, const struct type *old,
                                       const struct type *new)
{
    enum type_conversion conversion = types_conversion(plans->changes, old, new);
    enum type_conversion outer = TYPE_CONVERT_MIGRATE;

    old = type_strip(old);
    new = type_strip(new);
    if (conversion != TYPE_CONVERT_NONE) {
        return conversion;
    }
    while (old->kind == new->kind && old->kind == TYPE_ARRAY && old->flexible == new->flexible) {
        outer = TYPE_CONVERT_ARRAY;
        old = type_strip(old->inner);
        new = type_strip(new->inner);
    }
    while (old->kind == new->kind && old->kind == TYPE_POINTER) {
        outer = outer == TYPE_CONVERT_ARRAY ? TYPE_CONVERT_ARRAY : TYPE_CONVERT_COPY;
        old = type_strip(old->inner);
        new = type_strip(new->inner);
    }
    return is_renamed(plans, old, new) ? outer : TYPE_CONVERT_NONE;
}
