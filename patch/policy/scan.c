/*
 * Reading preprocessed policy files. The text is cut into pieces at file scope: a piece ends with a semicolon
 * outside of all brackets, or with the brace that closes a function's body (one whose opening brace follows a
 * closing parenthesis). A mark owns the pieces up to the end of the function behind it.
 */
#include "patch/policy/scan.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/hash.h"

#define OLD_ENDING "_molt_old"

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_STRING, TOKEN_OTHER, TOKEN_PUNCTUATION };

struct token {
    enum token_kind kind;
    const char *start;
    size_t length;
};

struct scanner {
    struct policy_text *text;
    const char *at, *end;
    const char *file; /* of the current line, as the last line marker says */
    unsigned line;
    struct token token;
};

static char *own(struct policy_text *text, char *string)
{
    LIST_ADD(&text->owned, string);
    return string;
}

/* "# 12 "file" 1 3": the line that follows is line 12 of it. */
static void take_marker(struct scanner *scanner, const char *line_end)
{
    const char *at = scanner->at + 1, *from, *to;
    unsigned long number;

    if (strncmp(at, "line", 4) == 0) {
        at += 4;
    }
    number = strtoul(at, NULL, 10);
    from = memchr(at, '"', line_end - at);
    to = from ? memrchr(from + 1, '"', line_end - from - 1) : NULL;
    if (number && to) {
        scanner->line = number - 1; /* its end counts one up */
        if (strlen(scanner->file) != (size_t)(to - from - 1) ||
            memcmp(scanner->file, from + 1, to - from - 1) != 0) {
            scanner->file = own(scanner->text, must_strndup(from + 1, to - from - 1));
        }
    }
}

/* Passes over space and lines of the preprocessor. */
static void skip_space(struct scanner *scanner, bool line_start)
{
    for (; scanner->at < scanner->end; scanner->at++) {
        if (*scanner->at == '\n') {
            scanner->line++;
            line_start = true;
        } else if (line_start && *scanner->at == '#') {
            const char *line_end = memchr(scanner->at, '\n', scanner->end - scanner->at);
            line_end = line_end ? line_end : scanner->end;
            take_marker(scanner, line_end);
            scanner->at = line_end - 1;
        } else if (!isspace((unsigned char)*scanner->at)) {
            return;
        }
    }
}

static const char *quoted_end(const char *at, const char *end)
{
    char quote = *at++;

    while (at < end && *at != quote && *at != '\n') {
        at += *at == '\\' && at + 1 < end ? 2 : 1;
    }
    return at < end ? at + 1 : end;
}

static bool is_word(char character)
{
    return isalnum((unsigned char)character) || character == '_' || character == '$' || (character & 0x80);
}

static void advance(struct scanner *scanner)
{
    struct token *token = &scanner->token;
    bool line_start = scanner->at == scanner->text->bytes || scanner->at[-1] == '\n';

    skip_space(scanner, line_start);
    token->start = scanner->at;
    if (scanner->at >= scanner->end) {
        token->kind = TOKEN_END;
    } else if (*scanner->at == '"' || *scanner->at == '\'') {
        token->kind = *scanner->at == '"' ? TOKEN_STRING : TOKEN_OTHER;
        scanner->at = quoted_end(scanner->at, scanner->end);
    } else if (is_word(*scanner->at)) {
        token->kind = isdigit((unsigned char)*scanner->at) ? TOKEN_OTHER : TOKEN_WORD;
        while (scanner->at < scanner->end && is_word(*scanner->at)) {
            scanner->at++;
        }
    } else {
        token->kind = TOKEN_PUNCTUATION;
        scanner->at++;
    }
    token->length = scanner->at - token->start;
}

/* The text of a string literal. */
static char *unquote(const struct token *token)
{
    struct text result = { 0 };

    text_puts(&result, "");
    for (size_t i = 1; i + 1 < token->length; i++) {
        i += token->start[i] == '\\' && i + 2 < token->length;
        text_append(&result, token->start + i, 1);
    }
    return must_have(text_steal(&result));
}

static void name(struct policy_text *text, char *word)
{
    if (table_get(&text->names, word)) {
        free(word);
    } else {
        table_put(&text->names, own(text, word), text);
    }
}

/* A word, known from here on; one before a brace is a tag. */
static void note_token(struct scanner *scanner, const struct token *before)
{
    const struct token *token = &scanner->token;

    if (token->kind == TOKEN_WORD) {
        name(scanner->text, must_strndup(token->start, token->length));
    } else if (*token->start == '{' && before->kind == TOKEN_WORD) {
        static const char *const words[] = { "struct", "union", "enum" };
        for (size_t i = 0; i < 3; i++) {
            name(scanner->text, must_printf("%s %.*s", words[i], (int)before->length, before->start));
        }
    }
}

static void free_strings(char **items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(items[i]);
    }
    free(items);
}

