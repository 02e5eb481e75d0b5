/* What is known of a translation unit. */
#include "patch/compile/unit.h"

#include <dirent.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

#define KEPT_OBJECTS 8

static void free_dependencies(struct dependencies *list)
{
    for (size_t i = 0; list && i < list->count; i++) {
        free(list->files[i]);
    }
    if (list) {
        free(list->computed[0].directory);
        free(list->computed[1].directory);
        free(list->files);
    }
    free(list);
}

/* Adds the file that COMPILER is: another version makes other objects. */
static void hash_compiler(struct hash *hash, const char *compiler)
{
    const char *path = getenv("PATH");
    struct stat status;
    char *full = must_strdup(compiler);

    for (; path && *path && !strchr(compiler, '/'); path += strcspn(path, ":"), path += *path == ':') {
        free(full);
        full = must_printf("%.*s/%s", (int)strcspn(path, ":"), path, compiler);
        if (access(full, X_OK) == 0) {
            break;
        }
    }
    if (stat(full, &status) == 0) {
        hash_add(hash, &status.st_size, sizeof(status.st_size));
        hash_add(hash, &status.st_mtim.tv_sec, sizeof(status.st_mtim.tv_sec));
    }
    hash_add_string(hash, full);
    free(full);
}

static void load_list(struct unit *unit, const char *name)
{
    char *path = must_printf("%s/%s", unit->directory, name), *bytes = NULL;
    size_t size = 0;
    struct molt_error *error = file_read(path, &bytes, &size);
    struct dependencies *list = must_calloc(1, sizeof(*list));
    LIST(char *) files = { 0 };

    snprintf(list->key, sizeof(list->key), "%.64s", name);
    for (char *line = error ? NULL : bytes, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        LIST_ADD(&files, must_strndup(line, end - line));
    }
    list->files = files.items;
    list->count = files.count;
    LIST_ADD(&unit->known, list);
    molt_error_destroy(error);
    free(bytes);
    free(path);
}

static void load_lists(struct unit *unit)
{
    DIR *directory = opendir(unit->directory);
    struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        if (strlen(entry->d_name) == HASH_HEX + 1 && strcmp(entry->d_name + HASH_HEX - 1, ".d") == 0) {
            load_list(unit, entry->d_name);
        }
    }
    if (directory) {
        closedir(directory);
    }
}

void unit_init(struct unit *unit, const struct compile_entry *entry, const struct compile_db *db,
               const char *cache)
{
    struct tree root = { .db = db, .in_place = true };
    char **arguments = command_make(entry, &root, COMMAND_OBJECT, NULL, NULL);
    struct hash hash;
    char hex[HASH_HEX];

    hash_init(&hash);
    hash_compiler(&hash, arguments[0]);
    for (size_t i = 0; arguments[i]; i++) {
        hash_add_string(&hash, arguments[i]);
    }
    hash_add_string(&hash, entry->directory);
    hash_add_string(&hash, db->root);
    hash_end(&hash, hex);
    *unit = (struct unit){ .entry = entry, .directory = must_printf("%s/units/%.24s", cache, hex) };
    command_free(arguments);
    load_lists(unit);
}

void unit_deinit(struct unit *unit)
{
    for (size_t i = 0; i < unit->known.count; i++) {
        free_dependencies(unit->known.items[i]);
    }
    LIST_FREE(&unit->known);
    free(unit->directory);
    *unit = (struct unit){ 0 };
}

/* Hash of what TREE has in the place of FILE. */
static const char *tree_hash(const struct tree *tree, struct file_hashes *hashes, const char *file)
{
    const char *below = tree->in_place ? NULL : path_below(tree->db->root, file);

    if (below) {
        char *path = must_printf("%s/%s", tree->directory, below);
        const char *hex = file_hash(hashes, path);
        free(path);
        if (*hex) {
            return hex;
        }
    }
    return file_hash(hashes, file);
}

static void compute_key(const struct dependencies *list, const struct tree *tree, struct file_hashes *hashes,
                        char ret[HASH_HEX])
{
    struct hash hash;

    hash_init(&hash);
    for (size_t i = 0; i < list->count; i++) {
        hash_add_string(&hash, list->files[i]);
        hash_add_string(&hash, tree_hash(tree, hashes, list->files[i]));
    }
    hash_end(&hash, ret);
}

/* The key that LIST has in TREE, computed once as long as no file was looked at again. */
static const char *key_in(struct dependencies *list, const struct tree *tree, struct file_hashes *hashes)
{
    unsigned generation = file_hashes_generation(hashes);
    struct computed_key *slot = NULL;

    for (size_t i = 0; i < 2; i++) {
        struct computed_key *computed = &list->computed[i];
        if (computed->generation == generation && strcmp(computed->directory, tree->directory) == 0) {
            return computed->key;
        }
        slot = !slot || computed->generation < slot->generation ? computed : slot;
    }
    compute_key(list, tree, hashes, slot->key);
    slot->generation = generation;
    free(slot->directory);
    slot->directory = must_strdup(tree->directory);
    return slot->key;
}

