/*
 * The error object. Making one must not fail, since it is made when things already went wrong: where
 * memory is short the static object is handed out, and destroy leaves that one alone.
 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct molt_error out_of_memory = {
    .code = MOLT_ERROR_INTERNAL,
    .message = (char *)"out of memory",
};

static struct molt_error *make(enum molt_error_code code, const char *file, unsigned line, char *message)
{
    struct molt_error *error = calloc(1, sizeof(*error));

    if (error && file) {
        error->file = strdup(file);
    }
    if (!error || !message || (file && !error->file)) {
        free(message);
        if (error) {
            free(error->file);
            free(error);
        }
        return &out_of_memory;
    }
    error->code = code;
    error->message = message;
    error->line = line;
    return error;
}

static char *format_message(const char *format, va_list arguments)
{
    char *message = NULL;

    return vasprintf(&message, format, arguments) < 0 ? NULL : message;
}

struct molt_error *molt_error_new(enum molt_error_code code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *message = format_message(format, arguments);
    va_end(arguments);
    return make(code, NULL, 0, message);
}

struct molt_error *molt_error_at(enum molt_error_code code, const char *file, unsigned line,
                                 const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *message = format_message(format, arguments);
    va_end(arguments);
    return make(code, file, line, message);
}

struct molt_error *molt_error_errno(int errnum, const char *what, ...)
{
    va_list arguments;

    va_start(arguments, what);
    char *subject = format_message(what, arguments);
    va_end(arguments);
    char *message = NULL;
    if (!subject || asprintf(&message, "%s: %s", subject, strerror(abs(errnum))) < 0) {
        message = NULL;
    }
    free(subject);
    return make(MOLT_ERROR_INTERNAL, NULL, 0, message);
}

struct molt_error *molt_error_nomem(void)
{
    return &out_of_memory;
}

struct molt_error *molt_error_prefix(struct molt_error *error, const char *format, ...)
{
    if (!error || error == &out_of_memory) {
        return error;
    }
    va_list arguments;
    va_start(arguments, format);
    char *prefix = format_message(format, arguments);
    va_end(arguments);
    char *message = NULL;
    if (prefix && asprintf(&message, "%s: %s", prefix, error->message) >= 0) {
        free(error->message);
        error->message = message;
    }
    free(prefix);
    return error;
}

void molt_error_destroy(struct molt_error *error)
{
    if (!error || error == &out_of_memory) {
        return;
    }
    free(error->message);
    free(error->file);
    free(error);
}

int molt_error_exit_status(enum molt_error_code code)
{
    static const int statuses[] = {
#define X(name, status, word) [MOLT_ERROR_##name] = status,
        MOLT_ERROR_CODES(X)
#undef X
    };
    return statuses[code];
}

const char *molt_error_word(enum molt_error_code code)
{
    static const char *const words[] = {
#define X(name, status, word) [MOLT_ERROR_##name] = word,
        MOLT_ERROR_CODES(X)
#undef X
    };
    return words[code];
}
