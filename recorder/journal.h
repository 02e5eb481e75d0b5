/*
 * The journal: an append-only file of records, STATE/journal, from which a recorder restores its state after
 * a crash of the editor or of its own process. Knows bytes only; what they mean is in snapshot.h.
 *
 *     "MOLTJ\1\0\0"  { u32 size, u64 checksum of the payload, payload }...      all little-endian
 *
 * A record is written with one call; the last one may be torn, then it and what follows is cut off. Records
 * are in the kernel's hands when append returns: a crash of the machine may lose the last seconds.
 */
#ifndef MOLT_RECORDER_JOURNAL_H
#define MOLT_RECORDER_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cursor.h"
#include "base/error.h"

struct journal;

/* Opens the journal of DIRECTORY, which is made if missing. REFUSED if another process has it open. */
struct molt_error *journal_open(const char *directory, struct journal **ret);
void journal_close(struct journal *journal);

/* Gives every record to REPLAY, in order, and cuts off what is damaged. Stops at the first error. */
typedef struct molt_error *journal_replay_record(struct cursor record, void *context);
struct molt_error *journal_replay(struct journal *journal, journal_replay_record *replay, void *context);

struct molt_error *journal_append(struct journal *journal, const void *payload, size_t size);

/* Whether so much was appended since the last rewriting that another one pays. */
bool journal_has_grown(const struct journal *journal);

/* Replaces all records by those that are appended between begin and end; at any moment the file on disk is
 * either the old or the new one. After a failure the old one stays. */
struct molt_error *journal_rewrite_begin(struct journal *journal);
struct molt_error *journal_rewrite_end(struct journal *journal);
void journal_rewrite_abort(struct journal *journal);

#endif
