/* Trees and their mirrors. */
#include "patch/compile/tree.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "patch/file.h"

static char *absolute(const char *path)
{
    char *cwd = must_have(realpath(".", NULL));
    char *result = must_have(path_normalise(cwd, path));

    free(cwd);
    return result;
}

static char *common_top(const struct compile_db *db)
{
    char *top = must_strdup(db->root);

    while (*top && !path_below(top, db->build)) {
        *strrchr(top, '/') = '\0';
    }
    return top;
}

struct molt_error *tree_init(struct tree *tree, const struct compile_db *db, const char *directory,
                             const char *cache)
{
    struct tree new = { .db = db, .directory = directory ? absolute(directory) : must_strdup(db->root) };
    struct hash hash;
    char hex[HASH_HEX];
    struct stat status;

    if (stat(new.directory, &status) < 0 || !S_ISDIR(status.st_mode)) {
        struct molt_error *error =
            molt_error_new(MOLT_ERROR_REFUSED, "there is no source directory %s", new.directory);
        free(new.directory);
        return error;
    }
    new.in_place = strcmp(new.directory, db->root) == 0;
    new.top = common_top(db);
    hash_init(&hash);
    hash_add_string(&hash, new.directory);
    hash_add_string(&hash, db->root);
    hash_end(&hash, hex);
    new.mirror = must_printf("%s/mirror/%.16s", cache, hex);
    *tree = new;
    return NULL;
}

void tree_deinit(struct tree *tree)
{
    free(tree->directory);
    free(tree->top);
    free(tree->mirror);
    *tree = (struct tree){ 0 };
}

char *tree_file(const struct tree *tree, const char *file)
{
    const char *below = path_below(tree->db->root, file);

    if (tree->in_place || !below) {
        return must_strdup(file);
    }
    char *path = must_printf("%s/%s", tree->directory, below);
    if (access(path, F_OK) == 0) {
        return path;
    }
    free(path);
    return must_strdup(file);
}

char *tree_mirror_path(const struct tree *tree, const char *path)
{
    if (tree->in_place || (!path_below(tree->db->root, path) && !path_below(tree->db->build, path))) {
        return must_strdup(path);
    }
    return must_printf("%s%s", tree->mirror, path + strlen(tree->top));
}

char *tree_original_path(const struct tree *tree, const char *path)
{
    const char *below = tree->in_place ? NULL : path_below(tree->mirror, path);

    if (below) {
        return must_printf("%s/%s", tree->top, below);
    }
    below = tree->in_place ? NULL : path_below(tree->directory, path);
    return below ? must_printf("%s/%s", tree->db->root, below) : must_strdup(path);
}

struct mirroring {
    const struct tree *tree;
    struct molt_error *error;
};

/* Whether a file or directory is of no use to a compiler. */
static bool is_skipped(const struct tree *tree, const char *source, const char *name)
{
    static const char *const names[] = { ".", "..", ".git", ".molt", ".svn", ".hg" };
    static const char *const endings[] = { ".o", ".a", ".so", ".lo", ".la" };
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    for (size_t i = 0; dot && i < sizeof(endings) / sizeof(*endings); i++) {
        if (strcmp(dot, endings[i]) == 0) {
            return true;
        }
    }
    return (path_below(source, tree->mirror) && !path_below(source, tree->db->root)) ||
           strcmp(source, tree->directory) == 0;
}

static bool is_directory(const char *path, const struct dirent *entry)
{
    struct stat status;

    if (entry->d_type != DT_UNKNOWN) {
        return entry->d_type == DT_DIR;
    }
    return lstat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

struct wanted {
    char *name;
    char *sources[2]; /* one for a link, up to two for a directory */
    bool directory;
};

typedef LIST(struct wanted *) wanted_list;

/* Adds what is in SOURCE to what the mirrored directory is to hold; earlier sources come first. */
static void collect(struct mirroring *mirroring, const char *source, wanted_list *list, struct table *table)
{
    DIR *directory = source ? opendir(source) : NULL;
    struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        char *path = must_printf("%s/%s", source, entry->d_name);
        if (is_skipped(mirroring->tree, path, entry->d_name)) {
            free(path);
            continue;
        }
        struct wanted *wanted = table_get(table, entry->d_name);
        bool is_dir = is_directory(path, entry);
        if (!wanted) {
            wanted = must_calloc(1, sizeof(*wanted));
            *wanted = (struct wanted){ must_strdup(entry->d_name), { path, NULL }, is_dir };
            LIST_ADD(list, wanted);
            table_put(table, wanted->name, wanted);
        } else if (wanted->directory && is_dir && !wanted->sources[1]) {
            wanted->sources[1] = path;
        } else {
            free(path);
        }
    }
    if (directory) {
        closedir(directory);
    }
}

