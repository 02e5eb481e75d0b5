/*
 * Building an outline, and bringing one up to date: segments that a hunk touches are cut again, from the
 * first of them on until a cut meets the beginning of an old segment that is untouched and behind the hunk.
 */
#include "recorder/outline.h"

#include <stdlib.h>
#include <string.h>

#include "recorder/token.h"

static void content_release(struct content *content)
{
    if (content && --content->references == 0) {
        declarations_deinit(&content->declarations);
        syntax_deinit(&content->syntax);
        free(content);
    }
}

static struct content *content_hold(struct content *content)
{
    content->references++;
    return content;
}

void outline_deinit(struct outline *outline)
{
    for (uint32_t i = 0; i < outline->count; i++) {
        content_release(outline->items[i].content);
        free(outline->items[i].identities);
    }
    free(outline->items);
    *outline = (struct outline){ 0 };
}

static struct segment *outline_add(struct outline *outline)
{
    if (outline->count == outline->capacity) {
        uint32_t capacity = outline->capacity ? outline->capacity * 2 : 64;
        struct segment *items = realloc(outline->items, capacity * sizeof(*items));
        if (!items) {
            return NULL;
        }
        outline->items = items;
        outline->capacity = capacity;
    }
    struct segment *segment = &outline->items[outline->count++];
    *segment = (struct segment){ 0 };
    return segment;
}

/* Extracts what SPAN says, or shares CANDIDATES' content of the same bytes. */
static struct molt_error *content_make(struct extractor *extractor, const char *text,
                                       const struct segment_span *span, const struct segment *candidates,
                                       uint32_t candidate_count, struct content **ret)
{
    uint32_t length = span->end - span->lead;
    uint64_t hash = hash_bytes(span->kind, text + span->lead, length);

    for (uint32_t i = 0; i < candidate_count; i++) {
        struct content *content = candidates[i].content;
        if (content->text_hash == hash && content->length == length) {
            *ret = content_hold(content);
            return NULL;
        }
    }
    struct content *content = calloc(1, sizeof(*content));
    if (!content) {
        return molt_error_nomem();
    }
    struct molt_error *error = declarations_extract(extractor, text, span, &content->declarations);
    if (error) {
        free(content);
        return error;
    }
    content->references = 1;
    content->text_hash = hash;
    content->length = length;
    *ret = content;
    return NULL;
}

struct molt_error *outline_build(struct extractor *extractor, const char *text, uint32_t length,
                                 struct outline *ret)
{
    struct outline outline = { 0 };
    struct segment_span span = { 0 };

    while (segment_cut(text, length, span.end, &span)) {
        struct segment *segment = outline_add(&outline);
        struct molt_error *error =
            segment ? content_make(extractor, text, &span, NULL, 0, &segment->content) : molt_error_nomem();
        if (error) {
            outline.count -= segment != NULL;
            outline_deinit(&outline);
            return error;
        }
        segment->span = span;
    }
    outline_deinit(ret);
    *ret = outline;
    return NULL;
}

struct molt_error *outline_clone(const struct outline *outline, struct outline *ret)
{
    struct outline clone = { 0 };

    clone.items = malloc((outline->count + 1) * sizeof(*clone.items));
    if (!clone.items) {
        return molt_error_nomem();
    }
    clone.count = outline->count;
    clone.capacity = outline->count + 1;
    for (uint32_t i = 0; i < outline->count; i++) {
        clone.items[i] = outline->items[i];
        clone.items[i].identities = NULL;
        content_hold(clone.items[i].content);
    }
    *ret = clone;
    return NULL;
}

/* The position of an update: OLD segments up to `next` are done, as is the new text up to `position`. */
struct update {
    struct extractor *extractor;
    const struct outline *old;
    const char *text;
    uint32_t length;
    const struct hunks *hunks;
    uint32_t hunk; /* the first that is not behind us */
    uint32_t next;
    uint32_t position;
    struct outline made;
    uint32_t *origins; /* per segment made: the old one it is, or UINT32_MAX */
};

/* Whether HUNK touches the bytes that the cut of SEGMENT depends on. */
static bool touches(const struct hunk *hunk, const struct segment *segment)
{
    return hunk->old_start <= segment->span.scanned && hunk->old_end >= segment->span.start;
}

static bool note_origin(struct update *update, uint32_t origin)
{
    if ((update->made.count & (update->made.count - 1)) == 0) {
        uint32_t *origins = realloc(update->origins, (update->made.count * 2 + 1) * sizeof(*origins));
        if (!origins) {
            return false;
        }
        update->origins = origins;
    }
    update->origins[update->made.count - 1] = origin;
    return true;
}

