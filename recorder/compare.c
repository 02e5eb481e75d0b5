/*
 * Comparing two texts: E. W. Myers, "An O(ND) difference algorithm and its variations" (1986), the greedy
 * form, once over lines, and over tokens where lines differ.
 */
#include "recorder/compare.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "recorder/hunks.h"
#include "recorder/token.h"

enum { LINE_DIFFERENCES = 1000, TOKEN_DIFFERENCES = 400 };

/* The furthest point reached on each diagonal, for each number of differences: row D has 2 D + 1 entries. */
struct trace {
    uint32_t *points;
    uint32_t rows;
};

static uint32_t *trace_row(const struct trace *trace, uint32_t d)
{
    return trace->points + (size_t)d * d; /* 1 + 3 + ... + (2 d - 1) */
}

/* Runs down diagonal K from X as long as both sequences agree. */
static uint32_t run(const uint64_t *a, uint32_t n, const uint64_t *b, uint32_t m, int32_t k, uint32_t x)
{
    uint32_t y = (uint32_t)((int32_t)x - k);

    while (x < n && y < m && a[x] == b[y]) {
        x++;
        y++;
    }
    return x;
}

/* Whether diagonal K of row D is reached from K + 1 (an insertion) rather than K - 1. */
static bool comes_from_above(const uint32_t *row, int32_t d, int32_t k)
{
    return k == -d || (k != d && row[d - 1 + k - 1] < row[d - 1 + k + 1]);
}

/* Returns the number of differences, or -1 if there are more than the trace has rows for. */
static int32_t search(const uint64_t *a, uint32_t n, const uint64_t *b, uint32_t m, struct trace *trace)
{
    trace_row(trace, 0)[0] = run(a, n, b, m, 0, 0);
    for (int32_t d = 0; d < (int32_t)trace->rows; d++) {
        uint32_t *row = trace_row(trace, (uint32_t)d);
        const uint32_t *before = d ? trace_row(trace, (uint32_t)d - 1) : NULL;
        for (int32_t k = -d; k <= d; k += 2) {
            if (d) {
                uint32_t x =
                    comes_from_above(before, d, k) ? before[d - 1 + k + 1] : before[d - 1 + k - 1] + 1;
                row[d + k] = (int64_t)x - k < 0 || (int64_t)x - k > m || x > n ? x : run(a, n, b, m, k, x);
                if (k < d) {
                    row[d + k + 1] = 0;
                }
            }
            if (row[d + k] >= n && (int64_t)row[d + k] - k >= m) {
                return d;
            }
        }
    }
    return -1;
}

/* Walks the trace back from the end and notes the matches. */
static void walk_back(uint32_t n, uint32_t m, const struct trace *trace, int32_t d, int32_t *ret_match)
{
    int32_t x = (int32_t)n, y = (int32_t)m;

    for (; d >= 0; d--) {
        int32_t k = x - y, from_x = 0, from_y = 0;
        if (d) {
            const uint32_t *before = trace_row(trace, (uint32_t)d - 1);
            int32_t from = comes_from_above(before, d, k) ? k + 1 : k - 1;
            from_x = (int32_t)before[d - 1 + from];
            from_y = from_x - from;
        }
        while (x > from_x && y > from_y) {
            ret_match[--x] = --y;
        }
        x = from_x;
        y = from_y;
    }
}

static bool compare_middle(const uint64_t *a, uint32_t n, const uint64_t *b, uint32_t m, uint32_t limit,
                           int32_t *ret_match)
{
    if (!n || !m) {
        return true;
    }
    uint64_t most = (uint64_t)n + m;
    struct trace trace = { .rows = (most < limit ? (uint32_t)most : limit) + 1 };
    trace.points = malloc((size_t)trace.rows * trace.rows * sizeof(*trace.points));
    if (!trace.points) {
        return false;
    }
    int32_t differences = search(a, n, b, m, &trace);
    if (differences >= 0) {
        walk_back(n, m, &trace, differences, ret_match);
    }
    free(trace.points);
    return true;
}

