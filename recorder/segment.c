/*
 * The cut. Braces are counted; a conditional inside of a declaration restores the count of its '#if' at each
 * '#else', so branches that open the same brace twice count once. Half-typed code must not swallow the rest
 * of the file, so the layout that C is written in is taken as a witness where the count looks wrong: a '}' in
 * the first column ends a body that is otherwise indented, and a function head in the first column begins
 * something new.
 */
#include "recorder/segment.h"

#include <string.h>

#include "recorder/token.h"

enum { CONDITIONALS_MAX = 64, HEAD_TOKENS_MAX = 256, PARAMETERS_MAX = 1024 };

enum brace { BRACE_NONE, BRACE_FUNCTION, BRACE_AGGREGATE, BRACE_INITIALISER };

/* Where we are between `struct` and the '{' of its members. */
enum aggregate { AGGREGATE_NONE, AGGREGATE_SEEN, AGGREGATE_ATTRIBUTE, AGGREGATE_ARGUMENTS, AGGREGATE_NAMED };

struct conditional {
    uint32_t depth;       /* at its #if */
    uint32_t first_depth; /* at the end of its first branch */
    bool branched;
};

struct cutter {
    const char *text;
    struct token_reader reader;
    struct token before;  /* the token before the current one */
    uint32_t tokens;      /* how many there were, directives not counted */
    struct token head[2]; /* the first two of them */
    uint32_t depth;
    uint32_t parens; /* depth of parentheses outside of braces */
    uint32_t conditional_count;
    struct conditional conditionals[CONDITIONALS_MAX];
    enum brace brace; /* what the outermost open brace, or the last one closed, is */
    enum aggregate aggregate;
    bool assigned;    /* an '=' outside of braces */
    bool old_style;   /* a word behind a parameter list: "f(a) int a;" */
    bool unindented;  /* code in the first column inside of braces */
    bool overclosed;  /* one '}' too many was ignored */
    uint32_t scanned; /* furthest byte looked at */
    segment_visitor *visit;
    void *context;
    uint32_t region_start;
};

static bool is_one_of(const char *text, const struct token *token, const char *const *words)
{
    for (; *words; words++) {
        if (token_is(text, token, *words)) {
            return true;
        }
    }
    return false;
}

static bool is_statement_word(const char *text, const struct token *token)
{
    static const char *const words[] = { "if",   "else", "for",    "while",  "switch",  "do",
                                         "case", "goto", "return", "sizeof", "default", NULL };

    return is_one_of(text, token, words);
}

static bool is_attribute_word(const char *text, const struct token *token)
{
    static const char *const words[] = { "__attribute__", "__attribute", "__declspec", "alignas", "_Alignas",
                                         "__asm__",       "asm",         "__asm",      NULL };

    return is_one_of(text, token, words);
}

static bool is_storage_word(const char *text, const struct token *token)
{
    static const char *const words[] = { "static", "extern", "typedef", NULL };

    return is_one_of(text, token, words);
}

static bool is_declaration_word(const char *text, const struct token *token)
{
    static const char *const words[] = { "static", "extern",   "typedef", "const", "volatile", "struct",
                                         "union",  "enum",     "void",    "int",   "char",     "short",
                                         "long",   "unsigned", "signed",  "float", "double",   "inline",
                                         "_Bool",  "bool",     NULL };

    return is_one_of(text, token, words);
}

/* Reads a token ahead without moving the cutter. */
static struct token peek(struct cutter *cutter, struct token_reader *ahead)
{
    struct token token = token_next(ahead);
    uint32_t seen = token.end < ahead->length ? token.end + 1 : ahead->length;

    if (seen > cutter->scanned) {
        cutter->scanned = seen;
    }
    return token;
}

/* Whether FIRST, a word in the first column, begins the definition of a function: two words or more, an
 * argument list, a '{'. */
static bool begins_function(struct cutter *cutter, const struct token *first)
{
    struct token_reader ahead = cutter->reader;
    struct token token = *first;
    uint32_t words = 0, parens = 0;
    bool arguments = false;

    for (int count = 0; count < HEAD_TOKENS_MAX && token.kind != TOKEN_END; count++) {
        if (token.kind == TOKEN_WORD && is_statement_word(cutter->text, &token)) {
            return false;
        }
        if (token.first == '(') {
            if (!arguments && words < 2) {
                return false;
            }
            arguments = true;
            parens++;
        } else if (token.first == ')') {
            parens -= parens > 0;
        } else if (token.first == '{') {
            return arguments && parens == 0;
        } else if (!parens && token.kind == TOKEN_WORD) {
            words++;
        } else if (!parens && token.first != '*') {
            return false;
        }
        token = peek(cutter, &ahead);
    }
    return false;
}

