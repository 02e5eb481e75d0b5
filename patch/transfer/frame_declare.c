/*
 * The structures that MOLT_TRANSFER's functions are written with. Policies for frames run when all instances
 * are new already, but frames themselves are not: a pointer leads to the type as it will be, and a structure
 * that lies in the frame is what it was.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/types/declare.h"
#include "patch/transfer/frame_policy.h"

/* What declarations for one file go by. */
struct knowledge {
    const struct table *names; /* that the file's headers declare */
    struct type_model *new;
    const struct declarations *others; /* NULL: none */
};

/* Whether TYPE, of the old model, means something else in the new one. */
static bool is_changed(void *context, const struct type *type)
{
    const struct knowledge *knowledge = context;
    char *key = type_key(type);
    const struct type *now = type_model_find(knowledge->new, key, NULL, NULL);

    free(key);
    return now && type_strip(now)->hash != type->hash;
}

static bool is_known(void *context, const char *name)
{
    const struct knowledge *knowledge = context;

    return table_get(knowledge->names, name) ||
           (knowledge->others && declarations_has(knowledge->others, name));
}

static bool is_plain(void *context, const struct type *type)
{
    return false;
}

static bool is_pointer(const struct type *type)
{
    return type_strip(type_element(type, NULL))->kind == TYPE_POINTER;
}

/* Appends the structure that shows one version; pointers are declared by POINTERS, all else by OBJECTS. */
static void write_structure(const struct frame_policy *policy, unsigned version,
                            struct declarations *pointers, struct declarations *objects, struct text *text)
{
    const struct frame_locals *locals = &policy->locals[version];
    const char *function = policy->statement->old_type, *word = version == FRAME_OLD ? "old" : "new";

    for (size_t i = 0; i < locals->members.count; i++) {
        const struct frame_member *member = &locals->members.items[i];
        declare(is_pointer(member->type) ? pointers : objects, member->type);
    }
    text_printf(text, "struct molt_frame_%s_molt_%s {\n", function, word);
    for (size_t i = 0; i < locals->members.count; i++) {
        const struct frame_member *member = &locals->members.items[i];
        text_puts(text, "    ");
        declare_object(is_pointer(member->type) ? pointers : objects, member->type, member->as, text);
        text_puts(text, ";\n");
    }
    text_puts(text, locals->members.count ? "};\n" : "    char molt_nothing;\n};\n");
    for (size_t i = 0; i < locals->members.count; i++) {
        const struct frame_member *member = &locals->members.items[i];
        text_printf(
            text, "_Static_assert(__builtin_offsetof(struct molt_frame_%s_molt_%s, %s) == %u, \"local\");\n",
            function, word, member->as, member->offset);
    }
}

static void write_function(const struct frame_policy *policy, struct declarations *old_objects,
                           struct declarations *news, struct text *text)
{
    write_structure(policy, FRAME_NEW, news, news, text);
    write_structure(policy, FRAME_OLD, news, old_objects, text);
}

char *frame_policies_declare(const struct frame_policies *policies, const struct policy_file *file)
{
    struct text text = { 0 };
    struct table done = { 0 };

    text_puts(&text, "");
    for (size_t i = 0; i < policies->list.count; i++) {
        const struct frame_policy *policy = policies->list.items[i];
        struct knowledge before = { &file->text.names, policy->models[FRAME_NEW], NULL }, after = before;
        const struct declaration_rules new_rules = {
            .suffix = "", .suffixed = is_plain, .known = is_known, .context = &before
        };
        const struct declaration_rules old_rules = { .suffix = "_molt_old",
                                                     .suffixed = is_changed,
                                                     .hidden = is_changed,
                                                     .known = is_known,
                                                     .context = &after };
        if (policy->file != file || table_put(&done, policy->statement->old_type, &done)) {
            continue;
        }
        struct declarations *news = declarations_create(&new_rules, &text);
        struct declarations *olds = declarations_create(&old_rules, &text);
        after.others = news;
        write_function(policy, olds, news, &text);
        declarations_destroy(olds);
        declarations_destroy(news);
    }
    table_deinit(&done);
    return must_have(text_steal(&text));
}
