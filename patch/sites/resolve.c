/*
 * From a call in machine code to the call in the source, frame by frame: the innermost one first, and
 * outwards as long as the function there decides nothing and was inlined. Several calls of one function on
 * one line are told apart by their columns, which have the order of the text.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/sites/private.h"

#define FORMS_DEEP 12

char *site_base_name(const char *name)
{
    size_t length = strcspn(name, ".");

    return must_strndup(name, length ? length : strlen(name));
}

static void form_of_library(const struct allocator *allocator, struct allocation_form *ret)
{
    *ret = (struct allocation_form){
        .known = true, .text = allocator->text, .out = allocator->out != 0, .product = allocator->count != 0
    };
    ret->size |= allocator->size ? 1u << (allocator->size - 1) : 0;
    ret->size |= allocator->count ? 1u << (allocator->count - 1) : 0;
    ret->pointer |= allocator->pointer ? 1u << (allocator->pointer - 1) : 0;
}

/* Adds what CANDIDATE, a call in the function whose form is asked for, says about that function's
 * parameters. */
static void add_to_form(struct site_work *work, const struct candidate *candidate,
                        struct allocation_form *ret)
{
    struct allocation_form unknown = { .known = true, .size = UINT32_MAX, .shifted = work->any_shifted };
    const struct allocation_form *inner = candidate->callee ? site_form(work, candidate->callee) : &unknown;
    struct site_verdict verdict;
    uint32_t before = ret->size;
    bool stored;

    if (!inner->known || inner->text || !site_escapes(candidate, &stored)) {
        return;
    }
    site_judge(candidate, inner, true, &verdict);
    if (verdict.kind != MOLT_SITE_WRAPPER) {
        return;
    }
    ret->known = true;
    ret->out = ret->out || stored;
    ret->shifted = ret->shifted || inner->shifted || candidate->shifted;
    for (size_t i = 0; i < candidate->arguments.count && i < 32; i++) {
        const struct candidate_argument *argument = &candidate->arguments.items[i];
        bool size = inner->size & (1u << i);
        ret->product = ret->product || (size && argument->product);
        ret->size |= size ? argument->parameters : 0;
        ret->pointer |= inner->pointer & (1u << i) ? argument->parameters : 0;
    }
    ret->product = ret->product || (inner->product && __builtin_popcount(ret->size) > 1);
    ret->product = ret->product && __builtin_popcount(ret->size) > 1;
    ret->bytes = ret->bytes || verdict.bytes;
    if (verdict.typed && (!ret->typed || before == 0)) {
        ret->typed = true;
        ret->type = verdict.type;
    }
}

const struct allocation_form *site_form(struct site_work *work, const char *name)
{
    const struct allocator *allocator = allocator_find(name);
    struct allocation_form *form = table_get(&work->forms, name);

    if (form) {
        return form;
    }
    form = must_calloc(1, sizeof(*form));
    LIST_ADD(&work->owned, form);
    char *key = must_strdup(name);
    LIST_ADD(&work->owned, key);
    table_put(&work->forms, key, form); /* what calls itself meanwhile is told that nothing is known */
    if (allocator) {
        form_of_library(allocator, form);
        return form;
    }
    struct allocation_form result = { 0 };
    for (size_t i = 0; work->depth < FORMS_DEEP && i < work->probes.count; i++) {
        const struct probe *probe = work->probes.items[i];
        for (size_t k = 0; k < probe->candidates.count; k++) {
            if (strcmp(probe->candidates.items[k]->function, name) == 0) {
                bool typed = result.typed;
                work->depth++;
                add_to_form(work, probe->candidates.items[k], &result);
                work->depth--;
                result.typed = i < work->own_probes ? result.typed : typed;
            }
        }
    }
    site_find_carving(work, name, result.known && result.size, &result.carving);
    result.size = result.known ? result.size : UINT32_MAX;
    *form = result;
    return form;
}

/* How closely the call in the source must be what the program calls. */
enum likeness {
    LIKE_NAME,    /* the function of that name */
    LIKE_LIBRARY, /* another one of the C library: compilers make calloc out of malloc and memset */
    LIKE_POINTER, /* a pointer: compilers may know where it leads */
    LIKENESSES
};

static bool calls(const struct candidate *candidate, const char *callee, enum likeness likeness)
{
    if (!callee || !candidate->callee) {
        return !candidate->callee && (!callee || likeness == LIKE_POINTER);
    }
    return likeness == LIKE_LIBRARY ? allocator_find(candidate->callee) && allocator_find(callee)
                                    : strcmp(candidate->callee, callee) == 0;
}

typedef LIST(const struct candidate *) candidate_list;

