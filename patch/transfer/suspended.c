/*
 * From return addresses to verdicts: the debug information of the binary tells function and unit; the unit is
 * compiled as it is and found in the binary, as for an update; then the function's recipes against itself are
 * made, and the one is looked for that begins at the return address.
 */
#include "patch/transfer/suspended.h"

#include <stdlib.h>
#include <string.h>

#include "patch/code/baseline.h"
#include "patch/build_private.h"
#include "patch/transfer/transfer.h"

/* One frame while it is judged. */
struct judged {
    json_t *frame; /* borrowed */
    const struct image *image;
    uint64_t address;
    struct changed_unit *unit; /* NULL: not known */
    const char *function;      /* of a patch's code; NULL: found by the address */
};

struct judging {
    struct build *build;
    LIST(struct judged) frames;
    const struct image *indexed; /* that `index` is of */
    struct code_index index;
};

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* ---- which unit ------------------------------------------------------------------------------------ */

static const struct image *find_image(const struct patch_session *session, const char *path)
{
    for (size_t i = 0; i < session->images.count; i++) {
        char *own = realpath(session->images.items[i]->path, NULL);
        bool same = own && strcmp(own, path) == 0;
        free(own);
        if (same) {
            return session->images.items[i];
        }
    }
    return NULL;
}

/* The unit, compared with itself: all there is to do is to place it. */
static struct changed_unit *take_unit(struct build *build, struct unit *unit)
{
    for (size_t i = 0; i < build->units.count; i++) {
        if (build->units.items[i]->unit == unit) {
            return build->units.items[i];
        }
    }
    struct changed_unit *taken = must_calloc(1, sizeof(*taken));
    taken->unit = unit;
    taken->old = (struct compile_job){ unit, &build->from, COMMAND_OBJECT };
    LIST_ADD(&build->units, taken);
    return taken;
}

static bool is_made_from(const struct image *image, const struct compile_entry *entry, Dwarf_Off die)
{
    const struct image_unit *unit = image_find_unit(image, entry->file, entry->name);

    while (unit && unit->die != die) {
        unit = image_next_twin(image, unit);
    }
    return unit;
}

static struct changed_unit *unit_at(struct judging *judging, const struct image *image, uint64_t address)
{
    struct patch_session *session = judging->build->session;
    const struct code_range *range = code_index_find(&judging->index, address);

    for (size_t i = 0; range && i < session->unit_count; i++) {
        Dwarf_Die unit = range->unit;
        if (is_made_from(image, session->units[i].entry, dwarf_dieoffset(&unit))) {
            return take_unit(judging->build, &session->units[i]);
        }
    }
    return NULL;
}

static struct changed_unit *unit_named(struct build *build, const char *name)
{
    for (size_t i = 0; i < build->session->unit_count; i++) {
        if (strcmp(build->session->units[i].entry->name, name) == 0) {
            return take_unit(build, &build->session->units[i]);
        }
    }
    return NULL;
}

/* What the debug information says of the call before ADDRESS: the function itself, not what is inlined
 * there. */
static void tell_place(const struct judging *judging, uint64_t address, json_t *frame)
{
    code_frames places = { 0 };

    code_index_frames(&judging->index, address - 1, &places);
    if (places.count) {
        const struct code_frame *place = &places.items[places.count - 1];
        json_object_set_new(frame, "function", json_string(place->function ? place->function : ""));
        json_object_set_new(frame, "file", json_string(place->file ? place->file : ""));
        json_object_set_new(frame, "line", json_integer(place->line));
    }
    LIST_FREE(&places);
}

static void refuse(json_t *frame, const char *reason)
{
    json_object_set_new(frame, "transferable", json_false());
    json_object_set_new(frame, "reason", json_string(reason));
}

static void add_frame(struct judging *judging, json_t *frame)
{
    struct judged judged = { .frame = frame,
                             .address = (uint64_t)json_integer_value(json_object_get(frame, "offset")) };

    if (json_object_get(frame, "unit")) {
        judged.function = text_at(frame, "function");
        judged.unit = unit_named(judging->build, text_at(frame, "unit"));
    } else {
        judged.image = find_image(judging->build->session, text_at(frame, "module"));
        if (!judged.image) {
            return;
        }
        if (judging->indexed != judged.image) {
            code_index_deinit(&judging->index);
            code_index_init(&judging->index, judged.image->dwarf);
            judging->indexed = judged.image;
        }
        judged.unit = unit_at(judging, judged.image, judged.address - 1);
        tell_place(judging, judged.address, frame);
    }
    if (judged.unit) {
        json_object_set_new(frame, "unit", json_string(judged.unit->unit->entry->name));
        LIST_ADD(&judging->frames, judged);
    } else if (json_object_get(frame, "function")) {
        refuse(frame, "no command of the compile database made it");
    }
}

static struct molt_error *compile_units(struct build *build)
{
    compile_jobs jobs = { 0 };

    for (size_t i = 0; i < build->units.count; i++) {
        LIST_ADD(&jobs, &build->units.items[i]->old);
    }
    struct molt_error *error = build_compile(build, &jobs);
    LIST_FREE(&jobs);
    for (size_t i = 0; !error && i < build->units.count; i++) {
        struct changed_unit *unit = build->units.items[i];
        struct object *object;
        error = session_object(build->session, unit->old.object, &object);
        if (!error) {
            comparison_init(&unit->comparison, object, object, NULL, NULL);
            unit->comparison.different = unit->compared = true;
        }
    }
    return error ? error : build_place(build);
}

