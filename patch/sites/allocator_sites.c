/*
 * The program's own allocation functions: what a moved instance is to be allocated with and its old place
 * released with. Told by molt.toml, or recognised when both of a pair with the usual names exist and take
 * what such functions take.
 */
#include <dwarf.h>
#include <stdio.h>
#include <string.h>

#include "patch/sites/private.h"
#include "patch/types/die_facts.h"

#define LONGEST_NAME 128

/* How many parameters the function DIE has; the first one in *RET. */
static unsigned parameters_of(Dwarf_Die *die, Dwarf_Die *ret)
{
    Dwarf_Attribute attribute;
    Dwarf_Die origin = *die, child;
    unsigned count = 0;

    if (dwarf_attr(die, DW_AT_abstract_origin, &attribute)) {
        dwarf_formref_die(&attribute, &origin);
    }
    for (int more = dwarf_child(&origin, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        if (dwarf_tag(&child) == DW_TAG_formal_parameter && count++ == 0) {
            *ret = child;
        }
        if (dwarf_tag(&child) == DW_TAG_unspecified_parameters) {
            count += 2;
        }
    }
    return count;
}

/* Whether the function DIE returns a pointer to nothing in particular. */
static bool returns_memory(Dwarf_Die *die)
{
    Dwarf_Die type, plain;

    if (!die_type(die, &type) || site_type_sort(type, &plain) != SORT_POINTER) {
        return false;
    }
    return !die_type(&plain, &type) || site_type_sort(type, &plain) <= SORT_BYTE;
}

static bool is_pointer(Dwarf_Die *die)
{
    Dwarf_Die type, plain;

    return die_type(die, &type) && site_type_sort(type, &plain) == SORT_POINTER;
}

/* The function NAME of the image, out of line: its address. */
static bool find_function(const struct site_subject *subject, const char *name, Dwarf_Die *ret,
                          uint64_t *ret_address)
{
    for (size_t i = 0; i < subject->image_code->index.ranges.count; i++) {
        const struct code_range *range = &subject->image_code->index.ranges.items[i];
        Dwarf_Die die = range->die;
        const char *own = range->entry ? dwarf_diename(&die) : NULL;
        if (own && strcmp(own, name) == 0) {
            const struct image_symbol *symbol = image_symbol_at(subject->image, range->start);
            if (symbol && symbol->value == range->start && strcmp(symbol->name, name) == 0) { /* no clone */
                *ret = die;
                *ret_address = range->start;
                return true;
            }
        }
    }
    return false;
}

static bool names_size(Dwarf_Die *parameter)
{
    static const char *const words[] = { "size", "Size", "bytes", "Bytes", "length", "len" };
    const char *name = dwarf_diename(parameter);

    for (size_t i = 0; name && i < sizeof(words) / sizeof(*words); i++) {
        if (strstr(name, words[i])) {
            return true;
        }
    }
    return false;
}

/* Whether PARAMETER is a number of bytes: of size_t's kind, or a number that is called so. Others count
 * something else: slots, objects. */
static bool is_size(Dwarf_Die *parameter, bool told)
{
    Dwarf_Attribute attribute;
    Dwarf_Word encoding;
    Dwarf_Die type, plain;

    if (!die_type(parameter, &type) || site_type_sort(type, &plain) != SORT_SCALAR ||
        dwarf_tag(&plain) != DW_TAG_base_type || !dwarf_attr(&plain, DW_AT_encoding, &attribute) ||
        dwarf_formudata(&attribute, &encoding) != 0) {
        return false;
    }
    bool wide = encoding == DW_ATE_unsigned && dwarf_bytesize(&plain) == sizeof(uint64_t);
    return wide ||
           ((encoding == DW_ATE_signed || encoding == DW_ATE_unsigned) && (told || names_size(parameter)));
}

/* void *NAME(size_t). TOLD: molt.toml says so, whatever the number is called. */
static bool is_allocate(const struct site_subject *subject, const char *name, bool told, uint64_t *ret)
{
    Dwarf_Die die, parameter;

    return find_function(subject, name, &die, ret) && returns_memory(&die) &&
           parameters_of(&die, &parameter) == 1 && is_size(&parameter, told);
}

/* void NAME(void *) */
static bool is_release(const struct site_subject *subject, const char *name, uint64_t *ret)
{
    Dwarf_Die die, parameter;

    return find_function(subject, name, &die, ret) && parameters_of(&die, &parameter) == 1 &&
           is_pointer(&parameter);
}

/* The allocating function that goes with RELEASE, whatever other one of its kind was called: zmalloc for
 * zcalloc_num. */
static bool find_partner(const struct site_subject *subject, const char *release, char *ret,
                         uint64_t *ret_address)
{
    static const struct {
        const char *release, *allocate[3];
    } words[] = { { "free", { "malloc", "alloc" } },
                  { "Free", { "Malloc", "Alloc" } },
                  { "FREE", { "MALLOC", "ALLOC" } } };
    size_t length = strlen(release);

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        size_t tail = strlen(words[i].release);
        bool ends = length > tail && strcmp(release + length - tail, words[i].release) == 0;
        for (unsigned k = 0; ends && words[i].allocate[k]; k++) {
            snprintf(ret, LONGEST_NAME, "%.*s%s", (int)(length - tail), release, words[i].allocate[k]);
            if (is_allocate(subject, ret, false, ret_address)) {
                return true;
            }
        }
    }
    return false;
}

