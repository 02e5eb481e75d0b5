/*
 * Logging. Where a line goes is decided once, by the program that owns the process: the command line
 * prints to stderr, the language server sends window/logMessage, the engine writes to the file that
 * MOLT_LOG names and nowhere else.
 */
#ifndef MOLT_BASE_LOG_H
#define MOLT_BASE_LOG_H

enum molt_log_level { MOLT_LOG_ERROR, MOLT_LOG_WARNING, MOLT_LOG_INFO, MOLT_LOG_DEBUG };

/* LINE has no newline at its end and is borrowed for the call. May be called from any thread. */
typedef void molt_log_sink(enum molt_log_level level, const char *line, void *context);

/* Sets the sink and the least important level that reaches it. NULL: nothing is logged (the default). */
void molt_log_to(molt_log_sink *sink, void *context, enum molt_log_level level);

/* A sink that writes "molt: LINE" to the file descriptor that CONTEXT, an int cast to a pointer, names. */
molt_log_sink molt_log_fd_sink;

void molt_log(enum molt_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