bool compare_sequences(const uint64_t *old_items, uint32_t old_count, const uint64_t *new_items,
                       uint32_t new_count, uint32_t max_differences, int32_t *ret_match)
{
    uint32_t begin = 0, old_end = old_count, new_end = new_count;

    memset(ret_match, 0xff, old_count * sizeof(*ret_match));
    while (begin < old_end && begin < new_end && old_items[begin] == new_items[begin]) {
        ret_match[begin] = (int32_t)begin;
        begin++;
    }
    while (old_end > begin && new_end > begin && old_items[old_end - 1] == new_items[new_end - 1]) {
        ret_match[--old_end] = (int32_t)--new_end;
    }
    if (!compare_middle(old_items + begin, old_end - begin, new_items + begin, new_end - begin,
                        max_differences, ret_match + begin)) {
        return false;
    }
    for (uint32_t i = begin; i < old_end; i++) {
        ret_match[i] += ret_match[i] >= 0 ? (int32_t)begin : 0;
    }
    return true;
}

/* A text cut into pieces that are compared as wholes. */
struct pieces {
    uint32_t *starts, *ends;
    uint64_t *hashes;
    uint32_t count, capacity;
};

static void pieces_deinit(struct pieces *pieces)
{
    free(pieces->starts);
    free(pieces->ends);
    free(pieces->hashes);
}

static bool pieces_add(struct pieces *pieces, const char *text, uint32_t start, uint32_t end)
{
    if (pieces->count == pieces->capacity) {
        uint32_t capacity = pieces->capacity ? pieces->capacity * 2 : 256;
        uint32_t *starts = realloc(pieces->starts, capacity * sizeof(*starts));
        pieces->starts = starts ? starts : pieces->starts;
        uint32_t *ends = realloc(pieces->ends, capacity * sizeof(*ends));
        pieces->ends = ends ? ends : pieces->ends;
        uint64_t *hashes = realloc(pieces->hashes, capacity * sizeof(*hashes));
        pieces->hashes = hashes ? hashes : pieces->hashes;
        if (!starts || !ends || !hashes) {
            return false;
        }
        pieces->capacity = capacity;
    }
    pieces->starts[pieces->count] = start;
    pieces->ends[pieces->count] = end;
    pieces->hashes[pieces->count++] = hash_bytes(0, text + start, end - start);
    return true;
}

static bool cut_lines(struct pieces *pieces, const char *text, uint32_t length)
{
    for (uint32_t start = 0; start < length;) {
        const char *newline = memchr(text + start, '\n', length - start);
        uint32_t end = newline ? (uint32_t)(newline - text) + 1 : length;
        if (!pieces_add(pieces, text, start, end)) {
            return false;
        }
        start = end;
    }
    return true;
}

static bool cut_tokens(struct pieces *pieces, const char *text, uint32_t length)
{
    struct token_reader reader = token_reader_at(text, length, 0);

    for (;;) {
        struct token token = token_next(&reader);
        if (token.kind == TOKEN_END) {
            return true;
        }
        if (!pieces_add(pieces, text, token.start, token.end)) {
            return false;
        }
    }
}

struct comparison {
    struct hunks *hunks;
    uint32_t start; /* of the new text in the document */
    const char *old_text, *new_text;
};

static struct molt_error *compare_texts(struct comparison *comparison, uint32_t old_start, uint32_t old_end,
                                        uint32_t new_start, uint32_t new_end, bool tokens);