static void free_statement(struct policy_statement *statement)
{
    free(statement->old_type);
    free(statement->new_type);
    free(statement->from);
    free(statement->to);
    free(statement->file);
    free(statement->function);
    free(statement->hash);
    free_strings(statement->choices.items, statement->choices.count);
    free(statement);
}

static const struct {
    const char *word;
    bool function;
} kinds[] = {
#define X(name, word, function) { word, function },
    POLICY_KINDS(X)
#undef X
};

/* What a mark's STRINGS (without the first) say; NULL if it is none of ours. */
static struct policy_statement *make_statement(const struct scanner *scanner, char **strings, size_t count)
{
    size_t kind = 0;

    while (count == 6 && kind < sizeof(kinds) / sizeof(*kinds) && strcmp(strings[0], kinds[kind].word) != 0) {
        kind++;
    }
    if (count != 6 || kind == sizeof(kinds) / sizeof(*kinds)) {
        return NULL;
    }
    struct policy_statement *statement = must_calloc(1, sizeof(*statement));
    statement->kind = (enum policy_kind)kind;
    statement->old_type = must_strdup(strings[1]);
    statement->new_type = must_strdup(strings[2]);
    statement->from = must_strdup(strings[3]);
    statement->to = must_strdup(strings[4]);
    statement->line = strtoul(strings[5], NULL, 10);
    statement->file = must_strdup(scanner->file);
    return statement;
}

/* One piece being read. */
struct reading {
    struct policy_piece piece;
    LIST(char *) strings; /* of the literals next to one another that were read last */
    bool mark;            /* they began with that of a policy */
    bool function;        /* its last brace closed a function's body */
    struct token before;
};

static void take_string(struct scanner *scanner, struct reading *reading)
{
    char *string = unquote(&scanner->token);

    if (strcmp(string, "molt:policy") == 0) {
        reading->mark = true;
        free(string);
    } else {
        LIST_ADD(&reading->strings, string);
    }
}

/* A literal, or several next to one another, has ended. */
static void end_strings(struct scanner *scanner, struct reading *reading, int current)
{
    struct policy_text *text = scanner->text;

    if (reading->mark) {
        struct policy_statement *statement =
            make_statement(scanner, reading->strings.items, reading->strings.count);
        if (statement) {
            LIST_ADD(&text->statements, statement);
            reading->piece.statement = (int)text->statements.count - 1;
        }
    } else if (current >= 0 && reading->strings.count == 2 &&
               strcmp(reading->strings.items[0], "molt:type") == 0) {
        LIST_ADD(&text->statements.items[current]->choices, must_strdup(reading->strings.items[1]));
    }
    free_strings(reading->strings.items, reading->strings.count);
    memset(&reading->strings, 0, sizeof(reading->strings));
    reading->mark = false;
}

static void take_word(struct scanner *scanner, struct reading *reading, int current)
{
    const struct token *token = &scanner->token;
    size_t ending = strlen(OLD_ENDING);

    if (token->length > ending && memcmp(token->start + token->length - ending, OLD_ENDING, ending) == 0) {
        LIST_ADD(&reading->piece.olds, must_strndup(token->start, token->length));
    }
    if (current >= 0 && token->length > 12 && memcmp(token->start, "molt_policy_", 12) == 0) {
        struct policy_statement *statement = scanner->text->statements.items[current];
        if (!statement->function && kinds[statement->kind].function) {
            statement->function = must_strndup(token->start, token->length);
        }
    }
}

/* Reads up to the end of a piece. False at the end of the text. */
static bool read_piece(struct scanner *scanner, struct reading *reading, int current)
{
    unsigned depth = 0;
    bool body = false;

    for (; scanner->token.kind != TOKEN_END; reading->before = scanner->token, advance(scanner)) {
        const struct token *token = &scanner->token;
        if (token->kind == TOKEN_STRING) {
            take_string(scanner, reading);
            continue;
        }
        end_strings(scanner, reading, current);
        if (token->kind == TOKEN_WORD) {
            take_word(scanner, reading, current);
        }
        if (token->kind != TOKEN_PUNCTUATION) {
            continue;
        }
        char character = *token->start;
        if (character == '{' && depth == 0) {
            body = reading->before.length == 1 && *reading->before.start == ')';
        }
        depth += strchr("({[", character) != NULL;
        depth -= depth && strchr(")}]", character) != NULL;
        if (depth == 0 && (character == ';' || (character == '}' && body))) {
            reading->function = character == '}';
            reading->piece.end = token->start + 1 - scanner->text->bytes;
            return true;
        }
    }
    reading->piece.end = scanner->text->size;
    return reading->piece.end > reading->piece.start;
}

static bool has_function(enum policy_kind kind)
{
    return kind != POLICY_VERSIONS && kind != POLICY_UNIT;
}