/* Code that several lines share is said to be on none: then all such calls of the function may be meant. */
static void find_in_function(const struct probe *probe, const struct code_frame *frame, const char *callee,
                             candidate_list *ret)
{
    for (size_t i = 0; i < probe->candidates.count; i++) {
        const struct candidate *candidate = probe->candidates.items[i];
        if (frame->function && strcmp(candidate->function, frame->function) == 0 &&
            calls(candidate, callee, LIKE_NAME)) {
            LIST_ADD(ret, candidate);
        }
    }
}

static void find_on_line(const struct probe *probe, const struct code_frame *frame, const char *callee,
                         enum likeness likeness, bool within, candidate_list *ret)
{
    for (size_t i = 0; i < probe->candidates.count; i++) {
        const struct candidate *candidate = probe->candidates.items[i];
        bool line = within ? candidate->line < frame->line && frame->line <= candidate->last_line
                           : candidate->line == frame->line;
        if (line && calls(candidate, callee, likeness) &&
            strcmp(path_last(candidate->file), path_last(frame->file)) == 0) {
            LIST_ADD(ret, candidate);
        }
    }
}

static int compare_columns(const void *left, const void *right)
{
    const unsigned *a = left, *b = right;

    return *a < *b ? -1 : *a > *b;
}

/* The place of COLUMN among those that calls of CALLEE on FRAME's line have, and how many there are. */
static size_t rank_of_column(const struct site_work *work, const struct code_frame *frame, const char *callee,
                             size_t *ret_count)
{
    LIST(unsigned) columns = { 0 };
    size_t rank = 0, count = 0;

    for (size_t i = 0; i < work->calls.count; i++) {
        const struct site_call *call = &work->calls.items[i];
        for (size_t k = 0; k < call->frames.count; k++) {
            const struct code_frame *other = &call->frames.items[k];
            const char *name = k ? call->frames.items[k - 1].function : call->call.callee;
            if (other->line == frame->line && other->file && strcmp(other->file, frame->file) == 0 && name &&
                callee && strncmp(name, callee, strlen(callee)) == 0) {
                LIST_ADD(&columns, other->column);
            }
        }
    }
    if (columns.count) {
        qsort(columns.items, columns.count, sizeof(*columns.items), compare_columns);
    }
    for (size_t i = 0; i < columns.count; i++) {
        if (i == 0 || columns.items[i] != columns.items[i - 1]) {
            rank += columns.items[i] < frame->column;
            count++;
        }
    }
    LIST_FREE(&columns);
    *ret_count = count;
    return rank;
}

bool site_same_verdict(const struct site_verdict *one, const struct site_verdict *other)
{
    return one->kind == other->kind && (!one->typed || site_same_type(one->type, other->type));
}

/* Judges the calls in FOUND: the one that is meant if it can be told, else what they agree on. */
static void judge_found(struct site_work *work, const candidate_list *found, const struct code_frame *frame,
                        const char *callee, bool may_be_wrapper, struct site_verdict *ret)
{
    struct allocation_form unknown = { .known = true, .size = UINT32_MAX, .shifted = work->any_shifted };
    bool several = found->count > 1 && frame->line;
    size_t count, rank = several ? rank_of_column(work, frame, callee, &count) : 0;

    if (several && count == found->count) {
        const struct candidate *candidate = found->items[rank];
        site_judge(candidate, candidate->callee ? site_form(work, candidate->callee) : &unknown,
                   may_be_wrapper, ret);
        return;
    }
    for (size_t i = 0; i < found->count; i++) {
        const struct candidate *candidate = found->items[i];
        struct site_verdict verdict;
        site_judge(candidate, candidate->callee ? site_form(work, candidate->callee) : &unknown,
                   may_be_wrapper, &verdict);
        if (i == 0) {
            *ret = verdict;
        } else if (!site_same_verdict(ret, &verdict)) {
            ret->kind = MOLT_SITE_UNKNOWN;
            ret->typed = false;
            strcpy(ret->reason, "several calls on this line make different types");
            return;
        }
    }
}

/* Judges the call of CALLEE at FRAME. False: it is not in the source there. */
static bool judge_frame(struct site_work *work, const struct site_call *call, const struct code_frame *frame,
                        const char *callee, bool may_be_wrapper, struct site_verdict *ret)
{
    candidate_list found = { 0 };

    if (!frame->file) {
        return false;
    }
    if (!frame->line) {
        find_in_function(call->probe, frame, callee, &found);
    }
    for (unsigned i = 0; frame->line && !found.count && i < 2 * LIKENESSES; i++) {
        find_on_line(call->probe, frame, callee, i % LIKENESSES, i >= LIKENESSES, &found);
    }
    if (found.count) {
        judge_found(work, &found, frame, callee, may_be_wrapper, ret);
    }
    bool any = found.count > 0;
    LIST_FREE(&found);
    return any;
}

