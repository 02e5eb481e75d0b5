/* Numbers of several programs are added up, type by type; their words follow one another. */
#include "lsp-server/census.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/census.h"
#include "base/text.h"
#include "link/instances.h"
#include "link/protocol.h"
#include "lsp-server/lsp.h"
#include "patch/query.h"

#define TYPES_SHOWN 200
#define GRACE_MS 10000 /* beyond the time-out that the engine itself keeps */

static struct molt_error *make_query(struct census *census, struct patch_query *ret)
{
    const char **after = json_strings(census->patches);
    struct patch_request request = { .from = census->tree,
                                     .after = after,
                                     .after_count = json_array_size(census->patches),
                                     .cancel = census->cancel };
    struct molt_error *error;

    *ret = (struct patch_query){ 0 };
    error = after ? patch_session_query(census->session, &request, census->build_ids, census->type, ret)
                  : molt_error_nomem();
    free(after);
    return error;
}

/* The error for what TARGET answered; ANSWER is borrowed. */
static struct molt_error *judge(const struct delivery_target *target, int status, const json_t *answer)
{
    const char *word = json_text(answer, "result", "");

    if (status < 0)
        return molt_error_errno(status, "%s (pid %d)", target->name, (int)target->pid);
    if (status == 0 && link_result_of(word) == LINK_RESULT_PREPARED)
        return NULL;
    return molt_error_new(MOLT_ERROR_REFUSED, "%s (pid %d): %s", target->name, (int)target->pid,
                          json_text(answer, status ? "message" : "reason", "refused"));
}

static struct molt_error *ask(struct census *census, const struct delivery_target *target,
                              const struct patch_query *query, json_t **ret)
{
    struct link_client *client = NULL;
    json_t *layouts = json_array(), *type;
    int status = link_client_open(target->path, &client);
    size_t i;

    json_array_foreach(query->types, i, type) json_array_append(layouts, json_object_get(type, "layout"));
    if (status == 0)
        status = link_instances(client, query->bytes, query->size,
                                json_pack("{s:i,s:i,s:O}", "timeout_ms", (int)census->timeout_ms, "limit",
                                          (int)census->limit, "layouts", layouts),
                                (int)census->timeout_ms + GRACE_MS, ret);
    link_client_close(client);
    json_decref(layouts);
    return judge(target, status, *ret);
}

/* ---- one answer ---------------------------------------------------------------------------------------- */

static json_t *find_type(json_t *types, const json_t *type)
{
    size_t i;
    json_t *known;

    json_array_foreach(types, i, known)
    {
        if (json_equal(json_object_get(known, "name"), json_object_get(type, "name")) &&
            json_equal(json_object_get(known, "unit"), json_object_get(type, "unit")))
            return known;
    }
    return NULL;
}

static void add_number(json_t *into, const json_t *from, const char *key)
{
    double sum = json_number(into, key, 0) + json_number(from, key, 0);

    json_object_set_new(into, key, json_integer((json_int_t)sum));
}

static void add_answer(json_t *into, const json_t *answer)
{
    json_t *types = json_object_get(into, "types"), *unknown = json_object_get(into, "unknown"), *type;
    size_t i;

    json_array_foreach(json_object_get(answer, "types"), i, type)
    {
        json_t *known = find_type(types, type);

        if (!known)
            json_array_append_new(types, json_pack("{s:O?,s:O?,s:O?}", "name", json_object_get(type, "name"),
                                                   "unit", json_object_get(type, "unit"), "count",
                                                   json_object_get(type, "count")));
        else
            add_number(known, type, "count");
    }
    add_number(unknown, json_object_get(answer, "unknown"), "blocks");
    add_number(unknown, json_object_get(answer, "unknown"), "bytes");
    json_array_extend(json_object_get(unknown, "sites"), json_at(answer, "unknown", "sites", NULL));
    if (json_number(answer, "pause_ms", 0) > json_number(into, "pause_ms", 0))
        json_object_set(into, "pause_ms", json_object_get(answer, "pause_ms"));
}

static void write_answer(struct census *census, const struct delivery_target *target, const json_t *answer,
                         struct text *text)
{
    const char *root = patch_session_root(census->session);
    size_t i;
    json_t *type;

    text_printf(text, "%s%s (pid %d), stopped for %.2g ms\n\n", text->length ? "\n\n" : "", target->name,
                (int)target->pid, json_number(answer, "pause_ms", 0));
    if (census->type) {
        json_array_foreach(json_object_get(answer, "types"), i, type) census_write_type(text, type, root);
    } else {
        census_write_table(text, answer, root, TYPES_SHOWN);
    }
    census_write_unknown(text, answer, root);
    census_write_instances(text, answer, root);
}

static struct molt_error *take_target(struct census *census, const struct delivery_target *target,
                                      const struct patch_query *query, struct text *text)
{
    json_t *answer = NULL;
    struct molt_error *error = ask(census, target, query, &answer);

    if (!error) {
        census_explain(answer, query->types, query->sites);
        add_answer(census->answer, answer);
        write_answer(census, target, answer, text);
    }
    json_decref(answer);
    return error;
}

void census_run(struct census *census)
{
    struct patch_query query;
    struct text text = { 0 };

    census->answer = json_pack("{s:[],s:{s:i,s:i,s:[]},s:f}", "types", "unknown", "blocks", 0, "bytes", 0,
                               "sites", "pause_ms", 0.0);
    census->error = make_query(census, &query);
    for (size_t i = 0; !census->error && i < census->target_count; i++)
        census->error = take_target(census, &census->targets[i], &query, &text);
    census->text = text_steal(&text);
    patch_query_deinit(&query);
}

void census_free(struct census *census)
{
    if (!census)
        return;
    delivery_targets_free(census->targets, census->target_count);
    molt_error_destroy(census->error);
    json_decref(census->patches);
    json_decref(census->build_ids);
    json_decref(census->answer);
    free(census->tree);
    free(census->type);
    free(census->text);
    free(census);
}
