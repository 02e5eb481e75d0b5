/*
 * A file's baseline and current text, kept in step with their outlines. Every change of text ends in
 * `advance`, whether it came as edits, as another text, or by stating a baseline (then the current text is
 * taken as an edit of that).
 */
#include "recorder/file.h"

#include <stdlib.h>
#include <string.h>

#include "recorder/identity.h"

struct molt_error *file_context_init(struct file_context *context)
{
    context->next_id = 1;
    return extractor_init(&context->extractor);
}

void file_context_deinit(struct file_context *context)
{
    extractor_deinit(&context->extractor);
}

void file_init(struct file *file, char *path)
{
    *file = (struct file){ .path = path };
}

void file_deinit(struct file *file)
{
    free(file->path);
    document_deinit(&file->document);
    document_deinit(&file->baseline_document);
    outline_deinit(&file->baseline);
    outline_deinit(&file->current);
    free(file->bases);
    free(file->ghosts.items);
    *file = (struct file){ 0 };
}

bool file_is_unchanged(const struct file *file)
{
    if (!file->has_baseline) {
        return true;
    }
    return file->exists == file->existed && file->document.length == file->baseline_document.length &&
           (!file->document.length ||
            memcmp(file->document.text, file->baseline_document.text, file->document.length) == 0);
}

/* The text is the baseline's again: so is everything else. */
static void reset_identities(struct file *file)
{
    for (uint32_t i = 0; i < file->current.count; i++) {
        struct segment *segment = &file->current.items[i];
        if (segment->identities) {
            memcpy(segment->identities, file->baseline.items[i].identities,
                   segment->content->declarations.count * sizeof(struct identity));
        }
    }
    file->ghosts.count = 0;
}

/* The text has become the document's by HUNKS: brings outline and identities after it. */
static struct molt_error *advance(struct file_context *context, struct file *file, const struct hunks *hunks,
                                  enum evidence evidence)
{
    struct outline made;

    struct molt_error *error = outline_update(&context->extractor, &file->current, file->document.text,
                                              file->document.length, hunks, &made);
    if (!error) {
        error = identity_match(file, &file->current, &made, hunks, evidence, &context->next_id);
        outline_deinit(&file->current);
        file->current = made;
    }
    if (!error && file->has_baseline && file_is_unchanged(file)) {
        reset_identities(file);
    }
    file->stale = error != NULL;
    return error;
}

/* Gives the declarations of the new BASELINE ids, the current ones' where the texts are the same. */
static struct molt_error *number_baseline(struct file_context *context, const struct outline *same,
                                          struct outline *baseline, struct base_item **ret_bases,
                                          uint32_t *ret_count)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < baseline->count; i++) {
        count += baseline->items[i].content->declarations.count;
    }
    struct base_item *bases = malloc((count + 1) * sizeof(*bases));
    if (!bases) {
        return molt_error_nomem();
    }
    count = 0;
    for (uint32_t i = 0; i < baseline->count; i++) {
        struct segment *segment = &baseline->items[i];
        uint32_t items = segment->content->declarations.count;
        if (!items) {
            continue;
        }
        segment->identities = calloc(items, sizeof(*segment->identities));
        if (!segment->identities) {
            free(bases);
            return molt_error_nomem();
        }
        const struct identity *known = same ? same->items[i].identities : NULL;
        for (uint32_t k = 0; k < items; k++) {
            segment->identities[k] = (struct identity){ .id = known ? known[k].id : context->next_id++,
                                                        .base = (int32_t)count,
                                                        .evidence = EVIDENCE_NAME };
            bases[count++] = (struct base_item){ .segment = i, .index = k };
        }
    }
    *ret_bases = bases;
    *ret_count = count;
    return NULL;
}

/* A copy of OUTLINE, identities included. */
static struct molt_error *copy_outline(const struct outline *outline, struct outline *ret)
{
    struct outline copy;

