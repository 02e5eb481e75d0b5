/*
 * A function that is there at every look, in the same thread and at the same place on its stack, has not
 * returned meanwhile; nearly so: one that is called from a loop, again and again, lies at the same place each
 * time. For an update both are the same.
 */
#include "cli/lasting.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "link/client.h"
#include "link/protocol.h"
#include "patch/transfer/suspended.h"

#define LOOKS 5
#define BETWEEN_MS 100
#define ANSWER_MS 10000

static struct molt_error *take_looks(const struct target *target, json_t **looks)
{
    for (size_t i = 0; i < LOOKS; i++) {
        nanosleep(&(struct timespec){ 0, i ? BETWEEN_MS * 1000000L : 0 }, NULL);
        int status = link_client_call(target->client, link_method_name(LINK_METHOD_STACKS), json_object(),
                                      ANSWER_MS, NULL, NULL, &looks[i]);
        struct molt_error *error = target_error(target, status, looks[i]);
        if (error) {
            looks[i] = NULL;
            return error;
        }
    }
    return NULL;
}

/* What two frames at the same call have in common, as a key. */
static void name_place(const json_t *look, const json_t *frame, char *ret, size_t size)
{
    const json_t *unit = json_object_get(frame, "unit"), *module = json_object_get(frame, "module");
    const char *within = unit ? json_string_value(unit)
                              : json_string_value(json_array_get(json_object_get(look, "modules"),
                                                                 (size_t)json_integer_value(module)));
    const char *function = json_string_value(json_object_get(frame, "function"));

    snprintf(ret, size, "%lld %s %s", (long long)json_integer_value(json_object_get(frame, "offset")),
             function ? function : "", unit || module ? within : "");
}

/* PLACES, an object, is what is known of each call; new ones are added to LIST. */
static void add_places(const json_t *look, json_t *places, json_t *list)
{
    json_t *thread, *frame;
    size_t i, k;
    char name[4200];

    json_array_foreach(json_object_get(look, "threads"), i, thread)
    {
        json_array_foreach(json_object_get(thread, "frames"), k, frame)
        {
            name_place(look, frame, name, sizeof(name));
            if (!json_object_get(frame, "offset") || json_object_get(places, name)) {
                continue;
            }
            json_t *place = json_copy(frame), *module = json_object_get(frame, "module");
            if (module) {
                json_object_set(
                    place, "module",
                    json_array_get(json_object_get(look, "modules"), (size_t)json_integer_value(module)));
            }
            json_object_set_new(places, name, place);
            json_array_append(list, place);
        }
    }
}

static json_t *place_of(const json_t *look, const json_t *frame, const json_t *places)
{
    char name[4200];

    name_place(look, frame, name, sizeof(name));
    return json_object_get(places, name);
}

/* Whether the function of FRAME (at PLACE) of thread TID was there in LOOK, too. */
static bool was_there(const json_t *look, const json_t *places, const json_t *tid, const json_t *frame,
                      const json_t *place)
{
    json_t *thread, *other;
    size_t i, k;

    json_array_foreach(json_object_get(look, "threads"), i, thread)
    {
        json_array_foreach(json_object_get(thread, "frames"), k, other)
        {
            const json_t *there = place_of(look, other, places);
            if (json_equal(json_object_get(thread, "tid"), tid) &&
                json_equal(json_object_get(other, "slot"), json_object_get(frame, "slot")) && there &&
                json_equal(json_object_get(there, "function"), json_object_get(place, "function"))) {
                return true;
            }
        }
    }
    return false;
}

/* Adds what is known of PLACE, and THREAD to it. */
static void add_lasting(json_t *all, const json_t *place, const json_t *thread, bool suspended)
{
    char name[64];
    json_t *entry = NULL, *known;
    size_t i;

    json_array_foreach(all, i, known)
    {
        if (json_equal(json_object_get(known, "function"), json_object_get(place, "function")) &&
            json_equal(json_object_get(known, "file"), json_object_get(place, "file")) &&
            json_equal(json_object_get(known, "line"), json_object_get(place, "line"))) {
            entry = known;
        }
    }
    if (!entry) {
        entry = json_copy((json_t *)place);
        json_object_set_new(entry, "threads", json_array());
        if (!suspended) {
            json_object_set_new(entry, "transferable", json_false());
            json_object_set_new(entry, "reason",
                                json_string("it was running just now, and waited for no call"));
        }
        json_array_append_new(all, entry);
    }
    snprintf(name, sizeof(name), "%lld (%s)", (long long)json_integer_value(json_object_get(thread, "tid")),
             json_string_value(json_object_get(thread, "name")));
    json_array_append_new(json_object_get(entry, "threads"), json_string(name));
}

static json_t *compare_looks(json_t *const *looks, const json_t *places)
{
    const json_t *last = looks[LOOKS - 1];
    json_t *all = json_array(), *thread, *frame;
    size_t i, k;

    json_array_foreach(json_object_get(last, "threads"), i, thread)
    {
        json_array_foreach(json_object_get(thread, "frames"), k, frame)
        {
            const json_t *place = place_of(last, frame, places);
            bool lasts =
                json_object_get(place, "transferable") && json_integer_value(json_object_get(frame, "slot"));
            for (size_t n = 0; n + 1 < LOOKS && lasts; n++) {
                lasts = was_there(looks[n], places, json_object_get(thread, "tid"), frame, place);
            }
            if (lasts) {
                add_lasting(all, place, thread, json_is_true(json_object_get(frame, "suspended")));
            }
        }
    }
    return all;
}

struct molt_error *lasting_find(const struct target *target, struct patch_session *session, const char *from,
                                json_t **ret)
{
    const struct patch_request request = { .from = from };
    json_t *looks[LOOKS] = { 0 }, *places = json_object(), *list = json_array();
    struct molt_error *error = take_looks(target, looks);

    for (size_t i = 0; i < LOOKS && !error; i++) {
        add_places(looks[i], places, list);
    }
    error = error ? error : patch_session_suspended(session, &request, list);
    if (!error) {
        *ret = compare_looks(looks, places);
    }
    for (size_t i = 0; i < LOOKS; i++) {
        json_decref(looks[i]);
    }
    json_decref(list);
    json_decref(places);
    return error;
}
