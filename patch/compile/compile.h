/* Running the user's compiler: several at once, cancelable, its messages kept. */
#ifndef MOLT_PATCH_COMPILE_H
#define MOLT_PATCH_COMPILE_H

#include "base/diagnostic.h"
#include "patch/compile/unit.h"

struct compile_job {
    struct unit *unit; /* borrowed */
    struct tree *tree; /* borrowed */
    enum command_kind kind;
    const char *source; /* PROBE: the preprocessed file to compile; borrowed */
    const struct dependencies
        *files;   /* result; of PROBE: set by the caller: what the unit reads in that tree */
    char *object; /* result: path of the object (PREPROCESSED: the text) in the cache; NULL if it did not
                     compile. Of PROBE: set by the caller; it is not looked for in the cache */
    bool failed;  /* result: the compiler said no; see the diagnostics */
};

typedef LIST(struct compile_job *) compile_jobs;

struct compile_setup {
    struct file_hashes *hashes;
    unsigned jobs; /* compilers at once */
    void (*progress)(void *context, const char *phase, unsigned done, unsigned total);
    void *context;
    volatile int *cancel;
};

/*
 * Brings each job to its result, from the cache where it can be. Compile errors go to DIAGNOSTICS, with files
 * as the root names them, and mark the job as failed; an error is returned when the compiler could not be run
 * at all or when *cancel was set.
 */
struct molt_error *compile_run(const struct compile_setup *setup, compile_jobs *jobs,
                               struct molt_diagnostics *diagnostics);

#endif
