/*
 * Which names a unit's source can make its object refer to. An object has a relocation against an extern
 * symbol only if the preprocessed source has its name as a word: in the body of a function, behind a '=', or
 * in a string or a pragma, which may say how a symbol is called or be assembly. What stands elsewhere, in
 * declarations, parameters and types, makes none, and a header's declarations are in every unit. A word
 * behind
 * '.' or '->' is a member's name. That a name is a local variable's, say, is not told: it counts as well.
 *
 * The words of each state of a unit are kept in the cache.
 */
#include "patch/probe/named.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "patch/memory.h"
#include "patch/probe/preprocessed.h"

struct scan {
    const char *text;
    size_t length;
    unsigned depth;    /* of braces that may hold code or initial values */
    unsigned bounds;   /* of brackets: of parameters that lead to arrays, too, whose code is elsewhere */
    unsigned compound; /* 1: struct, union or enum was the last word; 2: and its tag */
    bool assigned;     /* a '=' at file level, or `asm`, whose declaration goes on */
    bool member;       /* behind '.' or '->' */
    struct table seen;
    LIST(char *) words;
};

static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$';
}

/* Behind the word or number at AT. */
static size_t word_end(const struct scan *scan, size_t at)
{
    bool number = isdigit((unsigned char)scan->text[at]);

    while (at < scan->length &&
           (is_word_byte(scan->text[at]) ||
            (number && scan->text[at] == '\'' && is_word_byte(scan->text[at + 1])))) { /* 1'000'000 */
        at++;
    }
    return at;
}

static void add(struct scan *scan, size_t start, size_t end)
{
    char *word = must_strndup(scan->text + start, end - start);

    if (isdigit((unsigned char)*word) || table_get(&scan->seen, word)) {
        free(word);
        return;
    }
    LIST_ADD(&scan->words, word);
    table_put(&scan->seen, word, scan);
}

/* All words from START to END, whatever they are in: behind escapes of strings, and behind the dollar sign of
 * operands in assembly, too. */
static void add_all(struct scan *scan, size_t start, size_t end)
{
    while (start < end) {
        size_t next = word_end(scan, start), plain = start + (scan->text[start] == '$');
        if (next > start) {
            add(scan, start, next);
        }
        if (next > plain && plain > start) {
            add(scan, plain, next);
        }
        start = next + (next < end && scan->text[next] == '\\' ? 2 : 1);
    }
}

static bool is_one_of(const struct scan *scan, size_t start, size_t end, const char *const *words)
{
    while (*words && (strlen(*words) != end - start || memcmp(scan->text + start, *words, end - start))) {
        words++;
    }
    return *words;
}

static size_t read_word(struct scan *scan, size_t at)
{
    static const char *const compounds[] = { "struct", "union", "enum", NULL };
    static const char *const assembly[] = { "asm", "__asm", "__asm__", NULL };
    size_t end = word_end(scan, at);

    scan->assigned = scan->assigned || (!scan->depth && is_one_of(scan, at, end, assembly));
    if ((scan->depth || scan->bounds || scan->assigned) && !scan->member) {
        add(scan, at, end);
    }
    scan->compound = is_one_of(scan, at, end, compounds) ? 1 : scan->compound == 1 ? 2 : 0;
    scan->member = false;
    return end;
}

/* A line that begins with '#': where the next ones are from, or a pragma. */
static size_t read_line(struct scan *scan, size_t at)
{
    const char *newline = memchr(scan->text + at, '\n', scan->length - at);
    size_t end = newline ? (size_t)(newline - scan->text) : scan->length, word = at + 1;

    while (word < end && isblank((unsigned char)scan->text[word])) {
        word++;
    }
    if (!isdigit((unsigned char)scan->text[word])) {
        add_all(scan, word, end);
    }
    return end;
}

