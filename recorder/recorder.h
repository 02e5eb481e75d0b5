/*
 * The recorder: edits in, change set out. It knows the text that the running program was built from (the
 * baseline) and follows the current text of each file, edit by edit, so that a declaration renamed in place
 * stays the same declaration. It knows no compiler, no editor protocol and no socket.
 *
 * Paths may be absolute or relative to the root. One recorder is used by one thread at a time.
 * A file that is open has the text that the editor gave; any other file has the text on disk.
 */
#ifndef MOLT_RECORDER_RECORDER_H
#define MOLT_RECORDER_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "recorder/change_set.h"

struct recorder;

/* In what a `character` of a position counts. */
enum position_encoding { POSITION_UTF8, POSITION_UTF16, POSITION_UTF32 };

/* One content change of a didChange: TEXT (borrowed) replaces a range, or all of the document if `whole`.
 * Lines and characters count from 0; a character beyond its line's end means the end of the line, a line
 * beyond the end means the end of the document. */
struct recorder_edit {
    bool whole;
    uint32_t start_line, start_character, end_line, end_character;
    const char *text;
    size_t length;
};

/*
 * A recorder for the sources below ROOT. STATE_DIRECTORY (made if missing) holds the journal, from which the
 * state before a crash is restored; NULL: nothing is kept. REFUSED if another process records there.
 */
struct molt_error *recorder_create(const char *root, const char *state_directory, struct recorder **ret);
void recorder_destroy(struct recorder *recorder);

/* States the text that the running program was built from, at first and after each commit. TEXT is copied;
 * NULL: the file did not exist then. Stating the same text again changes nothing. A file without a
 * baseline counts as unchanged. */
struct molt_error *recorder_set_baseline(struct recorder *recorder, const char *path, const char *text,
                                         size_t length);

/* didOpen: TEXT (copied) is what the editor shows. Without a stated baseline the file on disk is taken for
 * it. Opening an open file replaces its text. */
struct molt_error *recorder_open(struct recorder *recorder, const char *path, const char *text,
                                 size_t length);

/* didChange: one transaction, its edits applied in order, each to the result of the one before. All or none.
 * USAGE if the file is not open or a range is inverted. */
struct molt_error *recorder_apply(struct recorder *recorder, const char *path,
                                  enum position_encoding encoding, const struct recorder_edit *edits,
                                  size_t count);

/* didClose: the text on disk is current again. Closing a file that is not open does nothing. */
struct molt_error *recorder_close(struct recorder *recorder, const char *path);

/* The file was written, created or removed by another tool. Ignored while it is open: the editor decides. */
struct molt_error *recorder_disk_changed(struct recorder *recorder, const char *path);

/* After a restart: files whose unsaved text came back from the journal and that no editor has opened again
 * take the text on disk. Call it when the editor has had its chance to reopen them. */
struct molt_error *recorder_settle(struct recorder *recorder);

/* The change set over all files, to be given back with change_set_destroy. Cheap if nothing changed. */
struct molt_error *recorder_changes(struct recorder *recorder, struct change_set **ret);

/* Appends to RET what CHANGE, of the change set as it is now, does to the declaration's lines: hunks as
 * text_diff_unified (text_diff.h) has them. Nothing if they are as they were. */
struct molt_error *recorder_diff(const struct recorder *recorder, const struct change *change,
                                 struct text *ret);

/* The current text of a file that the recorder knows, borrowed until its next change; false if it knows none
 * or the file does not exist. */
bool recorder_text(const struct recorder *recorder, const char *path, const char **ret_text,
                   size_t *ret_length);

/* As recorder_text, of the baseline. */
bool recorder_baseline(const struct recorder *recorder, const char *path, const char **ret_text,
                       size_t *ret_length);

/* The structures and unions that a file defines as it is now: a new array of {"name": "struct conn" or the
 * typedef of one without a tag, "line": of its name, "first", "last": its lines, "members": [{"name":
 * "a.b" for one inside another, "line"}]}, lines 1-based. Empty if the recorder does not know the file.
 * NULL without memory. */
json_t *recorder_types(const struct recorder *recorder, const char *path);

/* Which loop is meant: one whose head the lines (from 0) touch; with a CALLEE the outermost one of the
 * function there that calls it, else ("") its first endless one. */
struct loop_wish {
    uint32_t first_line, last_line;
    bool any;           /* also one with a condition */
    const char *callee; /* NULL: the loop at the lines */
};

/* TEXT instead of the bytes from START to END of the file as it is. */
struct loop_edit {
    uint32_t start, end;
    char *text;
};

/* What makes a loop's body a function of its own (loop/loop.h): NAME; or the reason why that cannot be. */
struct loop_extraction {
    bool found;
    uint32_t line; /* of the loop, from 0 */
    char *name;
    char *reason; /* NULL: it can */
    bool is_call; /* it is one already: that is the reason */
    struct loop_edit edits[2];
};

/* The extraction that WISH asks for in the file PATH; none is found in a file that is not known. DIRECTORIES,
 * ended by NULL, are searched for what it includes, besides its own and those above it. */
struct molt_error *recorder_extract_loop(const struct recorder *recorder, const char *path,
                                         const struct loop_wish *wish, const char *const *directories,
                                         struct loop_extraction *ret);
void loop_extraction_deinit(struct loop_extraction *extraction);

#endif
