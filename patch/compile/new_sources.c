/*
 * New source files. Which of them belong to the program only the next build will tell; until then a file does
 * if something that changed refers to what it defines.
 */
#include "patch/compile/new_sources.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

static bool in_database(const struct compile_db *db, const char *file)
{
    for (size_t i = 0; i < db->entries.count; i++) {
        if (strcmp(db->entries.items[i]->file, file) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether an earlier patch holds something of the unit. */
static bool is_in_earlier(const struct earlier_patch *earlier, size_t count, const char *unit)
{
    static const char *const keys[] = { "functions", "data" };

    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < 2; k++) {
            size_t index;
            json_t *entry;
            json_array_foreach(json_object_get(earlier[i].manifest, keys[k]), index, entry)
            {
                const char *name = json_string_value(json_object_get(entry, "unit"));
                if (name && strcmp(name, unit) == 0) {
                    return true;
                }
            }
        }
    }
    return false;
}

static bool is_younger(const struct patch_session *session, const char *path)
{
    struct stat file, binary;

    if (stat(path, &file) < 0) {
        return false;
    }
    for (size_t i = 0; i < session->images.count; i++) {
        if (stat(session->images.items[i]->path, &binary) == 0 && binary.st_mtime > file.st_mtime) {
            return false;
        }
    }
    return true;
}

/* TEXT with each OLD replaced by NEW. Takes TEXT. */
static char *replace_all(char *text, const char *old, const char *new)
{
    struct text result = { 0 };
    const char *from = text, *at;

    while ((at = strstr(from, old))) {
        text_append(&result, from, (size_t)(at - from));
        text_puts(&result, new);
        from = at + strlen(old);
    }
    text_puts(&result, from);
    free(text);
    return must_have(text_steal(&result));
}

/* A path or option of the new sources' build, as it would be in the build that runs. */
static char *translate(const struct patch_session *session, const char *text)
{
    char *here = replace_all(must_strdup(text), session->to_db.build, session->db.build);

    return replace_all(here, session->to_db.root, session->db.root);
}

/* The command that the new sources' own build has for the file NAME, or NULL. */
static struct compile_entry *entry_of_new_build(const struct patch_session *session, const char *name)
{
    for (size_t i = 0; i < session->to_db.entries.count; i++) {
        const struct compile_entry *known = session->to_db.entries.items[i];
        if (strcmp(known->name, name) != 0) {
            continue;
        }
        struct compile_entry *entry = must_calloc(1, sizeof(*entry));
        entry->file = translate(session, known->file);
        entry->name = must_strdup(name);
        entry->directory = translate(session, known->directory);
        entry->argument_count = known->argument_count;
        entry->file_argument = known->file_argument;
        entry->arguments = must_calloc(known->argument_count + 1, sizeof(char *));
        for (size_t k = 0; k < known->argument_count; k++) {
            entry->arguments[k] = translate(session, known->arguments[k]);
        }
        return entry;
    }
    return NULL;
}

static struct compile_entry *copy_entry(const struct compile_entry *neighbour, const char *file,
                                        const char *name)
{
    struct compile_entry *entry = must_calloc(1, sizeof(*entry));

    entry->file = must_strdup(file);
    entry->name = must_strdup(name);
    entry->directory = must_strdup(neighbour->directory);
    entry->argument_count = neighbour->argument_count;
    entry->file_argument = neighbour->file_argument;
    entry->arguments = must_calloc(neighbour->argument_count + 1, sizeof(char *));
    for (size_t i = 0; i < neighbour->argument_count; i++) {
        entry->arguments[i] = must_strdup(i == neighbour->file_argument ? file : neighbour->arguments[i]);
    }
    return entry;
}

struct finding {
    const struct patch_session *session;
    const struct tree *from, *to;
    const struct earlier_patch *earlier;
    size_t earlier_count;
    new_sources *result;
};

/* Takes FILE (as in the root) if it is new. */
static void consider(struct finding *finding, const struct unit *neighbour, const char *file)
{
    const char *name = path_below(finding->session->db.root, file);
    char *old = must_printf("%s/%s", finding->from->directory, name);
    char *new = must_printf("%s/%s", finding->to->directory, name);
    bool earlier = is_in_earlier(finding->earlier, finding->earlier_count, name);
    bool had = access(old, F_OK) == 0;

    if ((earlier || !had) && (earlier || !finding->to->in_place || is_younger(finding->session, new))) {
        struct new_source *source = must_calloc(1, sizeof(*source));
        source->entry = entry_of_new_build(finding->session, name);
        if (!source->entry) {
            source->entry = copy_entry(neighbour->entry, file, name);
        }
        source->neighbour = neighbour;
        source->earlier = earlier && had;
        unit_init(&source->unit, source->entry, &finding->session->db, finding->session->cache);
        LIST_ADD(finding->result, source);
    }
    free(old);
    free(new);
}

static void look_into(struct finding *finding, const struct unit *neighbour, const char *directory)
{
    char *path = tree_file(finding->to, directory);
    DIR *stream = opendir(path);
    struct dirent *entry;

    while (stream && (entry = readdir(stream))) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot && strcmp(dot, ".c") == 0 && entry->d_name[0] != '.') {
            char *file = must_printf("%s/%s", directory, entry->d_name);
            if (!in_database(&finding->session->db, file)) {
                consider(finding, neighbour, file);
            }
            free(file);
        }
    }
    if (stream) {
        closedir(stream);
    }
    free(path);
}

