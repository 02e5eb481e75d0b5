/*
 * The functions of a type that several updates change: each link's function in turn, those of the way back
 * from the last to the first. What lies in between is bytes here; the texts of the links say what they mean.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/policy/compose.h"
#include "patch/policy/stage.h"
#include "patch/policy/write_private.h"

/* The name of LINK's function that does WHAT. Owned by the caller. */
static char *function_of(const struct policy_link *link, const char *what)
{
    const char *migrate = json_string_value(json_object_get(link->type, "function"));
    char *name = must_printf("molt_%s_%s", what, migrate + strlen("molt_migrate_"));
    char *result = policy_stage_name(name, link->stage);

    free(name);
    return result;
}

static void write_prototypes(struct policy_writer *writer, const struct policy_composition *composition,
                             const char *result, const char *what)
{
    for (size_t i = 0; i < composition->links.count; i++) {
        char *name = function_of(&composition->links.items[i], what);
        bool validates = json_is_true(json_object_get(composition->links.items[i].type, "validates"));
        if (strcmp(what, "validate") != 0 || validates) {
            text_printf(writer->text, "%s %s(const void *from, %sto);\n", result, name,
                        strcmp(what, "validate") == 0 ? "const void *" : "void *");
        }
        free(name);
    }
}

/* The versions in between: the room that the link before each makes it in. */
static void write_room(struct policy_writer *writer, const struct policy_composition *composition)
{
    for (size_t i = 0; i + 1 < composition->links.count; i++) {
        const struct policy_link *link = &composition->links.items[i];
        json_int_t size = json_integer_value(json_object_get(link->type, "size"));
        text_printf(writer->text, "    _Alignas(64) char after_%u[%lld] = { 0 };\n", link->stage,
                    size ? (long long)size : 1);
    }
    text_puts(writer->text, "\n");
}

/* What link INDEX makes, or starts from if that is the one before it. Owned by the caller. */
static char *place_after(const struct policy_composition *composition, size_t count, const char *first,
                         const char *last)
{
    if (count == 0 || count == composition->links.count) {
        return must_strdup(count ? last : first);
    }
    return must_printf("after_%u", composition->links.items[count - 1].stage);
}

static void write_validation(struct policy_writer *writer, const struct policy_link *link, const char *from,
                             const char *to)
{
    json_t *place = json_array_get(json_object_get(link->type, "validations"), 0);
    char *name = function_of(link, "validate");

    policy_line(writer, 1, NULL, "if (!%s(%s, %s)) {", name, from, to);
    policy_line(writer, 2, NULL, "molt_fail(\"%s: the validation of step %u failed\");",
                place ? json_string_value(place) : "a member", link->stage);
    policy_line(writer, 1, NULL, "}");
    free(name);
}

/* Lets link INDEX lead from what is before it to what is behind it, or BACK. */
static void write_step(struct policy_writer *writer, const struct policy_composition *composition,
                       size_t index, bool back)
{
    const struct policy_link *link = &composition->links.items[index];
    char *before = place_after(composition, index, "old", "new"),
         *behind = place_after(composition, index + 1, "old", "new");
    char *name = function_of(link, back ? "invert" : "migrate");

    policy_line(writer, 1, NULL, "%s(%s, %s);", name, back ? behind : before, back ? before : behind);
    if (!back && json_is_true(json_object_get(link->type, "validates"))) {
        write_validation(writer, link, before, behind);
    }
    free(before);
    free(behind);
    free(name);
}

/* A pointer to what lay in between would lead nowhere. */
static void write_check(struct policy_writer *writer, const struct policy_composition *composition,
                        const char *made)
{
    for (size_t i = 0; i + 1 < composition->links.count; i++) {
        unsigned stage = composition->links.items[i].stage;
        policy_line(writer, 1, NULL, "molt_expect_none_within_(%s, sizeof(*%s), after_%u, sizeof(after_%u));",
                    made, made, stage, stage);
    }
}

static void describe(struct policy_writer *writer, const struct policy_plan *plan)
{
    struct text name = { 0 };

    type_describe(plan->new, &name);
    text_printf(writer->text, "/* %s: in steps, each with the policies that it had.",
                (char *)must_have(name.bytes));
    text_deinit(&name);
    for (size_t i = 0; i < plan->composed->links.count; i++) {
        const struct policy_link *link = &plan->composed->links.items[i];
        text_printf(writer->text, "%s step %u: %s", i ? "," : "", link->stage,
                    json_string_value(json_object_get(link->type, "policy")));
    }
    text_puts(writer->text, " */\n");
}

void policy_write_composed(struct policy_writer *writer, const struct policy_plan *plan)
{
    const struct policy_composition *composition = plan->composed;
    struct policy_signature signature;

    write_prototypes(writer, composition, "void", "migrate");
    write_prototypes(writer, composition, "int", "validate");
    text_puts(writer->text, "\n");
    policy_signature_init(&signature, writer, plan);
    describe(writer, plan);
    text_printf(writer->text, "void molt_migrate_%s(%s, %s)\n{\n", plan->name, signature.old_in,
                signature.new_out);
    write_room(writer, composition);
    for (size_t i = 0; i < composition->links.count; i++) {
        write_step(writer, composition, i, false);
    }
    write_check(writer, composition, "new");
    text_puts(writer->text, "}\n\n");
    policy_signature_deinit(&signature);
}

void policy_write_composed_inverse(struct policy_writer *writer, const struct policy_plan *plan)
{
    const struct policy_composition *composition = plan->composed;
    struct policy_signature signature;

    write_prototypes(writer, composition, "void", "invert");
    policy_signature_init(&signature, writer, plan);
    text_printf(writer->text, "\n/* The way back. */\nvoid molt_invert_%s(%s, %s)\n{\n", plan->name,
                signature.new_in, signature.old_out);
    write_room(writer, composition);
    for (size_t i = composition->links.count; i-- > 0;) {
        write_step(writer, composition, i, true);
    }
    write_check(writer, composition, "old");
    text_puts(writer->text, "}\n\n");
    policy_signature_deinit(&signature);
}