/* The type that molt.toml names for the line of FRAME, or NULL. */
static const char *hint_for(const struct site_work *work, const struct code_frame *frame)
{
    for (size_t i = 0; frame->file && i < work->settings->types.count; i++) {
        const char *place = work->settings->types.items[i].place, *colon = strrchr(place, ':');
        size_t length = colon - place, whole = strlen(frame->file);
        if ((unsigned)atoi(colon + 1) == frame->line && whole >= length &&
            memcmp(frame->file + whole - length, place, length) == 0 &&
            (whole == length || frame->file[whole - length - 1] == '/')) {
            return work->settings->types.items[i].type;
        }
    }
    return NULL;
}

static bool is_wrapper(const struct site_work *work, const struct site_call *call, size_t frame)
{
    return frame + 1 < call->frames.count || wrappers_at(work->wrappers, call->start) != NULL;
}

/* The frames from the innermost outwards, until one decides. */
static void walk_frames(struct site_work *work, const struct site_call *call, struct site_verdict *ret)
{
    char *callee = call->call.callee ? site_base_name(call->call.callee) : NULL;
    const struct candidate *innermost = NULL;
    bool any = false;

    for (size_t i = 0; i < call->frames.count; i++) {
        const struct code_frame *frame = &call->frames.items[i];
        struct site_verdict verdict;
        if (i > 0) {
            free(callee);
            const char *inlined = call->frames.items[i - 1].function;
            callee = site_base_name(inlined ? inlined : "");
        }
        if (!judge_frame(work, call, frame, callee, is_wrapper(work, call, i), &verdict)) {
            continue;
        }
        innermost = i ? innermost : verdict.candidate;
        bool weaker = any && verdict.kind == MOLT_SITE_UNKNOWN && ret->typed;
        verdict.frame = frame;
        if (!weaker) {
            *ret = verdict;
        }
        any = true;
        if (verdict.kind != MOLT_SITE_WRAPPER) {
            break;
        }
    }
    free(callee);
    ret->innermost = innermost;
    if (!any) {
        strcpy(ret->reason, !call->call.callee ? "it is called through a pointer"
                            : !call->frames.items[0].line
                                ? "the compiler made one of several calls, and names no line"
                                : "the source has no such call on this line");
    }
}

/* Calls through pointers may lead to any function whose address is taken: whether one of these is a
 * wrapper that keeps something in front of its blocks. */
void site_find_shifted(struct site_work *work, const struct image *image)
{
    for (size_t i = 0; !work->any_shifted && i < work->wrappers->items.count; i++) {
        const struct wrapper *wrapper = &work->wrappers->items.items[i];
        image_references references = { 0 };
        if (!site_form(work, wrapper->name)->shifted) {
            continue;
        }
        image_find_references(image, &wrapper->address, 1, &references);
        for (size_t k = 0; k < references.count; k++) {
            work->any_shifted = work->any_shifted || !references.items[k].branch;
        }
        LIST_FREE(&references);
    }
    if (work->any_shifted) {
        table_deinit(&work->forms); /* those that call through pointers are to be told */
    }
}

bool site_judge_by_name(struct site_work *work, const struct site_call *call, const char *name,
                        struct site_verdict *ret)
{
    char *function = site_base_name(name), *callee = site_base_name(call->call.callee);
    bool any = false;

    for (size_t i = 0; i < work->probes.count; i++) {
        const struct probe *probe = work->probes.items[i];
        for (size_t k = 0; k < probe->candidates.count; k++) {
            const struct candidate *candidate = probe->candidates.items[k];
            struct site_verdict verdict;
            if (strcmp(candidate->function, function) != 0 || !calls(candidate, callee, LIKE_NAME)) {
                continue;
            }
            site_judge(candidate, site_form(work, callee), wrappers_at(work->wrappers, call->start) != NULL,
                       &verdict);
            if (any && !site_same_verdict(ret, &verdict)) {
                verdict = (struct site_verdict){ .kind = MOLT_SITE_UNKNOWN };
                strcpy(verdict.reason, "the debug information does not say which call of the function it is");
            }
            *ret = verdict;
            ret->probe = probe;
            any = true;
        }
    }
    free(function);
    free(callee);
    return any;
}

void site_resolve(struct site_work *work, const struct site_call *call, struct site_verdict *ret)
{
    *ret = (struct site_verdict){ .kind = MOLT_SITE_UNKNOWN };
    if (!call->frames.count || !call->probe) {
        strcpy(ret->reason, !call->frames.count ? "it was compiled without -g" : call->no_probe);
        if (!call->frames.count && call->call.callee) {
            site_judge_by_name(work, call, call->function, ret);
        }
        return;
    }
    for (size_t i = 0; i < call->frames.count; i++) {
        const char *hint = hint_for(work, &call->frames.items[i]);
        if (hint) {
            ret->kind = MOLT_SITE_OBJECT;
            ret->hint = hint;
            ret->frame = &call->frames.items[i];
            return;
        }
    }
    walk_frames(work, call, ret);
}