/* Old [old_start, old_end) and new [new_start, new_end) differ. */
static struct molt_error *differ(struct comparison *comparison, uint32_t old_start, uint32_t old_end,
                                 uint32_t new_start, uint32_t new_end, bool tokens)
{
    if (old_end - old_start == new_end - new_start &&
        memcmp(comparison->old_text + old_start, comparison->new_text + new_start, old_end - old_start) ==
            0) {
        return NULL;
    }
    while (old_start < old_end && new_start < new_end &&
           isspace((unsigned char)comparison->old_text[old_start]) &&
           comparison->old_text[old_start] == comparison->new_text[new_start]) {
        old_start++;
        new_start++;
    }
    while (old_start < old_end && new_start < new_end &&
           isspace((unsigned char)comparison->old_text[old_end - 1]) &&
           comparison->old_text[old_end - 1] == comparison->new_text[new_end - 1]) {
        old_end--;
        new_end--;
    }
    if (!tokens && old_end > old_start && new_end > new_start) {
        return compare_texts(comparison, old_start, old_end, new_start, new_end, true);
    }
    return hunks_edit(comparison->hunks, comparison->start + new_start,
                      comparison->start + new_start + (old_end - old_start), new_end - new_start);
}

/* Reports what lies between the pieces that match. */
static struct molt_error *report_differences(struct comparison *comparison, const struct pieces *old_pieces,
                                             const struct pieces *new_pieces, const int32_t *match,
                                             const uint32_t from[2], const uint32_t to[2], bool tokens)
{
    uint32_t old_from = from[0], new_from = from[1];

    for (uint32_t i = 0; i < old_pieces->count; i++) {
        if (match[i] < 0) {
            continue;
        }
        struct molt_error *error = differ(comparison, old_from, from[0] + old_pieces->starts[i], new_from,
                                          from[1] + new_pieces->starts[match[i]], tokens);
        if (error) {
            return error;
        }
        old_from = from[0] + old_pieces->ends[i];
        new_from = from[1] + new_pieces->ends[match[i]];
    }
    return differ(comparison, old_from, to[0], new_from, to[1], tokens);
}

static struct molt_error *compare_texts(struct comparison *comparison, uint32_t old_start, uint32_t old_end,
                                        uint32_t new_start, uint32_t new_end, bool tokens)
{
    struct pieces old_pieces = { 0 }, new_pieces = { 0 };
    bool (*cut)(struct pieces *, const char *, uint32_t) = tokens ? cut_tokens : cut_lines;
    struct molt_error *error = molt_error_nomem();
    int32_t *match = NULL;

    if (cut(&old_pieces, comparison->old_text + old_start, old_end - old_start) &&
        cut(&new_pieces, comparison->new_text + new_start, new_end - new_start) &&
        (match = malloc((old_pieces.count + 1) * sizeof(*match))) &&
        compare_sequences(old_pieces.hashes, old_pieces.count, new_pieces.hashes, new_pieces.count,
                          tokens ? TOKEN_DIFFERENCES : LINE_DIFFERENCES, match)) {
        error = report_differences(comparison, &old_pieces, &new_pieces, match,
                                   (uint32_t[]){ old_start, new_start }, (uint32_t[]){ old_end, new_end },
                                   tokens);
    }
    free(match);
    pieces_deinit(&old_pieces);
    pieces_deinit(&new_pieces);
    return error;
}

struct molt_error *hunks_replace(struct hunks *hunks, uint32_t start, const char *old_text,
                                 uint32_t old_length, const char *new_text, uint32_t new_length)
{
    struct comparison comparison = {
        .hunks = hunks, .start = start, .old_text = old_text, .new_text = new_text
    };
    uint32_t least = old_length < new_length ? old_length : new_length, begin = 0, end = 0;

    while (begin < least && old_text[begin] == new_text[begin]) {
        begin++;
    }
    if (begin == old_length && begin == new_length) {
        return NULL;
    }
    if (old_length == 0 || new_length == 0) {
        return hunks_edit(hunks, start, start + old_length, new_length);
    }
    while (begin && old_text[begin - 1] != '\n') {
        begin--;
    }
    while (end < least - begin && old_text[old_length - end - 1] == new_text[new_length - end - 1]) {
        end++;
    }
    while (end && end < new_length && new_text[new_length - end - 1] != '\n') {
        end--;
    }
    return differ(&comparison, begin, old_length - end, begin, new_length - end, false);
}
