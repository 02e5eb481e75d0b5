/*
 * The answer's size is bounded: of very many types, places and sites only the largest are told, and how many
 * there are.
 */
#include "engine/census_json.h"

#include <stdlib.h>
#include <string.h>

#include "engine/update/state_private.h"

#define TYPES_MAX 400
#define PLACES_MAX 12 /* of one type, if all are asked for; of those asked for four times as many */
#define SITES_MAX 40

struct row {
    uint64_t weight;
    json_t *value;
};

struct rows {
    struct row *items;
    size_t count, capacity;
};

/* Takes VALUE. */
static void add_row(struct rows *rows, uint64_t weight, json_t *value)
{
    if (rows->count == rows->capacity) {
        size_t capacity = rows->capacity ? rows->capacity * 2 : 64;
        struct row *grown = realloc(rows->items, capacity * sizeof(*grown));
        if (!grown) {
            json_decref(value);
            return;
        }
        rows->items = grown;
        rows->capacity = capacity;
    }
    rows->items[rows->count++] = (struct row){ weight, value };
}

static int heavier_first(const void *one, const void *other)
{
    const struct row *a = one, *b = other;

    return (a->weight < b->weight) - (a->weight > b->weight);
}

/* The heaviest MOST rows as an array. */
static json_t *rows_value(struct rows *rows, size_t most)
{
    json_t *array = json_array();

    if (rows->count) {
        qsort(rows->items, rows->count, sizeof(*rows->items), heavier_first);
    }
    for (size_t i = 0; i < rows->count; i++) {
        if (i < most) {
            json_array_append_new(array, rows->items[i].value);
        } else {
            json_decref(rows->items[i].value);
        }
    }
    free(rows->items);
    return array;
}

static json_t *string_value(const char *text)
{
    json_t *value = json_string(text);

    return value ? value : json_string("?");
}

static const char *layout_name(const struct census_result *result, uint32_t layout)
{
    return result->state->layouts.items[layout].name;
}

/* {"file", "line"} of a site; "" and 0 for what has no debug information. */
static void put_site(const struct census_result *result, json_t *object, uint32_t site)
{
    const struct meaning *meaning = sites_meaning((struct sites *)&result->state->sites, site);
    const struct site_entry *entry = meaning->entry;

    json_object_set_new(object, "file", string_value(entry ? entry->file : ""));
    json_object_set_new(object, "line", json_integer(entry ? entry->line : 0));
}

/* ---- places of a type ------------------------------------------------------------------------------ */

static void add_blocks(const struct census_result *result, uint32_t layout, struct rows *rows)
{
    for (size_t i = 0; i < result->tally_count; i++) {
        const struct census_tally *tally = &result->tallies[i];
        if (tally->layout == layout) {
            json_t *place = json_pack("{s:s, s:I, s:I, s:I, s:b}", "kind",
                                      tally->kind == MOLT_SITE_ARRAY ? "array" : "heap", "count",
                                      (json_int_t)tally->elements, "blocks", (json_int_t)tally->blocks,
                                      "bytes", (json_int_t)tally->bytes, "guessed", (int)tally->guessed);
            put_site(result, place, tally->site);
            add_row(rows, tally->elements, place);
        }
        if (tally->tails && result->state->layouts.items[tally->layout].tail == layout) {
            json_t *place = json_pack("{s:s, s:I, s:s}", "kind", "tail", "count", (json_int_t)tally->tails,
                                      "owner", layout_name(result, tally->layout));
            put_site(result, place, tally->site);
            add_row(rows, tally->tails, place);
        }
    }
}

static void add_variables(const struct census_result *result, uint32_t layout, struct rows *rows)
{
    const struct patch_file *file = result->state->layouts.file;

    for (size_t i = 0; i < result->state->roots.count; i++) {
        const struct molt_patch_root *record = result->state->roots.items[i].record;
        if (record->kind == MOLT_FIELD_MEMBER && record->layout == layout) {
            json_t *place = json_pack("{s:s, s:I, s:I, s:o, s:o, s:I}", "kind",
                                      record->flags & MOLT_ROOT_TLS ? "thread-local" : "variable", "count",
                                      (json_int_t)record->count, "bytes",
                                      (json_int_t)record->count * result->state->layouts.items[layout].size,
                                      "name", string_value(patch_file_string(file, record->name)), "file",
                                      string_value(patch_file_string(file, record->unit)), "line",
                                      (json_int_t)record->line);
            add_row(rows, record->count, place);
        }
    }
}

