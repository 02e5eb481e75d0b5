/*
 * Functions of a linked binary, as if each were an object of its own: then what reads objects reads them,
 * too. The linker has resolved what they name; of that, direct calls get their names back, as relocations.
 * Static functions are named by their addresses, since their names may stand for several.
 */
#include "patch/code/image_function.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD 4 /* bytes of a distance in an instruction */

void image_functions_init(struct image_functions *functions, const struct image *image)
{
    *functions = (struct image_functions){ .image = image };
}

void image_functions_deinit(struct image_functions *functions)
{
    for (size_t i = 0; i < functions->objects.count; i++) {
        object_destroy(functions->objects.items[i]);
    }
    for (size_t i = 0; i < functions->names.count; i++) {
        free(functions->names.items[i]);
    }
    LIST_FREE(&functions->objects);
    LIST_FREE(&functions->names);
    table_deinit(&functions->found);
    if (functions->known) {
        call_targets_deinit(&functions->targets);
    }
}

/* An object that is being made. */
struct making {
    const struct image_functions *functions;
    struct object *object;
    LIST(struct object_symbol) symbols;
};

static uint32_t add_symbol(struct making *making, char *name, unsigned section, uint64_t size)
{
    struct object_symbol symbol = { .name = name,
                                    .index = (unsigned)making->symbols.count,
                                    .section = section,
                                    .size = size,
                                    .type = STT_FUNC,
                                    .bind = STB_GLOBAL };

    LIST_ADD(&making->object->owned, name);
    LIST_ADD(&making->symbols, symbol);
    return symbol.index;
}

/* What the function that CALL leads to is called. */
static char *name_of(const struct image *image, const struct call *call)
{
    const struct image_symbol *symbol = call->target ? image_symbol_at(image, call->target) : NULL;

    return symbol && symbol->file ? must_printf("%c%lx", IMAGE_STATIC_MARK, (unsigned long)call->target)
                                  : must_strdup(call->callee);
}

/* Whether the instruction that ends at END, LENGTH bytes long, calls or jumps through memory at a distance.
 */
static bool is_through_memory(const uint8_t *end, uint64_t length)
{
    return length >= FIELD + 2 && end[-FIELD - 2] == 0xff &&
           (end[-FIELD - 1] == 0x15 || end[-FIELD - 1] == 0x25);
}

static void add_relocations(struct making *making, struct object_section *section)
{
    call_list calls = { 0 };

    calls_of_image(&making->functions->targets, section->base, section->size, &calls);
    section->relocations = must_calloc(calls.count + 1, sizeof(*section->relocations));
    for (size_t i = 0; i < calls.count; i++) {
        const struct call *call = &calls.items[i];
        uint64_t end = call->after - section->base, length = call->after - call->at;
        const struct image_symbol *to =
            call->target ? image_symbol_at(making->functions->image, call->target) : NULL;
        bool part = to && strstr(to->name, ".cold");
        if (!call->callee || part) {
            continue;
        }
        bool short_jump = length <= FIELD;
        uint32_t symbol = add_symbol(making, name_of(making->functions->image, call), 0, 0);
        section->relocations[section->relocation_count++] =
            (struct object_relocation){ .offset = (uint32_t)(end - (short_jump ? 1 : FIELD)),
                                        .type = short_jump ? R_X86_64_PC8
                                                : is_through_memory(section->bytes + end, length)
                                                    ? R_X86_64_GOTPCRELX
                                                    : R_X86_64_PLT32,
                                        .symbol = symbol,
                                        .addend = short_jump ? -1 : -FIELD };
    }
    LIST_FREE(&calls);
}

/* Adds the code of SYMBOL as section number INDEX. */
static bool add_code(struct making *making, const struct image_symbol *symbol, unsigned index)
{
    struct object_section *section = &making->object->sections[index];
    const uint8_t *bytes =
        symbol->size ? image_bytes(making->functions->image, symbol->value, symbol->size) : NULL;

    *section = (struct object_section){ .name = ".text",
                                        .index = index,
                                        .kind = SECTION_CODE,
                                        .size = bytes ? symbol->size : 0,
                                        .bytes = bytes,
                                        .base = symbol->value };
    add_symbol(making, must_strdup(symbol->name), index, section->size);
    return bytes != NULL;
}

/* The part of SYMBOL's code that was split off, if there is but one of that name; NULL: none. */
static const struct image_symbol *part_of(const struct image *image, const struct image_symbol *symbol)
{
    char *name = must_printf("%s.cold", symbol->name);
    const struct image_symbol *part = table_get(&image->names, name);

    free(name);
    return part && !part->next ? part : NULL;
}

static struct object *make(const struct image_functions *functions, const struct image_symbol *symbol)
{
    struct making making = { .functions = functions, .object = object_empty() };
    struct object *object = making.object;
    const struct image_symbol *part = part_of(functions->image, symbol);

    free(object->sections);
    object->sections = must_calloc(3, sizeof(*object->sections));
    object->section_count = 3;
    LIST_ADD(&making.symbols, (struct object_symbol){ 0 });
    bool known = add_code(&making, symbol, 1) && (!part || add_code(&making, part, 2));
    for (unsigned i = 1; i <= (part ? 2u : 1u) && known; i++) {
        add_relocations(&making, &object->sections[i]);
    }
    free(object->symbols);
    object->symbols = making.symbols.items;
    object->symbol_count = making.symbols.count;
    if (known) {
        return object;
    }
    object_destroy(object);
    return NULL;
}

/* The function of the binary that NAME means. */
static const struct image_symbol *symbol_of(const struct image *image, const char *name)
{
    const struct image_symbol *symbol = *name == IMAGE_STATIC_MARK
                                            ? image_symbol_at(image, strtoul(name + 1, NULL, 16))
                                            : image_find_global(image, name);

    return symbol && symbol->type == STT_FUNC ? symbol : NULL;
}

bool image_functions_find(struct image_functions *functions, const char *name, struct object **ret_object,
                          const struct object_symbol **ret_symbol)
{
    struct object *object = table_get(&functions->found, name);
    const struct image_symbol *symbol = object ? NULL : symbol_of(functions->image, name);

    if (symbol && !functions->known) {
        call_targets_init(&functions->targets, functions->image);
        functions->known = true;
    }
    if (symbol && (object = make(functions, symbol))) {
        char *key = must_strdup(name);
        LIST_ADD(&functions->names, key);
        LIST_ADD(&functions->objects, object);
        table_put(&functions->found, key, object);
    }
    if (object) {
        *ret_object = object;
        *ret_symbol = &object->symbols[1];
    }
    return object != NULL;
}
