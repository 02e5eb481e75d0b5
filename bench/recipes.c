/*
 * bench-recipes OLD-OBJECTS [NEW-OBJECTS OLD-SOURCES NEW-SOURCES], all directories: how many calls of the
 * functions that differ could be taken over while they wait, why the others could not, and how long it took
 * to find out; without NEW, all functions against themselves. One JSON object for bench/rows/frames.mjs. The
 * objects were compiled with their sources' directory shown as /src, so that one file has one name in both.
 */
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "patch/file.h"
#include "patch/transfer/transfer.h"

#define SHOWN "/src/"

struct text_file {
    char *name; /* below the directory */
    LIST(const char *) lines;
};

struct directory {
    const char *path;
    LIST(struct text_file) files;
};

struct sources {
    struct directory old, new;
};

static const char *line_of(struct directory *directory, const char *name, unsigned line)
{
    struct text_file *file = NULL;

    for (size_t i = 0; i < directory->files.count && !file; i++) {
        file = strcmp(directory->files.items[i].name, name) == 0 ? &directory->files.items[i] : NULL;
    }
    if (!file) {
        char *path = must_printf("%s/%s", directory->path, name), *bytes = NULL;
        size_t size;
        LIST_ADD(&directory->files, (struct text_file){ .name = must_strdup(name) });
        file = &directory->files.items[directory->files.count - 1];
        molt_error_destroy(file_read(path, &bytes, &size));
        for (char *at = bytes; at && *at;) { /* kept until the end */
            char *end = strchrnul(at, '\n');
            LIST_ADD(&file->lines, at);
            at = *end ? end + 1 : end;
            *end = '\0';
        }
        free(path);
    }
    return line && line <= file->lines.count ? file->lines.items[line - 1] : NULL;
}

static bool same_text(void *context, const char *file, unsigned old_line, unsigned new_line)
{
    struct sources *sources = context;

    if (strncmp(file, SHOWN, strlen(SHOWN)) != 0) { /* the system's headers are the same for both */
        return old_line == new_line;
    }
    const char *old = line_of(&sources->old, file + strlen(SHOWN), old_line);
    const char *new = line_of(&sources->new, file + strlen(SHOWN), new_line);
    return old && new &&strcmp(old, new) == 0;
}

static struct object *load(const char *path)
{
    struct object *object;
    struct molt_error *error = object_load(path, &object);

    if (error) {
        fprintf(stderr, "%s\n", error->message);
        exit(1);
    }
    return object;
}

/* All objects of one build of a program. */
struct build {
    LIST(struct object *) objects;
    LIST(char *) names;
};

static void find_objects(const char *path, struct build *ret)
{
    DIR *directory = opendir(path);

    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        size_t length = strlen(entry->d_name);
        if (length > 2 && strcmp(entry->d_name + length - 2, ".o") == 0) {
            LIST_ADD(&ret->names, must_strdup(entry->d_name));
        }
    }
    if (directory) {
        closedir(directory);
    }
    strings_sort(ret->names.items, ret->names.count);
    for (size_t i = 0; i < ret->names.count; i++) {
        char *file = must_printf("%s/%s", path, ret->names.items[i]);
        LIST_ADD(&ret->objects, load(file));
        free(file);
    }
}

/* A find_function: the program's own functions are those of the build. */
static bool find_function_in(void *context, struct object *own, const struct object_symbol *wanted,
                             function_codes *ret)
{
    struct build *build = context;

    if (wanted->section && wanted->bind == STB_LOCAL) {
        LIST_ADD(&ret->list, (struct function_code){ .object = own, .symbol = wanted });
        return true;
    }
    for (size_t i = 0; i < build->objects.count; i++) {
        struct object *object = build->objects.items[i];
        for (size_t k = 1; k < object->symbol_count; k++) {
            const struct object_symbol *symbol = &object->symbols[k];
            if (symbol->section && symbol->bind == STB_GLOBAL && strcmp(symbol->name, wanted->name) == 0) {
                LIST_ADD(&ret->list, (struct function_code){ .object = object, .symbol = symbol });
                return true;
            }
        }
    }
    return false;
}

/* The functions of all pairs of objects, summed up. */
struct sums {
    unsigned functions, same, calls, recipes;
    double ms, slowest_ms;
    const char *slowest;
    json_t *waits;
};

