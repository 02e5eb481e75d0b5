/*
 * Records, little-endian:
 *
 *     u8 kind, string path, then
 *     STATE: u8 flags, string baseline, u32 kept at the beginning, u32 kept at the end, string between,
 *            u32 count, { u32 declaration, u32 declaration of the baseline, u8 evidence }...
 *     EDITS: { u32 start, u32 end, string text }...
 *     DROP:  nothing
 *
 * A string is u32 length and bytes. The current text is written as what differs from the baseline's.
 */
#include "recorder/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum record_kind { RECORD_STATE = 1, RECORD_EDITS, RECORD_DROP };

enum { FLAG_OPEN = 1, FLAG_EXISTS = 2, FLAG_EXISTED = 4 };

static void put_u32(struct text *record, uint32_t value)
{
    text_append(record, &value, 4);
}

static void put_u8(struct text *record, uint8_t value)
{
    text_append(record, &value, 1);
}

static void put_string(struct text *record, const char *bytes, uint32_t length)
{
    put_u32(record, length);
    if (length) {
        text_append(record, bytes, length);
    }
}

static void begin(struct text *record, enum record_kind kind, const char *path)
{
    put_u8(record, (uint8_t)kind);
    put_string(record, path, (uint32_t)strlen(path));
}

static void put_pins(struct text *record, const struct file *file)
{
    size_t at = record->length;
    uint32_t count = 0, number = 0;

    put_u32(record, 0);
    for (uint32_t i = 0; i < file->current.count; i++) {
        const struct segment *segment = &file->current.items[i];
        for (uint32_t k = 0; k < segment->content->declarations.count; k++, number++) {
            const struct identity *identity = segment->identities ? &segment->identities[k] : NULL;
            if (identity && identity->base >= 0 && identity->evidence > EVIDENCE_NAME) {
                put_u32(record, number);
                put_u32(record, (uint32_t)identity->base);
                put_u8(record, identity->evidence);
                count++;
            }
        }
    }
    if (!record->failed) {
        memcpy(record->bytes + at, &count, 4);
    }
}

void snapshot_write(struct text *record, const struct file *file)
{
    const struct document *now = &file->document, *before = &file->baseline_document;
    uint32_t least = now->length < before->length ? now->length : before->length, head = 0, tail = 0;

    while (head < least && now->text[head] == before->text[head]) {
        head++;
    }
    while (tail < least - head &&
           now->text[now->length - tail - 1] == before->text[before->length - tail - 1]) {
        tail++;
    }
    begin(record, RECORD_STATE, file->path);
    put_u8(record, (uint8_t)((file->open ? FLAG_OPEN : 0) | (file->exists ? FLAG_EXISTS : 0) |
                             (file->existed ? FLAG_EXISTED : 0)));
    put_string(record, before->text, before->length);
    put_u32(record, head);
    put_u32(record, tail);
    put_string(record, now->text + head, now->length - head - tail);
    put_pins(record, file);
}

void snapshot_begin_edits(struct text *record, const char *path)
{
    begin(record, RECORD_EDITS, path);
}

void snapshot_add_edit(struct text *record, const struct byte_edit *edit)
{
    put_u32(record, edit->start);
    put_u32(record, edit->end);
    put_string(record, edit->text, edit->length);
}

void snapshot_write_drop(struct text *record, const char *path)
{
    begin(record, RECORD_DROP, path);
}

/* --- replay --- */

struct bytes {
    const char *bytes;
    uint32_t length;
};

static struct bytes take_string(struct cursor *record)
{
    uint32_t length = cursor_u32(record);
    const char *bytes = cursor_take(record, length);

    return (struct bytes){ bytes ? bytes : "", bytes ? length : 0 };
}

static struct molt_error *nonsense(struct cursor *record)
{
    record->failed = true;
    return NULL;
}

