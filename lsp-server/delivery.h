/*
 * Bringing a patch into running programs, all of them together: uploaded to and prepared in each, and only if
 * each of them can, committed in each. Blocking; runs on a job's thread.
 */
#ifndef MOLT_LSP_SERVER_DELIVERY_H
#define MOLT_LSP_SERVER_DELIVERY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* PHASE is a status phase (see docs/protocol.md), MESSAGE for people ("" for none). Called on the job's
 * thread. */
typedef void delivery_progress(void *context, const char *phase, const char *message);

struct delivery_target {
    pid_t pid;
    char *name;
    char *path;      /* of the socket */
    json_t *missing; /* patch files that go first: array of paths, or NULL */
};

struct delivery {
    struct delivery_target *targets;
    size_t target_count;
    const void *patch; /* NULL: roll back instead */
    size_t patch_size;
    unsigned timeout_ms;
    bool rehearse, strict, known_stacks; /* see link/protocol.h */
    unsigned transfer_ms;
    volatile int *cancel; /* looked at before the first commit */
    delivery_progress *progress;
    void *context;
};

/*
 * Returns a new result object as in link/protocol.h, about all programs: numbers added up, pauses and waits
 * the longest of them. Its "result" may also be "failed": a program could not be reached, `reason` says what
 * happened, and the one of a program that failed has its "validation", and "program": {name, pid}. "applied":
 * true if at least one program runs the update now (or went back). NULL without memory. A commit that fails
 * in one program is rolled back in the others; a rollback that fails in one is taken back in the others.
 */
json_t *delivery_run(const struct delivery *delivery);

void delivery_targets_free(struct delivery_target *targets, size_t count);

#endif
