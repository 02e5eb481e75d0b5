/*
 * Units that take part although their files do not differ: as they are, compared with themselves, for what
 * their objects tell of the rest of the program. Objects are costly, so only units are taken whose objects
 * tell what the binary does not.
 *
 * Patched units read a file that an earlier patch has changed: what the binary's debug information says of
 * them is not true any more. Of all others it says what their objects would, since their files, and so their
 * types and variables, are those that the binary was made from. Units at a place are those whose code or data
 * lies at an address of the binary that is to be explained. Units that name a symbol are those in whose
 * source it stands where code or data can come to refer to it (probe/named.c): no other object can have a
 * relocation against it.
 *
 * Where it cannot be told which are patched, all are taken.
 */
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/build_take.h"
#include "patch/probe/named.h"

/* ---- taking ------------------------------------------------------------------------------------------ */

static bool is_taken(const struct build *build, const struct unit *unit)
{
    for (size_t i = 0; i < build->units.count; i++) {
        if (build->units.items[i]->unit == unit && build->units.items[i]->compared) {
            return true;
        }
    }
    return false;
}

/* Adds the units of the program that are WANTED, by their index in the session, and not there yet. */
static struct molt_error *take(struct build *build, const bool *wanted)
{
    compile_jobs jobs = { 0 };
    size_t known = build->units.count;

    for (size_t i = 0; i < build->session->unit_count; i++) {
        struct unit *unit = &build->session->units[i];
        if (wanted[i] && session_is_linked(build->session, unit) && !is_taken(build, unit)) {
            struct changed_unit *taken = must_calloc(1, sizeof(*taken));
            *taken = (struct changed_unit){ .unit = unit,
                                            .old = { unit, &build->from, COMMAND_OBJECT },
                                            .indirect = { unit, &build->to, COMMAND_INDIRECT } };
            LIST_ADD(&build->units, taken);
            LIST_ADD(&jobs, &taken->old);
        }
    }
    struct molt_error *error = jobs.count ? build_compile(build, &jobs) : NULL;
    LIST_FREE(&jobs);
    for (size_t i = known; !error && i < build->units.count; i++) {
        struct changed_unit *taken = build->units.items[i];
        struct object *object;
        error = session_object(build->session, taken->old.object, &object);
        if (!error) {
            comparison_init(&taken->comparison, object, object, NULL, NULL);
            taken->compared = true;
        }
    }
    return error;
}

/* ---- patched ----------------------------------------------------------------------------------------- */

/* Notes the files, below the root, that earlier patches have changed. False: they do not say, or a file is
 * gone, and what is found in its place is in no list of it. */
static bool list_patched_files(const struct build *build, struct table *ret)
{
    bool told = true;

    for (size_t i = 0; i < build->earlier_count; i++) {
        json_t *files = json_object_get(build->earlier[i].manifest, "files"), *states;
        const char *below;
        told = told && json_is_object(files);
        json_object_foreach(files, below, states)
        {
            told = told && json_is_string(json_array_get(states, 1));
            table_put(ret, below, states);
        }
    }
    return told;
}

/* Whether UNIT reads one of FILES, or nobody knows what it reads. */
static bool reads_any(const struct build *build, const struct unit *unit, const struct table *files)
{
    const struct dependencies *read = unit_dependencies(unit, &build->from, build->session->hashes);
    bool any = !read;

    for (size_t i = 0; !any && i < read->count; i++) {
        const char *below = path_below(build->session->db.root, read->files[i]);
        any = below && table_get(files, below);
    }
    return any;
}

/* Whether a binary has types in units of their own (-fdebug-types-section): which of its other units mean
 * them, and so whether they are still as they were, is not looked at. */
static bool has_type_units(const struct patch_session *session)
{
    for (size_t i = 0; i < session->images.count; i++) {
        Dwarf_CU *unit = NULL;
        Dwarf_Die top;
        uint8_t kind;
        while (dwarf_get_units(session->images.items[i]->dwarf, unit, &unit, NULL, &kind, &top, NULL) == 0) {
            if (kind == DW_UT_type) {
                return true;
            }
        }
    }
    return false;
}

struct molt_error *build_take_patched(struct build *build)
{
    struct patch_session *session = build->session;
    bool *wanted = must_calloc(session->unit_count, sizeof(*wanted));
    struct table files = { 0 };

    build->took_all = build->earlier_count && (!list_patched_files(build, &files) || has_type_units(session));
    for (size_t i = 0; i < session->unit_count; i++) {
        wanted[i] = build->took_all || (build->earlier_count && reads_any(build, &session->units[i], &files));
    }
    struct molt_error *error = take(build, wanted);
    table_deinit(&files);
    free(wanted);
    return error;
}

static bool is_made_from(const struct image *image, const struct image_unit *made, const struct unit *unit)
{
    const struct image_unit *found = image_find_unit(image, unit->entry->file, unit->entry->name);

    while (found && found != made) {
        found = image_next_twin(image, found);
    }
    return found;
}

bool build_image_tells(const struct build *build, const struct image *image, const struct image_unit *made)
{
    for (size_t i = 0; build->earlier_count && i < build->units.count; i++) {
        const struct changed_unit *changed = build->units.items[i];
        if (changed->compared && is_made_from(image, made, changed->unit)) {
            return false;
        }
    }
    return !build->took_all;
}

/* ---- at places --------------------------------------------------------------------------------------- */

/* Whether what is at ADDRESS, in the symbol WITHIN if there is one, is MADE's. */
static bool is_at(const struct image *image, const struct image_unit *made, uint64_t address,
                  const struct image_symbol *within)
{
    Dwarf_Die die;

    return (within && image_unit_has(image, made, within)) ||
           (dwarf_offdie(image->dwarf, made->die, &die) && dwarf_haspc(&die, address) == 1);
}

struct molt_error *build_take_at(struct build *build, const struct image *image, uint64_t address)
{
    struct patch_session *session = build->session;
    const struct image_symbol *within = image_symbol_at(image, address);
    bool *wanted = must_calloc(session->unit_count, sizeof(*wanted));

    for (size_t i = 0; image->dwarf && i < image->units.count; i++) {
        const struct image_unit *made = &image->units.items[i];
        for (size_t k = 0; is_at(image, made, address, within) && k < session->unit_count; k++) {
            wanted[k] = wanted[k] || is_made_from(image, made, &session->units[k]);
        }
    }
    struct molt_error *error = take(build, wanted);
    free(wanted);
    return error;
}

/* ---- naming ------------------------------------------------------------------------------------------ */

struct molt_error *build_take_naming(struct build *build, const char *const *names, size_t count)
{
    struct patch_session *session = build->session;
    struct compile_setup setup = build_setup(session, build->request);
    bool *wanted = must_calloc(session->unit_count, sizeof(*wanted));
    LIST(struct named_request) requests = { 0 };

    for (size_t i = 0; i < session->unit_count; i++) {
        struct unit *unit = &session->units[i];
        if (session_is_linked(session, unit) && !is_taken(build, unit)) {
            LIST_ADD(&requests, (struct named_request){ .unit = unit, .tree = &build->from });
        }
    }
    struct molt_error *error = named_read(&setup, requests.items, requests.count);
    for (size_t i = 0; i < requests.count; i++) {
        size_t unit = requests.items[i].unit - session->units;
        for (size_t k = 0; k < count; k++) {
            wanted[unit] = wanted[unit] || named_has(requests.items[i].words, names[k]);
        }
        free(requests.items[i].words);
    }
    error = error ? error : take(build, wanted);
    LIST_FREE(&requests);
    free(wanted);
    return error;
}
