/* Logging through one sink per process. A line longer than the buffer is cut, never split. */
#include "base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static struct {
    molt_log_sink *sink;
    void *context;
    enum molt_log_level level;
} log_target;

void molt_log_to(molt_log_sink *sink, void *context, enum molt_log_level level)
{
    log_target.sink = sink;
    log_target.context = context;
    log_target.level = level;
}

void molt_log_fd_sink(enum molt_log_level level, const char *line, void *context)
{
    (void)level;
    char buffer[1100];
    int length = snprintf(buffer, sizeof(buffer), "molt: %s\n", line);

    if (length > 0) {
        ssize_t written = write((int)(intptr_t)context, buffer, (size_t)length);
        (void)written; /* a log that cannot be written has nobody to tell */
    }
}

void molt_log(enum molt_log_level level, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    if (!log_target.sink || level > log_target.level) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    log_target.sink(level, line, log_target.context);
}
