/*
 * What the recorder tells its journal: the state of a file when it begins to differ from its baseline, then
 * its edits, then that it differs no more. When that has grown long, the states as they are now make a new
 * journal.
 */
#include "base/log.h"
#include "base/text.h"
#include "recorder/recorder_private.h"
#include "recorder/snapshot.h"

/* Recording goes on without a journal: it is said once. */
static void journal_trouble(struct recorder *recorder, struct molt_error *error)
{
    if (error && !recorder->journal_failed) {
        molt_log(MOLT_LOG_WARNING, "unsaved edits would not survive a crash: %s", error->message);
    }
    recorder->journal_failed = error != NULL;
    molt_error_destroy(error);
}

static struct molt_error *append_record(struct recorder *recorder, struct text *record)
{
    return record->failed ? molt_error_nomem()
                          : journal_append(recorder->journal, record->bytes, record->length);
}

static struct molt_error *append_state(struct recorder *recorder, struct file *file)
{
    struct text record = { 0 };

    snapshot_write(&record, file);
    struct molt_error *error = append_record(recorder, &record);
    file->journaled = !error;
    text_deinit(&record);
    return error;
}

static struct molt_error *append_drop(struct recorder *recorder, struct file *file)
{
    struct text record = { 0 };

    snapshot_write_drop(&record, file->path);
    struct molt_error *error = append_record(recorder, &record);
    file->journaled = error != NULL;
    text_deinit(&record);
    return error;
}

/* Writes the state of all files that matter into a new journal. */
static struct molt_error *rewrite_journal(struct recorder *recorder)
{
    struct molt_error *error = journal_rewrite_begin(recorder->journal);

    if (error) {
        return error;
    }
    for (size_t i = 0; !error && i < recorder->count; i++) {
        if (recorder->entries[i]->file.journaled) {
            error = append_state(recorder, &recorder->entries[i]->file);
        }
    }
    if (error) {
        journal_rewrite_abort(recorder->journal);
        return error;
    }
    return journal_rewrite_end(recorder->journal);
}

static void compact(struct recorder *recorder)
{
    if (recorder->journal && journal_has_grown(recorder->journal)) {
        journal_trouble(recorder, rewrite_journal(recorder));
    }
}

void recorder_note_state(struct recorder *recorder, struct file *file)
{
    if (!recorder->journal || file->stale) {
        return;
    }
    if (!file_is_unchanged(file)) {
        journal_trouble(recorder, append_state(recorder, file));
    } else if (file->journaled) {
        journal_trouble(recorder, append_drop(recorder, file));
    }
    compact(recorder);
}

void recorder_note_edits(struct recorder *recorder, struct file *file, struct text *record)
{
    if (!recorder->journal || file->stale) {
        return;
    }
    journal_trouble(recorder,
                    file->journaled ? append_record(recorder, record) : append_state(recorder, file));
    compact(recorder);
}

static struct molt_error *find_for_replay(const char *path, void *context, struct file **ret)
{
    struct entry *entry = NULL;

    struct molt_error *error = recorder_find_or_add(context, path, &entry);
    if (!error) {
        *ret = &entry->file;
    }
    return error;
}

static struct molt_error *replay(struct cursor record, void *context)
{
    struct recorder *recorder = context;

    return snapshot_replay(&recorder->context, record, find_for_replay, recorder);
}

struct molt_error *recorder_replay(struct recorder *recorder)
{
    return journal_replay(recorder->journal, replay, recorder);
}
