/*
 * The change set as an object: made from a list of entries, shared by counting, written as JSON. Here entries
 * of several files meet, so here is seen what moved from one file, or one struct, to another.
 */
#include "recorder/change_set.h"

#include <stdlib.h>
#include <string.h>

#include "recorder/changes.h"

enum { BODY_MIN = 40 }; /* bytes of a function below which the same body is no evidence */

struct shared_set {
    struct change_set set; /* must be first */
    unsigned references;
    char **strings;
    size_t string_count;
};

static void free_strings(char **strings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(strings[i]);
    }
    free(strings);
}

void change_list_deinit(struct change_list *list)
{
    free_strings(list->strings, list->string_count);
    free(list->records);
    free(list->files);
    *list = (struct change_list){ 0 };
}

/* Makes room for one more item of SIZE bytes in ITEMS. */
static bool grow(void **items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) {
        return true;
    }
    size_t more = *capacity ? *capacity * 2 : 16;
    void *grown = realloc(*items, more * size);
    if (!grown) {
        return false;
    }
    *items = grown;
    *capacity = more;
    return true;
}

const char *change_list_string(struct change_list *list, const char *text, size_t length)
{
    void *strings = list->strings;
    char *copy = NULL;

    if (grow(&strings, list->string_count, &list->string_capacity, sizeof(*list->strings))) {
        list->strings = strings;
        copy = strndup(text, length);
    }
    if (!copy) {
        list->failed = true;
        return "";
    }
    list->strings[list->string_count++] = copy;
    return copy;
}

void change_list_add(struct change_list *list, const struct change_record *record)
{
    void *records = list->records;

    if (!grow(&records, list->count, &list->capacity, sizeof(*list->records))) {
        list->failed = true;
        return;
    }
    list->records = records;
    list->records[list->count++] = *record;
}

void change_list_add_file(struct change_list *list, const struct change_file *file)
{
    void *files = list->files;

    if (!grow(&files, list->file_count, &list->file_capacity, sizeof(*list->files))) {
        list->failed = true;
        return;
    }
    list->files = files;
    list->files[list->file_count++] = *file;
}

static const char *copy_string(struct change_list *list, const char *string)
{
    return string ? change_list_string(list, string, strlen(string)) : NULL;
}

void change_list_append(struct change_list *list, const struct change_list *other)
{
    for (size_t i = 0; i < other->count; i++) {
        struct change_record record = other->records[i];
        struct change *change = &record.change;
        change->name = copy_string(list, change->name);
        change->old_name = copy_string(list, change->old_name);
        change->owner = copy_string(list, change->owner);
        change->file = copy_string(list, change->file);
        change->declaration = copy_string(list, change->declaration);
        change_list_add(list, &record);
    }
    for (size_t i = 0; i < other->file_count; i++) {
        struct change_file file = other->files[i];
        file.path = copy_string(list, file.path);
        change_list_add_file(list, &file);
    }
}

/* --- what moved between files and owners --- */

static bool same_string(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Records that may be half of a move, by kind and name. */
static int compare_halves(const void *left, const void *right)
{
    const struct change *a = &(*(struct change_record *const *)left)->change;
    const struct change *b = &(*(struct change_record *const *)right)->change;

    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    int order = strcmp(a->name, b->name);
    return order ? order : (a > b) - (a < b);
}

/* REMOVED and ADDED are one declaration: the second's entry becomes what happened to it. */
static void join(struct change_list *list, struct change_record *removed, struct change_record *added,
                 const char *evidence, double confidence)
{
    struct change_record record = *added;
    bool same_file = same_string(removed->change.file, added->change.file);
    bool renamed = !same_string(removed->change.name, added->change.name);
    bool with_owner = added->change.owner && *added->change.owner &&
                      same_string(removed->change.owner, added->change.owner);

    removed->dropped = true;
    record.change.id = removed->change.id;
    record.change.old_line = removed->change.old_line;
    record.change.old_lines = removed->change.old_lines;
    record.change.old_file = same_file ? NULL : removed->change.file;
    record.change.evidence = evidence;
    record.change.confidence = confidence;
    added->dropped = true;
    if (renamed) {
        record.change.old_name = removed->change.name;
        record.change.action = CHANGE_RENAMED;
        change_list_add(list, &record);
    }
    if (!with_owner && !(same_file && renamed)) {
        record.change.action = CHANGE_MOVED;
        change_list_add(list, &record);
    }
    if (removed->type_hash != record.type_hash) {
        record.change.action = CHANGE_RETYPED;
        change_list_add(list, &record);
    }
    if (removed->value_hash != record.value_hash) {
        record.change.action = CHANGE_MODIFIED;
        change_list_add(list, &record);
    }
}

/* Joins halves of one kind and name within HALVES[0, COUNT). */
static void join_group(struct change_list *list, size_t *halves, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t removed = halves[i];
        if (list->records[removed].change.action != CHANGE_REMOVED || list->records[removed].dropped) {
            continue;
        }
        for (size_t k = 0; k < count; k++) {
            struct change_record *a = &list->records[removed], *b = &list->records[halves[k]];
            if (b->change.action == CHANGE_ADDED && !b->dropped &&
                a->change.prototype == b->change.prototype &&
                (a->type_hash == b->type_hash || a->value_hash == b->value_hash)) {
                struct change_record halves_copy[2] = { *a, *b };
                a->dropped = b->dropped = true;
                join(list, &halves_copy[0], &halves_copy[1], "same name elsewhere",
                     a->type_hash == b->type_hash && a->value_hash == b->value_hash ? 1 : 0.9);
                break;
            }
        }
    }
}