/* The pair that molt.toml tells for NAME; of those with a HEADER, any: what calls them has the same. */
static bool find_told(const struct site_subject *subject, const struct heap_settings *settings,
                      const char *name, bool header, char *ret_name, struct site_allocator *ret)
{
    for (unsigned i = 0; i < 2 * settings->allocators.count; i++) {
        const struct heap_allocator *told = &settings->allocators.items[i / 2];
        bool same = strcmp(told->allocate, name) == 0;
        if ((same || (i % 2 && header && told->header)) &&
            is_allocate(subject, told->allocate, true, &ret->allocate) &&
            is_release(subject, told->release, &ret->release)) {
            ret->header = told->header;
            snprintf(ret_name, LONGEST_NAME, "%s", told->allocate);
            return true;
        }
    }
    return false;
}

/* The pair that NAME belongs to. */
static bool find_pair(const struct site_subject *subject, const struct heap_settings *settings,
                      const char *name, bool header, char *ret_name, struct site_allocator *ret)
{
    char release[LONGEST_NAME];

    if (find_told(subject, settings, name, header, ret_name, ret)) {
        return true;
    }
    for (unsigned i = 0; !header && allocator_release_name(name, i, release, sizeof(release)); i++) {
        if (!is_release(subject, release, &ret->release)) {
            continue;
        }
        snprintf(ret_name, LONGEST_NAME, "%s", name);
        if (is_allocate(subject, name, false, &ret->allocate) ||
            find_partner(subject, release, ret_name, &ret->allocate)) {
            return true;
        }
    }
    return false;
}

unsigned site_allocator_of(struct site_work *work, const struct site_subject *subject, struct sites *sites,
                           const char *name, bool header)
{
    struct site_allocator found = { 0 };
    uintptr_t known = (uintptr_t)table_get(&work->allocators, name);
    char allocate[LONGEST_NAME];

    if (known) {
        return known - 1;
    }
    unsigned number = 0;
    if (!allocator_find(name) && find_pair(subject, work->settings, name, header, allocate, &found)) {
        for (size_t i = 0; !number && i < sites->allocators.count; i++) {
            number = sites->allocators.items[i].allocate == found.allocate ? i + 1 : 0;
        }
        if (!number) {
            found.name = must_strdup(allocate);
            LIST_ADD(&sites->owned, (char *)found.name);
            LIST_ADD(&sites->allocators, found);
            number = sites->allocators.count;
        }
    }
    char *key = must_strdup(name);
    LIST_ADD(&work->owned, key);
    table_put(&work->allocators, key, (void *)(uintptr_t)(number + 1));
    return number;
}
