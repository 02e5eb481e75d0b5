/*
 * The generated source: declarations of both versions, prototypes, maps of enumerations, and for each plan its functions. The
 * functions are written first, since they find out which maps are needed.
 */
#include "patch/policy_write.h"

#include <stdlib.h>
#include <string.h>

#include "patch/policy_path.h"
#include "patch/policy_write_value.h"

#define OLD_SUFFIX "_molt_old"

/* ---- declarations -------------------------------------------------------------------------------------------------- */

/* Whether TYPE, of the old model, is declared with the suffix: it changed, or a plan leads away from it. */
static bool is_suffixed(void *context, const struct type *type)
{
    const struct policy_plans *plans = context;

    if (type_is_changed(plans->changes, type)) {
        return true;
    }
    for (size_t i = 0; i < plans->list.count; i++) {
        if (plans->list.items[i]->old == type) {
            return true;
        }
    }
    return false;
}

/* What a set of declarations need not declare. */
struct knowledge {
    const struct policy_plans *plans;
    const struct table *names;               /* NULL: none */
    const struct declarations *declarations; /* NULL: none */
};

static bool is_suffixed_here(void *context, const struct type *type)
{
    return is_suffixed((void *)((struct knowledge *)context)->plans, type);
}

static bool is_known(void *context, const char *name)
{
    const struct knowledge *knowledge = context;

    return (knowledge->names && table_get(knowledge->names, name)) ||
           (knowledge->declarations && declarations_has(knowledge->declarations, name));
}

static bool is_plain(void *context, const struct type *type)
{
    return false;
}

/* Declares what the pointers on the way to PATH lead to. */
static void declare_on_the_way(struct declarations *declarations, const struct type *type, const char *path)
{
    for (const char *arrow = strstr(path, "->"); arrow; arrow = strstr(arrow + 2, "->")) {
        char *prefix = must_strndup(path, arrow - path);
        struct policy_place place;
        if (policy_place_find(type, prefix, &place) && type_strip(place.type)->inner) {
            declare(declarations, type_strip(type_strip(place.type)->inner));
        }
        free(prefix);
    }
}

static void declare_old(const struct policy_plans *plans, struct declarations *declarations)
{
    for (size_t i = 0; i < plans->list.count; i++) {
        const struct policy_plan *plan = plans->list.items[i];
        declare(declarations, plan->old);
        for (size_t k = 0; k < plan->steps.count; k++) {
            if (plan->steps.items[k].indirect) {
                declare_on_the_way(declarations, plan->old, plan->steps.items[k].old.path);
            }
        }
    }
}

char *policy_write_old_types(const struct policy_plans *plans, const struct table *known)
{
    struct text text = { 0 };
    struct knowledge knowledge = { .plans = plans, .names = known };
    struct declaration_rules rules = { OLD_SUFFIX, is_suffixed_here, is_known, &knowledge };

    text_puts(&text, "");
    struct declarations *declarations = declarations_create(&rules, &text);
    declare_old(plans, declarations);
    for (size_t i = 0; i < plans->uses.count; i++) {
        const struct type *old = plans->uses.items[i].old;
        if (old && is_suffixed((void *)plans, old)) {
            declare(declarations, old);
        }
    }
    declarations_destroy(declarations);
    return must_have(text_steal(&text));
}

/* ---- functions ------------------------------------------------------------------------------------------------------ */

static char *place_of(const struct policy_statement *statement)
{
    const char *molt = strstr(statement->file, "/molt/");

    return must_printf("%s:%u", molt ? molt + 1 : statement->file, statement->line);
}

/* "const struct conn_molt_old *old, struct conn *new", or what stands there on the way back. */
static char *parameters_of(const struct policy_writer *writer, const struct policy_plan *plan)
{
    char *old = declared_name(writer->old_types, plan->old),
         *new = declared_name(writer->new_types, plan->new);
    char *result = writer->back ? must_printf("const %s *new, %s *old", new, old)
                                : must_printf("const %s *old, %s *new", old, new);

    free(old);
    free(new);
    return result;
}