static size_t collect_halves(const struct change_list *list, const struct change_record **ret)
{
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++) {
        const struct change *change = &list->records[i].change;
        if (!list->records[i].dropped &&
            (change->action == CHANGE_ADDED || change->action == CHANGE_REMOVED)) {
            ret[count++] = &list->records[i];
        }
    }
    return count;
}

static void join_same_names(struct change_list *list, const struct change_record **halves, size_t *numbers)
{
    size_t count = collect_halves(list, halves);

    qsort(halves, count, sizeof(*halves), compare_halves);
    for (size_t i = 0; i < count; i++) {
        numbers[i] = (size_t)(halves[i] - list->records);
    }
    for (size_t from = 0, to; from < count; from = to) {
        const struct change *first = &list->records[numbers[from]].change;
        enum declaration_kind kind = first->kind;
        const char *name = first->name;
        for (to = from + 1; to < count; to++) {
            const struct change *other = &list->records[numbers[to]].change;
            if (other->kind != kind || strcmp(other->name, name) != 0) {
                break;
            }
        }
        join_group(list, numbers + from, to - from);
    }
}

static bool same_body(const struct change_record *a, const struct change_record *b)
{
    return b->change.action == CHANGE_ADDED && !b->dropped && b->change.kind == DECLARATION_FUNCTION &&
           !b->change.prototype && a->type_hash == b->type_hash && a->value_hash == b->value_hash;
}

/* Functions with another name and the same body. */
static void join_same_bodies(struct change_list *list)
{
    size_t count = list->count;

    for (size_t i = 0; i < count; i++) {
        struct change_record a = list->records[i];
        if (a.dropped || a.change.action != CHANGE_REMOVED || a.change.kind != DECLARATION_FUNCTION ||
            a.change.prototype || a.size < BODY_MIN) {
            continue;
        }
        for (size_t k = 0; k < count; k++) {
            struct change_record b = list->records[k];
            if (same_body(&a, &b)) {
                list->records[i].dropped = list->records[k].dropped = true;
                join(list, &a, &b, "same body elsewhere", 0.8);
                break;
            }
        }
    }
}

void changes_pair(struct change_list *list)
{
    const struct change_record **halves = malloc((list->count + 1) * sizeof(*halves));
    size_t *numbers = malloc((list->count + 1) * sizeof(*numbers));

    if (halves && numbers) {
        join_same_names(list, halves, numbers);
        join_same_bodies(list);
    } else {
        list->failed = true;
    }
    free(halves);
    free(numbers);
}

/* --- the finished set --- */

static int compare_changes(const void *left, const void *right)
{
    const struct change *a = left, *b = right;
    unsigned line_a = a->line ? a->line : a->old_line, line_b = b->line ? b->line : b->old_line;

    int order = strcmp(a->file, b->file);
    if (order) {
        return order;
    }
    if (line_a != line_b) {
        return line_a < line_b ? -1 : 1;
    }
    if (a->id != b->id) {
        return a->id < b->id ? -1 : 1;
    }
    return (int)a->action - (int)b->action;
}

