/*
 * The functions of one plan: each step is a line or a few, with a comment where its value comes from unless
 * that is plain to see.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/policy/path.h"
#include "patch/policy/write_private.h"

char *policy_place_text(const struct policy_statement *statement)
{
    const char *molt = strstr(statement->file, "/molt/");

    return must_printf("%s:%u", molt ? molt + 1 : statement->file, statement->line);
}

/* NAME as a pointer to TYPE. Owned by the caller. */
static char *parameter(const struct declarations *declarations, const struct type *type, const char *name,
                       bool in)
{
    struct text text = { 0 };

    text_puts(&text, in && type_is_compound(type) ? "const " : "");
    declare_object(declarations, type, name, &text);
    return must_have(text_steal(&text));
}

void policy_signature_init(struct policy_signature *signature, const struct policy_writer *writer,
                           const struct policy_plan *plan)
{
    *signature = (struct policy_signature){
        .old_in = parameter(writer->old_types, plan->old, "*old", true),
        .old_out = parameter(writer->old_types, plan->old, "*old", false),
        .new_in = parameter(writer->new_types, plan->new, "*new", true),
        .new_out = parameter(writer->new_types, plan->new, "*new", false),
    };
}

void policy_signature_deinit(struct policy_signature *signature)
{
    free(signature->old_in);
    free(signature->old_out);
    free(signature->new_in);
    free(signature->new_out);
}

/* The member at PATH of the instance that POINTER leads to; "" for the instance itself. Owned by the caller.
 */
static char *member_text(const char *pointer, const char *path)
{
    return *path ? must_printf("%s->%s", pointer, path) : must_printf("*%s", pointer);
}

/* Why a value comes from where it does, for the end of its line. NULL: there is nothing to say. Owned by the
 * caller. */
static char *comment_on(const struct policy_step *step)
{
    struct text text = { 0 };

    if (step->statement) {
        return policy_place_text(step->statement);
    }
    if (strcmp(step->old.path, step->new.path) != 0) {
        return must_strdup(step->evidence ? step->evidence : "renamed");
    }
    if (step->conversion == TYPE_CONVERT_NUMBER || step->conversion == TYPE_CONVERT_ARRAY) {
        text_puts(&text, "was ");
        type_describe(step->old.type, &text);
        return must_have(text_steal(&text));
    }
    return NULL;
}

/* Opens a condition that all pointers on the way to PATH are there. Returns whether it did. */
static bool open_condition(struct policy_writer *writer, const char *path, unsigned indent)
{
    struct text condition = { 0 };

    for (const char *arrow = strstr(path, "->"); arrow; arrow = strstr(arrow + 2, "->")) {
        text_printf(&condition, "%sold->%.*s", condition.length ? " && " : "", (int)(arrow - path), path);
    }
    bool any = condition.length > 0;
    if (any) {
        policy_line(writer, indent, NULL, "if (%s) {", condition.bytes);
    }
    text_deinit(&condition);
    return any;
}

static void write_step_value(struct policy_writer *writer, const struct policy_step *step, unsigned indent)
{
    char *old = member_text("old", step->old.path), *new = member_text("new", step->new.path);
    char *comment = writer->back ? NULL : comment_on(step);
    bool condition = step->indirect && open_condition(writer, step->old.path, indent);
    struct policy_value value = { .old = step->old.type,
                                  .new = step->new.type,
                                  .old_bits = step->old.member ? step->old.member->bit_size : 0,
                                  .new_bits = step->new.member ? step->new.member->bit_size : 0,
                                  .old_text = old,
                                  .new_text = new,
                                  .drop = step->drop,
                                  .string = step->text,
                                  .comment = comment,
                                  .indent = indent + condition };

    policy_write_value(writer, &value);
    if (condition) {
        policy_line(writer, indent, NULL, "}");
    }
    free(old);
    free(new);
    free(comment);
}

/* The path of the union that PATH of TYPE lies in, or, of one without a name, PATH itself. Owned by the
 * caller. */
