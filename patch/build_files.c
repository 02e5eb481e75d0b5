/*
 * Which files a patch changes, noted in its manifest with what they were and are, by hash. A patch that is to
 * follow it begins with the sources that it leads to: if a person names others, functions that they do not
 * differ in from the new sources would stay in the program as the earlier patch has them, and nobody would
 * know.
 */
#include <string.h>

#include "patch/build_files.h"

#define DIGITS 24 /* of a hash: more than chance or carelessness can match */

/* FILE (absolute, as in the root's build) in TREE: a new JSON string, or null if it is not there. */
static json_t *hash_in(const struct build *build, const struct tree *tree, const char *file)
{
    char *path = tree_file(tree, file);
    const char *hex = file_hash(build->session->hashes, path);
    json_t *hash = *hex ? json_stringn(hex, DIGITS) : json_null();

    free(path);
    return must_have(hash);
}

static void note_files(const struct build *build, const struct dependencies *files, json_t *noted)
{
    const char *root = build->session->db.root;

    for (size_t i = 0; files && i < files->count; i++) {
        const char *below = path_below(root, files->files[i]);
        if (!below || json_object_get(noted, below)) {
            continue;
        }
        json_t *before = hash_in(build, &build->from, files->files[i]);
        json_t *after = hash_in(build, &build->to, files->files[i]);
        if (json_equal(before, after)) {
            json_decref(before);
            json_decref(after);
        } else {
            json_object_set_new(noted, below, must_have(json_pack("[o, o]", before, after)));
        }
    }
}

json_t *build_files_note(const struct build *build)
{
    json_t *noted = must_have(json_object());

    for (size_t i = 0; i < build->units.count; i++) {
        struct unit *unit = build->units.items[i]->unit;
        note_files(build, unit_dependencies(unit, &build->from, build->session->hashes), noted);
        note_files(build, unit_dependencies(unit, &build->to, build->session->hashes), noted);
    }
    return noted;
}

/* FILE is neither what the patch at PATH leads to nor what it begins with: comments, or more than that. */
static void warn(struct build *build, const char *file, const char *path)
{
    molt_diagnostics_add(&build->result->diagnostics, MOLT_SEVERITY_WARNING, file, 0, 0, "other-source",
                         "is not as %s leaves it: what differs there is taken for what the program runs",
                         path);
}

static struct molt_error *check_file(struct build *build, const char *below, const json_t *states,
                                     const char *path)
{
    char *file = must_printf("%s/%s", build->session->db.root, below);
    json_t *now = hash_in(build, &build->from, file);
    struct molt_error *error = NULL;

    if (json_equal(now, json_array_get(states, 0))) {
        error = molt_error_new(
            MOLT_ERROR_REFUSED,
            "%s is as it was before %s, which is in force: begin with the sources that %s "
            "leads to (a revision that has them, or --from DIR), or roll it back and leave it out",
            below, path, path);
    } else if (!json_equal(now, json_array_get(states, 1))) {
        warn(build, below, path);
    }
    json_decref(now);
    free(file);
    return error;
}

struct molt_error *build_files_check(struct build *build)
{
    json_t *checked = must_have(json_object());
    struct molt_error *error = NULL;

    for (size_t i = build->earlier_count; i-- > 0 && !error;) { /* what the last one says of a file, holds */
        json_t *files = json_object_get(build->earlier[i].manifest, "files"), *states;
        const char *below;
        json_object_foreach(files, below, states)
        {
            if (!error && !json_object_get(checked, below)) {
                json_object_set_new(checked, below, json_true());
                error = check_file(build, below, states, build->earlier[i].path);
            }
        }
    }
    json_decref(checked);
    return error;
}
