/*
 * C tokens, read without regard to what they mean: enough to find where a declaration ends and to tell
 * whether two pieces of source differ in more than spaces and comments.
 */
#ifndef MOLT_RECORDER_TOKEN_H
#define MOLT_RECORDER_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum token_kind {
    TOKEN_END,
    TOKEN_NEWLINE, /* the end of a directive's line */
    TOKEN_WORD,    /* identifier, keyword */
    TOKEN_NUMBER,
    TOKEN_STRING, /* string or character constant; ends at the line's end if it is not terminated */
    TOKEN_PUNCTUATION,
};

struct token {
    enum token_kind kind;
    uint32_t start, end;
    char first;        /* first byte, 0 at the end */
    bool line_start;   /* nothing but space and comments before it on its line */
    bool first_column; /* and no space either */
};

struct token_reader {
    const char *text; /* borrowed */
    uint32_t length;
    uint32_t position;
    bool line_start;
    bool directive; /* inside a line that began with '#' */
};

/* A reader of TEXT from POSITION on, which must not be inside a token, comment or directive. */
struct token_reader token_reader_at(const char *text, uint32_t length, uint32_t position);

/* The next token; the reader moves behind it. At the end it stays there. */
struct token token_next(struct token_reader *reader);

/* Whether TOKEN is the word or punctuation WORD. */
bool token_is(const char *text, const struct token *token, const char *word);

/* Reads on to the end of the directive that the reader is in. */
void token_skip_directive(struct token_reader *reader);

/* Hash of LENGTH bytes, continuing SEED. */
uint64_t hash_bytes(uint64_t seed, const char *bytes, size_t length);

static inline uint64_t hash_mix(uint64_t seed, uint64_t value)
{
    seed = (seed ^ value) * 0x9e3779b97f4a7c15u;
    return seed ^ (seed >> 29);
}

/* Whether the tokens of A from A_START on and those of B from B_START on are the same. */
bool tokens_equal(const char *a, uint32_t a_length, uint32_t a_start, const char *b, uint32_t b_length,
                  uint32_t b_start);

/*
 * Hash of the tokens in TEXT[start, end), comments and spacing left out. The word MASK (of MASK_LENGTH bytes;
 * NULL for none) counts as a placeholder, so that a renamed recursive function keeps its hash.
 */
uint64_t token_hash(uint64_t seed, const char *text, uint32_t start, uint32_t end, const char *mask,
                    uint32_t mask_length);

#endif