static void add_members(const struct census_result *result, uint32_t layout, struct rows *rows)
{
    const struct layouts *layouts = &result->state->layouts;

    for (size_t i = layout + 1; i < layouts->count; i++) {
        const struct molt_patch_layout *record = layouts->items[i].record;
        for (uint32_t k = record->field; result->total[i] && k < record->field + record->field_count; k++) {
            const struct molt_patch_field *field = &layouts->file->patch_fields[k];
            if (field->kind == MOLT_FIELD_MEMBER && field->layout == layout) {
                uint64_t count = result->total[i] * field->count;
                add_row(rows, count,
                        json_pack("{s:s, s:I, s:s, s:o}", "kind", "member", "count", (json_int_t)count,
                                  "owner", layout_name(result, (uint32_t)i), "name",
                                  string_value(patch_file_string(layouts->file, field->name))));
            }
        }
    }
}

static uint64_t bytes_of(const struct census_result *result, uint32_t layout)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < result->tally_count; i++) {
        bytes += result->tallies[i].layout == layout ? result->tallies[i].bytes : 0;
    }
    for (size_t i = 0; i < result->state->roots.count; i++) {
        const struct molt_patch_root *record = result->state->roots.items[i].record;
        bool counts = record->kind == MOLT_FIELD_MEMBER && record->layout == layout;
        bytes += counts ? (uint64_t)record->count * result->state->layouts.items[layout].size : 0;
    }
    return bytes;
}

static json_t *type_value(const struct census_result *result, uint32_t layout)
{
    const struct layout *type = &result->state->layouts.items[layout];
    size_t most = result->asked[layout] ? 4 * PLACES_MAX : PLACES_MAX;
    struct rows rows = { 0 };

    add_blocks(result, layout, &rows);
    add_variables(result, layout, &rows);
    add_members(result, layout, &rows);
    json_t *value =
        json_pack("{s:i, s:s, s:s, s:I, s:I, s:I, s:i}", "layout", (int)layout, "name", type->name, "unit",
                  patch_file_string(result->state->layouts.file, type->record->unit), "size",
                  (json_int_t)type->size, "count", (json_int_t)result->total[layout], "bytes",
                  (json_int_t)bytes_of(result, layout), "place_count", (int)rows.count);
    json_object_set_new(value, "places", rows_value(&rows, most));
    return value;
}

static json_t *types_value(const struct census_result *result)
{
    struct rows rows = { 0 };
    bool all = true;

    for (uint32_t i = 1; i < result->state->layouts.count; i++) {
        all = all && !result->asked[i];
    }
    for (uint32_t i = 1; i < result->state->layouts.count; i++) {
        if (all ? result->total[i] != 0 : result->asked[i]) {
            add_row(&rows, all ? bytes_of(result, i) * 16 + 1 : 0, type_value(result, i));
        }
    }
    return rows_value(&rows, TYPES_MAX);
}

/* ---- what has no type ------------------------------------------------------------------------------ */

enum untyped { UNTYPED_BUFFERS, UNTYPED_UNKNOWN, UNTYPED_FOREIGN };

/* What the blocks of TALLY, which have no type, are: what code without debug information holds is a
 * library's own business. */
static enum untyped untyped_kind(const struct census_result *result, const struct census_tally *tally)
{
    const struct meaning *meaning = sites_meaning((struct sites *)&result->state->sites, tally->site);

    return tally->kind != MOLT_SITE_UNKNOWN ? UNTYPED_BUFFERS
           : meaning->entry                 ? UNTYPED_UNKNOWN
                                            : UNTYPED_FOREIGN;
}

