/*
 * Macros, since the tree shows their names only. Of each that the turn uses, its replacement is looked
 * through, and that of macros in it: for variables of the function that it means by their names, for jumps
 * out of the turn, and for what it does with its arguments. Definitions are taken without regard to the #if
 * around them: where there are several, the last one in the file itself counts, and it does not matter much
 * which, as long as variables and jumps in it are seen.
 */
#include "recorder/loop/private.h"

#include <stdlib.h>

enum { EXPANSION_DEPTH = 24 };

/* ---- reading --------------------------------------------------------------------------------------- */

/* The definition behind the word `define`; READER goes to its end. */
static void read_definition(struct loop_work *work, struct token_reader *reader, bool here)
{
    struct token name = token_next(reader), token;
    struct macro macro = { .text = reader->text, .name = name.start, .name_end = name.end, .here = here };

    if (name.kind != TOKEN_WORD)
        return;
    macro.body = macro.body_end = name.end;
    token = token_next(reader);
    if (token.kind == TOKEN_PUNCTUATION && token.first == '(' && token.start == name.end) {
        macro.has_parameters = true;
        macro.parameters = token.end;
        while (token.kind != TOKEN_NEWLINE && token.kind != TOKEN_END && token.first != ')')
            token = token_next(reader);
        macro.parameters_end = token.start;
        macro.body = macro.body_end = token.end;
        if (token.kind != TOKEN_NEWLINE && token.kind != TOKEN_END)
            token = token_next(reader);
    }
    for (; token.kind != TOKEN_NEWLINE && token.kind != TOKEN_END; token = token_next(reader))
        macro.body_end = token.end;
    LOOP_ADD(work, &work->macros, macro);
}

static void read_text(struct loop_work *work, const char *text, uint32_t length, bool here)
{
    struct token_reader reader = token_reader_at(text, length, 0);

    for (;;) {
        struct token token = token_next(&reader);
        if (token.kind == TOKEN_END)
            return;
        if (!token.line_start || token.first != '#')
            continue;
        token = token_next(&reader);
        if (token_is(text, &token, "define"))
            read_definition(work, &reader, here);
        else if (token.kind == TOKEN_END)
            return;
        if (reader.directive)
            token_skip_directive(&reader);
    }
}

static int compare(const void *a, const void *b)
{
    const struct macro *one = a, *other = b;
    uint32_t one_length = one->name_end - one->name, other_length = other->name_end - other->name;
    int order = memcmp(one->text + one->name, other->text + other->name,
                       one_length < other_length ? one_length : other_length);

    if (order || one_length != other_length)
        return order ? order : one_length < other_length ? -1 : 1;
    if (one->here != other->here)
        return one->here ? -1 : 1;
    uint32_t one_size = one->body_end - one->body, other_size = other->body_end - other->body;
    return one_size > other_size ? -1 : one_size < other_size;
}

void loop_read_macros(struct loop_work *work)
{
    const struct loop_source *source = work->source;

    if (source->headers) {
        work->headers = source->headers(source->context, &work->header_count);
        work->failed |= !work->headers;
    }
    read_text(work, source->text, source->length, true);
    for (size_t i = 0; i < work->header_count; i++)
        read_text(work, work->headers[i].text, work->headers[i].length, false);
    if (work->macros.count)
        qsort(work->macros.items, work->macros.count, sizeof(*work->macros.items), compare);
}

