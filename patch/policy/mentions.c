/*
 * Policy files as text. Preprocessing them takes a compiler, and is only done when a type changed; but
 * whether one did may depend on them: a member that surely has another name only is no change, unless a
 * policy has something to say about the type. The macros' names and the first argument tell enough.
 */
#include "patch/policy/mentions.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Whether MOLT_WORD(type, ...) states what becomes of instances of a type in an update. */
static bool is_statement(const char *word, size_t length, bool *ret_becomes)
{
    static const char *const statements[] = { "MIGRATE",    "INVERT",      "RENAME",     "DEFAULT",
                                              "DROP",       "DELETE",      "TEXT",       "CUSTOM",
                                              "ENUMERATOR", "UNION",       "SPLIT",      "MIGRATE_AS",
                                              "VALIDATE",   "VALIDATE_AS", "RENAME_TYPE" };

    for (size_t i = 0; i < sizeof(statements) / sizeof(*statements); i++) {
        if (strlen(statements[i]) == length && strncmp(word, statements[i], length) == 0) {
            *ret_becomes = strcmp(statements[i], "SPLIT") == 0 || strstr(statements[i], "_AS") ||
                           strcmp(statements[i], "RENAME_TYPE") == 0;
            return true;
        }
    }
    return false;
}

/* The words from AT up to a comma or parenthesis, one space between them. */
static char *argument(const char *at)
{
    struct text result = { 0 };

    text_puts(&result, "");
    for (; *at && *at != ',' && *at != ')' && *at != '('; at++) {
        bool space = isspace((unsigned char)*at);
        if (!space) {
            text_append(&result, at, 1);
        } else if (result.length && result.bytes[result.length - 1] != ' ') {
            text_append(&result, " ", 1);
        }
    }
    while (result.length && result.bytes[result.length - 1] == ' ') {
        result.bytes[--result.length] = '\0';
    }
    return must_have(text_steal(&result));
}

/* What the arguments at AT are about. */
static struct policy_mention mention(const char *at, const char *statement)
{
    const char *comma = strncmp(statement, "RENAME_TYPE", 11) == 0 ? at + strcspn(at, ",)") : "";

    return (struct policy_mention){ .type = argument(at),
                                    .renamed = *comma == ',' ? argument(comma + 1) : NULL };
}

static void read_text(const char *text, const char *name, bool fresh, policy_mentions *ret)
{
    unsigned line = 1;
    bool start = true; /* of a line: statements begin there */

    for (const char *at = text; *at; at++) {
        size_t length =
            start && strncmp(at, "MOLT_", 5) == 0 ? strspn(at + 5, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") : 0;
        const char *open = at + 5 + length + (length ? strspn(at + 5 + length, " \t") : 0);
        bool becomes;
        if (length && *open == '(' && is_statement(at + 5, length, &becomes)) {
            struct policy_mention found = mention(open + 1, at + 5);
            found.file = must_strdup(name);
            found.line = line;
            found.fresh = fresh;
            found.becomes = becomes;
            LIST_ADD(ret, found);
        }
        start = *at == '\n' || (start && isspace((unsigned char)*at));
        line += *at == '\n';
    }
}

void policy_mentions_read(struct patch_session *session, struct tree *from, struct tree *to,
                          policy_mentions *ret)
{
    char *directory = must_printf("%s/molt", session->db.root), **names;
    struct molt_error *error = tree_make_mirror(to);
    size_t count = error ? 0 : policy_files_list(session, to, directory, &names);

    molt_error_destroy(error);
    for (size_t i = 0; i < count; i++) {
        char *name = must_printf("molt/%s", names[i]), *path = must_printf("%s/%s", directory, names[i]),
             *text;
        char *now = tree_file(to, path), *before = tree_file(from, path);
        size_t size;
        error = file_read(now, &text, &size);
        if (!error) {
            bool fresh = strcmp(file_hash(session->hashes, now), file_hash(session->hashes, before)) != 0;
            read_text(text, name, fresh, ret);
            free(text);
        }
        molt_error_destroy(error);
        free(now);
        free(before);
        free(path);
        free(name);
        free(names[i]);
    }
    if (count) {
        free(names);
    }
    free(directory);
}

void policy_mentions_free(policy_mentions *mentions)
{
    for (size_t i = 0; i < mentions->count; i++) {
        free(mentions->items[i].type);
        free(mentions->items[i].file);
        free(mentions->items[i].renamed);
    }
    LIST_FREE(mentions);
}

/* "conn" of "struct conn". */
static const char *without_word(const char *type)
{
    const char *space = strrchr(type, ' ');

    return space ? space + 1 : type;
}

json_t *policy_mentions_hints(const policy_mentions *mentions, struct type_model *old, const json_t *changes)
{
    json_t *hints = json_array();

    for (size_t i = 0; i < mentions->count; i++) {
        const struct policy_mention *mention = &mentions->items[i];
        bool done =
            mention->renamed && (!type_model_find(old, mention->type, NULL, NULL) ||
                                 (!mention->fresh && type_model_find(old, mention->renamed, NULL, NULL)));
        if (mention->renamed && !done) {
            json_array_append_new(hints, json_pack("{s:s, s:s, s:s, s:s, s:s, s:f}", "action", "renamed",
                                                   "kind", strchr(mention->type, ' ') ? "type" : "typedef",
                                                   "old_name", without_word(mention->type), "name",
                                                   without_word(mention->renamed), "evidence",
                                                   "MOLT_RENAME_TYPE", "confidence", 1.0));
        }
    }
    if (changes) {
        json_array_extend(hints, (json_t *)changes);
    }
    return hints;
}

/* Whether an entry of CHANGES is about what NAME may mean in some unit. */
static bool is_changed(struct type_model *old, const struct type_changes *changes, const char *name)
{
    const struct type *type = type_model_find(old, name, NULL, NULL);
    bool found = type && type_changes_of_old(changes, type);

    for (size_t i = 0; !found && i < type_changes_count(changes); i++) {
        const struct type_change *change = type_changes_at(changes, i);
        char *key = change->old ? type_key(change->old) : NULL;
        found = key && strcmp(key, name) == 0;
        free(key);
    }
    return found;
}

void policy_mentions_check(const policy_mentions *mentions, struct type_model *old,
                           const struct type_changes *changes, struct molt_diagnostics *diagnostics)
{
    for (size_t i = 0; i < mentions->count; i++) {
        const struct policy_mention *mention = &mentions->items[i];
        if (mention->fresh && !mention->becomes && !is_changed(old, changes, mention->type)) {
            molt_diagnostics_add(diagnostics, MOLT_SEVERITY_WARNING, mention->file, mention->line, 0,
                                 "policy-unused",
                                 "a policy for a type that is not in the patch: %s does not change in this "
                                 "update; the policy is left out",
                                 mention->type);
        }
    }
}