static bool is_label(struct cutter *cutter)
{
    struct token_reader ahead = cutter->reader;

    return peek(cutter, &ahead).first == ':';
}

/* After "f(a, b) int a;" outside of braces: whether declarations of parameters go on up to a '{'. */
static bool parameters_follow(struct cutter *cutter)
{
    struct token_reader ahead = cutter->reader;
    struct token last = { .first = ';' };
    uint32_t limit = cutter->reader.position + PARAMETERS_MAX;

    while (ahead.position < limit) {
        struct token token = peek(cutter, &ahead);
        if (token.first == '{') {
            return last.first == ';';
        }
        if (token.kind == TOKEN_END || token.first == '#' || token.first == '=' || token.first == '}') {
            return false;
        }
        last = token;
    }
    return false;
}

static void report(struct cutter *cutter, enum region_kind kind, uint32_t start, uint32_t end)
{
    if (cutter->visit) {
        struct segment_region region = { .kind = kind, .start = start, .end = end };
        cutter->visit(&region, cutter->context);
    }
}

/* Keeps the count of braces right over #if, #else and #endif. False: the conditional began before the
 * segment, which therefore ends here. */
static bool follow_conditional(struct cutter *cutter, const struct token *word)
{
    const char *text = cutter->text;
    struct conditional *top =
        cutter->conditional_count ? &cutter->conditionals[cutter->conditional_count - 1] : NULL;

    if (token_is(text, word, "if") || token_is(text, word, "ifdef") || token_is(text, word, "ifndef")) {
        if (cutter->conditional_count < CONDITIONALS_MAX) {
            cutter->conditionals[cutter->conditional_count++] =
                (struct conditional){ .depth = cutter->depth };
        }
        return true;
    }
    bool branch = token_is(text, word, "else") || token_is(text, word, "elif");
    if (!branch && !token_is(text, word, "endif")) {
        return true;
    }
    if (!top) {
        return false;
    }
    if (!top->branched) {
        top->first_depth = cutter->depth;
        top->branched = true;
    }
    cutter->depth = branch ? top->depth : top->first_depth;
    cutter->conditional_count -= !branch;
    return true;
}

/* Whether the directive that begins at HASH and is called WORD ends the declaration before it. */
static bool directive_ends(const struct cutter *cutter, const struct token *word)
{
    if (cutter->depth) {
        return false;
    }
    if (token_is(cutter->text, word, "define") || token_is(cutter->text, word, "include") ||
        token_is(cutter->text, word, "undef") || token_is(cutter->text, word, "pragma")) {
        return true;
    }
    /* "MACRO(...)" without a semicolon, complete as it is */
    return cutter->head[1].first == '(' && cutter->before.first == ')' && !cutter->parens &&
           !cutter->conditional_count;
}

/* A directive inside of a declaration. False: the declaration ends before it. */
static bool cut_directive(struct cutter *cutter, const struct token *hash)
{
    struct token_reader ahead = cutter->reader;
    struct token word = peek(cutter, &ahead);

    if (directive_ends(cutter, &word) || !follow_conditional(cutter, &word)) {
        return false;
    }
    token_skip_directive(&cutter->reader);
    report(cutter, REGION_DIRECTIVE, hash->start, cutter->reader.position);
    return true;
}

/* In "static MACRO struct s" only the grammar minds the macro. */
static void report_macro_before(struct cutter *cutter, const struct token *token)
{
    static const char *const words[] = { "inline",     "register",      "auto",          "__inline",
                                         "__inline__", "__extension__", "_Atomic",       "restrict",
                                         "_Noreturn",  "__thread",      "_Thread_local", NULL };
    const struct token *before = &cutter->before;

    if (before->kind == TOKEN_WORD && before->end < token->start && !cutter->parens &&
        !is_declaration_word(cutter->text, before) && !is_attribute_word(cutter->text, before) &&
        !is_one_of(cutter->text, before, words)) {
        report(cutter, REGION_MACRO, before->start, before->end);
    }
}

