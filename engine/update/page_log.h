/*
 * Undoing what code that we do not know writes: while it runs the program's memory is write-protected, and
 * what it writes to is saved first.
 */
#ifndef MOLT_ENGINE_UPDATE_PAGE_LOG_H
#define MOLT_ENGINE_UPDATE_PAGE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/threads/stop.h"
#include "engine/update/memory_map.h"
#include "engine/update/staging.h"

#define PAGE_LOG_PHASES 3 /* policies, those for frames, validations */

struct page_log {
    struct memory_map map;   /* at the beginning of the last phase */
    struct memory_map first; /* of the first, once there is another */
    struct protected_range {
        uintptr_t start, end;
        int rights; /* that it has otherwise */
        bool shared;
    } * ranges; /* ascending */
    size_t count, capacity;
    struct staging saved[PAGE_LOG_PHASES];
    unsigned phases; /* begun so far */
    unsigned kept;   /* of these, before page_log_keep */
    bool active;
    bool exhausted; /* a page could not be saved */
};

/* Finds out where the engine's own thread-local memory is. On its thread, world running. */
void page_log_init(void);

/* Bytes of static thread-local memory below each thread's control block. */
size_t page_log_tls_size(void);

/* Protects all memory of the program that may be written, except what stopped threads of WORLD need to stay
 * stopped. 0 or negative errno. */
int page_log_begin(struct page_log *log, const struct world *world);

/* Lifts the protection; what was saved is kept. */
void page_log_pause(struct page_log *log);

/* The guard's write handler, for the log that is active. */
bool page_log_write(uintptr_t address);

/* Ends the phase: what comes after it is undone before it. */
void page_log_keep(struct page_log *log);

/* Puts back what was written since page_log_keep, if anything was; what all phases have written, and what
 * they have taken from the system: that is zero again. */
void page_log_undo_last(struct page_log *log);
void page_log_undo_all(struct page_log *log);

void page_log_deinit(struct page_log *log);

#endif
