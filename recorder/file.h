/*
 * One file: its baseline, its current text, and for each current declaration which one of the baseline's it
 * is.
 */
#ifndef MOLT_RECORDER_FILE_H
#define MOLT_RECORDER_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "recorder/document.h"
#include "recorder/outline.h"

/* Where a declaration of the baseline stands in the baseline's outline. */
struct base_item {
    uint32_t segment, index;
    bool namesake; /* there is another of this name */
};

/* A declaration of the baseline that the current text lacks: the memory of its name, and the place where it
 * was, as far as that survives. Offsets in the current text. */
struct ghost {
    int32_t base;
    struct range extent, label;
    uint32_t length,
        survived;  /* bytes of the declaration that disappeared, without its name; those still here */
    bool in_place; /* nothing beyond its name was touched when it disappeared */
};

struct ghosts {
    struct ghost *items;
    uint32_t count;
};

struct file {
    char *path;        /* absolute */
    bool open;         /* in an editor */
    bool recovered;    /* text from the journal that no editor has confirmed */
    bool has_baseline; /* a baseline was stated, if only that the file did not exist */
    bool exists;       /* now */
    bool existed;      /* in the baseline */
    bool stale;        /* memory ran out: outline and identities must be made again */
    bool journaled;    /* the journal holds its state */
    struct document document;
    struct document baseline_document;
    struct outline baseline, current;
    struct base_item *bases;
    uint32_t base_count;
    struct ghosts ghosts;
};

/* What all files of a recorder share. */
struct file_context {
    struct extractor extractor;
    uint64_t next_id;
};

struct molt_error *file_context_init(struct file_context *context);
void file_context_deinit(struct file_context *context);

/* PATH is taken. */
void file_init(struct file *file, char *path);
void file_deinit(struct file *file);

/* Makes TEXT (NULL: no file) the baseline. A file without a current text gets this one. */
struct molt_error *file_set_baseline(struct file_context *context, struct file *file, const char *text,
                                     size_t length);

/* Makes TEXT (NULL: no file) the current text; what changed is found by comparison. */
struct molt_error *file_set_text(struct file_context *context, struct file *file, const char *text,
                                 size_t length);

/* A replacement in bytes, as it is kept in the journal. */
struct byte_edit {
    uint32_t start, end;
    const char *text; /* borrowed */
    uint32_t length;
};

/* One transaction: COUNT edits, each to the result of the one before; all or none. NEXT gives edit number
 * INDEX, in bytes of the text as it is then. */
typedef struct molt_error *file_next_edit(const struct file *file, size_t index, void *context,
                                          struct byte_edit *ret);
struct molt_error *file_edit(struct file_context *context, struct file *file, size_t count,
                             file_next_edit *next, void *next_context);

/* States that the current declaration number INDEX, counted over the whole file, is the baseline's BASE. */
void file_pin(struct file *file, uint32_t index, int32_t base, enum evidence evidence);

/* Makes outline and identities again if memory had run out. */
struct molt_error *file_refresh(struct file_context *context, struct file *file);

/* Whether current and baseline text are the same, byte for byte. */
bool file_is_unchanged(const struct file *file);

/* The declaration of the baseline with index BASE. */
static inline const struct declaration *file_base(const struct file *file, int32_t base,
                                                  const struct segment **ret_segment)
{
    const struct segment *segment = &file->baseline.items[file->bases[base].segment];

    *ret_segment = segment;
    return &segment->content->declarations.items[file->bases[base].index];
}

#endif
