/* Asking the sources of all units that have calls of interest: where each call is, and what the probes of
 * its unit know. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/session_private.h"
#include "patch/sites/private.h"

static void add_name(struct site_work *work, name_list *names, const char *name)
{
    char *base = site_base_name(name);

    LIST_ADD(&work->owned, base);
    LIST_ADD(names, base);
}

static void add_names_of(struct site_work *work, const struct site_call *call, name_list *names)
{
    if (call->call.callee) {
        add_name(work, names, call->call.callee);
        if (strcmp(call->call.callee, "calloc") == 0) {
            add_name(work, names, "malloc"); /* with memset in the source */
        }
    }
    for (size_t i = 0; i + 1 < call->frames.count; i++) {
        if (call->frames.items[i].function) {
            add_name(work, names, call->frames.items[i].function);
        }
    }
}

/* The functions that the sources are searched for: whatever is called, in machine code or inlined. Sorted,
 * NULL behind. */
static void find_names(struct site_work *work, name_list *ret)
{
    size_t kept = 0;

    for (size_t i = 0; i < work->calls.count; i++) {
        add_names_of(work, &work->calls.items[i], ret);
    }
    for (size_t i = 0; i < work->jumps.count; i++) {
        add_names_of(work, &work->jumps.items[i], ret);
    }
    for (size_t i = 0; i < work->wrappers->items.count; i++) {
        add_name(work, ret, work->wrappers->items.items[i].name);
    }
    strings_sort(ret->items, ret->count);
    for (size_t i = 0; i < ret->count; i++) {
        if (kept == 0 || strcmp(ret->items[kept - 1], ret->items[i]) != 0) {
            ret->items[kept++] = ret->items[i];
        }
    }
    ret->count = kept;
    LIST_ADD(ret, NULL);
    ret->count--;
}

/* The unit of the session that the debug information at DIE is about. */
static struct unit *unit_of(const struct patch_session *session, const struct image *image, Dwarf_Die *die)
{
    for (size_t i = 0; i < session->unit_count; i++) {
        const struct compile_entry *entry = session->units[i].entry;
        const struct image_unit *found = image_find_unit(image, entry->file, entry->name);
        if (found && found->die == dwarf_dieoffset(die)) {
            return &session->units[i];
        }
    }
    return NULL;
}

struct asked_unit {
    Dwarf_Off die;
    struct unit *unit; /* NULL: none of the session's */
    size_t request;
    bool stale;
};

typedef LIST(struct asked_unit) asked_units;
typedef LIST(struct probe_request) probe_requests;

static const struct asked_unit *ask_unit(const struct patch_session *session, struct tree *tree,
                                         const struct site_subject *subject, Dwarf_Die *die,
                                         asked_units *asked, probe_requests *requests)
{
    for (size_t i = 0; i < asked->count; i++) {
        if (asked->items[i].die == dwarf_dieoffset(die)) {
            return &asked->items[i];
        }
    }
    struct asked_unit unit = { .die = dwarf_dieoffset(die), .request = requests->count };
    unit.unit = subject->unit ? (struct unit *)subject->unit : unit_of(session, subject->image, die);
    unit.stale = unit.unit && site_is_named(subject->stale, unit.unit->entry->name);
    if (unit.unit && !unit.stale) {
        LIST_ADD(requests, (struct probe_request){ .unit = unit.unit, .tree = tree });
    }
    LIST_ADD(asked, unit);
    return &asked->items[asked->count - 1];
}

/* Finds where the calls in LIST are in the source, and which units are to be asked about them. */
static void locate(const struct patch_session *session, struct tree *tree, const struct site_subject *subject,
                   struct site_work *work, struct site_call *list, size_t count, asked_units *asked,
                   probe_requests *requests)
{
    for (size_t i = 0; i < count; i++) {
        struct site_call *call = &list[i];
        const struct code_range *range = code_index_find(work->index, call->call.at);
        code_index_frames(work->index, call->call.at, &call->frames);
        if (range) {
            Dwarf_Die die = call->unit_die = range->unit;
            const struct asked_unit *unit = ask_unit(session, tree, subject, &die, asked, requests);
            call->request = unit->unit && !unit->stale ? unit->request + 1 : 0;
            call->stale = unit->stale;
        }
    }
}

static void hand_out(struct site_call *list, size_t count, const probe_requests *requests)
{
    for (size_t i = 0; i < count; i++) {
        const struct probe *probe = list[i].request ? requests->items[list[i].request - 1].probe : NULL;
        list[i].no_probe = list[i].stale      ? "its source is not what the program was built from any more"
                           : !list[i].request ? "its source file is not in the compile database"
                           : !probe           ? "its source could not be read"
                           : probe->failed    ? "its source could not be compiled without optimisation"
                                              : NULL;
        list[i].probe = list[i].no_probe ? NULL : probe;
    }
}

struct molt_error *site_ask_sources(struct patch_session *session, const struct patch_request *request,
                                    struct tree *tree, const struct site_subject *subject,
                                    struct site_work *work)
{
    struct compile_setup setup = { .hashes = session->hashes,
                                   .jobs = session->jobs,
                                   .cancel = request ? request->cancel : NULL };
    asked_units asked = { 0 };
    probe_requests requests = { 0 };
    name_list names = { 0 };

    locate(session, tree, subject, work, work->calls.items, work->calls.count, &asked, &requests);
    locate(session, tree, subject, work, work->jumps.items, work->jumps.count, &asked, &requests);
    find_names(work, &names);
    for (size_t i = 0; i < requests.count; i++) {
        requests.items[i].names = names.items;
    }
    struct molt_error *error = probe_run(&setup, requests.items, requests.count);
    for (size_t i = 0; i < requests.count; i++) {
        if (requests.items[i].probe) {
            requests.items[i].probe->unit = requests.items[i].unit->entry->name;
            requests.items[i].probe->directory = requests.items[i].unit->entry->directory;
            LIST_ADD(&work->probes, requests.items[i].probe);
        }
    }
    hand_out(work->calls.items, work->calls.count, &requests);
    hand_out(work->jumps.items, work->jumps.count, &requests);
    LIST_FREE(&requests);
    LIST_FREE(&asked);
    LIST_FREE(&names);
    return error;
}
