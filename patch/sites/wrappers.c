/*
 * Wrappers. A function may be one if its type allows it: it returns void *, or fills in a void **; or it
 * returns characters or a structure and is told a number, which may be a size. It is one if its code calls,
 * or ends in a jump to, an allocator or another wrapper. The second kind counts only directly above
 * allocators and the first kind, as chains of functions that build strings are no use to anybody. A call
 * through a pointer may lead to any wrapper whose address is taken, so a function of the first kind that
 * makes one counts, if there is any wrapper at all.
 */
#include "patch/sites/wrappers.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "base/text.h"
#include "base/wrapper_table.h"
#include "patch/sites/allocators.h"
#include "patch/file.h"
#include "patch/types/die_facts.h"

/* A function that may be a wrapper. */
struct suspect {
    struct wrapper wrapper;
    Dwarf_Off offset; /* of its DIE */
    call_list calls;
    bool is; /* it is one */
};

typedef LIST(struct suspect) suspects;

enum pointee { POINTEE_NONE, POINTEE_VOID, POINTEE_TYPED, POINTEE_POINTER, POINTEE_FUNCTION };

/* What the type of DIE points to. */
static enum pointee pointee_of(Dwarf_Die *die, Dwarf_Die *ret)
{
    Dwarf_Die type;

    if (!die_plain_type(die, &type) || dwarf_tag(&type) != DW_TAG_pointer_type) {
        return POINTEE_NONE;
    }
    if (!die_plain_type(&type, ret)) {
        return POINTEE_VOID;
    }
    return dwarf_tag(ret) == DW_TAG_pointer_type      ? POINTEE_POINTER
           : dwarf_tag(ret) == DW_TAG_subroutine_type ? POINTEE_FUNCTION
                                                      : POINTEE_TYPED;
}

/* Whether the parameter DIE may be a number of bytes or elements. */
static bool is_number(Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    Dwarf_Word encoding;
    Dwarf_Die type;

    return die_plain_type(die, &type) && dwarf_tag(&type) == DW_TAG_base_type &&
           dwarf_attr(&type, DW_AT_encoding, &attribute) && dwarf_formudata(&attribute, &encoding) == 0 &&
           (encoding == DW_ATE_signed || encoding == DW_ATE_unsigned) && dwarf_bytesize(&type) >= 4;
}

static bool is_pointer_to_void(Dwarf_Die *die)
{
    Dwarf_Die inner, beyond;

    return pointee_of(die, &inner) == POINTEE_POINTER && !die_plain_type(&inner, &beyond);
}

