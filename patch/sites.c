/*
 * From a binary to its sites: find the calls that lead to memory, ask the sources of their units, judge each.
 *
 * A function that ends in a jump to an allocator leaves no return address of its own: what the stack then holds is that of
 * its caller's call. So calls of such functions count, too, and what they make is what the jump makes.
 */
#include <dwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/definition_line.h"
#include "patch/heap_settings.h"
#include "patch/session_private.h"
#include "patch/sites_private.h"

/* A function that is known to end in a jump to memory. */
static bool jumps_to_memory(const struct site_work *work, uint64_t function)
{
    for (size_t i = 0; function && i < work->jumps.count; i++) {
        if (work->jumps.items[i].start == function) {
            return true;
        }
    }
    return false;
}

static bool is_named(const char *const *names, const char *name)
{
    for (; names && *names; names++) {
        if (strcmp(*names, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether CALL leads to memory that somebody asks for. */
static bool leads_to_memory(const struct site_work *work, const struct call *call)
{
    if (!call->callee) {
        return true;
    }
    if (allocator_find(call->callee) || wrappers_at(work->wrappers, call->target) ||
        jumps_to_memory(work, call->target)) {
        return true;
    }
    char *base = site_base_name(call->callee);
    bool named = is_named(work->names, base);
    free(base);
    return named;
}

static void collect_function(struct site_work *work, const struct site_subject *subject, uint64_t start,
                             uint64_t size, const char *name, const struct object_symbol *symbol,
                             bool aliased)
{
    call_list calls = { 0 };

    if (symbol) {
        calls_of_object(subject->code.object, symbol, &calls);
    } else {
        calls_of_image(subject->code.targets, start, size, &calls);
    }
    for (size_t i = 0; i < calls.count; i++) {
        struct site_call call = {
            .call = calls.items[i], .symbol = symbol, .start = start, .function = name
        };
        LIST_ADD(&work->all, call);
    }
    LIST_FREE(&calls);
}

/* All calls of all functions. */
static void collect_all(struct site_work *work, const struct site_subject *subject)
{
    const struct image *image = subject->image;
    struct object *object = subject->code.object;

    for (size_t i = 0; !object && i < image->by_address_count; i++) {
        const struct image_symbol *symbol = image->by_address[i];
        bool alias = i > 0 && image->by_address[i - 1]->value == symbol->value;
        bool aliased = i + 1 < image->by_address_count && image->by_address[i + 1]->value == symbol->value;
        if (symbol->type == STT_FUNC && symbol->size && !alias) {
            collect_function(work, subject, symbol->value, symbol->size, symbol->name, NULL, aliased);
        }
    }
    for (size_t i = 1; object && i < object->symbol_count; i++) {
        const struct object_symbol *symbol = &object->symbols[i];
        if (symbol_is_function(object, symbol) && symbol->size) {
            collect_function(work, subject, object_address(object, symbol), symbol->size, symbol->name,
                             symbol, false);
        }
    }
}

/* Sorts out those that matter: jumps first, until no function is added to those that end in one. */
static void select_calls(struct site_work *work, const struct site_subject *subject)
{
    size_t before;

    do {
        before = work->jumps.count;
        for (size_t i = 0; i < work->all.count; i++) {
            struct site_call *call = &work->all.items[i];
            if (call->call.tail && call->call.callee && !call->taken && leads_to_memory(work, &call->call)) {
                call->taken = true;
                LIST_ADD(&work->jumps, *call);
            }
        }
    } while (work->jumps.count > before);
    for (size_t i = 0; i < work->all.count; i++) {
        struct site_call *call = &work->all.items[i];
        bool wanted = !subject->wanted || subject->wanted[call->symbol->index];
        if (!call->call.tail && wanted && leads_to_memory(work, &call->call)) {
            LIST_ADD(&work->calls, *call);
        }
    }
    LIST_FREE(&work->all);
}

/* ---- asking the sources --------------------------------------------------------------------------------------------- */

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

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
    }
    for (size_t i = 0; i + 1 < call->frames.count; i++) {
        if (call->frames.items[i].function) {
            add_name(work, names, call->frames.items[i].function);
        }
    }
}

/* The functions that the sources are searched for: whatever is called, in machine code or inlined. Sorted, NULL behind. */
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
    if (ret->count) {
        qsort(ret->items, ret->count, sizeof(*ret->items), compare_names);
    }
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
    if (unit.unit) {
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
            call->request = unit->unit ? unit->request + 1 : 0;
        }
    }
}