static void add_function(struct sums *sums, const char *file, const struct object_symbol *symbol,
                         const recipe_list *list, double ms)
{
    sums->functions++;
    sums->ms += ms;
    if (ms >= sums->slowest_ms) {
        sums->slowest_ms = ms;
        sums->slowest = symbol->name;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct recipe *recipe = &list->items[i];
        sums->calls++;
        sums->recipes += !recipe->reason;
        if (recipe->reason) {
            json_t *wait =
                json_pack("{s:s, s:s, s:i, s:s, s:s}", "file", file, "function", symbol->name, "line",
                          (int)recipe->line, "callee", recipe->callee, "reason", recipe->reason);
            json_array_append_new(sums->waits, wait);
        }
    }
}

static void compare(const struct transfer_pair *pair, bool itself, const char *file, struct sums *sums)
{
    struct object *old = pair->old->object, *new = pair->new->object;

    for (size_t i = 1; i < old->symbol_count; i++) {
        const struct object_symbol *symbol = &old->symbols[i];
        const struct object_symbol *other = symbol->key ? object_find(new, symbol->key) : NULL;
        recipe_list list = { 0 };
        if (!other || symbol->type != STT_FUNC || symbol_is_part(symbol)) {
            continue;
        }
        if (!itself && pair->comparison->new_change[other->index] == CHANGE_NONE) {
            sums->same++;
            continue;
        }
        clock_t start = clock();
        transfer_function(pair, NULL, symbol, other, &list, NULL);
        add_function(sums, file, symbol, &list, (clock() - start) * 1e3 / CLOCKS_PER_SEC);
        recipes_free(&list);
    }
}

/* The Ith object of OLD and what became of it, NULL: it is compared with itself. */
static void compare_objects(struct object *old_object, struct object *new_object, struct captures *captures,
                            struct sources *sources, const char *file, struct sums *sums)
{
    struct comparison comparison;
    struct transfer_side old, new;
    struct transfer_pair pair;
    bool itself = !new_object;

    transfer_side_init(&old, old_object);
    transfer_side_init(&new, itself ? old_object : new_object);
    if (!itself) {
        comparison_init(&comparison, old_object, new_object, same_text, sources);
    }
    transfer_pair_init(&pair, &old, &new, itself ? NULL : same_text, sources, itself ? NULL : &comparison);
    pair.captures = captures;
    compare(&pair, itself, file, sums);
    transfer_pair_deinit(&pair);
    if (!itself) {
        comparison_deinit(&comparison);
    }
    transfer_side_deinit(&old);
    transfer_side_deinit(&new);
}

int main(int count, char **arguments)
{
    struct sources sources = { 0 };
    struct build old = { 0 }, new = { 0 };
    struct captures captures;
    struct sums sums = { .slowest = "", .waits = json_array() };
    bool itself = count == 2;

    if (count != 2 && count != 5) {
        fputs("usage: bench-recipes OLD-OBJECTS [NEW-OBJECTS OLD-SOURCES NEW-SOURCES]\n", stderr);
        return 1;
    }
    find_objects(arguments[1], &old);
    if (!itself) {
        sources.old.path = arguments[3];
        sources.new.path = arguments[4];
        find_objects(arguments[2], &new);
    }
    captures_init(&captures, find_function_in, &old);
    for (size_t i = 0; i < old.objects.count; i++) {
        struct object *other = NULL;
        for (size_t k = 0; k < new.objects.count; k++) {
            other = strcmp(old.names.items[i], new.names.items[k]) == 0 ? new.objects.items[k] : other;
        }
        if (itself || other) {
            compare_objects(old.objects.items[i], other, &captures, &sources, old.names.items[i], &sums);
        }
    }
    json_t *result =
        json_pack("{s:i, s:i, s:i, s:i, s:f, s:f, s:s, s:o}", "functions", (int)sums.functions, "same",
                  (int)sums.same, "calls", (int)sums.calls, "recipes", (int)sums.recipes, "ms", sums.ms,
                  "slowest_ms", sums.slowest_ms, "slowest", sums.slowest, "waits", sums.waits);
    json_dumpf(result, stdout, 0);
    return 0;
}