/* Adds a segment for SPAN; the content is CONTENT's if given, else made. */
static struct molt_error *add_segment(struct update *update, const struct segment_span *span,
                                      struct content *content, uint32_t origin, uint32_t damaged_from)
{
    struct segment *segment = outline_add(&update->made);
    struct molt_error *error = NULL;

    if (!segment || !note_origin(update, origin)) {
        error = molt_error_nomem();
    } else if (content) {
        segment->content = content_hold(content);
    } else {
        uint32_t count = update->next - damaged_from;
        error = content_make(update->extractor, update->text, span, update->old->items + damaged_from,
                             count + (update->next < update->old->count), &segment->content);
    }
    if (error) {
        update->made.count -= segment != NULL;
        return error;
    }
    segment->span = *span;
    return NULL;
}

/* Takes over old segments up to the next one that a hunk touches. */
static struct molt_error *copy_untouched(struct update *update)
{
    const struct hunks *hunks = update->hunks;

    while (update->next < update->old->count) {
        const struct segment *segment = &update->old->items[update->next];
        if (update->hunk < hunks->count && touches(&hunks->items[update->hunk], segment)) {
            return NULL;
        }
        uint32_t shift = update->position - segment->span.start;
        struct segment_span span = segment->span;
        span.start += shift;
        span.lead += shift;
        span.end += shift;
        span.scanned += shift;
        struct molt_error *error = add_segment(update, &span, segment->content, update->next, 0);
        if (error) {
            return error;
        }
        update->position = span.end;
        update->next++;
    }
    return NULL;
}

/* Passes the hunks that lie wholly before the new text's POSITION and the old segments that begin before it.
 * True if an old, untouched segment begins right there. */
static bool meet(struct update *update)
{
    const struct hunks *hunks = update->hunks;
    const struct outline *old = update->old;

    while (update->hunk < hunks->count && hunks->items[update->hunk].new_end < update->position) {
        update->hunk++;
    }
    if (update->hunk < hunks->count && hunks->items[update->hunk].new_start <= update->position) {
        return false;
    }
    uint32_t delta =
        update->hunk ? hunks->items[update->hunk - 1].new_end - hunks->items[update->hunk - 1].old_end : 0;
    uint32_t old_position = update->position - delta;
    while (update->next < old->count && old->items[update->next].span.start < old_position) {
        update->next++;
    }
    return update->next < old->count && old->items[update->next].span.start == old_position;
}

/* Cuts again from a touched segment on. */
static struct molt_error *cut_again(struct update *update)
{
    uint32_t damaged_from = update->next;
    struct segment_span span;

    if (update->next < update->old->count) {
        update->next++;
    }
    while (segment_cut(update->text, update->length, update->position, &span)) {
        struct molt_error *error = add_segment(update, &span, NULL, UINT32_MAX, damaged_from);
        if (error) {
            return error;
        }
        update->position = span.end;
        if (meet(update)) {
            return NULL;
        }
    }
    update->next = update->old->count;
    return NULL;
}

static struct molt_error *run_update(struct update *update)
{
    struct molt_error *error = NULL;

    while (!error && (update->next < update->old->count || update->position < update->length)) {
        error = copy_untouched(update);
        if (!error && (update->next < update->old->count || update->position < update->length)) {
            error = cut_again(update);
        }
    }
    return error;
}

/* If one segment became one segment, its tree is worth keeping. */
static void inherit_trees(struct update *update, struct outline *old)
{
    uint32_t next = 0;

    for (uint32_t i = 0; i < update->made.count; i++) {
        if (update->origins[i] != UINT32_MAX) {
            next = update->origins[i] + 1;
            continue;
        }
        bool alone =
            i + 1 == update->made.count ? next + 1 == old->count : update->origins[i + 1] == next + 1;
        struct content *content = update->made.items[i].content;
        if (alone && content != old->items[next].content) {
            syntax_inherit(&content->syntax, &old->items[next].content->syntax);
        }
    }
}

struct molt_error *outline_update(struct extractor *extractor, struct outline *old, const char *text,
                                  uint32_t length, const struct hunks *hunks, struct outline *ret)
{
    struct update update = {
        .extractor = extractor, .old = old, .text = text, .length = length, .hunks = hunks
    };

    update.made.items = malloc((old->count + 16) * sizeof(*update.made.items));
    update.made.capacity = update.made.items ? old->count + 16 : 0;
    struct molt_error *error = run_update(&update);
    if (error) {
        outline_deinit(&update.made);
    } else {
        inherit_trees(&update, old);
        for (uint32_t i = 0; i < update.made.count; i++) {
            if (update.origins[i] != UINT32_MAX) {
                update.made.items[i].identities = old->items[update.origins[i]].identities;
                old->items[update.origins[i]].identities = NULL;
            }
        }
        *ret = update.made;
    }
    free(update.origins);
    return error;
}
