/*
 * Code of the program that no patch would hold:
 *
 *     unlisted   the debug information names its source, but no C command of the compile database does: the
 *                database is older than the file, holds only what its last `bear -- make` rebuilt, or the
 *                file is not C
 *     hidden     the database has a command, but what it made is in the program without debug information, so
 *                that nothing says where its functions are: it was compiled without -g. The symbol table
 *                still names the source
 *
 * Such code does no harm while nothing that it is made from changes. Where that does, it would stay as it is,
 * beside new functions and instances of other layouts: then the patch is refused.
 */
#include "patch/unseen.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/file.h"

/* Where the sources lay that IMAGE was made from, if that is not the root: the path in front of their names,
 * with its slash. Owned by the caller; NULL if it was made from the root. */
static char *find_prefix(const struct patch_session *session, const struct image *image)
{
    for (size_t i = 0; i < session->db.entries.count; i++) {
        const struct compile_entry *entry = session->db.entries.items[i];
        const struct image_unit *unit = image_find_unit(image, entry->file, entry->name);
        if (unit) {
            size_t length = strlen(unit->path) - strlen(entry->name);
            return strcmp(unit->path, entry->file) == 0 || *entry->name == '/'
                       ? NULL
                       : must_strndup(unit->path, length);
        }
    }
    return NULL;
}

/* PATH of the debug information in terms of the root. Owned by the caller. */
static char *in_root(const struct patch_session *session, const char *prefix, const char *path)
{
    return prefix && strncmp(path, prefix, strlen(prefix)) == 0
               ? must_printf("%s/%s", session->db.root, path + strlen(prefix))
               : must_strdup(path);
}

static bool is_listed(const struct table *listed, const char *path)
{
    return table_get(listed, path) != NULL;
}

/* The files below the root that UNIT was made from, its own first. */
static void list_files(const struct patch_session *session, const char *prefix, const struct image *image,
                       const struct image_unit *unit, struct unseen *ret)
{
    Dwarf_Die die;
    Dwarf_Files *files = NULL;
    Dwarf_Attribute attribute;
    size_t count = 0;

    LIST_ADD(&ret->files, in_root(session, prefix, unit->path));
    if (!dwarf_offdie(image->dwarf, unit->die, &die) || dwarf_getsrcfiles(&die, &files, &count) != 0) {
        return;
    }
    const char *directory =
        dwarf_attr(&die, DW_AT_comp_dir, &attribute) ? dwarf_formstring(&attribute) : NULL;
    for (size_t i = 0; i < count; i++) {
        const char *name = dwarf_filesrc(files, i, NULL, NULL);
        char *path = name ? must_have(path_normalise(directory ? directory : "/", name)) : NULL;
        char *file = path ? in_root(session, prefix, path) : NULL;
        if (file && path_below(session->db.root, file)) {
            LIST_ADD(&ret->files, file);
        } else {
            free(file);
        }
        free(path);
    }
}

static void find_unlisted(struct patch_session *session, const struct image *image)
{
    if (image->lto) {
        return; /* it was compiled when it was linked, as one, which is refused for that (build_assemble.c) */
    }
    char *prefix = find_prefix(session, image);
    struct table listed = { 0 };

    for (size_t i = 0; i < session->db.entries.count; i++) {
        table_put(&listed, session->db.entries.items[i]->file, session);
    }
    for (size_t i = 0; i < image->units.count; i++) {
        const struct image_unit *unit = &image->units.items[i];
        struct unseen unseen = { .image = image };
        list_files(session, prefix, image, unit, &unseen);
        if (is_listed(&listed, unseen.files.items[0])) {
            unseen_deinit(&unseen);
        } else {
            LIST_ADD(&session->unlisted, unseen);
        }
    }
    table_deinit(&listed);
    free(prefix);
}

void unseen_deinit(struct unseen *unseen)
{
    for (size_t i = 0; i < unseen->files.count; i++) {
        free(unseen->files.items[i]);
    }
    LIST_FREE(&unseen->files);
}

void session_find_unlisted(struct patch_session *session)
{
    for (size_t i = 0; !session->unlisted_known && i < session->images.count; i++) {
        find_unlisted(session, session->images.items[i]);
    }
    session->unlisted_known = true;
}

const struct image *session_hides(const struct patch_session *session, const struct unit *unit)
{
    const char *name = path_last(unit->entry->file);

    if (command_has_debug(unit->entry) || session_is_linked(session, unit)) {
        return NULL; /* what is empty has no debug information with -g either */
    }
    for (size_t i = 0; i < session->images.count; i++) {
        const struct image *image = session->images.items[i];
        size_t linked = 0, described = 0;
        for (size_t k = 0; k < image->files.count; k++) {
            linked += strcmp(path_last(image->files.items[k]), name) == 0;
        }
        for (const struct image_unit *same = table_get(&image->unit_names, name); same; same = same->next) {
            described++;
        }
        if (linked > described) {
            return image;
        }
    }
    return NULL;
}

