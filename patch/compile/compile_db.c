/*
 * Reading compile_commands.json (clang's JSON Compilation Database). Each record has its working directory
 * and either "arguments", a list, or "command", a line quoted for the shell, which is split by the shell's
 * rules for words without expansions.
 */
#include "patch/compile/compile_db.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/source_root.h"

typedef LIST(char *) words;

/* Appends one character of a quoted or bare piece at *FROM; returns what follows. */
static const char *take_piece(struct text *word, const char *from)
{
    if (*from == '\'') {
        const char *end = strchrnul(from + 1, '\'');
        text_append(word, from + 1, end - from - 1);
        return *end ? end + 1 : end;
    }
    if (*from == '"') {
        for (from++; *from && *from != '"'; from++) {
            if (*from == '\\' && from[1] && strchr("\"\\$`\n", from[1])) {
                from++;
            }
            text_append(word, from, 1);
        }
        return *from ? from + 1 : from;
    }
    if (*from == '\\' && from[1]) {
        from++;
    }
    text_append(word, from, 1);
    return from + 1;
}

static void split_command(const char *command, words *list)
{
    const char *space = " \t\n";

    for (const char *at = command + strspn(command, space); *at; at += strspn(at, space)) {
        struct text word = { 0 };
        text_puts(&word, "");
        while (*at && !strchr(space, *at)) {
            at = take_piece(&word, at);
        }
        LIST_ADD(list, must_have(text_steal(&word)));
    }
}

void compile_entry_free(struct compile_entry *entry)
{
    for (size_t i = 0; i < entry->argument_count; i++) {
        free(entry->arguments[i]);
    }
    free(entry->arguments);
    free(entry->file);
    free(entry->name);
    free(entry->directory);
    free(entry);
}

/* Finds the source among the arguments: the last one that names the file. */
static bool find_file_argument(struct compile_entry *entry)
{
    for (size_t i = entry->argument_count; i-- > 1;) {
        const char *argument = entry->arguments[i];
        char *path = argument[0] == '-' ? NULL : must_have(path_normalise(entry->directory, argument));
        bool same = path && strcmp(path, entry->file) == 0;
        free(path);
        if (same) {
            entry->file_argument = i;
            return true;
        }
    }
    return false;
}

static bool is_c_file(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot && strcmp(dot, ".c") == 0;
}

/* Whether the command is one that a clang driver gave itself: bear notes these, too, beside the one that
 * the user gave. */
static bool is_inner_command(const struct compile_entry *entry)
{
    return entry->argument_count > 1 && strcmp(entry->arguments[1], "-cc1") == 0;
}

/* One record; NULL if it is not a compile of a C file. */
static struct compile_entry *read_entry(const char *build, json_t *record)
{
    const char *file = json_string_value(json_object_get(record, "file"));
    const char *directory = json_string_value(json_object_get(record, "directory"));
    const char *command = json_string_value(json_object_get(record, "command"));
    json_t *arguments = json_object_get(record, "arguments");
    words list = { 0 };
    size_t index;
    json_t *value;

    if (!file || !is_c_file(file) || (!command && !json_is_array(arguments))) {
        return NULL;
    }
    if (command) {
        split_command(command, &list);
    }
    json_array_foreach(command ? NULL : arguments, index, value)
    {
        LIST_ADD(&list, must_strdup(json_is_string(value) ? json_string_value(value) : ""));
    }
    struct compile_entry *entry = must_calloc(1, sizeof(*entry));
    entry->argument_count = list.count;
    LIST_ADD(&list, NULL);
    entry->arguments = list.items;
    entry->directory = must_have(path_normalise(build, directory ? directory : "."));
    entry->file = must_have(path_normalise(entry->directory, file));
    if (is_inner_command(entry) || !find_file_argument(entry)) {
        compile_entry_free(entry);
        return NULL;
    }
    return entry;
}

static void name_entries(struct compile_db *db)
{
    for (size_t i = 0; i < db->entries.count; i++) {
        struct compile_entry *entry = db->entries.items[i];
        const char *below = path_below(db->root, entry->file);
        entry->name = must_strdup(below ? below : entry->file);
    }
}

static char *absolute(const char *path)
{
    char *cwd = must_have(realpath(".", NULL));
    char *result = must_have(path_normalise(cwd, path));

    free(cwd);
    return result;
}

static struct molt_error *read_entries(struct compile_db *db)
{
    json_error_t problem;
    json_t *records = json_load_file(db->path, 0, &problem);
    json_t *record;
    size_t index;

    if (!records) {
        return problem.line > 0
                   ? molt_error_at(MOLT_ERROR_REFUSED, db->path, problem.line, "%s", problem.text)
                   : molt_error_new(
                         MOLT_ERROR_REFUSED,
                         "there is no %s: let the build system write it (meson and ninja do, cmake with "
                         "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON; for make install bear and run `make clean; "
                         "bear -- make`, since it sees what is compiled then; without any, `bear -- gcc -g "
                         "...`)",
                         db->path);
    }
    json_array_foreach(records, index, record)
    {
        struct compile_entry *entry = read_entry(db->build, record);
        if (entry) {
            LIST_ADD(&db->entries, entry);
        }
    }
    json_decref(records);
    if (!db->entries.count) {
        return molt_error_at(MOLT_ERROR_REFUSED, db->path, 0,
                             "%s names no C file; name the build directory of a C program (-p)", db->path);
    }
    return NULL;
}

struct molt_error *compile_db_load(const char *build, const char *root, const char *tree,
                                   struct compile_db *ret)
{
    struct compile_db db = { .build = absolute(build) };

    db.path = must_printf("%s/compile_commands.json", db.build);
    struct molt_error *error = read_entries(&db);
    if (!error && root) {
        db.root = absolute(root);
    } else if (!error) {
        error = source_root_find(&db, tree, &db.root);
    }
    if (error) {
        compile_db_deinit(&db);
        return error;
    }
    name_entries(&db);
    *ret = db;
    return NULL;
}

/* The directory that argument INDEX of ENTRY names, which may be in the next one; NULL: none. */
static const char *include_directory(const struct compile_entry *entry, size_t index)
{
    static const char *const options[] = { "-I", "-iquote", "-isystem", "-idirafter" };

    for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
        size_t length = strlen(options[i]);
        const char *argument = entry->arguments[index];
        if (strncmp(argument, options[i], length) == 0) {
            return argument[length] ? argument + length : entry->arguments[index + 1];
        }
    }
    return NULL;
}

json_t *compile_db_include_directories(const struct compile_db *db)
{
    json_t *list = json_array(), *seen = json_object();

    for (size_t i = 0; i < db->entries.count; i++) {
        const struct compile_entry *entry = db->entries.items[i];
        for (size_t k = 0; k < entry->argument_count; k++) {
            const char *name = include_directory(entry, k);
            char *path = name ? path_normalise(entry->directory, name) : NULL;
            if (path && !json_object_get(seen, path)) {
                json_object_set_new(seen, path, json_true());
                json_array_append_new(list, json_string(path));
            }
            free(path);
        }
    }
    json_decref(seen);
    return list;
}

void compile_db_deinit(struct compile_db *db)
{
    for (size_t i = 0; i < db->entries.count; i++) {
        compile_entry_free(db->entries.items[i]);
    }
    LIST_FREE(&db->entries);
    free(db->path);
    free(db->root);
    free(db->build);
    *db = (struct compile_db){ 0 };
}