static char *union_path(const struct type *type, const char *path, bool *ret_named)
{
    struct policy_place place;

    *ret_named = policy_place_find(type, path, &place) && place.in_union && place.union_length > 0;
    return *ret_named ? must_strndup(path, place.union_length) : must_strdup(path);
}

static void write_union(struct policy_writer *writer, const struct policy_plan *plan,
                        const struct policy_step *step)
{
    const char *source = writer->back ? "new" : "old", *target = writer->back ? "old" : "new";
    bool old_named, new_named;

    if (!step->size) {
        return;
    }
    char *old = union_path(plan->old, step->old.path, &old_named);
    char *new = union_path(plan->new, step->new.path, &new_named);
    policy_line(writer, 1, "all members of the union kept their places", "memcpy(&%s->%s, &%s->%s, %llu);",
                target, writer->back ? old : new, source, writer->back ? new : old,
                (unsigned long long)step->size);
    free(old);
    free(new);
}

bool policy_is_first_choice(const struct policy_plan *plan, size_t index, bool of_alternative)
{
    const struct policy_step *step = &plan->steps.items[index];

    for (size_t i = 0; i < index; i++) {
        const struct policy_step *other = &plan->steps.items[i];
        if (other->choice == step->choice &&
            (!of_alternative || strcmp(other->alternative, step->alternative) == 0)) {
            return false;
        }
    }
    return true;
}

static void write_alternative(struct policy_writer *writer, const struct policy_plan *plan, size_t first)
{
    const struct policy_step *step = &plan->steps.items[first];

    for (size_t i = first; i < plan->steps.count; i++) {
        const struct policy_step *other = &plan->steps.items[i];
        if (other->choice != step->choice || strcmp(other->alternative, step->alternative) != 0) {
            continue;
        }
        if (other->kind == POLICY_STEP_VALUE) {
            write_step_value(writer, other, 2);
        } else if (!other->drop && other->kind != POLICY_STEP_CUSTOM) {
            policy_line(writer, 2, NULL, "molt_fail(\"%s is in use and has no place any more\");",
                        other->old.path);
        }
    }
}

/* The union of step INDEX: as MOLT_UNION says which member is in use. */
static void write_choice(struct policy_writer *writer, const struct policy_plan *plan, size_t index)
{
    const struct policy_statement *choice = plan->steps.items[index].choice;
    char *place = policy_place_text(choice);

    policy_line(writer, 1, place, "const char *in_use_%zu = %s(old);", index, choice->function);
    text_puts(writer->text, "    ");
    for (size_t i = index; i < plan->steps.count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        if (step->choice == choice && policy_is_first_choice(plan, i, true)) {
            text_printf(writer->text, "if (strcmp(in_use_%zu, \"%s\") == 0) {\n", index, step->alternative);
            write_alternative(writer, plan, i);
            text_puts(writer->text, "    } else ");
        }
    }
    text_printf(writer->text,
                "{\n        molt_fail(\"%%s is no member of the union %s\", in_use_%zu);\n    }\n",
                choice->from, index);
    free(place);
}

static void write_new(struct policy_writer *writer, const struct policy_step *step)
{
    if (step->maker.function) {
        policy_line(writer, 1, NULL, "/* new->%s is new: zero, where %s sets %s */", step->new.path,
                    step->maker.function,
                    strstr(step->maker.text, "*/") ? "another value" : step->maker.text);
    } else {
        policy_line(writer, 1, NULL, "/* new->%s is new: zero */", step->new.path);
    }
}