static void hand_out(struct site_call *list, size_t count, const probe_requests *requests)
{
    for (size_t i = 0; i < count; i++) {
        const struct probe *probe = list[i].request ? requests->items[list[i].request - 1].probe : NULL;
        list[i].no_probe = !list[i].request ? "its source file is not in the compile database"
                           : !probe         ? "its source could not be read"
                           : probe->failed  ? "its source could not be compiled without optimisation"
                                            : NULL;
        list[i].probe = list[i].no_probe ? NULL : probe;
    }
}

static struct molt_error *ask_sources(struct patch_session *session, const struct patch_request *request,
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

/* ---- results -------------------------------------------------------------------------------------------------------- */

static const char *own(struct sites *sites, char *string)
{
    LIST_ADD(&sites->owned, string);
    return string;
}

/* "struct conn", "item *", "item [2]" */
static char *name_of_type(Dwarf_Die type)
{
    Dwarf_Attribute attribute;
    Dwarf_Die inner;
    int tag = dwarf_tag(&type);
    const char *name = dwarf_diename(&type), *word = tag == DW_TAG_structure_type     ? "struct "
                                                     : tag == DW_TAG_union_type       ? "union "
                                                     : tag == DW_TAG_enumeration_type ? "enum "
                                                                                      : "";
    bool typed = dwarf_attr(&type, DW_AT_type, &attribute) && dwarf_formref_die(&attribute, &inner);

    if (tag == DW_TAG_pointer_type || tag == DW_TAG_array_type || tag == DW_TAG_const_type ||
        tag == DW_TAG_volatile_type) {
        char *below = typed ? name_of_type(inner) : must_strdup("void");
        char *whole = must_printf("%s%s", below,
                                  tag == DW_TAG_pointer_type ? " *"
                                  : tag == DW_TAG_array_type ? " []"
                                                             : "");
        free(below);
        return whole;
    }
    return must_printf("%s%s", word, name ? name : tag == DW_TAG_subroutine_type ? "function" : "{...}");
}

/* The entry for the type NAME ("struct conn", "conn_t") in DWARF, and its unit. */
static bool find_type(Dwarf *dwarf, const char *name, Dwarf_Die *ret, Dwarf_Die *ret_unit)
{
    Dwarf_CU *cu = NULL;
    Dwarf_Die unit, die;

    while (dwarf && dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &unit, NULL) == 0) {
        for (int more = dwarf_child(&unit, &die); more == 0; more = dwarf_siblingof(&die, &die)) {
            int tag = dwarf_tag(&die);
            bool type = tag == DW_TAG_structure_type || tag == DW_TAG_union_type || tag == DW_TAG_typedef ||
                        tag == DW_TAG_enumeration_type || tag == DW_TAG_base_type;
            if (!type || !dwarf_diename(&die) || dwarf_hasattr(&die, DW_AT_declaration)) {
                continue;
            }
            char *own_name = name_of_type(die);
            bool same = strcmp(own_name, name) == 0;
            free(own_name);
            if (same) {
                *ret = die;
                *ret_unit = unit;
                return true;
            }
        }
    }
    return false;
}

/* Compilers and linkers make one function of two that do the same, whatever types they do it with. */
static void check_merged(struct site_work *work, const struct site_subject *subject,
                         const struct site_call *call, struct site_verdict *ret)
{
    const struct image *image = subject->code.object ? NULL : subject->image;

    for (size_t i = 0; image && call->call.callee && i < image->by_address_count; i++) {
        const struct image_symbol *symbol = image->by_address[i];
        struct site_verdict other;
        if (symbol->value != call->start || strcmp(symbol->name, call->function) == 0 ||
            !site_judge_by_name(work, call, symbol->name, &other) || site_same_verdict(ret, &other)) {
            continue;
        }
        ret->kind = MOLT_SITE_UNKNOWN;
        snprintf(ret->reason, sizeof(ret->reason),
                 "%s and %s, which make different types, were made one function: build with -fno-ipa-icf",
                 call->function, symbol->name);
    }
}

/* The verdict on CALL, through functions that end in a jump. */
static void resolve(struct site_work *work, const struct site_call *call, unsigned depth,
                    struct site_verdict *ret)
{
    bool any = false;

    for (size_t i = 0; call->call.target && depth < 8 && i < work->jumps.count; i++) {
        struct site_verdict verdict;
        if (work->jumps.items[i].start != call->call.target) {
            continue;
        }
        resolve(work, &work->jumps.items[i], depth + 1, &verdict);
        if (any &&
            (verdict.kind != ret->kind || (verdict.typed && !site_same_type(verdict.type, ret->type)))) {
            verdict = (struct site_verdict){ .kind = MOLT_SITE_WRAPPER };
        }
        *ret = verdict;
        any = true;
    }
    if (!any || ret->kind == MOLT_SITE_WRAPPER || ret->kind == MOLT_SITE_UNKNOWN) {
        site_resolve(work, call, ret);
    }
}

