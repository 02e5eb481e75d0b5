/*
 * Reading what the preprocessor left. Valid C without macros, comments and conditionals: braces and
 * parentheses can be trusted, so one pass over the bytes finds each function's definition, where a parser of
 * C without types would lose its way in the extensions of system headers.
 */
#include "patch/probe/preprocessed.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"

/* What is known of the declaration at file level that is being read. */
struct declaration {
    size_t start;      /* SIZE_MAX: nothing of it was met yet */
    bool group;        /* parentheses, and no '=' before them */
    bool assigned;     /* '=' */
    bool after_group;  /* the last thing met was such parentheses */
    bool old_style;    /* words follow the parentheses: declarations of parameters */
    unsigned compound; /* 1: struct, union or enum was the last word; 2: and its tag */
};

static const struct declaration nothing = { .start = SIZE_MAX };

static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$';
}

static size_t word_end(const char *text, size_t offset)
{
    while (is_word_byte(text[offset])) {
        offset++;
    }
    return offset;
}

static bool is_word(const char *text, size_t start, size_t end, const char *word)
{
    return end - start == strlen(word) && memcmp(text + start, word, end - start) == 0;
}

static bool is_one_of(const char *text, size_t start, size_t end, const char *const *words)
{
    for (; *words; words++) {
        if (is_word(text, start, end, *words)) {
            return true;
        }
    }
    return false;
}

static size_t skip_string(const char *text, size_t offset, size_t limit)
{
    char quote = text[offset++];

    while (offset < limit && text[offset] != quote && text[offset] != '\n') {
        offset += text[offset] == '\\' ? 2 : 1;
    }
    return offset < limit ? offset + 1 : limit;
}

size_t preprocessed_skip(const char *text, size_t offset, size_t limit)
{
    unsigned depth = 0;

    do {
        switch (text[offset]) {
        case '"':
        case '\'':
            offset = skip_string(text, offset, limit);
            break;
        case '(':
        case '[':
        case '{':
            depth++;
            offset++;
            break;
        case ')':
        case ']':
        case '}':
            depth -= depth > 0;
            offset++;
            break;
        case '#': /* a marker */
            while ((offset == 0 || text[offset - 1] == '\n') && offset < limit && text[offset] != '\n') {
                offset++;
            }
            offset += offset < limit;
            break;
        default:
            offset++;
        }
    } while (depth && offset < limit);
    return offset < limit ? offset : limit;
}

/* "# 12 "file.c" 1", at OFFSET; returns the offset of the next line. */
static size_t read_marker(struct preprocessed *source, size_t offset)
{
    const char *end = memchr(source->text + offset, '\n', source->length - offset);
    size_t next = end ? (size_t)(end - source->text) + 1 : source->length;
    char *after;
    const char *from = source->text + offset + 1;

    from += strncmp(from, "line", 4) == 0 ? 4 : 0;
    unsigned long line = strtoul(from, &after, 10);
    const char *open = memchr(after, '"', source->text + next - after);
    const char *close = open ? memchr(open + 1, '"', source->text + next - open - 1) : NULL;
    if (after == from || !close) {
        return next;
    }
    char *last = source->files.count ? source->files.items[source->files.count - 1] : NULL;
    if (!last || strncmp(last, open + 1, close - open - 1) != 0 || last[close - open - 1]) {
        last = must_strndup(open + 1, close - open - 1);
        LIST_ADD(&source->files, last);
    }
    LIST_ADD(&source->lines, (struct preprocessed_line){ next, last, line });
    return next;
}

