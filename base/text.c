/* Text that grows by doubling, and the few operations on paths that are operations on text. */
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool text_reserve(struct text *text, size_t more)
{
    if (text->failed || more > (size_t)-1 / 4 - text->length) {
        text->failed = true;
        return false;
    }
    size_t needed = text->length + more + 1;
    if (needed <= text->capacity) {
        return true;
    }
    size_t capacity = text->capacity ? text->capacity : 64;
    while (capacity < needed) {
        capacity *= 2;
    }
    char *bytes = realloc(text->bytes, capacity);
    if (!bytes) {
        text->failed = true;
        return false;
    }
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

void text_append(struct text *text, const void *bytes, size_t length)
{
    if (!text_reserve(text, length)) {
        return;
    }
    if (length) {
        memcpy(text->bytes + text->length, bytes, length);
    }
    text->length += length;
    text->bytes[text->length] = '\0';
}

void text_puts(struct text *text, const char *string)
{
    text_append(text, string, strlen(string));
}

void text_vprintf(struct text *text, const char *format, va_list arguments)
{
    va_list again;

    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0 || !text_reserve(text, (size_t)length)) {
        text->failed = true;
        return;
    }
    vsnprintf(text->bytes + text->length, (size_t)length + 1, format, arguments);
    text->length += (size_t)length;
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    text_vprintf(text, format, arguments);
    va_end(arguments);
}

void text_consume(struct text *text, size_t length)
{
    if (length >= text->length) {
        text->length = 0;
    } else {
        memmove(text->bytes, text->bytes + length, text->length - length);
        text->length -= length;
    }
    if (text->bytes) {
        text->bytes[text->length] = '\0';
    }
}

void text_clear(struct text *text)
{
    text->length = 0;
    text->failed = false;
    if (text->bytes) {
        text->bytes[0] = '\0';
    }
}

bool text_failed(const struct text *text)
{
    return text->failed;
}

char *text_steal(struct text *text)
{
    text_append(text, "", 0);
    if (text->failed) {
        text_deinit(text);
        return NULL;
    }
    char *bytes = text->bytes;
    *text = (struct text){ 0 };
    return bytes;
}

void text_deinit(struct text *text)
{
    free(text->bytes);
    *text = (struct text){ 0 };
}

char *path_join(const char *directory, const char *name)
{
    struct text path = { 0 };

    if (name[0] != '/') {
        text_puts(&path, directory);
        if (path.length && path.bytes[path.length - 1] != '/') {
            text_puts(&path, "/");
        }
    }
    text_puts(&path, name);
    return text_steal(&path);
}

/* Appends the components of PATH to RESULT, an absolute path without a slash at its end ("" is the root). */
static void append_components(struct text *result, const char *path)
{
    while (*path) {
        size_t length = strcspn(path, "/");
        if (length == 2 && path[0] == '.' && path[1] == '.') {
            while (result->length && result->bytes[--result->length] != '/') {
            }
            if (result->bytes) {
                result->bytes[result->length] = '\0';
            }
        } else if (length && !(length == 1 && path[0] == '.')) {
            text_puts(result, "/");
            text_append(result, path, length);
        }
        path += length;
        path += *path == '/';
    }
}

char *path_normalise(const char *directory, const char *path)
{
    struct text result = { 0 };

    if (path[0] != '/') {
        append_components(&result, directory);
    }
    append_components(&result, path);
    if (!result.length) {
        text_puts(&result, "/");
    }
    return text_steal(&result);
}

const char *path_below(const char *directory, const char *path)
{
    size_t length = strlen(directory);

    while (length && directory[length - 1] == '/') {
        length--;
    }
    if (strncmp(directory, path, length) != 0) {
        return NULL;
    }
    if (path[length] == '\0') {
        return path + length;
    }
    return path[length] == '/' ? path + length + 1 : NULL;
}

const char *path_last(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static int compare_strings(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

void strings_sort(void *strings, size_t count)
{
    if (count > 0) { /* qsort wants an array even of none */
        qsort(strings, count, sizeof(char *), compare_strings);
    }
}