/* Follows the words between `struct` and its '{'. */
static void follow_aggregate(struct cutter *cutter, const struct token *token)
{
    const char *text = cutter->text;

    if (token->kind == TOKEN_WORD) {
        if (token_is(text, token, "struct") || token_is(text, token, "union") ||
            token_is(text, token, "enum")) {
            report_macro_before(cutter, token);
            cutter->aggregate = AGGREGATE_SEEN;
        } else if (cutter->aggregate == AGGREGATE_SEEN) {
            cutter->aggregate = is_attribute_word(text, token) ? AGGREGATE_ATTRIBUTE : AGGREGATE_NAMED;
        } else if (cutter->aggregate == AGGREGATE_NAMED && is_attribute_word(text, token)) {
            cutter->aggregate = AGGREGATE_ATTRIBUTE;
        }
        return;
    }
    if (token->first == '(' && cutter->aggregate == AGGREGATE_ATTRIBUTE) {
        cutter->aggregate = AGGREGATE_ARGUMENTS;
    } else if (cutter->aggregate == AGGREGATE_ARGUMENTS) {
        /* parentheses are counted by the caller: this one closes the outermost */
        if (token->first == ')' && cutter->parens == 0) {
            cutter->aggregate = AGGREGATE_SEEN;
        }
    } else if (token->first != ':') {
        cutter->aggregate = AGGREGATE_NONE;
    }
}

static enum brace classify_brace(const struct cutter *cutter, const struct token *token)
{
    if (cutter->aggregate == AGGREGATE_SEEN || cutter->aggregate == AGGREGATE_NAMED) {
        return BRACE_AGGREGATE;
    }
    if (cutter->assigned && !(token->first_column && cutter->before.first == ')')) {
        return BRACE_INITIALISER;
    }
    return BRACE_FUNCTION;
}

static void open_brace(struct cutter *cutter, const struct token *token)
{
    if (cutter->depth++ == 0) {
        cutter->brace = classify_brace(cutter, token);
        cutter->aggregate = AGGREGATE_NONE;
        cutter->unindented = false;
        cutter->region_start = token->end;
    } else if (token->first_column) {
        cutter->unindented = true; /* the layout is no witness here, as in what parser generators write */
    }
}

/* Whether the '}' that closes a body should not: it is indented, and so is what comes after it. */
static bool closes_too_early(struct cutter *cutter, const struct token *token)
{
    struct token_reader ahead = cutter->reader;

    if (cutter->brace != BRACE_FUNCTION || !token->line_start || token->first_column ||
        !cutter->head[0].first_column || cutter->unindented) {
        return false;
    }
    struct token next = peek(cutter, &ahead);
    if (next.kind == TOKEN_END || !next.line_start || next.first == '#') {
        return false;
    }
    return !next.first_column || next.first == '}';
}

/* A '}'. True: it ends the segment. */
static bool close_brace(struct cutter *cutter, const struct token *token)
{
    if (cutter->depth >= 2 && token->first_column && !cutter->unindented) {
        cutter->depth = 1; /* a brace inside was never closed */
    }
    if (cutter->depth == 1 && closes_too_early(cutter, token)) {
        cutter->overclosed = true;
        return false;
    }
    if (--cutter->depth) {
        return false;
    }
    cutter->overclosed = false;
    if (cutter->brace == BRACE_FUNCTION) {
        report(cutter, REGION_BODY, cutter->region_start, token->start);
        return true;
    }
    if (cutter->brace == BRACE_INITIALISER) {
        report(cutter, REGION_INITIALISER, cutter->region_start, token->start);
    }
    return false;
}

/* Whether the segment ends before TOKEN, which stands inside of braces. */
static bool ends_inside(struct cutter *cutter, const struct token *token)
{
    if (!token->first_column || token->first == '}' || token->first == '{') {
        return false;
    }
    if (cutter->overclosed && cutter->depth == 1) {
        return true;
    }
    if (token->kind != TOKEN_WORD || is_label(cutter)) {
        return false;
    }
    if (begins_function(cutter, token)) {
        return true;
    }
    cutter->unindented = true;
    return false;
}

/* Whether the segment ends before TOKEN, which stands outside of braces. */
static bool ends_outside(const struct cutter *cutter, const struct token *token)
{
    if (token->first == '}') {
        return true;
    }
    return token->first_column && cutter->tokens > 1 && token->kind == TOKEN_WORD &&
           is_storage_word(cutter->text, token) &&
           (cutter->assigned || is_declaration_word(cutter->text, &cutter->head[0]));
}

/* TOKEN outside of braces. True: the segment ends behind it. */
static bool cut_outside(struct cutter *cutter, const struct token *token)
{
    if (token->first == '(') {
        cutter->parens++;
    } else if (token->first == ')') {
        cutter->parens -= cutter->parens > 0;
    }
    if (token->kind == TOKEN_PUNCTUATION) {
        if (token->first == '{') {
            open_brace(cutter, token);
            return false;
        }
        cutter->assigned |= token->first == '=' && token->end - token->start == 1;
        if (token->first == ';') {
            return !cutter->old_style || cutter->assigned || !parameters_follow(cutter);
        }
    }
    cutter->old_style |= token->kind == TOKEN_WORD && cutter->before.first == ')' && !cutter->parens &&
                         !is_attribute_word(cutter->text, token);
    follow_aggregate(cutter, token);
    return false;
}

