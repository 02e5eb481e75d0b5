/*
 * Diagnostics: what Molt has to say about a place in the source. Compiler errors, refusals, phenomena
 * (Gosh! section 3) and notes all travel in this one shape, from where they are found to the editor or
 * the terminal.
 */
#ifndef MOLT_BASE_DIAGNOSTIC_H
#define MOLT_BASE_DIAGNOSTIC_H

#include <stddef.h>

enum molt_severity { MOLT_SEVERITY_ERROR = 1, MOLT_SEVERITY_WARNING, MOLT_SEVERITY_NOTE };

struct molt_diagnostic {
    enum molt_severity severity;
    char *file;       /* absolute path, or NULL when the message is about no file */
    unsigned line;    /* 1-based, 0 for none */
    unsigned column;  /* 1-based in bytes, 0 for none */
    const char *code; /* static word, such as "layout-changed", or "compile" */
    char *message;
};

struct molt_diagnostics {
    struct molt_diagnostic *items;
    size_t count;
    size_t capacity;
    size_t dropped; /* how many did not fit into memory */
};

/* Appends one; FILE (may be NULL) is copied, CODE must be a string that stays. Without memory the
 * diagnostic is counted in `dropped`. */
void molt_diagnostics_add(struct molt_diagnostics *list, enum molt_severity severity, const char *file,
                          unsigned line, unsigned column, const char *code, const char *format, ...)
    __attribute__((format(printf, 7, 8)));

/* Whether the list holds an error (one dropped for lack of memory counts as one). */
int molt_diagnostics_has_error(const struct molt_diagnostics *list);

/* Frees what the list holds and leaves it empty. */
void molt_diagnostics_deinit(struct molt_diagnostics *list);

#endif
