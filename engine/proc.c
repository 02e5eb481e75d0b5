/*
 * The kernel writes these files anew for each reading, a page at a time. So a line may be cut anywhere: what
 * is left of the last one is kept in front of what is read next.
 *
 *     55d1fff91000-55d1fffb2000 rw-p 00000000 00:00 0                          [heap]
 */
#include "engine/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE 8000

/* Lines as they come, of a long one the beginning. */
struct reader {
    char text[LINE_SIZE + 1];
    size_t length;
    bool cut; /* the beginning of this line has been visited */
    proc_line_visitor *visit;
    void *context;
};

static int take(struct reader *reader, char *line)
{
    int status = reader->cut ? 0 : reader->visit(reader->context, line);

    reader->cut = false;
    return status;
}

static int take_lines(struct reader *reader)
{
    char *line = reader->text, *end;
    int status = 0;

    for (; status == 0 && (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        status = take(reader, line);
    }
    reader->length -= (size_t)(line - reader->text);
    memmove(reader->text, line, reader->length);
    if (status == 0 && reader->length == LINE_SIZE) {
        status = take(reader, reader->text);
        reader->cut = true;
        reader->length = 0;
    }
    return status;
}

int proc_lines(const char *path, proc_line_visitor *visit, void *context)
{
    struct reader reader = { .visit = visit, .context = context };
    int status = 0, file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = 1;

    if (file < 0) {
        return -errno;
    }
    while (status == 0 && size > 0) {
        size = read(file, reader.text + reader.length, LINE_SIZE - reader.length);
        status = size < 0 ? -errno : 0;
        if (size > 0) {
            reader.length += (size_t)size;
            reader.text[reader.length] = '\0';
            status = take_lines(&reader);
        }
    }
    close(file);
    return status;
}

/* ---- mappings -------------------------------------------------------------------------------------- */

static const char *parse_hex(const char *text, uintptr_t *ret)
{
    uintptr_t value = 0;

    for (;; text++) {
        if (*text >= '0' && *text <= '9') {
            value = value * 16 + (uintptr_t)(*text - '0');
        } else if (*text >= 'a' && *text <= 'f') {
            value = value * 16 + (uintptr_t)(*text - 'a') + 10;
        } else {
            *ret = value;
            return text;
        }
    }
}

/* Behind COUNT words and the blanks that follow them. */
static const char *skip_words(const char *text, int count)
{
    for (; count > 0; count--) {
        text += strcspn(text, " ");
        text += strspn(text, " ");
    }
    return text;
}

struct mapping_visit {
    proc_mapping_visitor *visit;
    void *context;
};

static int take_mapping(void *context, char *line)
{
    const struct mapping_visit *visit = context;
    struct proc_mapping mapping = { 0 };
    const char *rest = parse_hex(line, &mapping.start);

    if (*rest != '-') {
        return -EIO;
    }
    rest = parse_hex(rest + 1, &mapping.end);
    if (strnlen(rest, 6) < 6) {
        return -EIO;
    }
    mapping.readable = rest[1] == 'r';
    mapping.writable = rest[2] == 'w';
    mapping.executable = rest[3] == 'x';
    mapping.shared = rest[4] == 's';
    mapping.path = skip_words(rest + 1, 4); /* permissions, offset, device, inode */
    return visit->visit(visit->context, &mapping);
}

int proc_mappings(proc_mapping_visitor *visit, void *context)
{
    struct mapping_visit with = { visit, context };

    return proc_lines("/proc/self/maps", take_mapping, &with);
}

/* ---- numbers --------------------------------------------------------------------------------------- */

struct number {
    const char *key;
    int64_t value;
};

static int take_number(void *context, char *line)
{
    struct number *number = context;
    size_t length = strlen(number->key);

    if (strncmp(line, number->key, length) == 0) {
        number->value = 0;
        for (line += length + strspn(line + length, " \t"); *line >= '0' && *line <= '9'; line++) {
            number->value = number->value * 10 + (*line - '0');
        }
    }
    return 0;
}

int64_t proc_number(const char *path, const char *key)
{
    struct number number = { key, -1 };

    proc_lines(path, take_number, &number);
    return number.value;
}
