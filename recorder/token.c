/*
 * The tokens of C, by the longest match. Inside a directive the end of the line is a token, since it ends the
 * directive; everywhere else it is space. A '(' that touches the name of a macro being defined makes another
 * macro than one that does not, so the hash notes whether it does.
 */
#include "recorder/token.h"

#include <string.h>

enum { CLASS_OTHER, CLASS_SPACE, CLASS_WORD, CLASS_DIGIT };

static const uint8_t classes[256] = {
    [' '] = CLASS_SPACE,  ['\t'] = CLASS_SPACE, ['\r'] = CLASS_SPACE,        ['\f'] = CLASS_SPACE,
    ['\v'] = CLASS_SPACE, ['\n'] = CLASS_SPACE, ['a' ... 'z'] = CLASS_WORD,  ['A' ... 'Z'] = CLASS_WORD,
    ['_'] = CLASS_WORD,   ['$'] = CLASS_WORD,   ['0' ... '9'] = CLASS_DIGIT, [128 ... 255] = CLASS_WORD,
};

static uint8_t class_at(const struct token_reader *reader, uint32_t position)
{
    return position < reader->length ? classes[(uint8_t)reader->text[position]] : CLASS_OTHER;
}

static char byte_at(const struct token_reader *reader, uint32_t position)
{
    return position < reader->length ? reader->text[position] : '\0';
}

struct token_reader token_reader_at(const char *text, uint32_t length, uint32_t position)
{
    uint32_t before = position;

    while (before > 0 && (text[before - 1] == ' ' || text[before - 1] == '\t')) {
        before--;
    }
    return (struct token_reader){
        .text = text,
        .length = length,
        .position = position,
        .line_start = before == 0 || text[before - 1] == '\n',
    };
}

/* Moves behind a line continuation ("\\\n", "\\\r\n"), if there is one here. */
static bool skip_continuation(struct token_reader *reader)
{
    uint32_t position = reader->position;

    if (byte_at(reader, position) != '\\') {
        return false;
    }
    position += byte_at(reader, position + 1) == '\r' ? 2 : 1;
    if (byte_at(reader, position) != '\n') {
        return false;
    }
    reader->position = position + 1;
    return true;
}

static void skip_block_comment(struct token_reader *reader)
{
    const char *from = reader->text + reader->position + 2;
    const char *end = reader->text + reader->length;

    while (from < end) {
        const char *star = memchr(from, '*', (size_t)(end - from));
        if (!star) {
            break;
        }
        if (star + 1 < end && star[1] == '/') {
            reader->position = (uint32_t)(star + 2 - reader->text);
            return;
        }
        from = star + 1;
    }
    reader->position = reader->length;
}

static void skip_line_comment(struct token_reader *reader)
{
    while (reader->position < reader->length && reader->text[reader->position] != '\n') {
        if (!skip_continuation(reader)) {
            reader->position++;
        }
    }
}

/* Skips what separates tokens; false at the newline that ends a directive. */
static bool skip_space(struct token_reader *reader)
{
    while (reader->position < reader->length) {
        char byte = reader->text[reader->position];
        if (classes[(uint8_t)byte] == CLASS_SPACE) {
            if (byte == '\n') {
                if (reader->directive) {
                    return false;
                }
                reader->line_start = true;
            }
            reader->position++;
        } else if (byte == '/' && byte_at(reader, reader->position + 1) == '*') {
            skip_block_comment(reader);
        } else if (byte == '/' && byte_at(reader, reader->position + 1) == '/') {
            skip_line_comment(reader);
        } else if (!skip_continuation(reader)) {
            return true;
        }
    }
    return true;
}

static uint32_t end_of_string(const struct token_reader *reader, char quote)
{
    uint32_t position = reader->position + 1;

    while (position < reader->length) {
        char byte = reader->text[position];
        if (byte == '\n') {
            return position;
        }
        position++;
        if (byte == quote) {
            return position;
        }
        if (byte == '\\' && position < reader->length) {
            position += byte_at(reader, position) == '\r' && byte_at(reader, position + 1) == '\n' ? 2 : 1;
        }
    }
    return reader->length;
}

static uint32_t end_of_word(const struct token_reader *reader)
{
    uint32_t position = reader->position + 1;

    while (class_at(reader, position) >= CLASS_WORD) {
        position++;
    }
    return position;
}

/* A preprocessing number: digits, letters, dots, and signs after an exponent. */
static uint32_t end_of_number(const struct token_reader *reader)
{
    uint32_t position = reader->position + 1;

    for (;;) {
        char byte = byte_at(reader, position);
        char before = (char)(reader->text[position - 1] | 0x20);
        bool sign = (byte == '+' || byte == '-') && (before == 'e' || before == 'p');
        if (class_at(reader, position) < CLASS_WORD && byte != '.' && !sign) {
            return position;
        }
        position++;
    }
}

