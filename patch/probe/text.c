/*
 * The source with questions in it. An expression becomes
 *
 *     (__extension__({
 *     # 17 "molt-probe"
 *     __typeof__(p->next) molt_site_17;
 *     # 120 "file.c"
 *     EXPRESSION; }))
 *
 * which gcc and clang take wherever an expression may stand inside a function, with all names in scope that
 * are there. The line markers make the compiler say which question it does not like. Bodies without questions
 * become ';': they make up nearly all of the time, and what is optimised away elsewhere would be missed here
 * (a call that must not remain, a function that must be inlined), so attributes to that effect are blanked
 * out.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/probe/preprocessed.h"
#include "patch/probe/probe.h"

/* Text to be put in at OFFSET. */
struct insertion {
    size_t offset, other; /* where the expression's other end is */
    bool closing;
    size_t first, last; /* numbers of the evidence, for an opening one */
};

typedef LIST(struct insertion) insertions;

/* At one place: what closes comes before what opens, inner ones close first, outer ones open first. */
static int by_offset(const void *left, const void *right)
{
    const struct insertion *a = left, *b = right;

    if (a->offset != b->offset) {
        return a->offset < b->offset ? -1 : 1;
    }
    if (a->closing != b->closing) {
        return a->closing ? -1 : 1;
    }
    if (a->other != b->other) {
        return a->other > b->other ? -1 : 1;
    }
    return a->first == b->first ? 0 : (a->first < b->first) == !a->closing ? -1 : 1;
}

struct writing {
    const struct probe *probe;
    const char *file; /* that the questions are said to be in */
    struct preprocessed source;
    insertions list;
    size_t next; /* insertion to be made */
};

static void collect(const struct probe *probe, insertions *ret)
{
    size_t number = 0;

    for (size_t i = 0; i < probe->candidates.count; i++) {
        const struct candidate *candidate = probe->candidates.items[i];
        for (size_t k = 0; k < candidate->evidence.count; k++) {
            const struct evidence *evidence = &candidate->evidence.items[k];
            number++;
            if (evidence->question) {
                struct insertion open = { evidence->start, evidence->end, false, number, number };
                struct insertion close = { evidence->end, evidence->start, true, number, number };
                LIST_ADD(ret, open);
                LIST_ADD(ret, close);
            }
        }
    }
    if (ret->count) {
        qsort(ret->items, ret->count, sizeof(*ret->items), by_offset);
    }
}

static void write_question(const struct writing *writing, const struct insertion *insertion, struct text *out)
{
    const struct evidence *evidence = probe_evidence(writing->probe, insertion->first, NULL);
    const char *name = strstr(evidence->question, PROBE_NAME), *file;
    unsigned line = preprocessed_line(&writing->source, insertion->offset, &file);

    text_printf(out, "(__extension__({\n# %zu \"%s\"\n", insertion->first, writing->file);
    text_append(out, evidence->question, name - evidence->question);
    text_printf(out, "molt_site_%zu%s\n# %u \"%s\"\n", insertion->first, name + 1, line, file);
}

/* Whether the group at OPEN asks for what only an optimising compiler can do, or needs a body that is left
 * out. */
static bool is_demanding(const char *text, size_t open, size_t end)
{
    static const char *const words[] = { "always_inline", "gnu_inline", "error",
                                         "alias",         "ifunc",      "artificial" };
    bool found = false;

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        found = found || memmem(text + open, end - open, words[i], strlen(words[i]));
    }
    return found;
}

/* Blanks the word at AT with its group if it is an attribute that demands too much. Returns where to go
 * on. */
static size_t relax_attribute(char *text, size_t at, size_t length)
{
    size_t open = at + strcspn(text + at, "(\n;{");

    if (open >= length || text[open] != '(') {
        return at + 1;
    }
    size_t end = preprocessed_skip(text, open, length);
    if (is_demanding(text, open, end)) {
        for (size_t i = at; i < end; i++) {
            text[i] = text[i] == '\n' ? '\n' : ' ';
        }
    }
    return end;
}

static void relax_attributes(char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        const char *hit = memmem(text + at, length - at, "__attribute", 11);
        if (!hit) {
            return;
        }
        at = relax_attribute(text, hit - text, length);
    }
}

/* The C library's wrappers with _FORTIFY_SOURCE pass their variable arguments on by __builtin_va_arg_pack(),
 * which only functions that are inlined may. A number does as well, and stands in for it. */
static void relax_packs(char *text, size_t length)
{
    static const char word[] = "__builtin_va_arg_pack";

    for (char *hit = text; (hit = memmem(hit, length - (hit - text), word, sizeof(word) - 1));) {
        size_t open = hit - text + strcspn(hit, "(\n;{");
        if (open >= length || text[open] != '(') {
            hit += sizeof(word) - 1;
            continue;
        }
        memset(hit, ' ', preprocessed_skip(text, open, length) - (hit - text));
        *hit = '0';
    }
}

static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Blanks `inline` in the head of a function that is to be compiled whether it is called or not. */
static void relax_head(char *text, const struct preprocessed_function *function)
{
    static const char *const words[] = { "inline", "__inline", "__inline__" };

    for (size_t at = function->head, end; at < function->body; at = end) {
        for (end = at; is_word_byte(text[end]); end++) {
        }
        for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
            if (end - at == strlen(words[i]) && memcmp(text + at, words[i], end - at) == 0) {
                memset(text + at, ' ', end - at);
            }
        }
        end += end == at;
    }
}

/* Writes TEXT[from, to) with the insertions that are due. */
static void write_range(struct writing *writing, const char *text, size_t from, size_t to, struct text *out)
{
    while (writing->next < writing->list.count && writing->list.items[writing->next].offset <= to) {
        const struct insertion *insertion = &writing->list.items[writing->next++];
        text_append(out, text + from, insertion->offset - from);
        from = insertion->offset;
        if (insertion->closing) {
            text_puts(out, ";}))");
        } else {
            write_question(writing, insertion, out);
        }
    }
    text_append(out, text + from, to - from);
}

char *probe_write(const struct probe *probe, const char *text, size_t length, const char *file, bool whole,
                  size_t *ret_length)
{
    struct writing writing = { .probe = probe, .file = file };
    struct text out = { 0 };
    size_t from = 0;
    char *relaxed = must_strndup(text, length);

    preprocessed_init(&writing.source, text, length);
    collect(probe, &writing.list);
    relax_attributes(relaxed, length);
    relax_packs(relaxed, length);
    for (size_t i = 0; i < writing.source.functions.count; i++) {
        const struct preprocessed_function *function = &writing.source.functions.items[i];
        bool asked =
            writing.next < writing.list.count && writing.list.items[writing.next].offset < function->end;
        if (asked) {
            relax_head(relaxed, function);
            write_range(&writing, relaxed, from, function->end, &out);
        } else if (whole || function->old_style) {
            text_append(&out, relaxed + from, function->end - from);
        } else {
            text_append(&out, relaxed + from, function->body - from);
            text_puts(&out, ";\n");
        }
        from = function->end;
    }
    text_append(&out, relaxed + from, length - from);
    preprocessed_deinit(&writing.source);
    LIST_FREE(&writing.list);
    free(relaxed);
    *ret_length = out.length;
    return must_have(text_steal(&out));
}
