/*
 * Binding: what the names in new code mean in the running program. A definition that the program has is bound
 * to its address, or to what an earlier patch defined; anything else that is undefined is looked up by the
 * engine as the dynamic linker would.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/emit/emit.h"
#include "patch/code/object_scope.h"

const struct image_symbol *bind_find(const struct contribution *contribution,
                                     const struct object_symbol *symbol, bool *ret_ambiguous)
{
    *ret_ambiguous = false;
    if (symbol->bind != STB_LOCAL) {
        return image_find_global(contribution->image, symbol->name);
    }
    return image_find_local(contribution->image, contribution->image_unit, contribution->source, symbol->name,
                            ret_ambiguous);
}

const struct image_symbol *bind_find_or_fail(struct emission *emission,
                                             const struct contribution *contribution,
                                             const struct object_symbol *symbol)
{
    bool ambiguous;
    const struct image_symbol *found = bind_find(contribution, symbol, &ambiguous);

    if (ambiguous) {
        bool code = symbol_is_function(contribution->comparison->old, symbol);
        emission_fail(emission,
                      molt_error_at(MOLT_ERROR_REFUSED, contribution->source, 0,
                                    "cannot tell the %s %s of %s in %s from that of another file of the same "
                                    "name: build both with -g, or rename one",
                                    code ? "function" : "variable", symbol->name, contribution->name,
                                    contribution->image->path));
    }
    return found;
}

const struct molt_patch_definition *bind_earlier(const struct earlier_patch *earlier, size_t count,
                                                 const char *name, const char *unit)
{
    for (size_t i = count; i-- > 0;) {
        const struct patch_file *file = &earlier[i].file;
        for (size_t k = 0; k < file->patch_definitions_count; k++) {
            const struct molt_patch_definition *definition = &file->patch_definitions[k];
            if (strcmp(patch_file_string(file, definition->name), name) == 0 &&
                strcmp(patch_file_string(file, definition->unit), unit) == 0) {
                return definition;
            }
        }
    }
    return NULL;
}

const char *bind_name(struct object *object, struct object_symbol *symbol)
{
    if (symbol->bind != STB_LOCAL) {
        return symbol->name;
    }
    if (symbol->key && symbol->key[0] && symbol->key[strlen(symbol->key) - 1] == '@') {
        object_scope_keys(object, true);
    }
    return symbol->key ? symbol->key : symbol->name;
}

static uint32_t undefined(struct emission *emission, const struct object_symbol *symbol, unsigned char type)
{
    unsigned char bind = symbol->bind == STB_WEAK && !symbol->section ? STB_WEAK : STB_GLOBAL;

    return out_symbol(&emission->writer, symbol->name, type, bind, 0, 0, 0);
}

static uint32_t bind_address(struct emission *emission, const struct image *image,
                             const struct object_symbol *symbol, const struct image_symbol *found)
{
    bool tls = found->type == STT_TLS;
    uint32_t result = undefined(emission, symbol, tls ? STT_TLS : STT_NOTYPE);

    LIST_ADD(&emission->bindings,
             (struct molt_patch_binding){ .symbol = result,
                                          .kind = tls ? MOLT_BINDING_TLS : MOLT_BINDING_ADDRESS,
                                          .module = emission_module(emission, image),
                                          .size = found->size,
                                          .value = found->value });
    return result;
}

static uint32_t bind_to_earlier(struct emission *emission, const struct object_symbol *symbol,
                                const char *name, const char *unit)
{
    uint32_t result = undefined(emission, symbol, STT_NOTYPE);

    LIST_ADD(&emission->bindings, (struct molt_patch_binding){ .symbol = result,
                                                               .kind = MOLT_BINDING_EARLIER,
                                                               .module = emission_string(emission, name),
                                                               .value = emission_string(emission, unit) });
    return result;
}

uint32_t bind_old(struct emission *emission, struct contribution *contribution, struct object_symbol *symbol)
{
    struct object *old = contribution->comparison->old;
    const char *unit = symbol->bind == STB_LOCAL ? contribution->key : "";

    if (!symbol->section) {
        return bind_undefined(emission, contribution, symbol);
    }
    if (emission->earlier_count) {
        const char *name = bind_name(old, symbol);
        if (bind_earlier(emission->earlier, emission->earlier_count, name, unit)) {
            return bind_to_earlier(emission, symbol, name, unit);
        }
    }
    bool constant = symbol_is_constant(old, symbol), ambiguous;
    const struct image_symbol *found = constant ? bind_find(contribution, symbol, &ambiguous) /* or copied */
                                                : bind_find_or_fail(emission, contribution, symbol);
    return found ? bind_address(emission, contribution->image, symbol, found) : 0;
}

uint32_t bind_existing(struct emission *emission, struct contribution *contribution,
                       struct object_symbol *symbol)
{
    struct object_symbol *old = contribution->comparison->old_of[symbol->index];

    return old ? bind_old(emission, contribution, old)
           : emission_is_refiled(emission, contribution, symbol)
               ? bind_undefined(emission, contribution, symbol)
               : 0;
}

/* The definition of NAME that the patch adds to another binary, 0 if there is none. */
static uint32_t defined_elsewhere(const struct emission *emission, const char *name)
{
    for (size_t i = 0; i < emission->images.count; i++) {
        char *key = must_printf("%p %s", (const void *)emission->images.items[i], name);
        uintptr_t known = (uintptr_t)table_get(&emission->extern_symbols, key);
        free(key);
        if (known && emission->writer.symbols.items[known - 1].type != STT_NOTYPE) {
            return known;
        }
    }
    return 0;
}

uint32_t bind_undefined(struct emission *emission, struct contribution *contribution,
                        struct object_symbol *symbol)
{
    char *key = must_printf("%p %s", (const void *)contribution->image, symbol->name);
    uintptr_t known = (uintptr_t)table_get(&emission->extern_symbols, key);

    if (known) {
        free(key);
        return known;
    }
    const struct image_symbol *found = image_find_global(contribution->image, symbol->name);
    uint32_t result = 0;
    if (found && !image_is_exported(contribution->image, symbol->name)) {
        result = bind_address(emission, contribution->image, symbol, found);
    } else if (!found && (result = defined_elsewhere(emission, symbol->name))) {
        /* the newest one, whatever earlier patches have brought */
    } else if (bind_earlier(emission->earlier, emission->earlier_count, symbol->name, "")) {
        result = bind_to_earlier(emission, symbol, symbol->name, "");
    } else {
        result = undefined(emission, symbol, STT_NOTYPE);
        LIST_ADD(&emission->bindings,
                 (struct molt_patch_binding){ .symbol = result, .kind = MOLT_BINDING_IMPORT });
    }
    LIST_ADD(&emission->owned, key);
    table_put(&emission->extern_symbols, key, (void *)(uintptr_t)result);
    return result;
}