/* Whether a call through a pointer turned out to have nothing to do with memory. */
static bool is_other_pointer(const struct site_call *call, const struct site_verdict *verdict)
{
    bool pointer = false, sized = false;

    for (size_t i = 0; verdict->candidate && i < verdict->candidate->evidence.count; i++) {
        const struct evidence *evidence = &verdict->candidate->evidence.items[i];
        pointer = pointer || (evidence->role == EVIDENCE_RESULT && evidence->answered);
        sized = sized || evidence->role == EVIDENCE_SIZEOF;
    }
    return !verdict->hint && (!pointer || (verdict->kind == MOLT_SITE_UNKNOWN && !sized));
}

/* Whether the source of the function NAME was read, and it is no wrapper by that. */
static bool is_plain_function(struct site_work *work, const char *name)
{
    bool has_calls = false;

    if (site_form(work, name)->known || is_named(work->names, name)) {
        return false;
    }
    for (size_t i = 0; !has_calls && i < work->probes.count; i++) {
        const struct probe *probe = work->probes.items[i];
        for (size_t k = 0; !has_calls && k < probe->candidates.count; k++) {
            has_calls = strcmp(probe->candidates.items[k]->function, name) == 0;
        }
    }
    return has_calls;
}

/* Whether what CALL calls looked as if it led to memory that somebody else asks for, but its source shows that it knows what it
 * makes, and so do the functions that it may end in a jump to. */
static bool is_other_function(struct site_work *work, const struct call *call, unsigned depth)
{
    if (allocator_find(call->callee) || !call->target || depth > 8) {
        return false;
    }
    char *name = site_base_name(call->callee);
    bool other = is_plain_function(work, name);
    free(name);
    for (size_t i = 0; other && i < work->jumps.count; i++) {
        if (work->jumps.items[i].start == call->target) {
            other = is_other_function(work, &work->jumps.items[i].call, depth + 1);
        }
    }
    return other;
}

/* The function that the frame of VERDICT, one of CALL's, calls. Owned by the caller. */
static char *callee_at(const struct site_call *call, const struct site_verdict *verdict)
{
    size_t frame = verdict->frame ? (size_t)(verdict->frame - call->frames.items) : 0;
    const char *inlined =
        frame > 0 && frame < call->frames.count ? call->frames.items[frame - 1].function : NULL;

    return site_base_name(inlined ? inlined : call->call.callee ? call->call.callee : "");
}

static void add_site(struct sites *sites, struct site_work *work, const struct site_subject *subject,
                     const struct tree *tree, const struct site_call *call)
{
    struct site_verdict verdict;
    struct site site = { .symbol = call->symbol, .type_name = "", .file = "", .reason = "" };

    if (call->call.callee && is_other_function(work, &call->call, 0)) {
        return;
    }
    resolve(work, call, 0, &verdict);
    if (call->aliased) {
        check_merged(work, subject, call, &verdict);
    }
    if (!call->call.callee && is_other_pointer(call, &verdict)) {
        return;
    }
    const struct code_frame *frame = verdict.frame        ? verdict.frame
                                     : call->frames.count ? call->frames.items
                                                          : NULL;
    site.address = call->symbol ? call->call.after - call->start : call->call.after;
    site.kind = verdict.kind;
    site.function = own(sites, must_strdup(frame && frame->function ? frame->function : call->function));
    Dwarf_Die unit;
    if (verdict.hint && !find_type(work->dwarf, verdict.hint, &verdict.type, &unit)) {
        site.kind = MOLT_SITE_UNKNOWN;
        site.reason =
            own(sites, must_printf("molt.toml says %s, which the program does not know", verdict.hint));
    } else if (verdict.hint) {
        LIST_ADD(&sites->hint_units, unit);
    }
    if (site.kind == MOLT_SITE_OBJECT || site.kind == MOLT_SITE_ARRAY) {
        char *callee = callee_at(call, &verdict);
        site.type = verdict.type;
        site.type_name = own(sites, name_of_type(verdict.type));
        bool header = site_form(work, callee)->shifted || (!call->call.callee && work->any_shifted);
        site.allocator = site_allocator_of(work, subject, sites, callee, header);
        if (header && !site.allocator) {
            site.type_name = "";
            site.kind = MOLT_SITE_UNKNOWN;
            site.reason =
                own(sites, must_printf("%s keeps something in front of its blocks: tell how many bytes in "
                                       "molt.toml ([heap] allocators = [{ allocate = ..., release = ..., "
                                       "header = ... }])",
                                       *callee ? callee : "what is called"));
        }
        free(callee);
    }
    if (site.kind == MOLT_SITE_UNKNOWN && !*site.reason) {
        site.reason = own(sites, must_strdup(verdict.reason));
    }
    if (frame && frame->file) {
        char *path = definition_path((Dwarf_Die *)&call->unit_die, frame->file);
        site.file = own(sites, tree_original_path(tree, path));
        site.line = frame->line;
        free(path);
    } else if (verdict.probe) {
        char *path = must_have(path_normalise(verdict.probe->directory, verdict.candidate->file));
        site.file = own(sites, tree_original_path(tree, path));
        site.line = verdict.candidate->line;
        free(path);
    }
    LIST_ADD(&sites->items, site);
}