    struct molt_error *error = outline_clone(outline, &copy);
    for (uint32_t i = 0; !error && i < outline->count; i++) {
        uint32_t items = outline->items[i].content->declarations.count;
        if (!items) {
            continue;
        }
        copy.items[i].identities = malloc(items * sizeof(struct identity));
        if (!copy.items[i].identities) {
            outline_deinit(&copy);
            return molt_error_nomem();
        }
        memcpy(copy.items[i].identities, outline->items[i].identities, items * sizeof(struct identity));
    }
    if (!error) {
        *ret = copy;
    }
    return error;
}

/* Takes the current text as an edit of the baseline. */
static struct molt_error *match_from_baseline(struct file_context *context, struct file *file)
{
    struct outline copy;
    struct hunks hunks = { 0 };

    file->stale = true;
    struct molt_error *error = copy_outline(&file->baseline, &copy);
    if (error) {
        return error;
    }
    outline_deinit(&file->current);
    file->current = copy;
    file->ghosts.count = 0;
    error = hunks_replace(&hunks, 0, file->baseline_document.text, file->baseline_document.length,
                          file->document.text, file->document.length);
    if (!error) {
        error = advance(context, file, &hunks, EVIDENCE_POSITION);
    }
    hunks_deinit(&hunks);
    return error;
}

struct molt_error *file_refresh(struct file_context *context, struct file *file)
{
    return file->stale ? match_from_baseline(context, file) : NULL;
}

/* The outline of BASELINE, which shares with the current one what it can. */
static struct molt_error *outline_baseline(struct file_context *context, const struct file *file,
                                           const struct document *baseline, struct outline *ret)
{
    struct outline clone;
    struct hunks hunks = { 0 };

    if (file->stale || !file->current.count) {
        return outline_build(&context->extractor, baseline->text, baseline->length, ret);
    }
    struct molt_error *error = outline_clone(&file->current, &clone);
    if (error) {
        return error;
    }
    error = hunks_replace(&hunks, 0, file->document.text, file->document.length, baseline->text,
                          baseline->length);
    if (!error) {
        error = outline_update(&context->extractor, &clone, baseline->text, baseline->length, &hunks, ret);
    }
    hunks_deinit(&hunks);
    outline_deinit(&clone);
    return error;
}

static bool same_text(const struct document *document, const char *text, size_t length)
{
    return document->length == length && (!length || memcmp(document->text, text, length) == 0);
}

/* Replaces the baseline by that of BASELINE and numbers it. */
static struct molt_error *install_baseline(struct file_context *context, struct file *file,
                                           const struct document *baseline)
{
    struct outline outline = { 0 };
    struct base_item *bases = NULL;
    uint32_t count = 0;

    struct molt_error *error = outline_baseline(context, file, baseline, &outline);
    if (error) {
        return error;
    }
    bool same = !file->stale && file->current.count == outline.count &&
                same_text(&file->document, baseline->text, baseline->length);
    error = number_baseline(context, same ? &file->current : NULL, &outline, &bases, &count);
    if (error) {
        outline_deinit(&outline);
        return error;
    }
    outline_deinit(&file->baseline);
    document_deinit(&file->baseline_document);
    free(file->bases);
    file->baseline = outline;
    file->baseline_document = *baseline;
    file->bases = bases;
    file->base_count = count;
    identity_find_namesakes(file);
    return NULL;
}

struct molt_error *file_set_baseline(struct file_context *context, struct file *file, const char *text,
                                     size_t length)
{
    struct document baseline = { 0 };
    bool first = !file->has_baseline && !file->exists && !file->open && !file->recovered;

    if (file->has_baseline && file->existed == (text != NULL) &&
        same_text(&file->baseline_document, text, length)) {
        return NULL;
    }
    struct molt_error *error = document_splice(&baseline, 0, 0, text, text ? length : 0);
    if (!error) {
        error = install_baseline(context, file, &baseline);
    }
    if (error) {
        document_deinit(&baseline);
        return error;
    }
    file->has_baseline = true;
    file->existed = text != NULL;
    if (first) {
        file->exists = file->existed;
        file->stale = true;
        error = document_splice(&file->document, 0, file->document.length, text, text ? length : 0);
    }
    return error ? error : match_from_baseline(context, file);
}