static void write_step(struct policy_writer *writer, const struct policy_plan *plan, size_t index)
{
    const struct policy_step *step = &plan->steps.items[index];
    char *place = step->statement ? policy_place_text(step->statement) : NULL;

    if (step->choice) {
        if (policy_is_first_choice(plan, index, false)) {
            write_choice(writer, plan, index);
        }
        free(place);
        return;
    }
    switch (step->kind) {
    case POLICY_STEP_VALUE:
        write_step_value(writer, step, 1);
        break;
    case POLICY_STEP_UNION:
        write_union(writer, plan, step);
        break;
    case POLICY_STEP_EXPRESSION:
        policy_line(writer, 1, place, "%s(old, new);", step->statement->function);
        break;
    case POLICY_STEP_CUSTOM:
        policy_line(writer, 1, NULL, "/* new->%s: see %s */", step->new.path, place);
        break;
    case POLICY_STEP_NEW:
        write_new(writer, step);
        break;
    case POLICY_STEP_GONE:
        policy_line(writer, 1, NULL, "/* old->%s is gone%s */", step->old.path,
                    step->drop ? ", as told" : "");
        break;
    case POLICY_STEP_IMPOSSIBLE:
        policy_line(writer, 1, NULL, "molt_fail(\"%s\");", step->why);
        break;
    }
    free(place);
}

/* "by name, then molt/conn.c:5". */
static void describe_plan(struct policy_writer *writer, const struct policy_plan *plan)
{
    struct text old = { 0 }, new = { 0 };

    type_describe(plan->old, &old);
    type_describe(plan->new, &new);
    text_printf(writer->text, "/* %s", old.bytes);
    if (strcmp(old.bytes, new.bytes) != 0) {
        text_printf(writer->text, " to %s", new.bytes);
    }
    text_puts(writer->text, ": by name");
    for (size_t i = 0; i < plan->migrate.count; i++) {
        char *place = policy_place_text(plan->migrate.items[i]);
        text_printf(writer->text, ", then %s", place);
        free(place);
    }
    text_puts(writer->text, ". */\n");
    text_deinit(&old);
    text_deinit(&new);
}

void policy_write_migrate(struct policy_writer *writer, const struct policy_plan *plan)
{
    struct policy_signature signature;

    policy_signature_init(&signature, writer, plan);
    describe_plan(writer, plan);
    text_printf(writer->text, "void molt_migrate_%s(%s, %s)\n{\n", plan->name, signature.old_in,
                signature.new_out);
    for (size_t i = 0; i < plan->steps.count; i++) {
        write_step(writer, plan, i);
    }
    for (size_t i = 0; i < plan->migrate.count; i++) {
        char *place = policy_place_text(plan->migrate.items[i]);
        policy_line(writer, 1, place, "%s(old, new);", plan->migrate.items[i]->function);
        free(place);
    }
    for (size_t i = 0; i < plan->delete.count; i++) {
        char *comment = must_printf("old->%s is released", plan->delete.items[i]->from);
        policy_line(writer, 1, comment, "%s(old);", plan->delete.items[i]->function);
        free(comment);
    }
    text_puts(writer->text, "}\n\n");
    policy_signature_deinit(&signature);
}

void policy_write_inverse(struct policy_writer *writer, const struct policy_plan *plan)
{
    struct policy_signature signature;

    policy_signature_init(&signature, writer, plan);
    text_printf(writer->text, "/* The way back. */\nvoid molt_invert_%s(%s, %s)\n{\n", plan->name,
                signature.new_in, signature.old_out);
    for (size_t i = 0; i < plan->steps.count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        if (step->choice || step->indirect) {
            continue;
        }
        if (step->kind == POLICY_STEP_VALUE) {
            write_step_value(writer, step, 1);
        } else if (step->kind == POLICY_STEP_UNION) {
            write_union(writer, plan, step);
        } else if (step->kind == POLICY_STEP_GONE) {
            policy_line(writer, 1, NULL, "/* old->%s was dropped: zero */", step->old.path);
        }
    }
    for (size_t i = 0; i < plan->invert.count; i++) {
        char *place = policy_place_text(plan->invert.items[i]);
        policy_line(writer, 1, place, "%s(new, old);", plan->invert.items[i]->function);
        free(place);
    }
    text_puts(writer->text, "}\n\n");
    policy_signature_deinit(&signature);
}