static void remove_tree(const char *path)
{
    DIR *directory = unlink(path) == 0 ? NULL : opendir(path);
    struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            char *inner = must_printf("%s/%s", path, entry->d_name);
            remove_tree(inner);
            free(inner);
        }
    }
    if (directory) {
        closedir(directory);
        rmdir(path);
    }
}

static void remove_unwanted(const char *target, const struct table *table)
{
    DIR *directory = opendir(target);
    struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        struct wanted *wanted = table_get(table, entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        char *path = must_printf("%s/%s", target, entry->d_name);
        if (!wanted || wanted->directory != is_directory(path, entry)) {
            remove_tree(path);
        }
        free(path);
    }
    if (directory) {
        closedir(directory);
    }
}

static bool leads_to(const char *link, const char *source)
{
    char now[4096];
    ssize_t length = readlink(link, now, sizeof(now) - 1);

    return length >= 0 && strlen(source) == (size_t)length && memcmp(now, source, length) == 0;
}

static void make_link(struct mirroring *mirroring, const char *source, const char *target)
{
    if (leads_to(target, source)) {
        return;
    }
    unlink(target);
    /* Another build may mirror the same tree at the same time: whoever makes the link, it is the one
     * wanted. */
    if (symlink(source, target) < 0 && !(errno == EEXIST && leads_to(target, source)) && !mirroring->error) {
        mirroring->error = molt_error_errno(errno, "%s", target);
    }
}

static void mirror_directory(struct mirroring *mirroring, const char *first, const char *second,
                             const char *target)
{
    wanted_list list = { 0 };
    struct table table = { 0 };

    if (mkdir(target, 0777) < 0 && errno != EEXIST && !mirroring->error) {
        mirroring->error = molt_error_errno(errno, "%s", target);
    }
    collect(mirroring, first, &list, &table);
    collect(mirroring, second, &list, &table);
    remove_unwanted(target, &table);
    for (size_t i = 0; i < list.count; i++) {
        struct wanted *wanted = list.items[i];
        char *path = must_printf("%s/%s", target, wanted->name);
        /* A build directory above the root: the root was mirrored before, with the tree in its place. */
        if (mirroring->error || strcmp(wanted->sources[0], mirroring->tree->db->root) == 0) {
            ;
        } else if (wanted->directory) {
            mirror_directory(mirroring, wanted->sources[0], wanted->sources[1], path);
        } else {
            make_link(mirroring, wanted->sources[0], path);
        }
        free(path);
        free(wanted->name);
        free(wanted->sources[0]);
        free(wanted->sources[1]);
        free(wanted);
    }
    LIST_FREE(&list);
    table_deinit(&table);
}

struct molt_error *tree_make_mirror(struct tree *tree)
{
    struct mirroring mirroring = { .tree = tree };

    if (tree->in_place || tree->mirrored) {
        return NULL;
    }
    char *root = tree_mirror_path(tree, tree->db->root), *build = tree_mirror_path(tree, tree->db->build);
    mirroring.error = file_make_directory(root);
    if (!mirroring.error) {
        mirror_directory(&mirroring, tree->directory, tree->db->root, root);
    }
    if (!mirroring.error && !path_below(tree->db->root, tree->db->build)) {
        mirroring.error = file_make_directory(build);
        if (!mirroring.error) {
            mirror_directory(&mirroring, tree->db->build, NULL, build);
        }
    }
    tree->mirrored = !mirroring.error;
    free(root);
    free(build);
    return mirroring.error;
}