struct molt_error *file_set_text(struct file_context *context, struct file *file, const char *text,
                                 size_t length)
{
    struct hunks hunks = { 0 };

    struct molt_error *error = file_refresh(context, file);
    if (error) {
        return error;
    }
    length = text ? length : 0;
    if (same_text(&file->document, text, length)) {
        file->exists = text != NULL;
        return NULL;
    }
    if (length > DOCUMENT_MAX) {
        return molt_error_new(MOLT_ERROR_REFUSED, "the file is larger than 1 GB");
    }
    error = hunks_replace(&hunks, 0, file->document.text, file->document.length, text, (uint32_t)length);
    if (!error) {
        error = document_splice(&file->document, 0, file->document.length, text, length);
    }
    if (!error) {
        file->exists = text != NULL;
        error = advance(context, file, &hunks, EVIDENCE_POSITION);
    }
    hunks_deinit(&hunks);
    return error;
}

/* Applies one edit to the text and adds it to HUNKS. */
static struct molt_error *edit_text(struct file *file, const struct byte_edit *edit, struct hunks *hunks)
{
    struct document *document = &file->document;

    if (edit->start > edit->end || edit->end > document->length) {
        return molt_error_new(MOLT_ERROR_USAGE, "%s: an edit ends before it begins", file->path);
    }
    struct molt_error *error =
        hunks_replace(hunks, edit->start, document->text ? document->text + edit->start : "",
                      edit->end - edit->start, edit->text, edit->length);
    return error ? error : document_splice(document, edit->start, edit->end, edit->text, edit->length);
}

/* Puts the text BACKUP back after an edit that failed half way. */
static void restore(struct file *file, struct document *backup)
{
    document_deinit(&file->document);
    file->document = *backup;
    *backup = (struct document){ 0 };
}

struct molt_error *file_edit(struct file_context *context, struct file *file, size_t count,
                             file_next_edit *next, void *next_context)
{
    struct hunks hunks = { 0 };
    struct document backup = { 0 };

    struct molt_error *error = file_refresh(context, file);
    if (!error && count > 1) {
        error = document_splice(&backup, 0, 0, file->document.text, file->document.length);
    }
    size_t done = 0;
    while (!error && done < count) {
        struct byte_edit edit;
        error = next(file, done, next_context, &edit);
        error = error ? error : edit_text(file, &edit, &hunks);
        done += !error;
    }
    if (error && done) {
        restore(file, &backup);
    } else if (!error && hunks.count) {
        error = advance(context, file, &hunks, EVIDENCE_EDIT);
    }
    document_deinit(&backup);
    hunks_deinit(&hunks);
    return error;
}

/* The identity of the current declaration number INDEX of the whole file; NULL if there are fewer. */
static struct identity *find_identity(struct file *file, uint32_t index)
{
    for (uint32_t i = 0; i < file->current.count; i++) {
        struct segment *segment = &file->current.items[i];
        uint32_t count = segment->content->declarations.count;
        if (index < count) {
            return segment->identities ? &segment->identities[index] : NULL;
        }
        index -= count;
    }
    return NULL;
}

void file_pin(struct file *file, uint32_t index, int32_t base, enum evidence evidence)
{
    struct identity *identity = find_identity(file, index);
    const struct segment *segment;

    if (!identity || base < 0 || (uint32_t)base >= file->base_count) {
        return;
    }
    if (identity->base == base) {
        identity->evidence = (uint8_t)evidence;
        return;
    }
    for (uint32_t i = 0; i < file->ghosts.count && identity->base < 0; i++) {
        if (file->ghosts.items[i].base == base) {
            file->ghosts.items[i] = file->ghosts.items[--file->ghosts.count];
            file_base(file, base, &segment);
            *identity = segment->identities[file->bases[base].index];
            identity->evidence = (uint8_t)evidence;
        }
    }
}
