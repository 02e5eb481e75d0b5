/*
 * Policy files to start from, for locals of suspended functions: what the manifest tells of calls that have
 * no recipe, gathered by function. Each local stands in it once, with the first call that asks for it.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/transfer/frame_policy.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* ---- which locals ---------------------------------------------------------------------------------- */

static bool is_scalar(const struct type *type)
{
    return type->kind == TYPE_BASE || type->kind == TYPE_ENUM || type->kind == TYPE_POINTER;
}

static json_t *difference(const struct frame_member *before, const struct frame_member *now)
{
    const struct type *type = type_strip(now->type), *was = before ? type_strip(before->type) : NULL;
    bool converts = was && is_scalar(was) && (was->kind == TYPE_POINTER) == (type->kind == TYPE_POINTER);
    json_t *result = must_have(json_pack("{s:s, s:s}", "local", now->as, "how", before ? "type" : "new"));

    if (is_scalar(type)) {
        char *old = must_printf("old->%s", now->as);
        json_object_set_new(result, "value", must_have(json_string(converts ? old : "0")));
        free(old);
    }
    return result;
}

json_t *frame_differences(struct object *old, struct object *new, const char *name, const char *function)
{
    struct object *objects[2] = { old, new };
    struct type_model *models[2];
    struct frame_locals locals[2];
    json_t *result = must_have(json_array());

    for (unsigned i = 0; i < 2; i++) {
        models[i] = type_model_create();
        type_model_add_all(models[i], object_dwarf(objects[i]), name);
        frame_locals_find(&locals[i], object_dwarf(objects[i]), models[i], function);
    }
    for (size_t i = 0; i < locals[FRAME_NEW].members.count; i++) {
        const struct frame_member *now = &locals[FRAME_NEW].members.items[i];
        const struct frame_member *before = frame_locals_member(&locals[FRAME_OLD], now->as, strlen(now->as));
        if (!before || before->type->hash != now->type->hash) {
            json_array_append_new(result, difference(before, now));
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        frame_locals_deinit(&locals[i]);
        type_model_destroy(models[i]);
    }
    return result;
}

/* ---- the file -------------------------------------------------------------------------------------- */

/* A line that gives LOCAL the VALUE; for the user to complete if there is none, or nobody ASKS for it. */
static void write_line(struct text *body, const char *local, const char *value, bool asks)
{
    text_printf(body, "%snew->%s = %s;", asks && *value ? "    " : "    //  ", local, *value ? value : "...");
}

/* Whether BODY gives LOCAL. */
static bool has_local(const struct text *body, const char *local)
{
    char *words = must_printf("new->%s = ", local);
    bool found = body->bytes && strstr(body->bytes, words);

    free(words);
    return found;
}

/* The local that WAIT asks for. */
static void write_wanted(struct text *body, const json_t *wait, const json_t *differ)
{
    const char *local = text_of(wait, "local"), *value = "0";
    json_t *each;
    size_t i;

    json_array_foreach(differ, i, each)
    {
        if (strcmp(text_of(each, "local"), local) == 0) {
            value = text_of(each, "value");
        }
    }
    if (!has_local(body, local)) {
        write_line(body, local, value, true);
        text_printf(body, " /* %s, line %lld: %s */\n", text_of(wait, "callee"),
                    (long long)json_integer_value(json_object_get(wait, "line")), text_of(wait, "reason"));
    }
}

/* Those that nobody has asked for yet: the first that is missing ends the search. */
static void write_others(struct text *body, const json_t *differ)
{
    json_t *each;
    size_t i;

    json_array_foreach(differ, i, each)
    {
        if (!has_local(body, text_of(each, "local"))) {
            write_line(body, text_of(each, "local"), text_of(each, "value"), false);
            text_printf(body, " /* %s */\n",
                        strcmp(text_of(each, "how"), "new") ? "has another type" : "is new");
        }
    }
}

static char *write_skeleton(const char *function, const struct text *body)
{
    struct text text = { 0 };

    text_printf(&text,
                "/* What locals of %s get that Molt cannot tell, where it waits while it is updated. See "
                "<molt/policy.h>. */\n"
                "#include <molt/policy.h>\n\n"
                "/* `old` has the locals as they are. What is not given here keeps its value. */\n"
                "MOLT_TRANSFER(%s, old, new)\n{\n%s}\n",
                function, function, body->bytes ? body->bytes : "");
    return must_have(text_steal(&text));
}

/* The locals of FUNCTION in all of TRANSFERS. */
static void gather(const json_t *transfers, const char *function, struct text *ret)
{
    json_t *transfer, *wait;
    size_t i, k;

    json_array_foreach(transfers, i, transfer)
    {
        const json_t *differ = json_object_get(json_object_get(transfer, "differ"), function);
        json_array_foreach(json_object_get(transfer, "waits"), k, wait)
        {
            if (strcmp(text_of(wait, "of"), function) == 0) {
                write_wanted(ret, wait, differ);
            }
        }
        write_others(ret, differ);
    }
}

json_t *frame_skeletons(const json_t *transfers)
{
    json_t *result = must_have(json_object()), *transfer, *wait;
    size_t i, k;

    json_array_foreach(transfers, i, transfer)
    {
        json_array_foreach(json_object_get(transfer, "waits"), k, wait)
        {
            const char *function = text_of(wait, "of");
            char *key = must_printf("%s()", function);
            if (*function && !json_object_get(result, key)) {
                struct text body = { 0 };
                gather(transfers, function, &body);
                char *text = write_skeleton(function, &body);
                json_object_set_new(result, key, must_have(json_string(text)));
                free(text);
                text_deinit(&body);
            }
            free(key);
        }
    }
    return result;
}
