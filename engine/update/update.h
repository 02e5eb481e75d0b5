/*
 * The engine's core: a patch in, an updated process out. Everything here runs on the engine's own thread, one
 * update at a time (engine/control.c sees to that); nothing here knows about sockets.
 */
#ifndef MOLT_ENGINE_UPDATE_UPDATE_H
#define MOLT_ENGINE_UPDATE_UPDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum update_outcome {
    UPDATE_PREPARED,      /* loaded and planned; the program is untouched */
    UPDATE_UPDATED,       /* committed */
    UPDATE_NOTHING,       /* the patch changes nothing */
    UPDATE_ROLLED_BACK,   /* the last update was undone */
    UPDATE_REFUSED,       /* cannot be applied to this program; `reason` says why */
    UPDATE_NO_SAFE_POINT, /* `blocked_by` names threads and functions */
    UPDATE_FAILED,        /* a validation failed; discarded */
};

#define UPDATE_SHOWN_MAX 512 /* bytes of an instance that are shown */

/* What a function of the patch said, or did, that made the update fail. */
struct update_failure {
    const char *kind;   /* policy, transfer, validation, invariant, system; NULL: it was none */
    char name[128];     /* of the invariant; else "" */
    char file[256];     /* of the function's source, "" if it was generated */
    unsigned line;      /* 0 if unknown */
    char type[128];     /* of the instance */
    char instance[192]; /* "0x5581", "0x5581 (2 of 3)" for an element: the block or variable that it is in;
                           "0x7ffe, state of main()" of a suspended function */
    char message[512];  /* what happened, as a sentence without its subject */
    uint8_t old_bytes[UPDATE_SHOWN_MAX], new_bytes[UPDATE_SHOWN_MAX]; /* before and after */
    uint32_t old_size, new_size;                                      /* 0: it is not there */
};

struct update_report {
    enum update_outcome outcome;
    unsigned functions, types;
    uint64_t instances, moved;
    uint64_t waited_us; /* from the first attempt to stop until the safe point */
    uint64_t pause_us;  /* how long threads were held for the commit */
    uint64_t total_us;
    char reason[1024];     /* one sentence, "" if there is nothing to explain */
    char blocked_by[1024]; /* one line per thread: "thread 123 (name) in f < g < main" */
    uint64_t rewritten_typed,
        rewritten_untyped; /* addresses that lead to another place now: by their type; by their value */
    unsigned transferred;  /* suspended frames that go on in the new version */
    char transfers[1024]; /* one line per such frame, as far as they fit: "thread 123 (name) in main, line 12"
                           */
    char warnings[2048];  /* one per line: what was left alone, and may matter */
    struct update_failure failure;
    struct {
        bool made, passed; /* made and not passed: that is why the update was not made */
        uint64_t pause_us, total_us;
        char leftovers[512]; /* what seems to lead to old places yet, "" if nothing does */
    } rehearsal;
};

/* Whether the update is tried in a copy of the process first (update/rehearsal.h): if functions run that
 * somebody wrote, policies say; or whenever instances change. Code alone needs no rehearsal. */
enum update_rehearsal { REHEARSE_NEVER, REHEARSE_FUNCTIONS, REHEARSE_STATE };

/* How long a safe point is waited for, and what comes before. */
struct update_wait {
    uint32_t timeout_ms;
    uint32_t transfer_ms; /* after which frames that wait for a call are taken over where they are;
                             UINT32_MAX: never */
    enum update_rehearsal rehearsal;
    bool known_stacks; /* memory is not searched for stacks that nobody has told of */
};

struct update; /* a prepared update */

/* PHASE is a word of the transaction (safe-point, commit, ...); both strings are borrowed for the call.
 * Returns whether to go on: what still waits for a safe point then is given up when nobody waits for it any
 * more. */
typedef bool update_progress(void *context, const char *phase, const char *message);

/* Finds the program's modules and makes ready to stop threads. Called once on the engine's thread; 0 or
 * negative errno. */
int engine_core_init(void);

/*
 * Verifies, loads and plans the patch of SIZE bytes at BYTES (from malloc, taken, freed in every case). The
 * program is untouched afterwards. 0 with *ret to be committed or discarded, or -EINVAL with the reason in
 * *report, or -ENOMEM.
 */
int update_prepare(void *bytes, size_t size, struct update **ret, struct update_report *report);

/*
 * Brings the prepared update into the program: waits for a safe point as WAIT says (and for a second one
 * after a rehearsal), commits. UPDATE is consumed. 0 if committed (or NOTHING), else a negative errno with
 * outcome and reason in *report and the program as it was.
 */
int update_commit(struct update *update, struct update_wait wait, update_progress *progress, void *context,
                  struct update_report *report);

/* As commit up to the safe point, then discards: says whether and how fast the update could be made. With a
 * rehearsal that is all that is done. UPDATE is consumed. */
int update_try(struct update *update, struct update_wait wait, update_progress *progress, void *context,
               struct update_report *report);

/* Drops a prepared update. NULL is fine. */
void update_discard(struct update *update);

/* Undoes the last update that was committed, at a safe point, as update_commit. With HOLD it can be brought
 * back, until update_settle: nothing else may be called before that. */
int update_rollback(struct update_wait wait, bool hold, update_progress *progress, void *context,
                    struct update_report *report);

/* Brings back the update whose rollback is held, at a safe point: UPDATED, or as update_commit and it is
 * still held. */
int update_restore(struct update_wait wait, update_progress *progress, void *context,
                   struct update_report *report);

/* Makes a rollback that is held final. */
void update_settle(void);

/* The updates in force, oldest first: INDEX from 0; false past the end. Strings stay valid until the next
 * update. */
struct update_entry {
    const char *id;
    const char *title;
    unsigned functions;
    bool revertible; /* its previous code is still held */
};
bool update_history(size_t index, struct update_entry *ret);

/* Around fork, in the forking thread: wait for a transaction under way to end; let the child forget the
 * parent's. */
void engine_core_fork_prepare(void);
void engine_core_fork_parent(void);
void engine_core_fork_child(void);

#endif