const struct macro *loop_macro(const struct loop_work *work, const char *name, uint32_t length)
{
    uint32_t low = 0, high = work->macros.count;
    const struct macro key = { .text = name, .name_end = length, .here = true, .body_end = UINT32_MAX };

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(&work->macros.items[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == work->macros.count)
        return NULL;
    const struct macro *found = &work->macros.items[low];
    return same_words(found->text + found->name, found->name_end - found->name, name, length) ? found : NULL;
}

/* ---- what a macro does with its arguments ---------------------------------------------------------- */

static struct token_reader read_body(const struct macro *macro)
{
    struct token_reader reader = token_reader_at(macro->text, macro->body_end, macro->body);

    reader.line_start = false; /* its # makes strings */
    return reader;
}

static bool is_one_of(const char *text, const struct token *token, const char *const *words)
{
    for (; *words; words++) {
        if (token_is(text, token, *words))
            return true;
    }
    return false;
}

/* A word of a macro. */
struct word {
    const char *bytes;
    uint32_t length;
};

/* What argument number INDEX is called in the macro; false: it has not so many. */
static bool parameter(const struct macro *macro, uint32_t index, struct word *ret)
{
    struct token_reader reader = token_reader_at(macro->text, macro->parameters_end, macro->parameters);

    reader.line_start = false;
    for (struct token token = token_next(&reader); token.kind != TOKEN_END; token = token_next(&reader)) {
        if (token.kind == TOKEN_WORD) {
            *ret = (struct word){ macro->text + token.start, token.end - token.start };
            if (index-- == 0)
                return true;
        } else if (token_is(macro->text, &token, "...")) {
            *ret = (struct word){ "__VA_ARGS__", 11 };
            return true;
        }
    }
    return false;
}

static bool is_word(const struct macro *macro, const struct token *token, const struct word *word)
{
    return token->kind == TOKEN_WORD &&
           same_words(macro->text + token->start, token->end - token->start, word->bytes, word->length);
}

/* Whether what stands behind a name, parentheses closed, assigns to it. */
static bool assigns(const char *text, struct token_reader reader)
{
    struct token token = token_next(&reader);

    while (token.kind == TOKEN_PUNCTUATION && token.first == ')')
        token = token_next(&reader);
    if (token.kind != TOKEN_PUNCTUATION)
        return false;
    if (token_is(text, &token, "++") || token_is(text, &token, "--"))
        return true;
    return text[token.end - 1] == '=' && !token_is(text, &token, "==") && !token_is(text, &token, "!=") &&
           !token_is(text, &token, "<=") && !token_is(text, &token, ">=");
}

/* Whether BEFORE, the last token that is no opening parenthesis, changes what follows, or takes its address.
 */
static bool changes(const char *text, const struct token *before)
{
    return token_is(text, before, "++") || token_is(text, before, "--") || token_is(text, before, "&");
}

/* What a replacement is looked through for. */
enum question { WRITES, USES };

/* The macro that is called with the token behind READER's place as an argument is looked at, too. */
struct calling {
    const struct macro *macro;
    uint32_t argument, nesting;
};

struct reading {
    struct calling calls[16];
    uint32_t count, nesting;
    struct token last;
};

/* Keeps account of the calls around TOKEN, of the replacement of MACRO. */
static void read_calls(const struct loop_work *work, const struct macro *macro, const struct token *token,
                       struct reading *reading)
{
    struct calling *call = reading->count ? &reading->calls[reading->count - 1] : NULL;
    bool direct = call && call->nesting == reading->nesting;

    if (token->first == '(') {
        const struct token *name = &reading->last;
        const struct macro *called =
            name->kind == TOKEN_WORD ? loop_macro(work, macro->text + name->start, name->end - name->start)
                                     : NULL;
        reading->nesting++;
        if (called && called->has_parameters && called != macro && reading->count < 16)
            reading->calls[reading->count++] = (struct calling){ called, 0, reading->nesting };
    } else if (token->first == ')') {
        reading->count -= direct;
        reading->nesting--;
    } else if (token->first == ',' && direct) {
        call->argument++;
    }
    reading->last = *token;
}

/* Whether MACRO, and the macros that it hands it on to, may do that with its argument number INDEX. */
static bool does(const struct loop_work *work, const struct macro *macro, uint32_t index,
                 enum question question, unsigned depth)
{
    struct token_reader reader = read_body(macro);
    struct reading reading = { 0 };
    struct token before = { 0 };
    struct word wanted;

    if (!parameter(macro, index, &wanted) || depth > EXPANSION_DEPTH)
        return true;
    for (struct token token = token_next(&reader); token.kind != TOKEN_END; token = token_next(&reader)) {
        const struct calling *call = reading.count ? &reading.calls[reading.count - 1] : NULL;
        if (is_word(macro, &token, &wanted)) {
            bool handed_on = call && call->nesting == reading.nesting;
            if (question == WRITES && (assigns(macro->text, reader) || changes(macro->text, &before)))
                return true;
            if (question == USES && !handed_on)
                return true;
            if (handed_on && does(work, call->macro, call->argument, question, depth + 1))
                return true;
        }
        read_calls(work, macro, &token, &reading);
        if (token.first != '(')
            before = token;
    }
    return false;
}

bool loop_macro_writes(const struct loop_work *work, const struct macro *macro, uint32_t index)
{
    return does(work, macro, index, WRITES, 0);
}

bool loop_macro_may_drop(const struct loop_work *work, const struct macro *macro, uint32_t index)
{
    const struct macro *end = work->macros.items + work->macros.count;

    for (const struct macro *each = macro; each < end; each++) {
        if (!same_words(each->text + each->name, each->name_end - each->name, macro->text + macro->name,
                        macro->name_end - macro->name))
            break;
        if (each->has_parameters && !does(work, each, index, USES, 0))
            return true;
    }
    return false;
}

/* What READER, a copy, reads next. */
static struct token peek(struct token_reader reader)
{
    return token_next(&reader);
}

bool loop_macro_wraps(const struct macro *macro, uint32_t index)
{
    struct token_reader reader = read_body(macro);
    struct token before = { 0 };
    struct word wanted;

    if (!parameter(macro, index, &wanted))
        return false;
    for (struct token token = token_next(&reader); token.kind != TOKEN_END; token = token_next(&reader)) {
        struct token next = peek(reader);
        if (is_word(macro, &token, &wanted) &&
            ((before.first != '(' && before.first != ',') || (next.first != ')' && next.first != ',')))
            return false;
        before = token;
    }
    return true;
}

static bool measures(const struct loop_work *work, const struct macro *macro, unsigned depth)
{
    static const char *const words[] = { "sizeof",
                                         "typeof",
                                         "__typeof__",
                                         "__typeof",
                                         "_Generic",
                                         "_Alignof",
                                         "__builtin_object_size",
                                         "__alignof__",
                                         "__auto_type",
                                         NULL };
    struct token_reader reader = read_body(macro);

    for (struct token token = token_next(&reader); token.kind != TOKEN_END; token = token_next(&reader)) {
        if (token.kind != TOKEN_WORD)
            continue;
        const struct macro *inner = loop_macro(work, macro->text + token.start, token.end - token.start);
        if (is_one_of(macro->text, &token, words) || depth > EXPANSION_DEPTH ||
            (inner && inner != macro && measures(work, inner, depth + 1)))
            return true;
    }
    return false;
}

bool loop_macro_measures(const struct loop_work *work, const struct macro *macro)
{
    return measures(work, macro, 0);
}

bool loop_macro_spells(const struct macro *macro, uint32_t index)
{
    struct token_reader reader = read_body(macro);
    struct token before = { 0 };
    struct word wanted;

    if (!parameter(macro, index, &wanted))
        return false;
    for (struct token token = token_next(&reader); token.kind != TOKEN_END; token = token_next(&reader)) {
        if (is_word(macro, &token, &wanted)) {
            struct token next = peek(reader);
            if (before.first == '#' || next.first == '#')
                return true;
        }
        before = token;
    }
    return false;
}

/* ---- what a macro does behind its name ------------------------------------------------------------- */

/* Functions that mean the function that they are called in. */
static const char *const bound[] = { "alloca",
                                     "__builtin_alloca",
                                     "strdupa",
                                     "strndupa",
                                     "setjmp",
                                     "_setjmp",
                                     "sigsetjmp",
                                     "__sigsetjmp",
                                     "getcontext",
                                     "vfork",
                                     "va_start",
                                     "__builtin_va_start",
                                     "__builtin_frame_address",
                                     "__builtin_return_address",
                                     NULL };

/* The variable that the word from START to END of TEXT means where the loop stands, if it comes from outside.
 */
static struct name *outer_name(struct loop_work *work, const char *text, uint32_t start, uint32_t end)
{
    for (uint32_t i = 0; i < work->names.count; i++) {
        struct name *name = &work->names.items[i];
        if (name->visible && !name->inside &&
            same_words(text_at(work, name->start), name->end - name->start, text + start, end - start))
            return name;
    }
    return NULL;
}

/* Whether TOKEN, of the replacement, is what an argument is put in place of. */
static bool is_parameter(const struct macro *macro, const struct token *token)
{
    struct token_reader reader = token_reader_at(macro->text, macro->parameters_end, macro->parameters);

    reader.line_start = false;
    for (struct token each = token_next(&reader); each.kind != TOKEN_END; each = token_next(&reader)) {
        if (same_words(macro->text + each.start, each.end - each.start, macro->text + token->start,
                       token->end - token->start))
            return true;
    }
    return false;
}

struct expansion {
    struct loop_work *work;
    const char *top;         /* the macro that the turn names */
    uint32_t offset;         /* where */
    bool in_loop, in_switch; /* one of the macro's own has begun */
};

static void expand(struct expansion *expansion, struct macro *macro, unsigned depth);

/* A word of a replacement. */
static void expand_word(struct expansion *expansion, struct macro *macro, const struct token *token,
                        const struct token *before, struct token_reader reader, unsigned depth)
{
    static const char *const jumps[] = { "return", "goto", NULL };
    static const char *const of_switch[] = { "break", "case", "default", NULL };
    static const char *const loops[] = { "for", "while", "do", NULL };
    const char *text = macro->text;
    struct name *name;

    if (is_one_of(text, token, loops))
        expansion->in_loop = true;
    expansion->in_switch |= token_is(text, token, "switch");
    if (is_one_of(text, token, jumps) || is_one_of(text, token, bound) ||
        (!expansion->in_loop && token_is(text, token, "continue")) ||
        (!expansion->in_loop && !expansion->in_switch && is_one_of(text, token, of_switch)))
        loop_refuse(expansion->work, expansion->offset, "the macro `%s` has `%.*s` in it", expansion->top,
                    (int)(token->end - token->start), text + token->start);
    if (token_is(text, before, ".") || token_is(text, before, "->"))
        return;
    if (is_parameter(macro, token))
        return;
    name = outer_name(expansion->work, text, token->start, token->end);
    if (name) {
        name->used = name->needed = true;
        name->macro = expansion->top;
        name->macro_changes |= assigns(text, reader) || changes(text, before);
        return;
    }
    expand(expansion,
           (struct macro *)loop_macro(expansion->work, text + token->start, token->end - token->start),
           depth + 1);
}

static void expand(struct expansion *expansion, struct macro *macro, unsigned depth)
{
    struct token before = { 0 };

    if (!macro || macro->visiting)
        return;
    if (depth > EXPANSION_DEPTH) {
        loop_refuse(expansion->work, expansion->offset, "the macro `%s` is nested too deeply",
                    expansion->top);
        return;
    }
    macro->visiting = true;
    struct token_reader reader = read_body(macro);
    for (struct token token = token_next(&reader); token.kind != TOKEN_END; token = token_next(&reader)) {
        if (token.kind == TOKEN_WORD)
            expand_word(expansion, macro, &token, &before, reader, depth);
        if (token.first != '(')
            before = token;
    }
    macro->visiting = false;
}

/* Whether MACRO is defined inside of the function, where the new one does not know it. */
static bool is_local(const struct loop_work *work, const struct macro *macro)
{
    return macro->here && macro->name > node_start(work, work->function) &&
           macro->name < node_end(work, work->function);
}

/* The word TOKEN of the turn, if it is a macro that is expanded there. */
static void expand_here(struct loop_work *work, const struct token *token, struct token_reader reader)
{
    struct macro *macro =
        (struct macro *)loop_macro(work, text_at(work, token->start), token->end - token->start);
    struct text top = { 0 };
    struct token next = token_next(&reader);

    if (!macro || (macro->has_parameters && next.first != '('))
        return;
    text_append(&top, text_at(work, token->start), token->end - token->start);
    struct expansion expansion = { work, loop_keep(work, &top), token->start, false, false };
    if (is_local(work, macro))
        loop_refuse(work, token->start, "the macro `%s` is defined inside of the function", expansion.top);
    expand(&expansion, macro, 0);
}

void loop_expand_macros(struct loop_work *work)
{
    struct token_reader reader =
        token_reader_at(work->source->text, node_end(work, work->turn), node_start(work, work->turn));

    for (struct token token = token_next(&reader); token.kind != TOKEN_END; token = token_next(&reader)) {
        if (token.kind != TOKEN_WORD)
            continue;
        if (is_one_of(work->source->text, &token, bound))
            loop_refuse(work, token.start, "it calls `%.*s`, which goes by the function that it is called in",
                        (int)(token.end - token.start), text_at(work, token.start));
        else
            expand_here(work, &token, reader);
    }
}