/* The unit whose directory shares most with PATH. NULL: there is no unit in the program. */
static const struct unit *nearest_unit(const struct patch_session *session, const char *path)
{
    const struct unit *nearest = NULL;
    size_t longest = 0;

    for (size_t i = 0; i < session->unit_count; i++) {
        const char *other = session->units[i].entry->file;
        size_t shared = 0;
        while (path[shared] && path[shared] == other[shared]) {
            shared++;
        }
        if (session_is_linked(session, &session->units[i]) && (!nearest || shared > longest)) {
            nearest = &session->units[i];
            longest = shared;
        }
    }
    return nearest;
}

/* Files in directories that are new themselves are known by the new sources' build only. */
static void look_into_new_build(struct finding *finding, const struct table *seen)
{
    const struct patch_session *session = finding->session;

    for (size_t i = 0; i < session->to_db.entries.count; i++) {
        char *file = must_printf("%s/%s", session->db.root, session->to_db.entries.items[i]->name);
        char *directory = must_strdup(file), *there = tree_file(finding->to, file);
        *strrchr(directory, '/') = '\0';
        const struct unit *neighbour = nearest_unit(session, file);
        if (neighbour && !table_get(seen, directory) && !in_database(&session->db, file) &&
            access(there, R_OK) == 0) {
            consider(finding, neighbour, file);
        }
        free(file);
        free(directory);
        free(there);
    }
}

void new_sources_find(const struct patch_session *session, const struct tree *from, const struct tree *to,
                      const struct earlier_patch *earlier, size_t earlier_count, new_sources *ret)
{
    struct finding finding = { session, from, to, earlier, earlier_count, ret };
    struct table seen = { 0 };
    LIST(char *) directories = { 0 };

    for (size_t i = 0; i < session->unit_count; i++) {
        const struct unit *unit = &session->units[i];
        char *directory = must_strdup(unit->entry->file);
        *strrchr(directory, '/') = '\0';
        LIST_ADD(&directories, directory);
        if (path_below(session->db.root, directory) && session_is_linked(session, unit) &&
            !table_put(&seen, directory, directory)) {
            look_into(&finding, unit, directory);
        }
    }
    look_into_new_build(&finding, &seen);
    for (size_t i = 0; i < directories.count; i++) {
        free(directories.items[i]);
    }
    LIST_FREE(&directories);
    table_deinit(&seen);
}

void new_sources_free(new_sources *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct new_source *source = list->items[i];
        unit_deinit(&source->unit);
        compile_entry_free(source->entry);
        free(source);
    }
    LIST_FREE(list);
}

bool new_source_is_needed(const struct object *needed, const struct object *user)
{
    for (size_t i = 1; i < user->symbol_count; i++) {
        const struct object_symbol *symbol = &user->symbols[i];
        if (!symbol->section && *symbol->name && object_find(needed, symbol->name)) {
            return true;
        }
    }
    return false;
}
