/*
 * gcc calls the static variables `buf` of three functions buf.0, buf.1 and buf.2, counting through the file,
 * so one more of them renumbers the others. As long as only one symbol of the base name exists, that name is
 * the key ("buf@"). Otherwise the debug information says which function each belongs to: "f::buf#0", the
 * number counting those of the same name within the function. Constants that stay ambiguous lose their key:
 * they are compared by content. (clang's names, "f.buf", already tell the function.)
 *
 * clang keeps the members of a static structure apart if nobody takes its address, as hidden.0, hidden.1,
 * counting those that are used. Their key is the member's name, "hidden{at.x}".
 */
#include "patch/code/object_scope.h"

#include <ctype.h>
#include <dwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/types/variable_address.h"
#include "patch/types/variables.h"

/* Length of NAME without its ".123", or 0 if it has none. */
static size_t base_length(const char *name)
{
    const char *dot = strrchr(name, '.');

    if (!dot || dot == name || !dot[1]) {
        return 0;
    }
    for (const char *at = dot + 1; *at; at++) {
        if (!isdigit((unsigned char)*at)) {
            return 0;
        }
    }
    return dot - name;
}

static const char *own(struct object *object, char *string)
{
    LIST_ADD(&object->owned, string);
    return string;
}

struct scoping {
    struct object *object;
    struct table by_address; /* hexadecimal address -> symbol still in need of a key */
    struct table used;       /* keys given */
    size_t open;
};

static void name_variable(struct scoping *scoping, Dwarf_Die *die, const char *function)
{
    Dwarf_Addr address;
    bool in_tls;
    char text[32];
    const char *name = dwarf_diename(die);

    if (!name || !variable_address(die, &address, &in_tls) || in_tls) {
        return;
    }
    snprintf(text, sizeof(text), "%lx", (unsigned long)address);
    struct object_symbol *symbol = table_get(&scoping->by_address, text);
    if (!symbol || symbol->key != symbol->name) {
        return;
    }
    char *key = NULL;
    for (unsigned order = 0; !key || table_get(&scoping->used, key); order++) {
        free(key);
        key = must_printf("%s::%s#%u", function, name, order);
    }
    symbol->key = own(scoping->object, key);
    table_put(&scoping->used, key, symbol);
    scoping->open--;
}

static void walk(struct scoping *scoping, Dwarf_Die *parent, const char *function)
{
    Dwarf_Die die;

    if (!scoping->open || dwarf_child(parent, &die) != 0) {
        return;
    }
    do {
        int tag = dwarf_tag(&die);
        if (tag == DW_TAG_subprogram) {
            const char *name = dwarf_diename(&die);
            walk(scoping, &die, name ? name : "");
        } else if (tag == DW_TAG_lexical_block) {
            walk(scoping, &die, function);
        } else if (tag == DW_TAG_variable && *function) {
            name_variable(scoping, &die, function);
        }
    } while (scoping->open && dwarf_siblingof(&die, &die) == 0);
}

static void name_by_scope(struct scoping *scoping)
{
    Dwarf *dwarf = object_dwarf(scoping->object);
    Dwarf_CU *unit = NULL;
    Dwarf_Die die;

    while (dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &die, NULL) == 0) {
        walk(scoping, &die, "");
    }
}

static bool is_numbered(const struct object *object, const struct object_symbol *symbol)
{
    size_t length = symbol->key ? strlen(symbol->key) : 0;

    return length && symbol->key[length - 1] != '}' && symbol->bind == STB_LOCAL &&
           !symbol_is_function(object, symbol) && base_length(symbol->name);
}

static bool made_by_clang(struct object *object)
{
    Dwarf *dwarf = object_dwarf(object);
    Dwarf_Attribute attribute;
    Dwarf_CU *unit = NULL;
    Dwarf_Die die;

    if (!dwarf || dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &die, NULL) != 0 ||
        !dwarf_attr(&die, DW_AT_producer, &attribute)) {
        return false;
    }
    const char *producer = dwarf_formstring(&attribute);
    return producer && strstr(producer, "clang");
}

/* Gives parts of variables their keys. */
static void name_parts(struct object *object)
{
    variable_list variables = { 0 };
    bool read = false;

    for (size_t i = 1; i < object->symbol_count; i++) {
        struct object_symbol *symbol = &object->symbols[i];
        if (!is_numbered(object, symbol)) {
            continue;
        }
        if (!read && !made_by_clang(object)) {
            return;
        }
        if (!read) {
            variables_of_all(object_dwarf(object), &variables);
            read = true;
        }
        bool tls = object->sections[symbol->section].kind == SECTION_TLS;
        const struct variable *part = variables_find(&variables, object_address(object, symbol), tls);
        struct text path = { 0 };
        if (part && part->size && variable_part(part, &path)) {
            symbol->key = own(object, must_printf("%.*s{%s}", (int)base_length(symbol->name), symbol->name,
                                                  path.bytes ? path.bytes : ""));
        }
        text_deinit(&path);
    }
    LIST_FREE(&variables);
}

void object_scope_keys(struct object *object, bool all)
{
    name_parts(object);

    struct scoping scoping = { .object = object };
    struct table bases = { 0 }; /* base name -> its only symbol, or the object for several */
    LIST(char *) texts = { 0 };

    for (size_t i = 1; i < object->symbol_count; i++) {
        struct object_symbol *symbol = &object->symbols[i];
        if (is_numbered(object, symbol)) {
            char *base = must_printf("%.*s@", (int)base_length(symbol->name), symbol->name);
            LIST_ADD(&texts, base);
            table_put(&bases, base, all || table_get(&bases, base) ? (void *)object : symbol);
        }
    }
    size_t next = 0, numbered = texts.count;
    for (size_t i = 1; next < numbered && i < object->symbol_count; i++) {
        struct object_symbol *symbol = &object->symbols[i];
        if (!is_numbered(object, symbol)) {
            continue;
        }
        char *base = texts.items[next++];
        if (table_get(&bases, base) == symbol) {
            symbol->key = own(object, must_strdup(base));
        } else if (symbol_is_constant(object, symbol)) {
            symbol->key = NULL;
        } else {
            char *text = must_printf("%lx", (unsigned long)object_address(object, symbol));
            LIST_ADD(&texts, text);
            table_put(&scoping.by_address, text, symbol);
            symbol->key = symbol->name;
            scoping.open++;
        }
    }
    if (scoping.open) {
        name_by_scope(&scoping);
    }
    for (size_t i = 0; i < texts.count; i++) {
        free(texts.items[i]);
    }
    LIST_FREE(&texts);
    table_deinit(&bases);
    table_deinit(&scoping.by_address);
    table_deinit(&scoping.used);
}

/* Whether all keys of ONE that stand for a base name occur in OTHER. */
static bool bases_agree(const struct object *one, const struct object *other)
{
    for (size_t i = 0; i < one->keys.capacity; i++) {
        const char *key = one->keys.slots[i].key;
        if (key && key[strlen(key) - 1] == '@' && one->keys.slots[i].value && !object_find(other, key)) {
            return false;
        }
    }
    return true;
}

static void rekey(struct object *object)
{
    object_scope_keys(object, true);
    table_deinit(&object->keys);
    for (size_t i = 1; i < object->symbol_count; i++) {
        if (object->symbols[i].key) {
            table_put(&object->keys, object->symbols[i].key, &object->symbols[i]);
        }
    }
}

void object_scope_align(struct object *one, struct object *other)
{
    if (!bases_agree(one, other) || !bases_agree(other, one)) {
        rekey(one);
        rekey(other);
    }
}
