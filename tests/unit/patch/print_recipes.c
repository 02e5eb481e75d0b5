/*
 * patch-recipes OLD.o NEW.o [FUNCTION [OLD.c NEW.c]]: how suspended functions of one object go on in another.
 * With a function, all of its recipes; else the share of calls that have one, and the reasons of the others.
 * Without the sources, lines of one number are taken for the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "patch/file.h"
#include "patch/transfer/transfer.h"
#include "text_lines.h"

static const char *const kinds[] = { "register", "slot",    "policy", "constant",
                                     "symbol",   "address", "frame",  "guard" };

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

/* The texts of both versions of the one file that lines are compared in. */
struct texts {
    char *old, *new;
};

static char *read_text(const char *path)
{
    char *bytes;
    size_t size;
    struct molt_error *error = file_read(path, &bytes, &size);

    if (error) {
        fprintf(stderr, "%s\n", error->message);
        exit(1);
    }
    return bytes;
}

static bool same_text(void *context, const char *file, unsigned old_line, unsigned new_line)
{
    const struct texts *texts = context;

    (void)file;
    return text_lines_same(texts->old, old_line, texts->new, new_line);
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
    struct texts texts = { 0 };

    if (count < 3) {
        fputs("usage: patch-recipes OLD.o NEW.o [FUNCTION [OLD.c NEW.c]]\n", stderr);
        return 1;
    }
    transfer_side_init(&old, load(arguments[1]));
    transfer_side_init(&new, load(arguments[2]));
    if (count > 5) {
        texts = (struct texts){ read_text(arguments[4]), read_text(arguments[5]) };
    }
    transfer_pair_init(&pair, &old, &new, count > 5 ? same_text : NULL, &texts, NULL);
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