/* ---- which call ------------------------------------------------------------------------------------ */

/* What is known of the code that a frame is in. */
struct code {
    struct contribution *contribution; /* NULL: code of a patch, as the object has it */
    struct object *object;
    const struct object_symbol *symbol; /* holds the address: the function, or a part of it */
    const struct image_symbol *found;
    uint32_t *places; /* see baseline_places */
};

static bool find_in_program(const struct judging *judging, const struct judged *judged, struct code *ret)
{
    struct build *build = judging->build;
    bool ambiguous;

    for (size_t i = 0; i < build->contributions.count; i++) {
        struct contribution *contribution = build->contributions.items[i];
        struct object *object = contribution->comparison->old;
        if (contribution->comparison != &judged->unit->comparison || contribution->image != judged->image) {
            continue;
        }
        for (size_t k = 1; k < object->symbol_count; k++) {
            const struct object_symbol *symbol = &object->symbols[k];
            const struct image_symbol *found = symbol->key && symbol_is_function(object, symbol)
                                                   ? bind_find(contribution, symbol, &ambiguous)
                                                   : NULL;
            if (found && judged->address > found->value && judged->address <= found->value + found->size) {
                *ret = (struct code){ contribution, object, symbol, found,
                                      baseline_places(contribution, object, symbol, found) };
                return ret->places;
            }
        }
    }
    return false;
}

static bool find_in_object(const struct judged *judged, struct code *ret)
{
    struct object *object = judged->unit->comparison.old;

    for (size_t k = 1; k < object->symbol_count; k++) {
        const struct object_symbol *symbol = &object->symbols[k];
        if (symbol->key && symbol_is_function(object, symbol) && !symbol_is_part(symbol) &&
            strcmp(symbol->name, judged->function) == 0) {
            *ret = (struct code){ .object = object, .symbol = symbol };
            return true;
        }
    }
    return false;
}

/* The function that SYMBOL is, or is a part of: "serve.cold" of "serve". */
static const struct object_symbol *whole_of(const struct object *object, const struct object_symbol *symbol)
{
    for (size_t k = 1; symbol_is_part(symbol) && k < object->symbol_count; k++) {
        const struct object_symbol *whole = &object->symbols[k];
        size_t length = strlen(whole->name);
        if (whole->key && !symbol_is_part(whole) && symbol_is_function(object, whole) && length &&
            strncmp(symbol->name, whole->name, length) == 0 && symbol->name[length] == '.') {
            return whole;
        }
    }
    return symbol;
}

/* Whether RECIPE begins where the frame is. */
static bool is_at(const struct code *code, const struct judged *judged, const struct recipe *recipe)
{
    uint64_t start = object_address(code->object, code->symbol), inside = recipe->old_place - start;

    if (recipe->old_place <= start || inside > code->symbol->size) {
        return false;
    }
    return code->places ? code->places[inside] != UINT32_MAX &&
                              code->found->value + code->places[inside] == judged->address
                        : inside == judged->address;
}

static void judge(const struct code *code, const struct judged *judged)
{
    struct transfer_side side;
    struct transfer_pair pair;
    recipe_list recipes = { 0 };
    const struct object_symbol *whole = whole_of(code->object, code->symbol);
    const struct recipe *found = NULL;

    transfer_side_init(&side, code->object);
    transfer_pair_init(&pair, &side, &side, NULL, NULL, NULL);
    transfer_function(&pair, NULL, whole, whole, &recipes, NULL);
    for (size_t i = 0; i < recipes.count && !found; i++) {
        found = is_at(code, judged, &recipes.items[i]) ? &recipes.items[i] : NULL;
    }
    if (found) {
        json_object_set_new(judged->frame, "callee", json_string(found->callee));
        json_object_set_new(judged->frame, "line", json_integer(found->line));
        json_object_set_new(judged->frame, "transferable", json_boolean(!found->reason));
    }
    if (found && found->reason) {
        json_object_set_new(judged->frame, "reason", json_string(found->reason));
    } else if (!found) {
        refuse(judged->frame, "it does not wait for a call that its source makes");
    }
    recipes_free(&recipes);
    transfer_pair_deinit(&pair);
    transfer_side_deinit(&side);
}

static struct molt_error *run(struct judging *judging, json_t *frames)
{
    struct molt_error *error = build_open(judging->build);
    json_t *frame;
    size_t index;

    if (error) {
        return error;
    }
    json_array_foreach(frames, index, frame)
    {
        add_frame(judging, frame);
    }
    error = judging->frames.count ? compile_units(judging->build) : NULL;
    for (size_t i = 0; !error && i < judging->frames.count; i++) {
        const struct judged *judged = &judging->frames.items[i];
        struct code code = { 0 };
        if (judged->function ? find_in_object(judged, &code) : find_in_program(judging, judged, &code)) {
            judge(&code, judged);
        } else {
            refuse(judged->frame, "the code that runs is not what its source is compiled to");
        }
        free(code.places);
    }
    return error;
}

struct molt_error *patch_session_suspended(struct patch_session *session, const struct patch_request *request,
                                           json_t *frames)
{
    struct patch_result result = { 0 };
    struct patch_request same = *request;
    struct build build = { .session = session, .request = &same, .result = &result };
    struct judging judging = { .build = &build };

    same.to = request->from;
    session_trim(session);
    file_hashes_refresh(session->hashes);
    struct molt_error *error = run(&judging, frames);
    code_index_deinit(&judging.index);
    LIST_FREE(&judging.frames);
    build_close(&build);
    patch_result_deinit(&result);
    return error;
}
