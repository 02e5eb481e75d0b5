/*
 * The recorder: what happens to files, and what is asked of them. The change list of each is kept until the
 * file changes again; the journal (recorder_journal.c) is told of everything that makes a file differ from
 * its baseline.
 */
#include "recorder/recorder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "recorder/changes.h"
#include "recorder/recorder_private.h"
#include "recorder/snapshot.h"
#include "recorder/text_diff.h"
#include "recorder/type_list.h"

static void touch(struct recorder *recorder, struct entry *entry)
{
    entry->current = false;
    change_set_destroy(recorder->set);
    recorder->set = NULL;
}

/* --- life --- */

struct molt_error *recorder_create(const char *root, const char *state_directory, struct recorder **ret)
{
    struct recorder *recorder = calloc(1, sizeof(*recorder));

    if (!recorder || !(recorder->root = path_normalise("/", root))) {
        free(recorder);
        return molt_error_nomem();
    }
    struct molt_error *error = file_context_init(&recorder->context);
    if (!error && state_directory) {
        error = journal_open(state_directory, &recorder->journal);
        error = error ? error : recorder_replay(recorder);
    }
    if (error) {
        recorder_destroy(recorder);
        return error;
    }
    *ret = recorder;
    return NULL;
}

void recorder_destroy(struct recorder *recorder)
{
    if (!recorder) {
        return;
    }
    for (size_t i = 0; i < recorder->count; i++) {
        file_deinit(&recorder->entries[i]->file);
        change_list_deinit(&recorder->entries[i]->list);
        free(recorder->entries[i]);
    }
    free(recorder->entries);
    change_set_destroy(recorder->set);
    journal_close(recorder->journal);
    file_context_deinit(&recorder->context);
    free(recorder->root);
    free(recorder);
}

/* --- events --- */

/* The file on disk; a file that is not there gives *ret NULL, and no error. */
static struct molt_error *read_disk(const char *path, char **ret, size_t *ret_length)
{
    FILE *stream = fopen(path, "re");
    struct text text = { 0 };
    char chunk[65536];
    size_t got;

    if (!stream) {
        *ret = NULL;
        *ret_length = 0;
        return errno == ENOENT || errno == ENOTDIR ? NULL : molt_error_errno(errno, "%s", path);
    }
    while ((got = fread(chunk, 1, sizeof(chunk), stream))) {
        text_append(&text, chunk, got);
    }
    bool failed = ferror(stream);
    int errnum = errno;
    fclose(stream);
    size_t length = text.length;
    char *bytes = failed ? NULL : text_steal(&text);
    text_deinit(&text);
    if (!bytes) {
        return failed ? molt_error_errno(errnum, "%s", path) : molt_error_nomem();
    }
    *ret = bytes;
    *ret_length = length;
    return NULL;
}

/* Takes the text on disk as the baseline of a file that has none. */
static struct molt_error *baseline_from_disk(struct recorder *recorder, struct file *file)
{
    char *text;
    size_t length;

    if (file->has_baseline) {
        return NULL;
    }
    struct molt_error *error = read_disk(file->path, &text, &length);
    if (!error) {
        error = file_set_baseline(&recorder->context, file, text, length);
        free(text);
    }
    return error;
}

/* The text on disk becomes current. */
static struct molt_error *take_disk(struct recorder *recorder, struct entry *entry)
{
    struct file *file = &entry->file;
    char *text;
    size_t length;

    struct molt_error *error = read_disk(file->path, &text, &length);
    if (error) {
        return error;
    }
    touch(recorder, entry);
    error = file_set_text(&recorder->context, file, text, length);
    free(text);
    if (!error) {
        file->recovered = false;
        recorder_note_state(recorder, file);
    }
    return error;
}

struct molt_error *recorder_set_baseline(struct recorder *recorder, const char *path, const char *text,
                                         size_t length)
{
    struct entry *entry;

    struct molt_error *error = recorder_find_or_add(recorder, path, &entry);
    if (error) {
        return error;
    }
    touch(recorder, entry);
    error = file_set_baseline(&recorder->context, &entry->file, text, length);
    if (!error) {
        recorder_note_state(recorder, &entry->file);
    }
    return error;
}

struct molt_error *recorder_open(struct recorder *recorder, const char *path, const char *text, size_t length)
{
    struct entry *entry;

    struct molt_error *error = recorder_find_or_add(recorder, path, &entry);
    error = error ? error : baseline_from_disk(recorder, &entry->file);
    if (error) {
        return error;
    }
    touch(recorder, entry);
    error = file_set_text(&recorder->context, &entry->file, text ? text : "", length);
    if (!error) {
        entry->file.open = true;
        entry->file.recovered = false;
        recorder_note_state(recorder, &entry->file);
    }
    return error;
}

/* What recorder_apply was given, while its edits are applied. */
struct transaction {
    enum position_encoding encoding;
    const struct recorder_edit *edits;
    struct text record;
};

static struct molt_error *next_edit(const struct file *file, size_t index, void *context,
                                    struct byte_edit *ret)
{
    struct transaction *transaction = context;
    const struct recorder_edit *edit = &transaction->edits[index];
    const struct document *document = &file->document;