/* The first of FILES that differs between the trees, or NULL. */
static const char *first_that_differs(const struct build *build, const struct unseen *unseen)
{
    for (size_t i = 0; i < unseen->files.count; i++) {
        struct dependencies one = { .files = &unseen->files.items[i], .count = 1 };
        if (!unit_same_files(&one, &build->from, &build->to, build->session->hashes)) {
            return unseen->files.items[i];
        }
    }
    return NULL;
}

/* Whether the name says that it is C. */
static bool is_c(const char *path)
{
    const char *dot = strrchr(path_last(path), '.');

    return dot && !strcmp(dot, ".c");
}

static struct molt_error *refuse_unlisted(const struct build *build, const struct unseen *unseen,
                                          const char *file)
{
    const struct compile_db *db = &build->session->db;
    const char *source = unseen->files.items[0], *below = path_below(db->root, source);
    const char *name = below ? below : source;
    char *reader = file == source ? must_strdup("it") : must_printf("%s, which includes it and", name);
    struct molt_error *error = molt_error_at(
        MOLT_ERROR_REFUSED, file, 0,
        "changed, and %s is part of %s, but %s has no C command for %s: that code would stay as it is. %s; "
        "if that is not the program to be updated, name those that are with --binary",
        reader, unseen->image->path, db->path, file == source ? "it" : name,
        is_c(source) ? "Build everything anew, so that all commands are there (make clean; bear -- make)"
                     : "Molt updates C files only: build the program and start it again");

    free(reader);
    return error;
}

static struct molt_error *refuse_hidden(const struct build *build, const struct unit *unit,
                                        const struct image *image)
{
    return molt_error_at(
        MOLT_ERROR_REFUSED, unit->entry->file, 0,
        "changed, or a file that it includes, and its code is in %s without debug "
        "information, so that it cannot be updated: compile it with -g, as the others, build "
        "and start the program again",
        image->path);
}

/* What was made from a changed source is in no binary: nothing of it is in the patch. */
static void warn_unlinked(struct build *build, const struct unit *unit)
{
    const struct image *first = build->session->images.items[0];
    size_t others = build->session->images.count - 1;
    char *more = others ? must_printf(" and %zu other%s", others, others > 1 ? "s" : "") : must_strdup("");

    molt_diagnostics_add(&build->result->diagnostics, MOLT_SEVERITY_WARNING, unit->entry->file, 0, 0,
                         "not-linked", "changed, but is in none of the programs that were found (%s%s)",
                         first->path, more);
    free(more);
}

struct molt_error *build_refuse_unseen(struct build *build)
{
    struct patch_session *session = build->session;

    session_find_unlisted(session);
    for (size_t i = 0; i < session->unlisted.count; i++) {
        const char *file = first_that_differs(build, &session->unlisted.items[i]);
        if (file) {
            return refuse_unlisted(build, &session->unlisted.items[i], file);
        }
    }
    for (size_t i = 0; i < session->unit_count; i++) {
        struct unit *unit = &session->units[i];
        if (session_is_linked(session, unit)) {
            continue;
        }
        const struct image *image = session_hides(session, unit);
        bool differs = unit_source_differs(unit, &build->from, &build->to, session->hashes);
        const struct dependencies *files =
            image ? session_known_files(session, unit, &build->from, &build->to) : NULL;
        if (image &&
            (differs || (files && !unit_same_files(files, &build->from, &build->to, session->hashes)))) {
            return refuse_hidden(build, unit, image);
        }
        if (differs) {
            warn_unlinked(build, unit);
        }
    }
    return NULL;
}

json_t *patch_session_unseen(struct patch_session *session)
{
    json_t *list = must_have(json_array());

    session_find_unlisted(session);
    for (size_t i = 0; i < session->unlisted.count; i++) {
        const struct unseen *unseen = &session->unlisted.items[i];
        const char *below = path_below(session->db.root, unseen->files.items[0]);
        if (below) {
            json_array_append_new(list, must_have(json_pack("{s:s, s:s, s:b}", "file", below, "program",
                                                            unseen->image->path, "unlisted", 1)));
        }
    }
    for (size_t i = 0; i < session->unit_count; i++) {
        const struct image *image = session_hides(session, &session->units[i]);
        if (image) {
            json_array_append_new(
                list, must_have(json_pack("{s:s, s:s, s:b}", "file", session->units[i].entry->name, "program",
                                          image->path, "unlisted", 0)));
        }
    }
    return list;
}