/* A word at file level. Returns the offset behind it and what belongs to it. */
static size_t read_word(const char *text, size_t start, size_t limit, struct declaration *declaration)
{
    static const char *const attributes[] = { "__attribute__", "__attribute", "__asm__",    "__asm",
                                              "asm",           "_Alignas",    "__typeof__", "__typeof",
                                              "typeof",        "_Atomic",     NULL };
    static const char *const compounds[] = { "struct", "union", "enum", NULL };
    static const char *const nothing_said[] = { "__extension__", "const",        "volatile",
                                                "__const",       "__restrict",   "__restrict__",
                                                "restrict",      "__volatile__", NULL };
    static const char *const storage[] = { "static", "extern", "typedef", NULL };
    size_t end = word_end(text, start);

    if (declaration->old_style && is_one_of(text, start, end, storage)) {
        *declaration = nothing; /* no parameter begins so: what looked like some was something else */
        declaration->start = start;
    }
    if (is_one_of(text, start, end, attributes)) {
        while (end < limit && isspace((unsigned char)text[end])) {
            end++;
        }
        return text[end] == '(' ? preprocessed_skip(text, end, limit) : end;
    }
    if (is_one_of(text, start, end, nothing_said)) {
        return end;
    }
    if (declaration->after_group && !declaration->assigned) {
        declaration->old_style = true;
    }
    if (is_one_of(text, start, end, compounds)) {
        declaration->compound = 1;
    } else {
        declaration->compound = declaration->compound == 1 ? 2 : 0;
    }
    return end;
}

/* A '{' at file level. Returns the offset behind its '}'. */
static size_t read_braces(struct preprocessed *source, size_t start, struct declaration *declaration)
{
    size_t end = preprocessed_skip(source->text, start, source->length);

    if (!declaration->compound && declaration->group && !declaration->assigned) {
        LIST_ADD(&source->functions, (struct preprocessed_function){ .head = declaration->start,
                                                                     .body = start,
                                                                     .end = end,
                                                                     .old_style = declaration->old_style });
        *declaration = nothing;
    } else {
        declaration->compound = 0;
        declaration->after_group = false;
    }
    return end;
}

/* Whatever else is at file level, at OFFSET. Returns the offset behind it. */
static size_t read_other(struct preprocessed *source, size_t offset, struct declaration *declaration)
{
    const char *text = source->text;

    switch (text[offset]) {
    case '{':
        return read_braces(source, offset, declaration);
    case '(':
        declaration->compound = 0;
        declaration->group = true;
        declaration->after_group = true;
        return preprocessed_skip(text, offset, source->length);
    case ';':
        if (!declaration->old_style) {
            *declaration = nothing;
        }
        return offset + 1;
    case '"':
    case '\'':
    case '[':
        return preprocessed_skip(text, offset, source->length);
    case '=':
        declaration->assigned = true;
        break;
    case ',':
        declaration->after_group = declaration->after_group && declaration->old_style;
        break;
    default:
        declaration->compound = 0;
    }
    return offset + 1;
}

static void find_functions(struct preprocessed *source)
{
    struct declaration declaration = nothing;
    bool line_start = true;

    for (size_t at = 0; at < source->length;) {
        char c = source->text[at];
        if (c == '#' && line_start) {
            const char *end = memchr(source->text + at, '\n', source->length - at);
            at = end ? (size_t)(end - source->text) + 1 : source->length;
            continue;
        }
        line_start = c == '\n' || (line_start && isspace((unsigned char)c));
        if (isspace((unsigned char)c)) {
            at++;
            continue;
        }
        declaration.start = declaration.start == SIZE_MAX ? at : declaration.start;
        at = is_word_byte(c) ? read_word(source->text, at, source->length, &declaration)
                             : read_other(source, at, &declaration);
    }
}

void preprocessed_init(struct preprocessed *source, const char *text, size_t length)
{
    *source = (struct preprocessed){ .text = text, .length = length };
    for (size_t at = 0; at < length;) {
        if (text[at] == '#') {
            at = read_marker(source, at);
        } else {
            const char *end = memchr(text + at, '\n', length - at);
            at = end ? (size_t)(end - text) + 1 : length;
        }
    }
    find_functions(source);
}

void preprocessed_deinit(struct preprocessed *source)
{
    for (size_t i = 0; i < source->files.count; i++) {
        free(source->files.items[i]);
    }
    LIST_FREE(&source->files);
    LIST_FREE(&source->lines);
    LIST_FREE(&source->functions);
}

unsigned preprocessed_line(const struct preprocessed *source, size_t offset, const char **ret_file)
{
    size_t index = COUNT_BEFORE(i, source->lines.count, source->lines.items[i].offset <= offset);

    if (!index) {
        *ret_file = "";
        return 0;
    }
    const struct preprocessed_line *marker = &source->lines.items[index - 1];
    unsigned line = marker->line;
    for (const char *at = source->text + marker->offset; at < source->text + offset; at++) {
        line += *at == '\n';
    }
    *ret_file = marker->file;
    return line;
}