    if (edit->length > DOCUMENT_MAX) {
        return molt_error_new(MOLT_ERROR_REFUSED, "%s: an edit of more than 1 GB", file->path);
    }
    ret->text = edit->text ? edit->text : "";
    ret->length = (uint32_t)edit->length;
    ret->start = edit->whole ? 0
                             : document_offset(document, edit->start_line, edit->start_character,
                                               transaction->encoding);
    ret->end = edit->whole
                   ? document->length
                   : document_offset(document, edit->end_line, edit->end_character, transaction->encoding);
    snapshot_add_edit(&transaction->record, ret);
    return NULL;
}

struct molt_error *recorder_apply(struct recorder *recorder, const char *path,
                                  enum position_encoding encoding, const struct recorder_edit *edits,
                                  size_t count)
{
    struct transaction transaction = { .encoding = encoding, .edits = edits };
    struct entry *entry = recorder_find(recorder, path);

    if (!entry || !entry->file.open) {
        return molt_error_new(MOLT_ERROR_USAGE, "%s: an edit of a file that is not open", path);
    }
    touch(recorder, entry);
    snapshot_begin_edits(&transaction.record, entry->file.path);
    struct molt_error *error = file_edit(&recorder->context, &entry->file, count, next_edit, &transaction);
    if (!error) {
        recorder_note_edits(recorder, &entry->file, &transaction.record);
    }
    text_deinit(&transaction.record);
    return error;
}

struct molt_error *recorder_close(struct recorder *recorder, const char *path)
{
    struct entry *entry = recorder_find(recorder, path);

    if (!entry || !entry->file.open) {
        return NULL;
    }
    entry->file.open = false;
    return take_disk(recorder, entry);
}

struct molt_error *recorder_disk_changed(struct recorder *recorder, const char *path)
{
    struct entry *entry = recorder_find(recorder, path);

    if (!entry || entry->file.open || !entry->file.has_baseline) {
        return NULL;
    }
    return take_disk(recorder, entry);
}

struct molt_error *recorder_settle(struct recorder *recorder)
{
    for (size_t i = 0; i < recorder->count; i++) {
        if (recorder->entries[i]->file.recovered) {
            struct molt_error *error = take_disk(recorder, recorder->entries[i]);
            if (error) {
                return error;
            }
        }
    }
    return NULL;
}

/* --- questions --- */

/* PATH as it is called in a change set. */
static const char *display_name(const struct recorder *recorder, const char *path)
{
    const char *below = path_below(recorder->root, path);

    return below && *below ? below : path;
}

static struct molt_error *bring_up_to_date(struct recorder *recorder, struct entry *entry)
{
    if (entry->current) {
        return NULL;
    }
    change_list_deinit(&entry->list);
    struct molt_error *error = changes_of_file(&recorder->context, &entry->file,
                                               display_name(recorder, entry->file.path), &entry->list);
    entry->current = !error;
    return error;
}

struct molt_error *recorder_changes(struct recorder *recorder, struct change_set **ret)
{
    struct change_list all = { 0 };
    struct molt_error *error = NULL;

    for (size_t i = 0; !error && !recorder->set && i < recorder->count; i++) {
        error = bring_up_to_date(recorder, recorder->entries[i]);
        if (!error) {
            change_list_append(&all, &recorder->entries[i]->list);
        }
    }
    if (!error && !recorder->set) {
        changes_pair(&all);
        error = change_list_finish(&all, &recorder->set);
    }
    change_list_deinit(&all);
    if (!error) {
        *ret = change_set_hold(recorder->set);
    }
    return error;
}

static bool text_of(const struct document *document, bool exists, const char **ret_text, size_t *ret_length)
{
    if (!exists) {
        return false;
    }
    *ret_text = document->text ? document->text : "";
    *ret_length = document->length;
    return true;
}

bool recorder_text(const struct recorder *recorder, const char *path, const char **ret_text,
                   size_t *ret_length)
{
    const struct entry *entry = recorder_find(recorder, path);

    return entry && text_of(&entry->file.document, entry->file.exists, ret_text, ret_length);
}

bool recorder_baseline(const struct recorder *recorder, const char *path, const char **ret_text,
                       size_t *ret_length)
{
    const struct entry *entry = recorder_find(recorder, path);

    return entry && text_of(&entry->file.baseline_document, entry->file.existed, ret_text, ret_length);
}

json_t *recorder_types(const struct recorder *recorder, const char *path)
{
    const struct entry *entry = recorder_find(recorder, path);

    return entry ? file_types(&entry->file) : json_array();
}

/* The lines SPAN of DOCUMENT; an empty piece if there are none. */
static struct text_piece piece_of(const struct document *document, struct line_span span)
{
    if (!span.first || span.last < span.first || span.last > document->line_count) {
        return (struct text_piece){ 0 };
    }
    uint32_t start = document->lines[span.first - 1];
    uint32_t end = span.last < document->line_count ? document->lines[span.last] : document->length;
    return (struct text_piece){ document->text + start, end - start, span.first };
}

struct molt_error *recorder_diff(const struct recorder *recorder, const struct change *change,
                                 struct text *ret)
{
    const struct entry *entry = recorder_find(recorder, change->file);
    const struct entry *before = change->old_file ? recorder_find(recorder, change->old_file) : entry;
    struct text_piece old_piece = { 0 }, new_piece = { 0 };

    if (before) {
        old_piece = piece_of(&before->file.baseline_document, change->old_lines);
    }
    if (entry) {
        new_piece = piece_of(&entry->file.document, change->lines);
    }
    return text_diff_unified(&old_piece, &new_piece, ret);
}
