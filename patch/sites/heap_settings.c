/* The [heap] table of molt.toml. What it says is checked here, whether or not the program has such
 * functions and types. */
#include "patch/sites/heap_settings.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "base/toml.h"
#include "patch/file.h"

static struct molt_error *wrong(const char *path, const char *text, const char *word, const char *message)
{
    const char *hit = strstr(text, word);
    unsigned line = 0;

    for (const char *at = text; hit && at <= hit; at++) {
        line += at == text || at[-1] == '\n';
    }
    return molt_error_at(MOLT_ERROR_USAGE, path, line, "molt.toml: %s", message);
}

/* Whether NAME is an identifier of C. */
static bool is_identifier(const char *name)
{
    if (!name || !*name || isdigit((unsigned char)*name)) {
        return false;
    }
    for (; *name; name++) {
        if (!isalnum((unsigned char)*name) && *name != '_' && *name != '$') {
            return false;
        }
    }
    return true;
}

/* Reads VALUE, which WORD stands for: a list of names that IS_RIGHT, or else MESSAGE says what it must be. */
static struct molt_error *read_names(const char *path, const json_t *value,
                                     const struct heap_settings *settings, const char *word,
                                     bool (*is_right)(const char *name), const char *message, name_list *ret)
{
    json_t *item;
    size_t i;

    json_array_foreach(value, i, item)
    {
        if (!is_right(json_string_value(item))) {
            break;
        }
        LIST_ADD(ret, json_string_value(item));
    }
    return json_is_array(value) && i == json_array_size(value) ? NULL
                                                               : wrong(path, settings->text, word, message);
}

static bool is_text(const char *name)
{
    return name != NULL;
}

static struct molt_error *read_allocators(const char *path, const json_t *value, struct heap_settings *ret)
{
    json_t *item;
    size_t i;

    json_array_foreach(value, i, item)
    {
        const char *allocate = NULL, *release = NULL;
        int header = 0;
        if (json_unpack(item, "{s:s, s:s, s?i !}", "allocate", &allocate, "release", &release, "header",
                        &header) < 0 ||
            !is_identifier(allocate) || !is_identifier(release) || header < 0 || header > 4096) {
            break;
        }
        LIST_ADD(&ret->allocators, (struct heap_allocator){ allocate, release, header });
    }
    return json_is_array(value) && i == json_array_size(value)
               ? NULL
               : wrong(
                     path, ret->text, "allocators",
                     "heap.allocators must be a list such as [{ allocate = \"zmalloc\", release = \"zfree\", "
                     "header = 0 }]");
}

/* "file.c:123" */
static bool is_place(const char *text)
{
    const char *colon = strrchr(text, ':');

    return colon && colon > text && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1);
}

static struct molt_error *read_types(const char *path, json_t *value, struct heap_settings *ret)
{
    const char *place;
    json_t *type;

    if (!json_is_object(value)) {
        return wrong(path, ret->text, "types",
                     "heap.types must be a table such as { \"conn.c:123\" = \"struct conn\" }");
    }
    json_object_foreach(value, place, type)
    {
        if (!is_place(place) || !json_is_string(type)) {
            return wrong(path, ret->text, place,
                         "each of heap.types names a file with a line and its type, such as "
                         "\"conn.c:123\" = \"struct conn\"");
        }
        LIST_ADD(&ret->types, (struct heap_type){ place, json_string_value(type) });
    }
    return NULL;
}

static struct molt_error *read_heap(const char *path, json_t *heap, struct heap_settings *ret)
{
    const char *key;
    json_t *value;

    if (heap && !json_is_object(heap)) {
        return wrong(path, ret->text, "heap", "heap must be a table: [heap]");
    }
    json_object_foreach(heap, key, value)
    {
        struct molt_error *error;
        if (strcmp(key, "wrappers") == 0) {
            error = read_names(path, value, ret, key, is_identifier,
                               "heap.wrappers must be a list of functions, such as [\"pool_get\"]",
                               &ret->wrappers);
        } else if (strcmp(key, "plain") == 0) {
            error = read_names(path, value, ret, key, is_identifier,
                               "heap.plain must be a list of functions, such as [\"pool_get\"]", &ret->plain);
        } else if (strcmp(key, "views") == 0) {
            error =
                read_names(path, value, ret, key, is_text,
                           "heap.views must be a list of types, such as [\"struct packet\"]", &ret->views);
        } else if (strcmp(key, "numbers") == 0) {
            error = read_names(path, value, ret, key, is_text,
                               "heap.numbers must be a list of members and variables, such as [\"struct "
                               "vector.size\"]",
                               &ret->numbers);
        } else if (strcmp(key, "allocators") == 0) {
            error = read_allocators(path, value, ret);
        } else if (strcmp(key, "types") == 0) {
            error = read_types(path, value, ret);
        } else {
            error = wrong(path, ret->text, key,
                          "[heap] has wrappers, allocators, types, plain, views and numbers, nothing else");
        }
        if (error) {
            return error;
        }
    }
    return NULL;
}

struct molt_error *heap_settings_read(const char *folder, struct heap_settings *ret)
{
    char *path = must_printf("%s/molt.toml", folder);
    struct molt_error *error = NULL;
    const char *reason;
    unsigned line;
    size_t size;

    *ret = (struct heap_settings){ 0 };
    if (access(path, F_OK) == 0) {
        json_t *json = NULL;
        error = file_read(path, &ret->text, &size);
        if (!error && toml_parse(ret->text, size, &json, &line, &reason) < 0) {
            error = molt_error_at(MOLT_ERROR_USAGE, path, line, "molt.toml: %s", reason);
        }
        ret->json = json;
        error = error ? error : read_heap(path, json_object_get(json, "heap"), ret);
    }
    if (error) {
        heap_settings_deinit(ret);
    }
    free(path);
    return error;
}

void heap_settings_deinit(struct heap_settings *settings)
{
    LIST_FREE(&settings->wrappers);
    LIST_FREE(&settings->allocators);
    LIST_FREE(&settings->types);
    LIST_FREE(&settings->views);
    LIST_FREE(&settings->plain);
    LIST_FREE(&settings->numbers);
    json_decref(settings->json);
    free(settings->text);
    *settings = (struct heap_settings){ 0 };
}
