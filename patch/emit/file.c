/* What was emitted as a file: the records grow as arrays, and become sections when the last symbol has its
 * place. */
#include <stdlib.h>
#include <string.h>

#include "patch/emit/emit.h"
#include "patch/hash.h"

void emission_init(struct emission *emission, const struct earlier_patch *earlier, size_t earlier_count,
                   struct molt_diagnostics *diagnostics)
{
    *emission =
        (struct emission){ .earlier = earlier, .earlier_count = earlier_count, .diagnostics = diagnostics };
    emission->json_functions = must_have(json_array());
    emission->json_data = must_have(json_array());
    emission->json_transfers = must_have(json_array());
    text_append(&emission->strings, "", 1);
}

void emission_add(struct emission *emission, struct contribution *contribution)
{
    const struct object *new = contribution->comparison->new;

    contribution->sections = must_calloc(new->section_count, sizeof(uint32_t));
    contribution->symbols = must_calloc(new->symbol_count, sizeof(uint32_t));
    contribution->needs_indirect = false;
    LIST_ADD(&emission->contributions, contribution);
}

void emission_deinit(struct emission *emission)
{
    for (size_t i = 0; i < emission->contributions.count; i++) {
        free(emission->contributions.items[i]->sections);
        free(emission->contributions.items[i]->symbols);
        emission->contributions.items[i]->sections = NULL;
        emission->contributions.items[i]->symbols = NULL;
    }
    for (size_t i = 0; i < emission->owned.count; i++) {
        free(emission->owned.items[i]);
    }
    LIST_FREE(&emission->owned);
    LIST_FREE(&emission->contributions);
    LIST_FREE(&emission->images);
#define X(array, record) LIST_FREE(&emission->array);
    MOLT_PATCH_ARRAYS(X)
#undef X
    text_deinit(&emission->strings);
    table_deinit(&emission->extern_symbols);
    json_decref(emission->json_functions);
    json_decref(emission->json_data);
    json_decref(emission->json_transfers);
    elf_writer_deinit(&emission->writer);
    molt_error_destroy(emission->error);
    *emission = (struct emission){ 0 };
}

void emission_fail(struct emission *emission, struct molt_error *error)
{
    if (emission->error) {
        molt_error_destroy(error);
    } else {
        emission->error = error;
    }
}

uint32_t emission_string(struct emission *emission, const char *string)
{
    uint32_t offset = emission->strings.length;

    if (!*string) {
        return 0;
    }
    text_append(&emission->strings, string, strlen(string) + 1);
    return offset;
}

uint32_t emission_module(struct emission *emission, const struct image *image)
{
    for (size_t i = 0; i < emission->images.count; i++) {
        if (emission->images.items[i] == image) {
            return i;
        }
    }
    LIST_ADD(&emission->images, image);
    return emission->images.count - 1;
}

static void add_table(struct emission *emission, const char *name, const void *records, size_t size)
{
    uint32_t index = out_section(&emission->writer, name, SHT_PROGBITS, 0, 8, 0);

    text_append(&out_section_at(&emission->writer, index)->bytes, records, size);
}

static void fill_modules(struct emission *emission)
{
    for (size_t i = 0; i < emission->images.count; i++) {
        const struct image *image = emission->images.items[i];
        struct molt_patch_module module = {
            .build_id_size = image->build_id_size,
            .name = emission_string(emission, image->path),
            .flags =
                (image->executable ? MOLT_MODULE_EXECUTABLE : 0) | (image->fixed ? MOLT_MODULE_FIXED : 0),
        };
        memcpy(module.build_id, image->build_id, image->build_id_size);
        LIST_ADD(&emission->modules, module);
    }
}

/* In each record of ARRAY, the place of the symbol that MEMBER names as the writer numbered it first. */
#define RENUMBER(array, member)                                                                              \
    for (size_t i_ = 0; i_ < emission->array.count; i_++) {                                                  \
        emission->array.items[i_].member =                                                                   \
            elf_writer_final(&emission->writer, emission->array.items[i_].member);                           \
    }

static void renumber(struct emission *emission)
{
    RENUMBER(bindings, symbol)
    RENUMBER(functions, symbol)
    RENUMBER(data, symbol)
    RENUMBER(rebinds, old_symbol)
    RENUMBER(rebinds, new_symbol)
    RENUMBER(definitions, symbol)
    RENUMBER(sites, symbol)
    RENUMBER(roots, symbol)
    RENUMBER(migrations, migrate)
    RENUMBER(migrations, validate)
    RENUMBER(migrations, select)
    RENUMBER(invariants, check)
    RENUMBER(transfers, symbol)
    RENUMBER(transfers, policy)
    RENUMBER(values, symbol)
    RENUMBER(initials, old_value)
    RENUMBER(initials, new_value)
}

/* The id: a hash over all that the patch does, so not over titles and times. */
static void set_id(struct emission *emission, json_t *manifest)
{
    struct hash hash;
    char hex[HASH_HEX];

    hash_init(&hash);
    for (size_t i = 0; i < emission->writer.sections.count; i++) {
        struct out_section *section = emission->writer.sections.items[i];
        hash_add_string(&hash, section->name);
        hash_add(&hash, section->bytes.bytes, section->bytes.length);
        hash_add(&hash, section->relocations.items, section->relocations.count * sizeof(Elf64_Rela));
    }
    hash_end(&hash, hex);
    json_object_set_new(manifest, "id", json_string(hex));
}

void *emission_finish(struct emission *emission, json_t *manifest, size_t *ret_size)
{
    elf_writer_order(&emission->writer);
    renumber(emission);
    fill_modules(emission);
#define X(array, record)                                                                                     \
    add_table(emission, ".molt." #array, emission->array.items,                                              \
              emission->array.count * sizeof(*emission->array.items));
    MOLT_PATCH_ARRAYS(X)
#undef X
    if (emission->source) {
        add_table(emission, ".molt.source", emission->source, strlen(emission->source));
    }
    add_table(emission, ".molt.strings", emission->strings.bytes, emission->strings.length);
    set_id(emission, manifest);
    char *text = must_have(json_dumps(manifest, JSON_COMPACT));
    add_table(emission, ".molt.manifest", text, strlen(text));
    free(text);
    void *bytes = elf_writer_finish(&emission->writer, ret_size);

    patch_file_seal(bytes, *ret_size);
    return bytes;
}
