/*
 * A statement counts in an update if its function is in a unit that changes. Policies stay in the user's
 * repository after their update: one that gives nothing but locals that the old version has as well, and
 * speaks of others that this has not, was for an update before this one and is left out. What it reads and
 * gives is seen by its words: old->LOCAL and new->LOCAL.
 */
#include "patch/transfer/frame_policy.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a policy says ---------------------------------------------------------------------------- */

static bool is_word(char character)
{
    return isalnum((unsigned char)character) || character == '_';
}

/* The end of the word, string or single character at AT. */
static const char *token_end(const char *at, const char *end)
{
    const char *from = at;

    if (*at == '"' || *at == '\'') {
        for (at++; at < end && *at != *from; at++) {
            at += *at == '\\';
        }
        return at < end ? at + 1 : end;
    }
    while (at < end && is_word(*at)) {
        at++;
    }
    return at > from ? at : from + 1;
}

/* Passes over space and lines of the preprocessor, which begin with '#', and nothing else does. */
static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (isspace((unsigned char)*at) || *at == '#')) {
        const char *line = *at == '#' ? memchr(at, '\n', end - at) : at + 1;
        at = line ? line : end;
    }
    return at;
}

static void add_word(frame_words *words, const char *word, size_t length)
{
    for (size_t i = 0; i < words->count; i++) {
        if (strlen(words->items[i]) == length && strncmp(words->items[i], word, length) == 0) {
            return;
        }
    }
    LIST_ADD(words, must_strndup(word, length));
}

/* The name of the parameter that is a pointer to the structure of VERSION, in the function's head at AT. */
static char *parameter_name(const char *at, const char *end, const char *function, const char *version)
{
    char *structure = must_printf("molt_frame_%s_molt_%s", function, version);
    const char *found = memmem(at, end - at, structure, strlen(structure));
    const char *star = found ? memchr(found, '*', end - found) : NULL;
    const char *name = star ? skip_space(star + 1, end) : end;
    size_t length = 0;

    while (name + length < end && is_word(name[length])) {
        length++;
    }
    free(structure);
    return must_strndup(name, length);
}

/* Adds the members that NAME is used for in the body from AT on. False: it is used as a whole. */
static bool read_uses(const char *at, const char *end, const char *name, frame_words *ret)
{
    bool member = false; /* of something else */

    while ((at = skip_space(at, end)) < end) {
        const char *next = token_end(at, end);
        size_t length = next - at;
        if (!member && strlen(name) == length && strncmp(at, name, length) == 0) {
            const char *arrow = skip_space(next, end);
            if (end - arrow < 2 || strncmp(arrow, "->", 2) != 0) {
                return false;
            }
            const char *word = skip_space(arrow + 2, end);
            add_word(ret, word, token_end(word, end) - word);
        }
        member = *at == '.' || (*at == '>' && at[-1] == '-');
        at = next;
    }
    return true;
}

/* Finds what the function that follows the statement reads and gives. False: not by its words. */
static bool read_function(struct frame_policy *policy)
{
    const struct policy_text *text = &policy->file->text;
    bool plain = true;

    for (size_t i = 0; i < text->pieces.count; i++) {
        const struct policy_piece *piece = &text->pieces.items[i];
        const char *start = text->bytes + piece->start, *end = text->bytes + piece->end;
        const char *body = memchr(start, '{', end - start);
        if (piece->statement < 0 || text->statements.items[piece->statement] != policy->statement || !body) {
            continue;
        }
        char *old = parameter_name(start, body, policy->statement->old_type, "old");
        char *new = parameter_name(start, body, policy->statement->old_type, "new");
        plain = *old && *new &&read_uses(body, end, old, policy->back ? &policy->gives : &policy->sees) &&
                read_uses(body, end, new, policy->back ? &policy->sees : &policy->gives);
        free(old);
        free(new);
    }
    return plain;
}

/* ---- whether it is about this update --------------------------------------------------------------- */

static struct molt_error *refuse(struct build *build, const struct frame_policy *policy, char *message)
{
    const struct policy_statement *statement = policy->statement;

    molt_diagnostics_add(&build->result->diagnostics, MOLT_SEVERITY_ERROR, statement->file, statement->line,
                         0, "policy", "%s", message);
    struct molt_error *error =
        molt_error_at(MOLT_ERROR_REFUSED, statement->file, statement->line, "%s", message);
    free(message);
    return error;
}