static struct molt_error *replay_text(struct file_context *context, struct file *file, struct bytes baseline,
                                      uint32_t head, uint32_t tail, struct bytes between, bool exists)
{
    struct text text = { 0 };

    text_append(&text, baseline.bytes, head);
    text_append(&text, between.bytes, between.length);
    text_append(&text, baseline.bytes + baseline.length - tail, tail);
    struct molt_error *error = text.failed
                                   ? molt_error_nomem()
                                   : file_set_text(context, file, exists ? text.bytes : NULL, text.length);
    text_deinit(&text);
    return error;
}

static struct molt_error *replay_state(struct file_context *context, struct file *file, struct cursor *record)
{
    uint8_t flags = cursor_u8(record);
    struct bytes baseline = take_string(record);
    uint32_t head = cursor_u32(record), tail = cursor_u32(record);
    struct bytes between = take_string(record);
    uint32_t count = cursor_u32(record);

    if (cursor_failed(record) || (uint64_t)head + tail > baseline.length) {
        return nonsense(record);
    }
    file->recovered = true;
    struct molt_error *error =
        file_set_baseline(context, file, flags & FLAG_EXISTED ? baseline.bytes : NULL, baseline.length);
    error = error ? error : replay_text(context, file, baseline, head, tail, between, flags & FLAG_EXISTS);
    for (uint32_t i = 0; !error && i < count && !cursor_failed(record); i++) {
        uint32_t number = cursor_u32(record), base = cursor_u32(record);
        uint8_t evidence = cursor_u8(record);
        if (evidence == EVIDENCE_EDIT || evidence == EVIDENCE_POSITION) {
            file_pin(file, number, (int32_t)base, evidence);
        }
    }
    file->journaled = true;
    return error;
}

static struct molt_error *next_edit(const struct file *file, size_t index, void *context,
                                    struct byte_edit *ret)
{
    struct cursor *record = context;
    uint32_t start = cursor_u32(record), end = cursor_u32(record);
    struct bytes text = take_string(record);

    *ret = (struct byte_edit){ start, end, text.bytes, text.length };
    return NULL;
}

/* Counts the edits of RECORD and checks that they fit FILE, without moving it. */
static bool count_edits(struct cursor record, uint32_t length, size_t *ret_count)
{
    size_t count = 0;

    for (; cursor_left(&record); count++) {
        uint32_t start = cursor_u32(&record), end = cursor_u32(&record);
        struct bytes text = take_string(&record);
        if (cursor_failed(&record) || start > end || end > length) {
            return false;
        }
        length = length - (end - start) + text.length;
    }
    *ret_count = count;
    return !cursor_failed(&record);
}

static struct molt_error *replay_edits(struct file_context *context, struct file *file, struct cursor *record)
{
    size_t count;

    if (!file->journaled || !count_edits(*record, file->document.length, &count)) {
        return nonsense(record);
    }
    return file_edit(context, file, count, next_edit, record);
}

static struct molt_error *replay_drop(struct file_context *context, struct file *file)
{
    file->journaled = file->recovered = false;
    return file_set_text(context, file, file->existed ? file->baseline_document.text : NULL,
                         file->baseline_document.length);
}

struct molt_error *snapshot_replay(struct file_context *context, struct cursor record,
                                   snapshot_find_file *find, void *find_context)
{
    uint8_t kind = cursor_u8(&record);
    struct bytes name = take_string(&record);
    struct file *file;

    char *path = strndup(name.bytes, name.length);
    struct molt_error *error = path ? find(path, find_context, &file) : molt_error_nomem();
    free(path);
    if (error) {
        return error;
    }
    if (cursor_failed(&record) || !name.length) {
        nonsense(&record);
    } else if (kind == RECORD_STATE) {
        error = replay_state(context, file, &record);
    } else if (kind == RECORD_EDITS) {
        error = replay_edits(context, file, &record);
    } else if (kind == RECORD_DROP) {
        error = replay_drop(context, file);
    }
    if (cursor_failed(&record)) {
        molt_log(MOLT_LOG_WARNING, "journal: a record makes no sense and was skipped");
    }
    return error;
}