/* Whether what the function DIE describes may be a wrapper at all, by its return type and parameters. */
static bool may_be_wrapper(Dwarf_Die *die, bool *ret_generic)
{
    Dwarf_Die inner, child, origin = *die;
    Dwarf_Attribute attribute;
    bool number = false, out = false;

    if (dwarf_attr(die, DW_AT_abstract_origin, &attribute)) {
        dwarf_formref_die(&attribute, &origin);
    }
    enum pointee returned = pointee_of(&origin, &inner);
    for (int more = dwarf_child(&origin, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        if (dwarf_tag(&child) == DW_TAG_formal_parameter) {
            number = number || is_number(&child);
            out = out || is_pointer_to_void(&child);
        }
    }
    *ret_generic = returned == POINTEE_VOID || (out && number);
    return *ret_generic || (returned == POINTEE_TYPED && number);
}

/* Adds the calls in [START, END) to RET. */
static void code_calls(const struct code_source *code, uint64_t start, uint64_t end, call_list *ret)
{
    if (code->targets) {
        calls_of_image(code->targets, start, end - start, ret);
        return;
    }
    for (size_t i = 1; i < code->object->symbol_count; i++) {
        const struct object_symbol *symbol = &code->object->symbols[i];
        if (symbol_is_function(code->object, symbol) && symbol->size) {
            uint64_t address = object_address(code->object, symbol);
            if (address >= start && address < end) {
                calls_of_object(code->object, symbol, ret);
            }
        }
    }
}

static bool is_named(const char *const *names, const char *name)
{
    for (; names && *names; names++) {
        if (strcmp(*names, name) == 0) {
            return true;
        }
    }
    return false;
}

static void find_suspects(const struct code_source *code, const struct code_index *index,
                          const char *const *names, suspects *ret)
{
    struct table by_offset = { 0 };
    LIST(char *) keys = { 0 };

    for (size_t i = 0; i < index->ranges.count; i++) {
        struct code_range range = index->ranges.items[i];
        struct suspect suspect = { .offset = dwarf_dieoffset(&range.die) };
        const char *name = dwarf_diename(&range.die);
        bool named = name && is_named(names, name);
        if (!name || (!may_be_wrapper(&range.die, &suspect.wrapper.generic) && !named)) {
            continue;
        }
        char *key = must_printf("%lx", (unsigned long)suspect.offset);
        uintptr_t known = (uintptr_t)table_get(&by_offset, key);
        LIST_ADD(&keys, key);
        if (!known) {
            suspect.wrapper.name = name;
            suspect.wrapper.die = range.die;
            suspect.wrapper.generic = suspect.wrapper.generic || named;
            suspect.is = named;
            LIST_ADD(ret, suspect);
            known = ret->count;
            table_put(&by_offset, key, (void *)known);
        }
        if (range.entry) {
            ret->items[known - 1].wrapper.address = range.start;
        }
        code_calls(code, range.start, range.end, &ret->items[known - 1].calls);
    }
    for (size_t i = 0; i < keys.count; i++) {
        free(keys.items[i]);
    }
    LIST_FREE(&keys);
    table_deinit(&by_offset);
}

static int by_address(const void *left, const void *right)
{
    const struct suspect *a = left, *b = right;

    return a->wrapper.address < b->wrapper.address ? -1 : a->wrapper.address > b->wrapper.address;
}

static struct suspect *suspect_at(const suspects *all, uint64_t address)
{
    struct suspect key = { .wrapper.address = address };

    return all->count ? bsearch(&key, all->items, all->count, sizeof(key), by_address) : NULL;
}

/* Whether CALL, made by SUSPECT, makes a wrapper of it. */
static bool leads_to_memory(const suspects *all, const struct suspect *suspect, const struct call *call,
                            const char *const *names, bool any)
{
    const struct allocator *allocator = call->callee ? allocator_find(call->callee) : NULL;

    if (call->constant && !suspect->wrapper.generic) {
        return false; /* it knows how much, so it knows what */
    }
    if (allocator) {
        return !allocator->text;
    }
    if (!call->callee) {
        return any && suspect->wrapper.generic;
    }
    const struct suspect *callee = call->target ? suspect_at(all, call->target) : NULL;
    if (!callee) {
        return is_named(names, call->callee);
    }
    return callee->is && callee != suspect && (suspect->wrapper.generic || callee->wrapper.generic);
}

/* One round; returns whether it found another. */
static bool spread(suspects *all, const char *const *names, bool any)
{
    bool found = false;

    for (size_t i = 0; i < all->count; i++) {
        struct suspect *suspect = &all->items[i];
        for (size_t k = 0; !suspect->is && k < suspect->calls.count; k++) {
            suspect->is = leads_to_memory(all, suspect, &suspect->calls.items[k], names, any);
            found = found || suspect->is;
        }
    }
    return found;
}

void wrappers_find(struct wrappers *wrappers, const struct code_source *code, const struct code_index *index,
                   const char *const *names)
{
    suspects all = { 0 };
    bool any = false;

    find_suspects(code, index, names, &all);
    if (all.count) {
        qsort(all.items, all.count, sizeof(*all.items), by_address);
    }
    while (spread(&all, names, any)) {
        any = true;
    }
    for (size_t i = 0; i < all.count; i++) {
        if (all.items[i].is) {
            LIST_ADD(&wrappers->items, all.items[i].wrapper);
        }
        LIST_FREE(&all.items[i].calls);
    }
    LIST_FREE(&all);
}

void wrappers_deinit(struct wrappers *wrappers)
{
    LIST_FREE(&wrappers->items);
}

const struct wrapper *wrappers_at(const struct wrappers *wrappers, uint64_t address)
{
    size_t index = COUNT_BEFORE(i, wrappers->items.count, wrappers->items.items[i].address < address);

    return index < wrappers->items.count && wrappers->items.items[index].address == address
               ? &wrappers->items.items[index]
               : NULL;
}

static bool is_wrapper_die(const struct wrappers *wrappers, Dwarf_Die *die)
{
    for (size_t i = 0; i < wrappers->items.count; i++) {
        if (dwarf_dieoffset(&wrappers->items.items[i].die) == dwarf_dieoffset(die)) {
            return true;
        }
    }
    return false;
}

struct molt_error *wrappers_write(const struct wrappers *wrappers, const struct image *image,
                                  const struct code_index *index, const char *path)
{
    struct molt_wrapper_table table = { .magic = MOLT_WRAPPER_MAGIC, .build_id_size = image->build_id_size };
    LIST(struct molt_wrapper_range) ranges = { 0 };
    struct text bytes = { 0 };

    for (size_t i = 0; i < index->ranges.count; i++) {
        struct code_range range = index->ranges.items[i];
        bool overlaps = ranges.count && ranges.items[ranges.count - 1].end > range.start;
        if (is_wrapper_die(wrappers, &range.die) && !overlaps) {
            LIST_ADD(&ranges, (struct molt_wrapper_range){ range.start, range.end });
        }
    }
    memcpy(table.build_id, image->build_id, image->build_id_size);
    table.count = ranges.count;
    text_append(&bytes, &table, sizeof(table));
    text_append(&bytes, ranges.items, ranges.count * sizeof(*ranges.items));
    struct molt_error *error = file_write(path, bytes.bytes, bytes.length);
    text_deinit(&bytes);
    LIST_FREE(&ranges);
    return error;
}