const struct dependencies *unit_dependencies(const struct unit *unit, const struct tree *tree,
                                             struct file_hashes *hashes)
{
    for (size_t i = unit->known.count; i-- > 0;) {
        if (strcmp(key_in(unit->known.items[i], tree, hashes), unit->known.items[i]->key) == 0) {
            return unit->known.items[i];
        }
    }
    return NULL;
}

static bool same_in_both(const struct tree *one, const struct tree *other, struct file_hashes *hashes,
                         const char *file)
{
    const char *before = tree_hash(one, hashes, file);

    return strcmp(before, tree_hash(other, hashes, file)) == 0;
}

bool unit_source_differs(const struct unit *unit, const struct tree *one, const struct tree *other,
                         struct file_hashes *hashes)
{
    const char *file = unit->entry->file;

    return path_below(one->db->root, file) && !same_in_both(one, other, hashes, file);
}

bool unit_same_files(const struct dependencies *files, const struct tree *one, const struct tree *other,
                     struct file_hashes *hashes)
{
    bool same = true;

    for (size_t i = 0; same && i < files->count; i++) {
        if (path_below(one->db->root, files->files[i])) {
            same = same_in_both(one, other, hashes, files->files[i]);
        }
    }
    return same;
}

/* One word of a make rule at *AT: spaces end it unless escaped. NULL at the end. */
static char *take_word(const char **at)
{
    struct text word = { 0 };
    const char *from = *at;

    while (*from == ' ' || *from == '\t' || *from == '\n' || (*from == '\\' && from[1] == '\n')) {
        from += *from == '\\' ? 2 : 1;
    }
    if (!*from) {
        return NULL;
    }
    for (; *from && !strchr(" \t\n", *from) && !(*from == '\\' && from[1] == '\n'); from++) {
        from += (*from == '\\' && strchr(" #\\:", from[1])) || (*from == '$' && from[1] == '$');
        text_append(&word, from, 1);
    }
    *at = from;
    return text_steal(&word);
}

/* The files of a make rule, as the root's build names them. */
static struct dependencies *parse_rule(const struct unit *unit, const struct tree *tree, const char *rule)
{
    struct dependencies *list = must_calloc(1, sizeof(*list));
    char *directory = tree_mirror_path(tree, unit->entry->directory), *word;
    const char *colon = strstr(rule, ": ");
    const char *at = colon ? colon + 2 : rule + strlen(rule);
    LIST(char *) files = { 0 };

    while ((word = take_word(&at))) {
        char *path = must_have(path_normalise(directory, word));
        LIST_ADD(&files, tree_original_path(tree, path));
        free(path);
        free(word);
    }
    free(directory);
    list->files = files.items;
    list->count = files.count;
    return list;
}

static struct molt_error *store_list(const struct unit *unit, const struct dependencies *list)
{
    struct text text = { 0 };
    char *path = must_printf("%s/%s.d", unit->directory, list->key);

    for (size_t i = 0; i < list->count; i++) {
        text_printf(&text, "%s\n", list->files[i]);
    }
    struct molt_error *error = file_write(path, text.bytes ? text.bytes : "", text.length);
    text_deinit(&text);
    free(path);
    return error;
}

struct molt_error *unit_learn(struct unit *unit, const struct tree *tree, struct file_hashes *hashes,
                              const char *rule, const struct dependencies **ret)
{
    char *bytes;
    size_t size;
    struct molt_error *error = file_read(rule, &bytes, &size);

    if (error) {
        return error;
    }
    struct dependencies *list = parse_rule(unit, tree, bytes);
    free(bytes);
    file_hashes_refresh(hashes);
    compute_key(list, tree, hashes, list->key);
    for (size_t i = 0; i < unit->known.count; i++) {
        if (strcmp(unit->known.items[i]->key, list->key) == 0) {
            free_dependencies(list);
            *ret = unit->known.items[i];
            return NULL;
        }
    }
    error = store_list(unit, list);
    if (error) {
        free_dependencies(list);
        return error;
    }
    LIST_ADD(&unit->known, list);
    *ret = list;
    return NULL;
}

char *unit_object_path(const struct unit *unit, const struct dependencies *files, enum command_kind kind)
{
    const char *suffix = kind == COMMAND_INDIRECT       ? "-indirect.o"
                         : kind == COMMAND_PLAIN        ? "-plain.o"
                         : kind == COMMAND_UNOPTIMISED  ? "-unoptimised.o"
                         : kind == COMMAND_PREPROCESSED ? ".i"
                                                        : ".o";

    return must_printf("%s/%s%s", unit->directory, files->key, suffix);
}

void unit_prune(struct unit *unit)
{
    while (unit->known.count > KEPT_OBJECTS) {
        struct dependencies *oldest = unit->known.items[0];
        char *pattern = must_printf("%s/%s*", unit->directory, oldest->key);
        glob_t matches = { 0 };
        if (glob(pattern, GLOB_NOSORT, NULL, &matches) == 0) {
            for (size_t i = 0; i < matches.gl_pathc; i++) {
                unlink(matches.gl_pathv[i]);
            }
        }
        globfree(&matches);
        free(pattern);
        free_dependencies(oldest);
        unit->known.count--;
        memmove(unit->known.items, unit->known.items + 1, unit->known.count * sizeof(*unit->known.items));
    }
}
