/*
 * Places of members that the program keeps as numbers: containers that hold no pointer to what they contain,
 * but to a link inside it, note how far the link is from the start (`table->where = offsetof(struct item,
 * link)`), and find the one from the other. If a member is added in front of the link, the new code stores
 * the new number, and what lives keeps the old one: it would be used as if it were right. Such numbers are
 * not told from others in memory, so the patch is refused.
 *
 * The functions that store one have other code than before, so only units that take part are read.
 */
#include <dwarf.h>
#include <stdlib.h>

#include "base/text.h"
#include "patch/build_state_private.h"
#include "patch/policy/path.h"
#include "patch/probe/probe.h"

/* The type that the answer to QUESTION is, as the unit KEY means it; NULL if it has no name. */
static const struct type *type_of_answer(const struct build_state *state, const struct evidence *question,
                                         const char *key)
{
    Dwarf_Die die = question->type;
    const char *name = question->known ? dwarf_diename(&die) : NULL;
    const char *word = dwarf_tag(&die) == DW_TAG_structure_type ? "struct "
                       : dwarf_tag(&die) == DW_TAG_union_type   ? "union "
                                                                : "";
    char *written = name ? must_printf("%s%s", word, name) : NULL;
    const struct type *type = written ? type_model_find(state->old, written, key, NULL) : NULL;

    free(written);
    return type ? type_strip(type) : NULL;
}

/* Whether a policy that was written for this update is about HOLDER: it says what becomes of the numbers. */
static bool is_spoken_of(const struct build_state *state, const struct type *holder)
{
    for (size_t i = 0; i < state->mentions.count; i++) {
        const struct policy_mention *mention = &state->mentions.items[i];
        const struct type *type = type_model_find(state->old, mention->type, NULL, NULL);
        if (mention->fresh && type && type_strip(type) == holder) {
            return true;
        }
    }
    return false;
}

/* What KEPT, an assignment in the unit KEY, does: a refusal if the place that it stores has changed. */
static struct molt_error *judge(const struct build *build, const char *directory, const char *key,
                                const struct candidate *kept)
{
    const struct build_state *state = build->state;
    const struct type *holder = type_of_answer(state, &kept->evidence.items[0], key);
    const struct type *whole = type_of_answer(state, &kept->evidence.items[1], key);
    const struct type_change *change = whole ? type_changes_of_old(state->changes, whole) : NULL;
    struct policy_place before, after;

    if (!change || !change->new || !policy_place_find(change->old, kept->path, &before) ||
        !policy_place_find(change->new, kept->path, &after) || before.bit == after.bit ||
        (holder && is_spoken_of(state, holder))) {
        return NULL;
    }
    char *path = must_have(path_normalise(directory, kept->file)),
         *file = tree_original_path(&build->from, path);
    struct text name = { 0 }, in = { 0 };
    type_describe(whole, &name);
    if (holder) {
        type_describe(holder, &in);
    }
    struct molt_error *error =
        molt_error_at(MOLT_ERROR_REFUSED, file, kept->line,
                      "%s keeps in member '%s'%s%s how far '%s' is from the start of %s: %lu bytes before, "
                      "%lu now. What lives "
                      "holds the old number, which would lead the new code astray: put what is new behind "
                      "'%s', so that it stays "
                      "where it is, or restart the program",
                      kept->function, kept->member, holder ? " of " : "", holder ? in.bytes : "", kept->path,
                      name.bytes, (unsigned long)before.bit / 8, (unsigned long)after.bit / 8, kept->path);
    text_deinit(&name);
    text_deinit(&in);
    free(path);
    free(file);
    return error;
}

static struct molt_error *judge_all(const struct build *build, const struct probe_request *request,
                                    const char *key)
{
    const struct probe *probe = request->probe;
    struct molt_error *error = NULL;

    for (size_t i = 0; !error && probe && probe->path && i < probe->candidates.count; i++) {
        error = judge(build, request->unit->entry->directory, key, probe->candidates.items[i]);
    }
    return error;
}

/* A unit that is linked into several binaries is read once. */
static bool is_asked(const struct probe_request *requests, size_t count, const struct unit *unit)
{
    for (size_t i = 0; i < count; i++) {
        if (requests[i].unit == unit) {
            return true;
        }
    }
    return false;
}

/* Whether a member may be at another place in its type: not if types only got more behind what they had. */
static bool members_move(const struct type_changes *changes)
{
    const unsigned harmless = TYPE_CHANGE_ADDED | TYPE_CHANGE_SIZE | TYPE_CHANGE_ENUMERATORS;
    bool move = false;

    for (size_t i = 0; i < type_changes_count(changes) && !move; i++) {
        const struct type_change *change = type_changes_at(changes, i);
        move = change->old && change->new && (change->kinds & ~harmless);
    }
    return move;
}

struct molt_error *build_offsets_check(struct build *build)
{
    if (!members_move(build->state->changes)) {
        return NULL; /* else each unit would have to be preprocessed */
    }
    struct compile_setup setup = build_setup(build->session, build->request);
    LIST(struct probe_request) requests = { 0 };
    LIST(const char *) keys = { 0 };

    for (size_t i = 0; i < build->contributions.count; i++) {
        const struct contribution *contribution = build->contributions.items[i];
        const struct changed_unit *changed = build_unit_of(build, contribution->comparison);
        if (!changed->neighbour && !is_asked(requests.items, requests.count, changed->unit)) {
            LIST_ADD(&requests,
                     (struct probe_request){ .unit = changed->unit, .tree = &build->from, .offsets = true });
            LIST_ADD(&keys, contribution->key);
        }
    }
    struct molt_error *error = probe_run(&setup, requests.items, requests.count);
    for (size_t i = 0; i < requests.count; i++) {
        error = error ? error : judge_all(build, &requests.items[i], keys.items[i]);
        probe_destroy(requests.items[i].probe);
    }
    LIST_FREE(&requests);
    LIST_FREE(&keys);
    return error;
}