static size_t read_other(struct scan *scan, size_t at)
{
    const char *text = scan->text;
    bool type = scan->compound && !scan->depth && !scan->assigned;
    size_t end = at + 1;

    scan->compound = 0;
    scan->member =
        text[at] == '.' || (text[at] == '>' && at && text[at - 1] == '-' && (at < 2 || text[at - 2] != '-'));
    switch (text[at]) {
    case '"':
    case '\'':
        end = preprocessed_skip(text, at, scan->length);
        add_all(scan, at, end);
        break;
    case '{':
        end = type ? preprocessed_skip(text, at, scan->length) : end;
        scan->depth += !type;
        break;
    case '}':
        scan->depth -= scan->depth > 0;
        break;
    case '[':
        scan->bounds++;
        break;
    case ']':
        scan->bounds -= scan->bounds > 0;
        break;
    case '=':
        scan->assigned = scan->assigned || !scan->depth;
        break;
    case ';':
        scan->assigned = scan->assigned && scan->depth;
        break;
    default:
        break;
    }
    return end;
}

char *named_words(const char *text, size_t length)
{
    struct scan scan = { .text = text, .length = length };
    struct text words = { 0 };

    for (size_t at = 0; at < length;) {
        if (text[at] == '#' && (!at || text[at - 1] == '\n')) {
            at = read_line(&scan, at);
        } else if (is_word_byte(text[at])) {
            at = read_word(&scan, at);
        } else if (isspace((unsigned char)text[at])) {
            at++;
        } else {
            at = read_other(&scan, at);
        }
    }
    text_puts(&words, "\n");
    for (size_t i = 0; i < scan.words.count; i++) {
        text_printf(&words, "%s\n", scan.words.items[i]);
        free(scan.words.items[i]);
    }
    LIST_FREE(&scan.words);
    table_deinit(&scan.seen);
    return must_have(text_steal(&words));
}

bool named_has(const char *words, const char *name)
{
    bool plain = true;

    for (const char *at = name; *at; at++) {
        plain = plain && is_word_byte(*at);
    }
    if (!words || !plain) {
        return true; /* compilers write letters beyond ASCII in several ways */
    }
    char *line = must_printf("\n%s\n", name);
    bool found = strstr(words, line);
    free(line);
    return found;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

#define RULES 2 /* what was found by others is found anew */

static char *cache_path(const struct unit *unit, const struct dependencies *files)
{
    return must_printf("%s/%s-named-%u.txt", unit->directory, files->key, RULES);
}

static bool from_cache(const struct compile_setup *setup, struct named_request *request)
{
    const struct dependencies *files = unit_dependencies(request->unit, request->tree, setup->hashes);
    char *path = files ? cache_path(request->unit, files) : NULL;
    size_t size;

    molt_error_destroy(path ? file_read(path, &request->words, &size) : NULL);
    free(path);
    return request->words;
}

/* Reads what the preprocessor left, and removes it: it is large. */
static struct molt_error *read_source(const struct compile_job *job, struct named_request *request)
{
    char *text = NULL;
    size_t length;
    struct molt_error *error = file_read(job->object, &text, &length);

    unlink(job->object);
    if (!error) {
        char *path = cache_path(job->unit, job->files);
        request->words = named_words(text, length);
        error = file_write(path, request->words, strlen(request->words));
        free(path);
    }
    free(text);
    return error;
}

struct molt_error *named_read(const struct compile_setup *setup, struct named_request *requests, size_t count)
{
    struct compile_job *all = must_calloc(count, sizeof(*all));
    struct molt_diagnostics ignored = { 0 };
    compile_jobs jobs = { 0 };

    for (size_t i = 0; i < count; i++) {
        all[i] = (struct compile_job){ requests[i].unit, requests[i].tree, COMMAND_PREPROCESSED };
        if (!from_cache(setup, &requests[i])) {
            LIST_ADD(&jobs, &all[i]);
        }
    }
    struct molt_error *error = compile_run(setup, &jobs, &ignored);
    for (size_t i = 0; i < count; i++) {
        error = error || !all[i].object ? error : read_source(&all[i], &requests[i]);
        free(all[i].object);
    }
    LIST_FREE(&jobs);
    molt_diagnostics_deinit(&ignored);
    free(all);
    return error;
}
