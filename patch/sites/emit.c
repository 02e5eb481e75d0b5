/* Sites as records. The types were read from the probes' objects; the model that they become part of knows
 * them as those of the program, since equal types are there once. */
#include "patch/sites/emit.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/probe/probe.h"

void sites_add_units(const struct sites *sites, struct type_model *model)
{
    for (size_t i = 0; i < sites->keeps.count; i++) {
        const struct probe *probe = sites->keeps.items[i];
        Dwarf *dwarf = probe->object ? object_dwarf(probe->object) : NULL;
        if (dwarf) {
            type_model_add_all(model, dwarf, probe->unit);
        }
    }
    for (size_t i = 0; i < sites->hint_units.count; i++) {
        type_model_add(model, &sites->hint_units.items[i], "molt.toml");
    }
}

/* The index + 1 of the record for ALLOCATOR. */
static uint32_t emit_allocator(struct emission *emission, uint32_t module,
                               const struct site_allocator *allocator)
{
    for (size_t i = 0; i < emission->allocators.count; i++) {
        const struct molt_patch_allocator *known = &emission->allocators.items[i];
        if (known->module == module && known->allocate == allocator->allocate) {
            return i + 1;
        }
    }
    LIST_ADD(&emission->allocators,
             (struct molt_patch_allocator){ .allocate = allocator->allocate,
                                            .release = allocator->release,
                                            .module = module,
                                            .name = emission_string(emission, allocator->name),
                                            .header = allocator->header });
    return emission->allocators.count;
}

static void emit_site(const struct sites *sites, const struct site *site, struct state_emission *state,
                      struct type_model *model, uint32_t module, const struct contribution *contribution)
{
    struct emission *emission = state->emission;
    bool typed = site->kind == MOLT_SITE_OBJECT || site->kind == MOLT_SITE_ARRAY;
    struct molt_patch_site record = { .address = site->address, .module = module, .kind = site->kind };

    if (site->symbol) {
        record.symbol = contribution->symbols[site->symbol->index];
        if (!record.symbol) {
            return; /* the function did not get into the patch */
        }
    }
    record.layout = typed ? emit_layout(state, type_of_die(model, &site->type)) : 0;
    if (typed && !record.layout) {
        record.kind = MOLT_SITE_BYTES; /* a type without instances of anything: void, a function */
    }
    if (site->allocator) {
        record.allocator = emit_allocator(emission, module, &sites->allocators.items[site->allocator - 1]);
    }
    record.file = emission_string(emission, site->file);
    record.line = site->line;
    if (*site->carver) {
        char *carver =
            must_printf("%s (%s:%u)", site->carver, path_last(site->carver_file), site->carver_line);
        record.carver = emission_string(emission, carver);
        record.flags = site->pieces ? MOLT_SITE_PIECES : 0;
        free(carver);
    }
    LIST_ADD(&emission->sites, record);
}

void sites_emit(const struct sites *sites, struct state_emission *state, struct type_model *model,
                const struct image *image, const struct contribution *contribution)
{
    uint32_t module = emission_module(state->emission, image);

    for (size_t i = 0; i < sites->items.count; i++) {
        emit_site(sites, &sites->items.items[i], state, model, module, contribution);
    }
}

static void add_count(json_t *into, json_t *from, const char *key)
{
    json_int_t sum =
        json_integer_value(json_object_get(into, key)) + json_integer_value(json_object_get(from, key));

    json_object_set_new(into, key, json_integer(sum));
}

void sites_join_json(json_t *into, json_t *from)
{
    add_count(into, from, "typed");
    add_count(into, from, "bytes");
    add_count(into, from, "wrapper");
    if (!json_object_get(into, "unknown")) {
        json_object_set_new(into, "unknown", json_array());
    }
    json_array_extend(json_object_get(into, "unknown"), json_object_get(from, "unknown"));
    json_decref(from);
}