static const struct frame_locals *seen_locals(const struct frame_policy *policy)
{
    return &policy->locals[policy->back ? FRAME_NEW : FRAME_OLD];
}

static const struct frame_locals *given_locals(const struct frame_policy *policy)
{
    return &policy->locals[policy->back ? FRAME_OLD : FRAME_NEW];
}

/* The first of WORDS that is no member of LOCALS, or NULL. */
static const char *first_missing(const frame_words *words, const struct frame_locals *locals)
{
    for (size_t i = 0; i < words->count; i++) {
        if (!frame_locals_member(locals, words->items[i], strlen(words->items[i]))) {
            return words->items[i];
        }
    }
    return NULL;
}

/* Whether POLICY gives a local that the version it comes from does not have like that. */
static bool gives_something(const struct frame_policy *policy)
{
    for (size_t i = 0; i < policy->gives.count; i++) {
        const char *word = policy->gives.items[i];
        const struct frame_member *to = frame_locals_member(given_locals(policy), word, strlen(word)),
                                  *from = frame_locals_member(seen_locals(policy), word, strlen(word));
        if (!to || !from || to->type->hash != from->type->hash) {
            return true;
        }
    }
    return false;
}

/* The file's MOLT_UNIT for FUNCTION, or NULL. */
static const char *unit_of(const struct policy_file *file, const char *function)
{
    for (size_t i = 0; i < file->text.statements.count; i++) {
        const struct policy_statement *statement = file->text.statements.items[i];
        if (statement->kind == POLICY_UNIT && strcmp(statement->old_type, function) == 0) {
            return statement->from;
        }
    }
    return NULL;
}

static struct type_model *make_model(struct frame_policies *policies, struct object *object, const char *name)
{
    struct type_model *model = type_model_create();

    type_model_add_all(model, object_dwarf(object), name);
    LIST_ADD(&policies->models, model);
    return model;
}

/* Whether UNIT has the function of POLICY in both versions; then it is the policy's. */
static bool take_unit(struct frame_policies *policies, struct frame_policy *policy,
                      const struct changed_unit *unit)
{
    struct frame_policy found = { .unit = unit };
    const char *name = unit->unit->entry->name, *function = policy->statement->old_type;
    struct object *objects[2] = { unit->comparison.old, unit->comparison.new };
    bool both = true;

    for (unsigned i = 0; i < 2 && both; i++) {
        found.models[i] = make_model(policies, objects[i], name);
        both = frame_locals_find(&found.locals[i], object_dwarf(objects[i]), found.models[i], function);
    }
    for (unsigned i = 0; i < 2; i++) {
        frame_locals_deinit(&policy->locals[i]);
        policy->locals[i] = found.locals[i];
        policy->models[i] = found.models[i];
    }
    policy->unit = unit;
    return both;
}

/* Finds the unit of POLICY's function. 0: there is none. */
static unsigned find_units(struct build *build, struct frame_policies *policies, struct frame_policy *policy)
{
    const char *wanted = unit_of(policy->file, policy->statement->old_type);
    const struct changed_unit *found = NULL;
    unsigned count = 0;

    for (size_t i = 0; i < build->units.count; i++) {
        const struct changed_unit *unit = build->units.items[i];
        bool counts = unit->compared && unit->placed && unit->comparison.different && !unit->neighbour &&
                      (!wanted || strcmp(unit->unit->entry->name, wanted) == 0);
        if (counts && take_unit(policies, policy, unit)) {
            found = unit;
            count++;
        }
    }
    if (found && policy->unit != found) {
        take_unit(policies, policy, found);
    }
    return count;
}

/* *RET_COUNTS: it is for this update. */
static struct molt_error *judge(struct build *build, struct frame_policies *policies,
                                struct frame_policy *policy, bool *ret_counts)
{
    const char *function = policy->statement->old_type;
    bool plain = read_function(policy);
    unsigned units = find_units(build, policies, policy);