/* A hash over the words of a statement's pieces; where they stand in the file does not count. */
static void hash_statements(struct policy_text *text)
{
    for (size_t i = 0; i < text->statements.count; i++) {
        struct policy_statement *statement = text->statements.items[i];
        struct hash hash;
        char hex[HASH_HEX];
        hash_init(&hash);
        hash_add_string(&hash, statement->old_type);
        hash_add_string(&hash, statement->new_type);
        hash_add_string(&hash, statement->from);
        hash_add_string(&hash, statement->to);
        for (size_t k = 0; k < text->pieces.count; k++) {
            const struct policy_piece *piece = &text->pieces.items[k];
            bool last = k + 1 == text->pieces.count || piece[1].statement != (int)i;
            const char *body = memchr(text->bytes + piece->start, '{', piece->end - piece->start);
            if (piece->statement == (int)i && last && body) {
                hash_add(&hash, body, text->bytes + piece->end - body);
            }
        }
        hash_end(&hash, hex);
        statement->hash = must_strndup(hex, 16);
    }
}

/* Notes the words in front of the first piece about old types. */
static void note_names(struct policy_text *text)
{
    bool all = text->first_old == text->pieces.count;
    size_t end = all ? text->size : text->pieces.items[text->first_old].start;
    struct scanner scanner = { text, text->bytes, text->bytes + end, "", 1, { 0 } };
    struct token before = { 0 };

    for (advance(&scanner); scanner.token.kind != TOKEN_END; before = scanner.token, advance(&scanner)) {
        note_token(&scanner, &before);
    }
}

void policy_text_init(struct policy_text *text, const char *bytes, size_t size)
{
    *text = (struct policy_text){ .bytes = must_strndup(bytes, size), .size = size };
    struct scanner scanner = { text, text->bytes, text->bytes + size, "", 1, { 0 } };
    int current = -1;
    bool old_seen = false;

    advance(&scanner);
    while (scanner.token.kind != TOKEN_END) {
        struct reading reading = { .piece = { .start = scanner.token.start - text->bytes,
                                              .statement = current,
                                              .file = scanner.file,
                                              .line = scanner.line } };
        if (!read_piece(&scanner, &reading, current)) {
            end_strings(&scanner, &reading, current);
            break;
        }
        end_strings(&scanner, &reading, current);
        current = reading.piece.statement;
        if (!old_seen && (current >= 0 || reading.piece.olds.count)) {
            old_seen = true;
            text->first_old = text->pieces.count;
        }
        LIST_ADD(&text->pieces, reading.piece);
        if (current >= 0 && (reading.function || !has_function(text->statements.items[current]->kind))) {
            current = -1;
        }
        if (scanner.token.kind != TOKEN_END) {
            advance(&scanner);
        }
    }
    text->first_old = old_seen ? text->first_old : text->pieces.count;
    note_names(text);
    hash_statements(text);
}

void policy_text_deinit(struct policy_text *text)
{
    for (size_t i = 0; i < text->statements.count; i++) {
        free_statement(text->statements.items[i]);
    }
    for (size_t i = 0; i < text->pieces.count; i++) {
        free_strings(text->pieces.items[i].olds.items, text->pieces.items[i].olds.count);
    }
    table_deinit(&text->names);
    free_strings(text->owned.items, text->owned.count);
    LIST_FREE(&text->statements);
    LIST_FREE(&text->pieces);
    free(text->bytes);
    *text = (struct policy_text){ 0 };
}

char *policy_old_word(const char *type)
{
    const char *space = strrchr(type, ' ');

    return must_printf("%s" OLD_ENDING, space ? space + 1 : type);
}

static bool is_left_out(const struct policy_text *text, const struct policy_piece *piece,
                        const struct table *out)
{
    if (piece->statement >= 0) {
        return text->statements.items[piece->statement]->dropped;
    }
    for (size_t i = 0; i < piece->olds.count; i++) {
        if (table_get(out, piece->olds.items[i])) {
            return true;
        }
    }
    return false;
}

char *policy_text_reduce(const struct policy_text *text, const struct table *out, const char *declarations)
{
    struct text result = { 0 };
    size_t done = 0;
    bool cut = false;

    text_puts(&result, "");
    for (size_t i = 0; i < text->pieces.count; i++) {
        const struct policy_piece *piece = &text->pieces.items[i];
        text_append(&result, text->bytes + done, piece->start - done);
        if (i == text->first_old) {
            text_printf(&result, "\n%s", declarations);
        }
        if (cut || i == text->first_old) { /* messages are to name the right lines */
            text_printf(&result, "\n# %u \"%s\"\n", piece->line, piece->file);
        }
        cut = is_left_out(text, piece, out);
        done = cut ? piece->end : piece->start;
    }
    text_append(&result, text->bytes + done, text->size - done);
    return must_have(text_steal(&result));
}
