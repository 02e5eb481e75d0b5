/*
 * patch-recipes OLD.o NEW.o [FUNCTION]: how suspended functions of one object go on in another. With a
 * function, all of its recipes; else the share of calls that have one, and the reasons of the others.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "patch/transfer/transfer.h"

static const char *const kinds[] = { "register", "slot", "policy", "constant", "symbol", "address", "frame" };

static void print(const struct recipe *recipe)
{
    printf("  line %u, call of %s: ", recipe->line, *recipe->callee ? recipe->callee : "a pointer");
    if (recipe->reason) {
        printf("none: %s\n", recipe->reason);
        return;
    }
    printf("%lx -> %lx, frame %u -> %u\n", (unsigned long)recipe->old_place, (unsigned long)recipe->new_place,
           recipe->old_size, recipe->new_size);
    for (size_t i = 0; i < recipe->values.count; i++) {
        const struct recipe_value *value = &recipe->values.items[i];
        printf("    %s %d (%u) = %s %s%s%ld (%u%s)%s%s\n", kinds[value->to_kind], value->to, value->size,
               kinds[value->from_kind], value->symbol.symbol ? value->symbol.symbol->name : "",
               value->symbol.symbol ? " + " : "", (long)value->from, value->from_size,
               value->is_signed ? ", signed" : "", value->variable ? "  " : "",
               value->variable ? value->variable : "");
    }
}

static struct object *load(const char *path)
{
    struct object *object;
    struct molt_error *error = object_load(path, &object);

    if (error) {
        fprintf(stderr, "%s\n", error->message);
        exit(1);
    }
    return object;
}

int main(int count, char **arguments)
{
    struct transfer_side old, new;
    struct transfer_pair pair;
    struct captures captures;
    unsigned calls = 0, recipes = 0;

    if (count < 3) {
        fputs("usage: patch-recipes OLD.o NEW.o [FUNCTION]\n", stderr);
        return 1;
    }
    transfer_side_init(&old, load(arguments[1]));
    transfer_side_init(&new, load(arguments[2]));
    transfer_pair_init(&pair, &old, &new, NULL, NULL, NULL);
    captures_init(&captures, NULL, NULL);
    pair.captures = &captures;
    for (size_t i = 1; i < old.object->symbol_count; i++) {
        const struct object_symbol *symbol = &old.object->symbols[i];
        const struct object_symbol *other = symbol->key ? object_find(new.object, symbol->key) : NULL;
        recipe_list list = { 0 };
        if (!other || symbol->type != STT_FUNC || symbol_is_part(symbol) ||
            (count > 3 && strcmp(symbol->name, arguments[3]) != 0)) {
            continue;
        }
        clock_t start = clock();
        transfer_function(&pair, NULL, symbol, other, &list, NULL);
        double ms = (clock() - start) * 1e3 / CLOCKS_PER_SEC;
        if (ms > 50) {
            fprintf(stderr, "%s: %.0f ms for %zu calls\n", symbol->name, ms, list.count);
        }
        for (size_t k = 0; k < list.count; k++) {
            calls++;
            recipes += !list.items[k].reason;
            if (count > 3) {
                print(&list.items[k]);
            } else if (list.items[k].reason) {
                printf("%s:%u call of %s: %s\n", symbol->name, list.items[k].line, list.items[k].callee,
                       list.items[k].reason);
            }
        }
        recipes_free(&list);
    }
    printf("%u of %u calls\n", recipes, calls);
    transfer_pair_deinit(&pair);
    captures_deinit(&captures);
    transfer_side_deinit(&old);
    transfer_side_deinit(&new);
    object_destroy(new.object);
    object_destroy(old.object);
    return 0;
}
