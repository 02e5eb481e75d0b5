/* What the records of the journal mean: the state of a file, an edit of it, that it is no longer of interest.
 */
#ifndef MOLT_RECORDER_SNAPSHOT_H
#define MOLT_RECORDER_SNAPSHOT_H

#include "base/cursor.h"
#include "base/text.h"
#include "recorder/file.h"

/* Appends to RECORD a record of FILE's state: texts, and which declarations were recognised by other than
 * their name. TEXT remembers a lack of memory. */
void snapshot_write(struct text *record, const struct file *file);

/* Begins a record of a transaction on PATH; snapshot_add_edit appends its edits. */
void snapshot_begin_edits(struct text *record, const char *path);
void snapshot_add_edit(struct text *record, const struct byte_edit *edit);

/* A record that says that PATH is as in the baseline. */
void snapshot_write_drop(struct text *record, const char *path);

/* Finds the file called PATH, or makes it. */
typedef struct molt_error *snapshot_find_file(const char *path, void *find_context, struct file **ret);

/* Does what RECORD says. A record that makes no sense is skipped with a line in the log. */
struct molt_error *snapshot_replay(struct file_context *context, struct cursor record,
                                   snapshot_find_file *find, void *find_context);

#endif