static int compare_sites(const void *left, const void *right)
{
    const struct site *a = left, *b = right;

    if (a->symbol != b->symbol) {
        return a->symbol->index < b->symbol->index ? -1 : 1;
    }
    return a->address < b->address ? -1 : a->address > b->address;
}

static void work_deinit(struct site_work *work)
{
    for (size_t i = 0; i < work->calls.count; i++) {
        LIST_FREE(&work->calls.items[i].frames);
    }
    for (size_t i = 0; i < work->jumps.count; i++) {
        LIST_FREE(&work->jumps.items[i].frames);
    }
    for (size_t i = 0; i < work->owned.count; i++) {
        free(work->owned.items[i]);
    }
    LIST_FREE(&work->calls);
    LIST_FREE(&work->jumps);
    LIST_FREE(&work->all);
    LIST_FREE(&work->probes);
    LIST_FREE(&work->owned);
    table_deinit(&work->forms);
    table_deinit(&work->allocators);
}

/* Works out the sites of SUBJECT. */
static struct molt_error *work_out(struct patch_session *session, const struct patch_request *request,
                                   struct tree *tree, struct site_subject *subject,
                                   const struct heap_settings *settings, struct sites **ret)
{
    struct code_index index;
    struct wrappers wrappers = { 0 };
    struct site_work work = {
        .wrappers = &wrappers, .index = &index, .dwarf = subject->dwarf, .names = subject->names
    };
    struct sites *sites = must_calloc(1, sizeof(*sites));

    work.settings = settings;
    code_index_init(&index, subject->dwarf);
    if (!subject->functions) {
        subject->functions = &index;
    }
    wrappers_find(&wrappers, &subject->code, &index, subject->names);
    collect_all(&work, subject);
    select_calls(&work, subject);
    struct molt_error *error = ask_sources(session, request, tree, subject, &work);
    if (!error) {
        site_find_shifted(&work, subject->image);
    }
    for (size_t i = 0; !error && i < work.calls.count; i++) {
        add_site(sites, &work, subject, tree, &work.calls.items[i]);
    }
    for (size_t i = 0; i < work.probes.count; i++) {
        LIST_ADD(&sites->keeps, (void *)work.probes.items[i]);
    }
    if (sites->items.count) {
        qsort(sites->items.items, sites->items.count, sizeof(*sites->items.items), compare_sites);
    }
    work_deinit(&work);
    wrappers_deinit(&wrappers);
    code_index_deinit(&index);
    if (error) {
        sites_destroy(sites);
        return error;
    }
    *ret = sites;
    return NULL;
}

/* The names that count as wrappers whatever they look like: of molt.toml, and, for new code, of the program. */
static void names_of_settings(const struct heap_settings *settings, name_list *ret)
{
    for (size_t i = 0; i < settings->wrappers.count; i++) {
        LIST_ADD(ret, settings->wrappers.items[i]);
    }
    for (size_t i = 0; i < settings->allocators.count; i++) {
        LIST_ADD(ret, settings->allocators.items[i].allocate);
    }
}

static struct molt_error *image_sites(struct patch_session *session, const struct patch_request *request,
                                      struct tree *from, const struct image *image,
                                      const struct heap_settings *settings, struct sites **ret)
{
    struct call_targets targets;
    name_list names = { 0 };

    call_targets_init(&targets, image);
    names_of_settings(settings, &names);
    LIST_ADD(&names, NULL);
    struct site_subject subject = {
        .code = { .targets = &targets }, .image = image, .dwarf = image->dwarf, .names = names.items
    };
    struct molt_error *error = work_out(session, request, from, &subject, settings, ret);
    LIST_FREE(&names);
    call_targets_deinit(&targets);
    return error;
}

