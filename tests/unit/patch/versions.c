/* Two versions of a source and what becomes of their functions. */
#include "versions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "compiled.h"
#include "text_lines.h"

const char *compiler = "gcc", *flags = "-O0";
bool optimised;

static bool same_text(void *context, const char *file, unsigned old_line, unsigned new_line)
{
    const struct versions *versions = context;

    return text_lines_same(versions->old_text, old_line, versions->new_text, new_line);
}

void start(struct versions *versions, const char *old, const char *new)
{
    char all[512];

    *versions = (struct versions){ .old_text = old, .new_text = new };
    snprintf(all, sizeof(all), "%s -ffunction-sections -fdata-sections", flags);
    versions->old_object = compile_named(compiler, all, old, "a.c");
    versions->new_object = compile_named(compiler, all, new, "a.c");
    transfer_side_init(&versions->old, versions->old_object);
    transfer_side_init(&versions->new, versions->new_object);
    transfer_pair_init(&versions->pair, &versions->old, &versions->new, same_text, versions, NULL);
    captures_init(&versions->captures, NULL, NULL);
    versions->pair.captures = &versions->captures;
}

void work_out(struct versions *versions, const char *name)
{
    struct object_symbol *old = object_find(versions->old_object, name);
    struct object_symbol *new = object_find(versions->new_object, name);

    assert_non_null(old);
    assert_non_null(new);
    recipes_free(&versions->recipes);
    transfer_function(&versions->pair, NULL, old, new, &versions->recipes, NULL);
}

void end(struct versions *versions)
{
    recipes_free(&versions->recipes);
    transfer_pair_deinit(&versions->pair);
    captures_deinit(&versions->captures);
    transfer_side_deinit(&versions->old);
    transfer_side_deinit(&versions->new);
    object_destroy(versions->old_object);
    object_destroy(versions->new_object);
}

const struct recipe *recipe_of(const struct versions *versions, const char *callee)
{
    for (size_t i = 0; i < versions->recipes.count; i++) {
        if (strcmp(versions->recipes.items[i].callee, callee) == 0) {
            return &versions->recipes.items[i];
        }
    }
    fail_msg("no call of %s", callee);
    return NULL;
}

const struct recipe_value *value_of(const struct recipe *recipe, const char *variable)
{
    for (size_t i = 0; i < recipe->values.count; i++) {
        if (recipe->values.items[i].variable && strcmp(recipe->values.items[i].variable, variable) == 0) {
            return &recipe->values.items[i];
        }
    }
    return NULL;
}

void expect_reason(const struct recipe *recipe, const char *words)
{
    if (!recipe->reason || !strstr(recipe->reason, words)) {
        fail_msg("expected \"%s\", not %s", words, recipe->reason ? recipe->reason : "a recipe");
    }
}

void take_arguments(int count, char **arguments)
{
    compiler = count > 1 ? arguments[1] : compiler;
    flags = count > 2 ? arguments[2] : flags;
    optimised = strstr(flags, "-O0") == NULL;
}
