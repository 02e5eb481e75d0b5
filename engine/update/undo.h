/*
 * Every write to the program's own memory goes through here and can be taken back, newest first. Usable in a
 * stopped world: the log's memory is reserved beforehand.
 */
#ifndef MOLT_ENGINE_UPDATE_UNDO_H
#define MOLT_ENGINE_UPDATE_UNDO_H

#include <stddef.h>
#include <stdint.h>

/* What the bytes are; it says how their pages are protected. */
enum undo_kind { UNDO_CODE, UNDO_CONSTANT };

struct undo_entry {
    enum undo_kind kind;
    uintptr_t address;
    size_t size;
    size_t offset; /* of the old bytes in `bytes` */
};

struct undo_log {
    struct undo_entry *entries;
    size_t count, capacity;
    uint8_t *bytes;
    size_t used, room;
};

/* Makes room for ENTRIES writes of BYTES bytes in all. 0 or -ENOMEM. */
int undo_reserve(struct undo_log *log, size_t entries, size_t bytes);

/* Writes SIZE bytes at ADDRESS, whatever its protection, and remembers the old ones. 0, or a negative errno
 * and nothing written. */
int undo_write(struct undo_log *log, enum undo_kind kind, uintptr_t address, const void *bytes, size_t size);

/* Takes back all writes. 0, or the first error (the others are still taken back). */
int undo_revert(struct undo_log *log);

/* Takes back all writes, newest first, so that undo_replay can make them again; and makes them again, oldest
 * first. They take turns. 0, or the first error with nothing changed. */
int undo_unwrite(struct undo_log *log);
int undo_replay(struct undo_log *log);

void undo_deinit(struct undo_log *log);

/* Opens and closes the way to write, in the stopped world: so nobody can close or replace its descriptor
 * meanwhile. */
void undo_begin(void);
void undo_end(void);

/* Makes what was written visible to the instruction fetch of all processors, before threads go on. */
void undo_synchronise_code(void);

#endif