static uint32_t end_of_punctuation(const struct token_reader *reader)
{
    uint32_t position = reader->position;
    char first = reader->text[position], second = byte_at(reader, position + 1);
    char third = byte_at(reader, position + 2);

    if ((first == '<' || first == '>') && second == first) {
        return position + (third == '=' ? 3 : 2);
    }
    if (first == '.' && second == '.' && third == '.') {
        return position + 3;
    }
    if (second == '=' && strchr("+-*/%&|^<>=!", first)) {
        return position + 2;
    }
    if (first == second && strchr("+-&|#", first)) {
        return position + 2;
    }
    return position + (first == '-' && second == '>' ? 2 : 1);
}

struct token token_next(struct token_reader *reader)
{
    struct token token = { 0 };

    bool newline = !skip_space(reader);
    token.start = token.end = reader->position;
    if (newline) {
        token.kind = TOKEN_NEWLINE;
        token.first = '\n';
        token.end = ++reader->position;
        reader->directive = false;
        reader->line_start = true;
        return token;
    }
    if (reader->position >= reader->length) {
        return token;
    }
    char first = token.first = reader->text[token.start];
    token.line_start = reader->line_start;
    token.first_column = token.line_start && (token.start == 0 || reader->text[token.start - 1] == '\n');
    reader->line_start = false;
    if (first == '"' || first == '\'') {
        token.kind = TOKEN_STRING;
        token.end = end_of_string(reader, first);
    } else if (class_at(reader, token.start) == CLASS_WORD) {
        token.kind = TOKEN_WORD;
        token.end = end_of_word(reader);
    } else if (class_at(reader, token.start) == CLASS_DIGIT ||
               (first == '.' && class_at(reader, token.start + 1) == CLASS_DIGIT)) {
        token.kind = TOKEN_NUMBER;
        token.end = end_of_number(reader);
    } else {
        token.kind = TOKEN_PUNCTUATION;
        token.end = end_of_punctuation(reader);
        reader->directive |= first == '#' && token.line_start;
    }
    reader->position = token.end;
    return token;
}

bool token_is(const char *text, const struct token *token, const char *word)
{
    size_t length = strlen(word);

    return token->end - token->start == length && memcmp(text + token->start, word, length) == 0;
}

void token_skip_directive(struct token_reader *reader)
{
    while (reader->directive) {
        struct token token = token_next(reader);
        if (token.kind == TOKEN_END) {
            return;
        }
    }
}

uint64_t hash_bytes(uint64_t seed, const char *bytes, size_t length)
{
    /* seeds are often small numbers: spread out, they cannot make up for a difference in the first bytes */
    uint64_t hash = seed * 0x9e3779b97f4a7c15u ^ (length * 0xff51afd7ed558ccdu), word;

    for (; length >= 8; bytes += 8, length -= 8) {
        memcpy(&word, bytes, 8);
        hash = hash_mix(hash, word);
    }
    word = 0;
    memcpy(&word, bytes, length);
    return hash_mix(hash, word);
}

uint64_t token_hash(uint64_t seed, const char *text, uint32_t start, uint32_t end, const char *mask,
                    uint32_t mask_length)
{
    struct token_reader reader = token_reader_at(text, end, start);
    struct token before[2] = { 0 }; /* the token before, and the one before that */
    uint64_t hash = seed;

    for (;;) {
        struct token token = token_next(&reader);
        if (token.kind == TOKEN_END) {
            return hash;
        }
        uint32_t length = token.end - token.start;
        bool masked = mask && token.kind == TOKEN_WORD && length == mask_length &&
                      memcmp(text + token.start, mask, length) == 0;
        bool touches = token.first == '(' && token.start == before[0].end && before[1].kind == TOKEN_WORD &&
                       token_is(text, &before[1], "define");
        hash = masked ? hash_mix(hash, 0x6d61736b) : hash_bytes(hash, text + token.start, length);
        hash = hash_mix(hash, (uint64_t)token.kind << 1 | touches);
        before[1] = before[0];
        before[0] = token;
    }
}

bool tokens_equal(const char *a, uint32_t a_length, uint32_t a_start, const char *b, uint32_t b_length,
                  uint32_t b_start)
{
    struct token_reader reader_a = token_reader_at(a, a_length, a_start);
    struct token_reader reader_b = token_reader_at(b, b_length, b_start);
    uint32_t end_a = a_start, end_b = b_start;

    for (;;) {
        struct token token_a = token_next(&reader_a), token_b = token_next(&reader_b);
        uint32_t length = token_a.end - token_a.start;
        if (token_a.kind != token_b.kind || length != token_b.end - token_b.start ||
            memcmp(a + token_a.start, b + token_b.start, length) != 0 ||
            reader_a.directive != reader_b.directive) {
            return false;
        }
        if (token_a.first == '(' && reader_a.directive &&
            (token_a.start == end_a) != (token_b.start == end_b)) {
            return false;
        }
        if (token_a.kind == TOKEN_END) {
            return true;
        }
        end_a = token_a.end;
        end_b = token_b.end;
    }
}
