/*
 * What a file includes, and what that includes: for the macros in it. Which header a name means only the
 * compiler knows; here every directory that may be meant is searched, the nearest first. Headers of the
 * system count, too: their macros assign and jump like others.
 */
#include <stdio.h>
#include <stdlib.h>

#include "recorder/loop/private.h"
#include "recorder/recorder_private.h"

enum { HEADERS_MAX = 2000, HEADER_SIZE_MAX = 8 << 20 };

struct headers {
    const struct recorder *recorder;
    const struct file *file; /* itself */
    const char *const *directories;
    char **paths; /* of what was read */
    struct loop_header *items;
    size_t count;
    bool full;
};

static bool is_read(const struct headers *headers, const char *path)
{
    for (size_t i = 0; i < headers->count; i++) {
        if (strcmp(headers->paths[i], path) == 0)
            return true;
    }
    return strcmp(path, headers->file->path) == 0;
}

/* The text that PATH has in the editor or on disk, from malloc; NULL: none. */
static char *read_header(const struct headers *headers, const char *path, uint32_t *ret_length)
{
    const char *known;
    size_t length;
    FILE *file;
    struct text text = { 0 };
    char buffer[16384];

    if (recorder_text(headers->recorder, path, &known, &length)) {
        text_append(&text, known, length);
    } else {
        file = fopen(path, "re");
        if (!file)
            return NULL;
        while ((length = fread(buffer, 1, sizeof(buffer), file)) > 0 && text.length < HEADER_SIZE_MAX)
            text_append(&text, buffer, length);
        fclose(file);
    }
    text_puts(&text, "");
    *ret_length = (uint32_t)text.length;
    return text_steal(&text);
}

/* Whether DIRECTORY, of LENGTH characters, has NAME, of NAME_LENGTH; it is then among the headers. */
static bool take(struct headers *headers, const char *directory, size_t length, const char *below,
                 const char *name, size_t name_length)
{
    struct text joined = { 0 };
    struct loop_header header;

    text_printf(&joined, "%.*s/%s%.*s", (int)length, directory, below, (int)name_length, name);
    char *path = joined.bytes ? path_normalise("/", joined.bytes) : NULL;
    text_deinit(&joined);
    if (!path)
        return false;
    if (is_read(headers, path)) {
        free(path);
        return true;
    }
    header.text = headers->count < HEADERS_MAX ? read_header(headers, path, &header.length) : NULL;
    if (!header.text) {
        free(path);
        return false;
    }
    headers->paths[headers->count] = path;
    headers->items[headers->count++] = header;
    return true;
}

static const char *const system_directories[] = { "/usr/local/include", "/usr/include/x86_64-linux-gnu",
                                                  "/usr/include", NULL };

/* Looks for NAME as the file at FROM includes it. */
static void find(struct headers *headers, const char *from, const char *name, size_t length)
{
    static const char *const below[] = { "", "include/", "src/" };
    size_t root = strlen(headers->recorder->root);

    for (const char *end = strrchr(from, '/'); end; end = memrchr(from, '/', (size_t)(end - from))) {
        for (size_t i = 0; i < sizeof(below) / sizeof(*below); i++) {
            if (take(headers, from, (size_t)(end - from), below[i], name, length))
                return;
        }
        if ((size_t)(end - from) <= root)
            break;
    }
    for (size_t i = 0; headers->directories && headers->directories[i]; i++) {
        if (take(headers, headers->directories[i], strlen(headers->directories[i]), "", name, length))
            return;
    }
    for (size_t i = 0; system_directories[i]; i++) {
        if (take(headers, system_directories[i], strlen(system_directories[i]), "", name, length))
            return;
    }
}

/* Reads what TEXT, the file at FROM, includes. */
static void follow(struct headers *headers, const char *from, const char *text, uint32_t length)
{
    static const char word[] = "include";
    const char *end = text + length;

    for (const char *at = text; at < end; at++) {
        const char *line = at + strspn(at, " \t");
        at = memchr(at, '\n', (size_t)(end - at));
        if (*line == '#') {
            line += 1 + strspn(line + 1, " \t");
            if (strncmp(line, word, strlen(word)) == 0) {
                line += strlen(word) + strspn(line + strlen(word), " \t");
                size_t size = *line == '"' || *line == '<' ? strcspn(line + 1, "\">\n") : 0;
                if (size)
                    find(headers, from, line + 1, size);
            }
        }
        if (!at)
            return;
    }
}

static const struct loop_header *read_headers(void *context, size_t *ret_count)
{
    struct headers *headers = context;
    const struct file *file = headers->file;

    if (headers->items) {
        *ret_count = headers->count;
        return headers->items;
    }
    headers->paths = calloc(HEADERS_MAX, sizeof(*headers->paths));
    headers->items = calloc(HEADERS_MAX, sizeof(*headers->items));
    if (!headers->paths || !headers->items)
        return NULL;
    follow(headers, file->path, file->document.text, file->document.length);
    for (size_t i = 0; i < headers->count; i++)
        follow(headers, headers->paths[i], headers->items[i].text, headers->items[i].length);
    *ret_count = headers->count;
    return headers->items;
}

static void deinit(struct headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        free(headers->paths[i]);
        free(headers->items[i].text);
    }
    free(headers->paths);
    free(headers->items);
}

/* Whether a loop may begin, or a `do` end, in the lines that WISH means or the two in front of them: editors
 * ask at each movement of the cursor, and to parse a long function takes its time. */
static bool may_have_loop(const struct document *document, const struct loop_wish *wish)
{
    uint32_t line = wish->first_line > 2 ? wish->first_line - 2 : 0;
    uint32_t start = document_offset(document, line, 0, POSITION_UTF8);
    uint32_t end = document_offset(document, wish->last_line, UINT32_MAX, POSITION_UTF8);
    struct token_reader reader = token_reader_at(document->text, end, start);

    for (struct token token = token_next(&reader); token.kind != TOKEN_END; token = token_next(&reader)) {
        if (token_is(document->text, &token, "for") || token_is(document->text, &token, "while") ||
            token_is(document->text, &token, "do"))
            return true;
    }
    return wish->callee != NULL;
}

struct molt_error *recorder_extract_loop(const struct recorder *recorder, const char *path,
                                         const struct loop_wish *wish, const char *const *directories,
                                         struct loop_extraction *ret)
{
    const struct entry *entry = recorder_find(recorder, path);
    struct molt_error *error = NULL;

    *ret = (struct loop_extraction){ 0 };
    if (!entry || !entry->file.exists)
        return NULL;
    const struct file *file = &entry->file;
    const struct document *document = &file->document;
    if (!may_have_loop(document, wish))
        return NULL;
    struct headers headers = { .recorder = recorder, .file = file, .directories = directories };
    struct loop_source source = {
        .text = document->text, .length = document->length, .headers = read_headers, .context = &headers
    };
    uint32_t first = document_offset(document, wish->first_line, 0, POSITION_UTF8);
    uint32_t last = document_offset(document, wish->first_line, UINT32_MAX, POSITION_UTF8);
    for (uint32_t i = 0; i < file->current.count && !error && !ret->found; i++) {
        const struct segment_span *span = &file->current.items[i].span;
        if (span->kind != SEGMENT_DECLARATION || span->lead > last || span->end <= first)
            continue;
        source.start = span->start;
        source.lead = span->lead;
        source.end = span->end;
        error = loop_extract(&source, wish, ret);
    }
    deinit(&headers);
    return error;
}