    *ret_counts = false;
    if (!units) {
        return NULL;
    }
    const char *unseen = first_missing(&policy->sees, seen_locals(policy));
    if (plain && unseen && !gives_something(policy)) {
        return NULL;
    }
    if (units > 1) {
        return refuse(build, policy,
                      must_printf("'%s' is a function of several files that change: say which is meant by "
                                  "MOLT_UNIT(%s, \"the file\")",
                                  function, function));
    }
    if (!plain) {
        return refuse(build, policy,
                      must_printf("the locals of %s can only be named one by one, as old->NAME and "
                                  "new->NAME: that tells which of them are read and given",
                                  function));
    }
    const char *ungiven = first_missing(&policy->gives, given_locals(policy));
    if (unseen || ungiven) {
        bool old = (unseen != NULL) != policy->back;
        return refuse(build, policy,
                      must_printf("%s has no local `%s` in its %s version, as its debug information tells",
                                  function, unseen ? unseen : ungiven, old ? "old" : "new"));
    }
    *ret_counts = true;
    return NULL;
}

/* ---- all of them ----------------------------------------------------------------------------------- */

static void free_words(frame_words *words)
{
    for (size_t i = 0; i < words->count; i++) {
        free(words->items[i]);
    }
    LIST_FREE(words);
}

static void free_policy(struct frame_policy *policy)
{
    frame_locals_deinit(&policy->locals[FRAME_OLD]);
    frame_locals_deinit(&policy->locals[FRAME_NEW]);
    free_words(&policy->sees);
    free_words(&policy->gives);
    free(policy);
}

static struct molt_error *take_statements(struct build *build, struct frame_policies *policies,
                                          struct policy_file *file)
{
    struct molt_error *error = NULL;

    for (size_t i = 0; i < file->text.statements.count; i++) {
        struct policy_statement *statement = file->text.statements.items[i];
        statement->dropped = true;
        if (error || !policy_is_for_frames(statement)) {
            continue;
        }
        struct frame_policy *policy = must_calloc(1, sizeof(*policy));
        bool counts;
        policy->statement = statement;
        policy->file = file;
        policy->back = statement->kind == POLICY_TRANSFER_BACK;
        error = judge(build, policies, policy, &counts);
        if (counts) {
            statement->dropped = false;
            LIST_ADD(&policies->list, policy);
        } else {
            free_policy(policy);
        }
    }
    return error;
}

/* Old types that nothing declares: what uses them is for the migration of instances. */
static void find_undeclared(const struct policy_file *file, const char *declarations, struct table *ret)
{
    for (size_t i = 0; i < file->text.pieces.count; i++) {
        const struct policy_piece *piece = &file->text.pieces.items[i];
        for (size_t k = 0; k < piece->olds.count; k++) {
            if (!strstr(declarations, piece->olds.items[k])) {
                table_put(ret, piece->olds.items[k], ret);
            }
        }
    }
}

static void add_source(struct frame_policies *policies, const struct policy_file *file)
{
    struct table undeclared = { 0 };
    char *declarations = frame_policies_declare(policies, file),
         *name = must_printf("molt/frames%s", strrchr(file->name, '/'));

    find_undeclared(file, declarations, &undeclared);
    policy_sources_add(&policies->sources, name, policy_text_reduce(&file->text, &undeclared, declarations));
    table_deinit(&undeclared);
    free(declarations);
    free(name);
}

static bool is_used(const struct frame_policies *policies, const struct policy_file *file)
{
    for (size_t i = 0; i < policies->list.count; i++) {
        if (policies->list.items[i]->file == file) {
            return true;
        }
    }
    return false;
}

static struct molt_error *make(struct build *build, const struct policy_setup *setup,
                               struct frame_policies *policies)
{
    struct molt_error *error = policy_files_read(setup, &policies->files);

    for (size_t i = 0; i < policies->files.count && !error; i++) {
        error = take_statements(build, policies, policies->files.items[i]);
    }
    for (size_t i = 0; i < policies->files.count && !error; i++) {
        if (is_used(policies, policies->files.items[i])) {
            add_source(policies, policies->files.items[i]);
        }
    }
    return error || !policies->sources.count ? error : policy_sources_compile(setup, &policies->sources);
}

