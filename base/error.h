/*
 * What an error is, for all of Molt.
 *
 * Two ways, never mixed within one directory:
 *
 * - base/, link/ and engine/ run inside the updated program or on a request path. Their functions
 *   return int: 0 is success, a negative errno is fatal for the operation, a positive value is a
 *   documented condition that the caller must handle.
 * - recorder/, patch/, lsp-server/ and cli/ speak to a person. Their functions return a
 *   `struct molt_error *`: NULL is success; anything else is owned by the caller, who reports it
 *   (molt_error_destroy after that) or hands it on.
 *
 * Out-parameters are named ret_x, come last and are not touched on failure.
 */
#ifndef MOLT_BASE_ERROR_H
#define MOLT_BASE_ERROR_H

/* name, exit status of the command line, word in JSON output */
#define MOLT_ERROR_CODES(X)                                                                                  \
    X(INTERNAL, 1, "internal")                                                                               \
    X(USAGE, 1, "usage")                                                                                     \
    X(REFUSED, 2, "refused")                                                                                 \
    X(VALIDATION, 3, "validation")                                                                           \
    X(NO_SAFE_POINT, 4, "no-safe-point")                                                                     \
    X(NOT_FOUND, 5, "not-found")

enum molt_error_code {
#define X(name, status, word) MOLT_ERROR_##name,
    MOLT_ERROR_CODES(X)
#undef X
};

struct molt_error {
    enum molt_error_code code;
    char *message; /* one sentence for a person: what stands in the way, and the remedy */
    char *file;    /* source file that the message is about, or NULL */
    unsigned line; /* 1-based line in file, 0 for none */
};

/* Returns a new error; never NULL: without memory, a static error that destroy knows. */
struct molt_error *molt_error_new(enum molt_error_code code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* As molt_error_new, about a line of a source file. FILE is copied. */
struct molt_error *molt_error_at(enum molt_error_code code, const char *file, unsigned line,
                                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* An INTERNAL error that says "WHAT: strerror(ERRNUM)". ERRNUM may be negative. */
struct molt_error *molt_error_errno(int errnum, const char *what, ...) __attribute__((format(printf, 2, 3)));

/* The error for memory exhausted: static, needs no allocation, may be destroyed like any other. */
struct molt_error *molt_error_nomem(void);

/* Prepends "PREFIX: " to the message. Takes and returns ERROR; NULL stays NULL. */
struct molt_error *molt_error_prefix(struct molt_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Frees ERROR; NULL is fine. */
void molt_error_destroy(struct molt_error *error);

/* Exit status of the command line for CODE, and its word in JSON output. */
int molt_error_exit_status(enum molt_error_code code);
const char *molt_error_word(enum molt_error_code code);

#endif