static int compare_files(const void *left, const void *right)
{
    return strcmp(((const struct change_file *)left)->path, ((const struct change_file *)right)->path);
}

struct molt_error *change_list_finish(struct change_list *list, struct change_set **ret)
{
    struct shared_set *shared = calloc(1, sizeof(*shared));
    struct change *items = malloc((list->count + 1) * sizeof(*items));
    size_t count = 0;

    if (!shared || !items || list->failed) {
        free(shared);
        free(items);
        change_list_deinit(list);
        return molt_error_nomem();
    }
    for (size_t i = 0; i < list->count; i++) {
        if (!list->records[i].dropped) {
            items[count++] = list->records[i].change;
        }
    }
    qsort(items, count, sizeof(*items), compare_changes);
    if (list->file_count) {
        qsort(list->files, list->file_count, sizeof(*list->files), compare_files);
    }
    *shared = (struct shared_set){
        .set = { .items = items, .count = count, .files = list->files, .file_count = list->file_count },
        .references = 1,
        .strings = list->strings,
        .string_count = list->string_count,
    };
    free(list->records);
    *list = (struct change_list){ 0 };
    *ret = &shared->set;
    return NULL;
}

struct change_set *change_set_hold(struct change_set *set)
{
    ((struct shared_set *)set)->references++;
    return set;
}

void change_set_destroy(struct change_set *set)
{
    struct shared_set *shared = (struct shared_set *)set;

    if (!shared || --shared->references) {
        return;
    }
    free_strings(shared->strings, shared->string_count);
    free(set->items);
    free(set->files);
    free(shared);
}

struct molt_error *change_set_between(const char *path, const char *old_text, size_t old_length,
                                      const char *new_text, size_t new_length, struct change_set **ret)
{
    struct file_context context;
    struct change_list list = { 0 };
    struct file file;

    struct molt_error *error = file_context_init(&context);
    if (error) {
        return error;
    }
    file_init(&file, NULL);
    error = file_set_baseline(&context, &file, old_text, old_length);
    error = error ? error : file_set_text(&context, &file, new_text, new_length);
    error = error ? error : changes_of_file(&context, &file, path, &list);
    if (!error) {
        changes_pair(&list);
        error = change_list_finish(&list, ret);
    }
    change_list_deinit(&list);
    file_deinit(&file);
    file_context_deinit(&context);
    return error;
}

/* --- words and JSON --- */

const char *declaration_kind_word(enum declaration_kind kind)
{
    static const char *const words[] = {
#define X(name, word) [DECLARATION_##name] = word,
        DECLARATION_KINDS(X)
#undef X
    };

    return words[kind];
}

const char *change_action_word(enum change_action action)
{
    static const char *const words[] = {
#define X(name, word) [CHANGE_##name] = word,
        CHANGE_ACTIONS(X)
#undef X
    };

    return words[action];
}

json_t *change_text_to_json(const char *text)
{
    json_t *string = json_string(text);

    if (string) {
        return string;
    }
    char *copy = strdup(text);
    for (char *byte = copy; copy && *byte; byte++) {
        *byte = *byte & 0x80 ? '?' : *byte;
    }
    string = copy ? json_string(copy) : NULL;
    free(copy);
    return string;
}

static int set_optional(json_t *object, const char *key, const char *text)
{
    return text ? json_object_set_new(object, key, change_text_to_json(text)) : 0;
}

static json_t *change_to_json(const struct change *change)
{
    json_t *object = json_pack(
        "{s:s, s:s, s:I, s:o, s:o, s:i, s:i, s:s, s:f, s:o}", "kind", declaration_kind_word(change->kind),
        "action", change_action_word(change->action), "id", (json_int_t)change->id, "name",
        change_text_to_json(change->name), "file", change_text_to_json(change->file), "line",
        (int)change->line, "old_line", (int)change->old_line, "evidence", change->evidence, "confidence",
        change->confidence, "declaration", change_text_to_json(change->declaration));

    if (object &&
        (set_optional(object, "owner", change->owner) || set_optional(object, "old_name", change->old_name) ||
         set_optional(object, "old_file", change->old_file) ||
         (change->prototype && json_object_set_new(object, "prototype", json_true())))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *change_set_to_json(const struct change_set *set)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < set->count; i++) {
        if (json_array_append_new(array, change_to_json(&set->items[i]))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}