/* The end of the segment: behind the last token, and behind its line if nothing follows on it. */
static uint32_t end_of_line(struct cutter *cutter, uint32_t end)
{
    const char *text = cutter->text;
    uint32_t length = cutter->reader.length, position = end;

    while (position < length && (text[position] == ' ' || text[position] == '\t' || text[position] == '\r')) {
        position++;
    }
    if (position < length && position + 1 > cutter->scanned) {
        cutter->scanned = position + 1;
    }
    return position < length && text[position] == '\n' ? position + 1 : end;
}

/* Reads a declaration whose first token is FIRST; returns where it ends. */
static uint32_t cut_declaration(struct cutter *cutter, struct token first)
{
    for (struct token token = first;; token = token_next(&cutter->reader)) {
        if (token.kind == TOKEN_END) {
            return token.start;
        }
        if (token.first == '#' && token.line_start) {
            if (!cut_directive(cutter, &token)) {
                return token.start;
            }
            continue;
        }
        if (cutter->depth ? ends_inside(cutter, &token) : ends_outside(cutter, &token)) {
            return token.start;
        }
        bool ends = false;
        if (!cutter->depth) {
            ends = cut_outside(cutter, &token);
        } else if (token.first == '{') {
            open_brace(cutter, &token);
        } else if (token.first == '}') {
            ends = close_brace(cutter, &token);
        }
        if (cutter->tokens < 2) {
            cutter->head[cutter->tokens] = token;
        }
        cutter->tokens++;
        cutter->before = token;
        if (ends) {
            return end_of_line(cutter, token.end);
        }
    }
}

/* `extern "C" {`, of which FIRST is the first token: returns where it ends, or 0 if it is something else. */
static uint32_t cut_linkage(struct cutter *cutter, const struct token *first)
{
    if (first->kind != TOKEN_WORD || !token_is(cutter->text, first, "extern")) {
        return 0;
    }
    struct token_reader ahead = cutter->reader;
    if (peek(cutter, &ahead).kind != TOKEN_STRING) {
        return 0;
    }
    struct token brace = peek(cutter, &ahead);
    return brace.first == '{' ? end_of_line(cutter, brace.end) : 0;
}

bool segment_cut(const char *text, uint32_t length, uint32_t start, struct segment_span *ret)
{
    if (start >= length) {
        return false;
    }
    struct cutter cutter = { .text = text, .reader = token_reader_at(text, length, start) };
    struct token first = token_next(&cutter.reader);
    struct segment_span span = { .start = start, .lead = first.start };

    if (first.kind == TOKEN_END) {
        span.kind = SEGMENT_TRAILING;
        span.end = span.lead = length;
    } else if (first.first == '#' && first.line_start) {
        span.kind = SEGMENT_DIRECTIVE;
        token_skip_directive(&cutter.reader);
        span.end = cutter.reader.position;
    } else if (first.kind == TOKEN_PUNCTUATION && (first.first == '}' || first.first == ';')) {
        span.kind = SEGMENT_STRAY;
        span.end = end_of_line(&cutter, first.end);
    } else if ((span.end = cut_linkage(&cutter, &first))) {
        span.kind = SEGMENT_LINKAGE;
    } else {
        span.kind = SEGMENT_DECLARATION;
        span.end = cut_declaration(&cutter, first);
    }
    span.scanned = cutter.reader.position > cutter.scanned ? cutter.reader.position : cutter.scanned;
    span.scanned += span.scanned < length;
    *ret = span;
    return true;
}

struct segment_ending segment_regions(const char *text, uint32_t lead, uint32_t end, segment_visitor *visit,
                                      void *context)
{
    struct cutter cutter = {
        .text = text,
        .reader = token_reader_at(text, end, lead),
        .visit = visit,
        .context = context,
    };

    cut_declaration(&cutter, token_next(&cutter.reader));
    if (cutter.depth && cutter.brace == BRACE_FUNCTION) {
        report(&cutter, REGION_BODY, cutter.region_start, end);
    } else if (cutter.depth && cutter.brace == BRACE_INITIALISER) {
        report(&cutter, REGION_INITIALISER, cutter.region_start, end);
    }
    return (struct segment_ending){
        .function = cutter.brace == BRACE_FUNCTION,
        .aggregate = cutter.brace == BRACE_AGGREGATE ? cutter.depth : 0,
    };
}