/* {"blocks", "bytes", "site_count", "sites": [...]} of all blocks of KIND. */
static json_t *untyped_value(const struct census_result *result, enum untyped kind)
{
    uint64_t blocks = 0, bytes = 0;
    struct rows rows = { 0 };

    for (size_t i = 0; i < result->tally_count; i++) {
        const struct census_tally *tally = &result->tallies[i];
        if (tally->layout || untyped_kind(result, tally) != kind) {
            continue;
        }
        json_t *site = json_pack("{s:I, s:I, s:I}", "blocks", (json_int_t)tally->blocks, "bytes",
                                 (json_int_t)tally->bytes, "largest", (json_int_t)tally->largest);
        put_site(result, site, tally->site);
        add_row(&rows, tally->bytes, site);
        blocks += tally->blocks;
        bytes += tally->bytes;
    }
    int sites = (int)rows.count;
    return json_pack("{s:I, s:I, s:i, s:o}", "blocks", (json_int_t)blocks, "bytes", (json_int_t)bytes,
                     "site_count", sites, "sites",
                     rows_value(&rows, kind == UNTYPED_FOREIGN ? 1 : SITES_MAX));
}

/* ---- instances ------------------------------------------------------------------------------------- */

static json_t *hex_value(const uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    char *hex = malloc(2 * size + 1);

    for (size_t i = 0; hex && i < size; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    json_t *value = hex ? json_stringn(hex, 2 * size) : NULL;
    free(hex);
    return value ? value : json_string("");
}

static json_t *pointer_value(const struct census_result *result, const struct census_pointer *pointer)
{
    json_t *value = json_pack("{s:i}", "offset", (int)pointer->offset);

    if (pointer->layout) {
        json_object_set_new(value, "type", json_string(layout_name(result, pointer->layout)));
    }
    if (pointer->code) {
        json_object_set_new(value, "module", json_integer(pointer->module));
        json_object_set_new(value, "code", json_integer((json_int_t)pointer->code));
    } else if (pointer->memory) {
        json_object_set_new(value, "memory", json_string(pointer->memory));
    } else if (pointer->variable) {
        json_object_set_new(value, "variable", string_value(pointer->variable));
    } else {
        put_site(result, value, pointer->site);
    }
    if (pointer->distance) {
        json_object_set_new(value, "distance", json_integer((json_int_t)pointer->distance));
    }
    if (*pointer->text) {
        json_object_set_new(value, "text", string_value(pointer->text));
    }
    return value;
}

static json_t *instance_value(const struct census_result *result, const struct census_instance *instance)
{
    json_t *pointers = json_array();
    json_t *value = json_pack("{s:I, s:i, s:s, s:o}", "address", (json_int_t)instance->address, "layout",
                              (int)instance->layout, "path", instance->path, "bytes",
                              hex_value(instance->bytes, instance->byte_count));

    if (instance->variable) {
        json_object_set_new(value, "variable", string_value(instance->variable));
        json_object_set_new(value, "file", string_value(instance->unit));
        json_object_set_new(value, "thread_local", json_boolean(instance->thread_local));
    } else {
        put_site(result, value, instance->site);
    }
    for (uint32_t i = 0; i < instance->pointer_count; i++) {
        json_array_append_new(pointers,
                              pointer_value(result, &result->pointers[instance->first_pointer + i]));
    }
    json_object_set_new(value, "pointers", pointers);
    return value;
}

void census_describe(const struct census *census, json_t *answer)
{
    const struct census_result *result = census_result(census);
    json_t *instances = json_array();

    for (size_t i = 0; i < result->instance_count; i++) {
        json_array_append_new(instances, instance_value(result, &result->instances[i]));
    }
    json_object_set_new(answer, "tracked", json_boolean(result->tracked));
    json_object_set_new(answer, "obstacle", string_value(result->obstacle));
    json_object_set_new(answer, "types", types_value(result));
    json_object_set_new(answer, "unknown", untyped_value(result, UNTYPED_UNKNOWN));
    json_object_set_new(answer, "buffers", untyped_value(result, UNTYPED_BUFFERS));
    json_object_set_new(answer, "foreign", untyped_value(result, UNTYPED_FOREIGN));
    json_object_set_new(answer, "instances", instances);
}
