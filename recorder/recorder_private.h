/* The files of a recorder, and its journal. */
#ifndef MOLT_RECORDER_RECORDER_PRIVATE_H
#define MOLT_RECORDER_RECORDER_PRIVATE_H

#include "recorder/changes.h"
#include "recorder/file.h"
#include "recorder/journal.h"
#include "recorder/recorder.h"

struct entry {
    struct file file;
    bool current; /* the list is that of the file as it is */
    struct change_list list;
};

struct recorder {
    char *root;
    struct file_context context;
    struct journal *journal; /* NULL: none */
    bool journal_failed;     /* said so already */
    struct entry **entries;  /* sorted by path */
    size_t count, capacity;
    struct change_set *set; /* the last one, or NULL: something changed since */
};

/* recorder_files.c: the file called PATH, absolute or from the root; NULL: it is not known. */
struct entry *recorder_find(const struct recorder *recorder, const char *path);
struct molt_error *recorder_find_or_add(struct recorder *recorder, const char *path, struct entry **ret);

/* recorder_journal.c: FILE has another state now, other than by edits. */
void recorder_note_state(struct recorder *recorder, struct file *file);

/* FILE has the edits of RECORD (snapshot_add_edit) behind it. */
void recorder_note_edits(struct recorder *recorder, struct file *file, struct text *record);

/* Brings the files to where the journal says that they were. */
struct molt_error *recorder_replay(struct recorder *recorder);

#endif