/* Whether any policy file speaks of suspended functions: preprocessing them takes a compiler. */
static bool any_is_mentioned(struct build *build)
{
    char *directory = must_printf("%s/molt", build->session->db.root), **names;
    struct molt_error *error = tree_make_mirror(&build->to);
    size_t count = error ? 0 : policy_files_list(build->session, &build->to, directory, &names);
    bool found = false;

    molt_error_destroy(error);
    for (size_t i = 0; i < count; i++) {
        char *path = must_printf("%s/%s", directory, names[i]), *now = tree_file(&build->to, path),
             *text = NULL;
        size_t size;
        molt_error_destroy(file_read(now, &text, &size));
        found = found || (text && strstr(text, "MOLT_TRANSFER"));
        free(text);
        free(now);
        free(path);
        free(names[i]);
    }
    if (count) {
        free(names);
    }
    free(directory);
    return found;
}

/* Of several updates in one: a frame goes from the first version to the last at once, and is never in those
 * in between. Policies that stayed in the repository from an earlier update, and give nothing that differs in
 * this one, are fine. */
static struct molt_error *refuse_in_stage(struct build *build)
{
    const struct frame_policy *policy = NULL;

    for (size_t i = 0; i < build->frames->list.count && !policy; i++) {
        policy = gives_something(build->frames->list.items[i]) ? build->frames->list.items[i] : NULL;
    }
    return policy
               ? refuse(
                     build, policy,
                     must_printf(
                         "MOLT_TRANSFER of %s is about a version in between, in which a suspended function "
                         "never is when several updates are made one. Make a patch for each step, with "
                         "--after, and apply them one after the other",
                         policy->statement->old_type))
               : NULL;
}

struct molt_error *frame_policies_make(struct build *build)
{
    bool composed = build->request->stages && !build->request->is_stage; /* its stages have been asked */

    if (!build->contributions.count || composed || !any_is_mentioned(build)) {
        return NULL;
    }
    const struct changed_unit *first = build_unit_of(build, build->contributions.items[0]->comparison);
    const struct compile_setup compile = build_setup(build->session, build->request);
    const struct policy_setup setup = { .session = build->session,
                                        .compile = &compile,
                                        .to = &build->to,
                                        .neighbour = first->unit->entry,
                                        .diagnostics = &build->result->diagnostics };

    build->frames = must_calloc(1, sizeof(*build->frames));
    struct molt_error *error = make(build, &setup, build->frames);
    return !error && build->request->is_stage ? refuse_in_stage(build) : error;
}

void frame_policies_destroy(struct frame_policies *policies)
{
    if (!policies) {
        return;
    }
    for (size_t i = 0; i < policies->list.count; i++) {
        free_policy(policies->list.items[i]);
    }
    for (size_t i = 0; i < policies->models.count; i++) {
        type_model_destroy(policies->models.items[i]);
    }
    LIST_FREE(&policies->list);
    LIST_FREE(&policies->models);
    policy_code_deinit(&policies->code);
    policy_sources_free(&policies->sources);
    policy_files_free(&policies->files);
    free(policies);
}

/* ---- in the patch ---------------------------------------------------------------------------------- */

void frame_policies_contribute(struct frame_policies *policies, struct emission *emission,
                               const struct image *const *images, size_t count)
{
    if (policies) {
        policy_code_contribute(&policies->code, &policies->sources, emission, images, count);
    }
}

uint32_t frame_policy_symbol(const struct frame_policies *policies, const struct frame_policy *policy,
                             const struct image *image)
{
    for (size_t i = 0; i < policies->code.contributions.count; i++) {
        const struct contribution *contribution = policies->code.contributions.items[i];
        const struct object *object = contribution->comparison->new;
        for (size_t k = 1; contribution->image == image && k < object->symbol_count; k++) {
            if (object->symbols[k].section && contribution->symbols &&
                strcmp(object->symbols[k].name, policy->statement->function) == 0) {
                return contribution->symbols[k];
            }
        }
    }
    return 0;
}

const struct frame_policy *frame_policy_for(const struct frame_policies *policies,
                                            const struct changed_unit *unit, bool back, const char *function,
                                            const char *callee)
{
    const struct frame_policy *general = NULL;

    for (size_t i = 0; policies && function && i < policies->list.count; i++) {
        const struct frame_policy *policy = policies->list.items[i];
        const char *only = policy->statement->from;
        if (policy->unit != unit || policy->back != back ||
            strcmp(policy->statement->old_type, function) != 0) {
            continue;
        }
        if (*only && strcmp(only, callee) == 0) {
            return policy;
        }
        general = general || *only ? general : policy;
    }
    return general;
}