/* Why a value comes from where it does, for the end of its line. NULL: there is nothing to say. Owned by the caller. */
static char *comment_on(const struct policy_step *step)
{
    struct text text = { 0 };

    if (step->statement) {
        return place_of(step->statement);
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
    char *old = must_printf("old->%s", step->old.path), *new = must_printf("new->%s", step->new.path);
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

/* The path of the union that PATH of TYPE lies in, or, of one without a name, PATH itself. Owned by the caller. */
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

/* Whether a step of the same alternative, or of the same union, stands before STEP. */
static bool is_first(const struct policy_plan *plan, size_t index, bool of_alternative)
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
    char *place = place_of(choice);

    policy_line(writer, 1, place, "const char *in_use_%zu = %s(old);", index, choice->function);
    text_puts(writer->text, "    ");
    for (size_t i = index; i < plan->steps.count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        if (step->choice == choice && is_first(plan, i, true)) {
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

static void write_step(struct policy_writer *writer, const struct policy_plan *plan, size_t index)
{
    const struct policy_step *step = &plan->steps.items[index];
    char *place = step->statement ? place_of(step->statement) : NULL;

    if (step->choice) {
        if (is_first(plan, index, false)) {
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
        policy_line(writer, 1, NULL, "/* new->%s is new: zero */", step->new.path);
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
    char *old = type_key(plan->old), *new = type_key(plan->new);

    text_printf(writer->text, "/* %s", old);
    if (strcmp(old, new) != 0) {
        text_printf(writer->text, " to %s", new);
    }
    text_puts(writer->text, ": by name");
    for (size_t i = 0; i < plan->migrate.count; i++) {
        char *place = place_of(plan->migrate.items[i]);
        text_printf(writer->text, ", then %s", place);
        free(place);
    }
    text_puts(writer->text, ". */\n");
    free(old);
    free(new);
}

static void write_migrate(struct policy_writer *writer, const struct policy_plan *plan)
{
    char *parameters = parameters_of(writer, plan);

    describe_plan(writer, plan);
    text_printf(writer->text, "void molt_migrate_%s(%s)\n{\n", plan->name, parameters);
    for (size_t i = 0; i < plan->steps.count; i++) {
        write_step(writer, plan, i);
    }
    for (size_t i = 0; i < plan->migrate.count; i++) {
        char *place = place_of(plan->migrate.items[i]);
        policy_line(writer, 1, place, "%s(old, new);", plan->migrate.items[i]->function);
        free(place);
    }
    for (size_t i = 0; i < plan->delete.count; i++) {
        char *comment = must_printf("old->%s is released", plan->delete.items[i]->from);
        policy_line(writer, 1, comment, "%s(old);", plan->delete.items[i]->function);
        free(comment);
    }
    text_puts(writer->text, "}\n\n");
    free(parameters);
}

static void write_inverse(struct policy_writer *writer, const struct policy_plan *plan)
{
    char *parameters = parameters_of(writer, plan), *key = type_key(plan->old);

    text_printf(writer->text, "/* %s, the way back. */\nvoid molt_invert_%s(%s)\n{\n", key, plan->name,
                parameters);
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
        char *place = place_of(plan->invert.items[i]);
        policy_line(writer, 1, place, "%s(new, old);", plan->invert.items[i]->function);
        free(place);
    }
    text_puts(writer->text, "}\n\n");
    free(parameters);
    free(key);
}

/* ---- validations ---------------------------------------------------------------------------------------------------- */

/* The plan of what STEP holds by value, if that has something to validate. */
static const struct policy_plan *validated_inside(const struct policy_plans *plans,
                                                  const struct policy_step *step)
{
    bool migrates = step->conversion == TYPE_CONVERT_MIGRATE || step->conversion == TYPE_CONVERT_ARRAY;

    if (step->kind != POLICY_STEP_VALUE || step->choice || step->indirect || !migrates) {
        return NULL;
    }
    const struct policy_plan *inner =
        policy_plan_of(plans, type_element(step->old.type, NULL), type_element(step->new.type, NULL));
    return inner && policy_has_validation(plans, inner) ? inner : NULL;
}

bool policy_has_validation(const struct policy_plans *plans, const struct policy_plan *plan)
{
    bool any = plan->validate.count > 0;

    for (size_t i = 0; !any && i < plan->steps.count; i++) {
        any = validated_inside(plans, &plan->steps.items[i]) != NULL;
    }
    return any;
}

/* Calls INNER's validation for the instance, or each of an array's, that STEP holds. */
static void write_inner_validation(struct policy_writer *writer, const struct policy_step *step,
                                   const struct policy_plan *inner)
{
    const struct type *old = type_strip(step->old.type), *new = type_strip(step->new.type);
    unsigned indent = 1;
    struct text indices = { 0 };

    text_puts(&indices, "");
    for (; old->kind == TYPE_ARRAY; old = type_strip(old->inner), new = type_strip(new->inner), indent++) {
        char index = (char)('h' + indent);
        uint64_t count = old->count < new->count ? old->count : new->count;
        policy_line(writer, indent, NULL, "for (size_t %c = 0; %c < %llu; %c++) {", index, index,
                    (unsigned long long)count, index);
        text_printf(&indices, "[%c]", index);
    }
    policy_line(writer, indent, NULL, "if (!molt_validate_%s(&old->%s%s, &new->%s%s)) {", inner->name,
                step->old.path, indices.bytes, step->new.path, indices.bytes);
    policy_line(writer, indent + 1, NULL, "return 0;");
    while (indent >= 1) {
        policy_line(writer, indent--, NULL, "}");
    }
    text_deinit(&indices);
}

static void write_validate(struct policy_writer *writer, const struct policy_plan *plan)
{
    char *old = declared_name(writer->old_types, plan->old),
         *new = declared_name(writer->new_types, plan->new);

    text_printf(writer->text, "int molt_validate_%s(const %s *old, const %s *new)\n{\n", plan->name, old,
                new);
    for (size_t i = 0; i < plan->validate.count; i++) {
        char *place = place_of(plan->validate.items[i]);
        policy_line(writer, 1, place, "if (!%s(old, new)) {", plan->validate.items[i]->function);
        policy_line(writer, 2, NULL, "return 0;");
        policy_line(writer, 1, NULL, "}");
        free(place);
    }
    for (size_t i = 0; i < plan->steps.count; i++) {
        const struct policy_plan *inner = validated_inside(writer->plans, &plan->steps.items[i]);
        if (inner) {
            write_inner_validation(writer, &plan->steps.items[i], inner);
        }
    }
    text_puts(writer->text, "    return 1;\n}\n\n");
    free(old);
    free(new);
}

static void write_select(struct policy_writer *writer, const struct policy_plan *plan)
{
    char *old = declared_name(writer->old_types, plan->old), *key = type_key(plan->new);
    char *place = place_of(plan->split);

    text_printf(writer->text, "int molt_select_%s(const %s *old)\n{\n", plan->name, old);
    policy_line(writer, 1, place, "return strcmp(%s(old), \"%s\") == 0;", plan->split->function, key);
    text_puts(writer->text, "}\n\n");
    free(old);
    free(key);
    free(place);
}

/* ---- the whole -------------------------------------------------------------------------------------------------------- */

static void write_functions(struct policy_writer *writer, const struct policy_plan *plan)
{
    writer->back = false;
    write_migrate(writer, plan);
    if (plan->split) {
        write_select(writer, plan);
    }
    if (policy_has_validation(writer->plans, plan)) {
        write_validate(writer, plan);
    }
    if (policy_has_inverse(plan)) {
        writer->back = true;
        write_inverse(writer, plan);
    }
}

/* Prototypes of PLAN's functions and of those of the user's that it calls. */
static void write_prototypes(struct policy_writer *writer, const struct policy_plan *plan)
{
    char *old = declared_name(writer->old_types, plan->old),
         *new = declared_name(writer->new_types, plan->new);
    struct text *text = writer->text;

    text_printf(text, "void molt_migrate_%s(const %s *old, %s *new);\n", plan->name, old, new);
    if (policy_has_validation(writer->plans, plan)) {
        text_printf(text, "int molt_validate_%s(const %s *old, const %s *new);\n", plan->name, old, new);
    }
    if (policy_has_inverse(plan)) {
        text_printf(text, "void molt_invert_%s(const %s *new, %s *old);\n", plan->name, new, old);
    }
    for (size_t i = 0; i < plan->migrate.count; i++) {
        text_printf(text, "void %s(const %s *old, %s *new);\n", plan->migrate.items[i]->function, old, new);
    }
    for (size_t i = 0; i < plan->validate.count; i++) {
        text_printf(text, "int %s(const %s *old, const %s *new);\n", plan->validate.items[i]->function, old,
                    new);
    }
    for (size_t i = 0; i < plan->invert.count; i++) {
        text_printf(text, "void %s(const %s *new, %s *old);\n", plan->invert.items[i]->function, new, old);
    }
    for (size_t i = 0; i < plan->delete.count; i++) {
        text_printf(text, "void %s(const %s *old);\n", plan->delete.items[i]->function, old);
    }
    for (size_t i = 0; i < plan->steps.count; i++) {
        const struct policy_step *step = &plan->steps.items[i];
        if (step->kind == POLICY_STEP_EXPRESSION) {
            text_printf(text, "void %s(const %s *old, %s *new);\n", step->statement->function, old, new);
        }
        if (step->choice && is_first(plan, i, false)) {
            text_printf(text, "const char *%s(const %s *old);\n", step->choice->function, old);
        }
    }
    if (plan->split) {
        text_printf(text, "const char *%s(const %s *old);\n", plan->split->function, old);
    }
    free(old);
    free(new);
}

char *policy_write(const struct policy_plans *plans)
{
    struct text result = { 0 }, functions = { 0 };
    struct knowledge nothing = { .plans = plans }, shared = { .plans = plans };
    struct declaration_rules old_rules = { OLD_SUFFIX, is_suffixed_here, NULL, &nothing };
    struct declaration_rules new_rules = { "", is_plain, is_known, &shared };

    text_puts(&functions, "");
    text_puts(&result,
              "/* What becomes of what the program holds in memory. Made by Molt from the debug information "
              "of both\n * versions and the policies in molt/. */\n"
              "#include <molt/policy.h>\n\n"
              "void *memcpy(void *to, const void *from, size_t size);\n"
              "int strcmp(const char *one, const char *other);\n\n"
              "/* ---- the types as they were ---- */\n\n");
    struct declarations *old_types = declarations_create(&old_rules, &result);
    declare_old(plans, old_types);
    shared.declarations = old_types;
    text_puts(&result, "/* ---- as they will be ---- */\n\n");
    struct declarations *new_types = declarations_create(&new_rules, &result);
    for (size_t i = 0; i < plans->list.count; i++) {
        declare(new_types, plans->list.items[i]->new);
    }
    struct policy_writer writer = {
        .plans = plans, .old_types = old_types, .new_types = new_types, .text = &functions
    };
    for (size_t i = 0; i < plans->list.count; i++) {
        write_functions(&writer, plans->list.items[i]);
    }
    text_puts(&result, "/* ---- what becomes of them ---- */\n\n");
    writer.text = &result;
    for (size_t i = 0; i < plans->list.count; i++) {
        write_prototypes(&writer, plans->list.items[i]);
    }
    text_puts(&result, "\n");
    policy_write_remaps(&writer, &result);
    text_append(&result, functions.bytes, functions.length);
    for (size_t i = 0; i < writer.remaps.count; i++) {
        free(writer.remaps.items[i].name);
    }
    LIST_FREE(&writer.remaps);
    table_deinit(&writer.remap_names);
    declarations_destroy(old_types);
    declarations_destroy(new_types);
    text_deinit(&functions);
    return must_have(text_steal(&result));
}