/* What the sites of IMAGE depend on: sources and settings. Owned by the caller. */
static char *key_of(struct patch_session *session, const struct tree *from, const struct image *image,
                    const struct heap_settings *settings)
{
    struct hash hash;
    char hex[HASH_HEX];

    hash_init(&hash);
    for (size_t i = 0; i < session->unit_count; i++) {
        const struct dependencies *files = unit_dependencies(&session->units[i], from, session->hashes);
        hash_add_string(&hash, files ? files->key : "");
    }
    hash_add_string(&hash, settings->text ? settings->text : "");
    hash_end(&hash, hex);
    return must_printf("%s %s", image->path, hex);
}

struct molt_error *sites_of_image(struct patch_session *session, const struct patch_request *request,
                                  struct tree *from, const struct image *image, const struct sites **ret)
{
    struct heap_settings settings;
    struct sites *sites = NULL;
    struct molt_error *error = heap_settings_read(session->db.root, &settings);

    if (error) {
        return error;
    }
    char *key = key_of(session, from, image, &settings);
    for (size_t i = 0; i < session->sites.count; i++) {
        if (strcmp(session->sites.items[i]->key, key) == 0) {
            *ret = session->sites.items[i];
            heap_settings_deinit(&settings);
            free(key);
            return NULL;
        }
    }
    free(key);
    error = image_sites(session, request, from, image, &settings, &sites);
    if (!error) {
        sites->key = key_of(session, from, image, &settings); /* now that all sources have been read */
        LIST_ADD(&session->sites, sites);
        *ret = sites;
    }
    heap_settings_deinit(&settings);
    return error;
}

struct molt_error *sites_of_object(struct patch_session *session, const struct patch_request *request,
                                   struct tree *tree, struct unit *unit, struct object *object,
                                   const bool *wanted, const struct image *image, struct sites **ret)
{
    struct heap_settings settings;
    struct code_index index;
    struct call_targets targets;
    struct wrappers wrappers = { 0 };
    name_list names = { 0 };
    struct molt_error *error = heap_settings_read(session->db.root, &settings);

    if (error) {
        return error;
    }
    names_of_settings(&settings, &names);
    LIST_ADD(&names, NULL);
    call_targets_init(&targets, image);
    code_index_init(&index, image->dwarf);
    struct code_source code = { .targets = &targets };
    wrappers_find(&wrappers, &code, &index, names.items);
    names.count--;
    for (size_t i = 0; i < wrappers.items.count; i++) {
        LIST_ADD(&names, wrappers.items.items[i].name);
    }
    LIST_ADD(&names, NULL);
    struct site_subject subject = { .code = { .object = object },
                                    .image = image,
                                    .dwarf = object_dwarf(object),
                                    .names = names.items,
                                    .functions = &index,
                                    .wanted = wanted,
                                    .unit = unit };
    error = work_out(session, request, tree, &subject, &settings, ret);
    LIST_FREE(&names);
    wrappers_deinit(&wrappers);
    code_index_deinit(&index);
    call_targets_deinit(&targets);
    heap_settings_deinit(&settings);
    return error;
}

void sites_destroy(struct sites *sites)
{
    if (!sites) {
        return;
    }
    for (size_t i = 0; i < sites->keeps.count; i++) {
        probe_destroy(sites->keeps.items[i]);
    }
    for (size_t i = 0; i < sites->owned.count; i++) {
        free(sites->owned.items[i]);
    }
    LIST_FREE(&sites->items);
    LIST_FREE(&sites->allocators);
    LIST_FREE(&sites->owned);
    LIST_FREE(&sites->keeps);
    LIST_FREE(&sites->hint_units);
    free(sites->key);
    free(sites);
}

json_t *sites_to_json(const struct sites *sites)
{
    json_t *unknown = json_array();
    size_t counts[MOLT_SITE_KINDS] = { 0 };

    for (size_t i = 0; i < sites->items.count; i++) {
        const struct site *site = &sites->items.items[i];
        counts[site->kind]++;
        if (site->kind == MOLT_SITE_UNKNOWN) {
            json_array_append_new(unknown, json_pack("{s:s, s:i, s:s, s:s}", "file", site->file, "line",
                                                     (int)site->line, "function", site->function, "reason",
                                                     site->reason));
        }
    }
    return must_have(json_pack(
        "{s:i, s:i, s:i, s:o}", "typed", (int)(counts[MOLT_SITE_OBJECT] + counts[MOLT_SITE_ARRAY]), "bytes",
        (int)counts[MOLT_SITE_BYTES], "wrapper", (int)counts[MOLT_SITE_WRAPPER], "unknown", unknown));
}
