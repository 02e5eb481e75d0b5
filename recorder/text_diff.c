/*
 * Unified diffs. The lines are matched as everywhere in the recorder (compare.h); what is left is to walk
 * both sides at once, and to keep of the lines that agree only those near a difference: two differences with
 * no more than twice the context between them share a hunk.
 */
#include "recorder/text_diff.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "recorder/compare.h"
#include "recorder/token.h"

enum { CONTEXT = 3, MAX_DIFFERENCES = 1000 };

struct line {
    const char *text;
    uint32_t length; /* without its end */
};

struct side {
    struct line *lines;
    uint64_t *hashes;
    uint32_t count;
    unsigned first;
};

/* A place in both texts at once. */
struct place {
    uint32_t old_line, new_line;
};

struct diff {
    struct side old_side, new_side;
    int32_t *match; /* per old line, the new line that it is, or -1 */
    struct text *ret;
};

static void side_deinit(struct side *side)
{
    free(side->lines);
    free(side->hashes);
}

static bool side_init(struct side *side, const struct text_piece *piece)
{
    const char *at = piece->text, *end = at + piece->length;
    size_t most = piece->length ? 1 : 0;

    for (size_t i = 0; i < piece->length; i++) {
        most += at[i] == '\n';
    }
    *side = (struct side){ .lines = malloc((most + 1) * sizeof(*side->lines)),
                           .hashes = malloc((most + 1) * sizeof(*side->hashes)),
                           .first = piece->first };
    if (!side->lines || !side->hashes) {
        return false;
    }
    while (at && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
        size_t length = (size_t)(stop - at);
        length -= length && at[length - 1] == '\r';
        side->lines[side->count] = (struct line){ at, (uint32_t)length };
        side->hashes[side->count++] = hash_bytes(0, at, length);
        at = newline ? newline + 1 : end;
    }
    return true;
}

static bool agree(const struct diff *diff, struct place place)
{
    return place.old_line < diff->old_side.count && diff->match[place.old_line] == (int32_t)place.new_line;
}

static bool at_end(const struct diff *diff, struct place place)
{
    return place.old_line >= diff->old_side.count && place.new_line >= diff->new_side.count;
}

/* The place behind the lines at PLACE that differ: removed ones first, then added ones. */
static struct place behind_difference(const struct diff *diff, struct place place)
{
    while (place.old_line < diff->old_side.count && diff->match[place.old_line] < 0) {
        place.old_line++;
    }
    uint32_t next =
        place.old_line < diff->old_side.count ? (uint32_t)diff->match[place.old_line] : diff->new_side.count;
    place.new_line = next > place.new_line ? next : place.new_line;
    return place;
}

static struct place behind_agreement(const struct diff *diff, struct place place)
{
    while (agree(diff, place)) {
        place.old_line++;
        place.new_line++;
    }
    return place;
}

static void write_line(const struct diff *diff, char sign, const struct line *line)
{
    text_append(diff->ret, &sign, 1);
    text_append(diff->ret, line->text,
                strnlen(line->text, line->length)); /* what follows a NUL cannot be shown */
    text_puts(diff->ret, "\n");
}

/* "12,3" as diff writes it: a single line has no count, no lines are named by the line before them. */
static void write_range(const struct diff *diff, const struct side *side, uint32_t from, uint32_t to)
{
    unsigned first = side->count ? side->first + from - (from == to) : 0;

    text_printf(diff->ret, to - from == 1 ? "%u" : "%u,%u", first, to - from);
}

static void write_hunk(const struct diff *diff, struct place from, struct place to)
{
    text_puts(diff->ret, "@@ -");
    write_range(diff, &diff->old_side, from.old_line, to.old_line);
    text_puts(diff->ret, " +");
    write_range(diff, &diff->new_side, from.new_line, to.new_line);
    text_puts(diff->ret, " @@\n");
    while (from.old_line < to.old_line || from.new_line < to.new_line) {
        if (agree(diff, from)) {
            write_line(diff, ' ', &diff->old_side.lines[from.old_line]);
            from.old_line++;
            from.new_line++;
            continue;
        }
        struct place behind = behind_difference(diff, from);
        for (; from.old_line < behind.old_line; from.old_line++) {
            write_line(diff, '-', &diff->old_side.lines[from.old_line]);
        }
        for (; from.new_line < behind.new_line; from.new_line++) {
            write_line(diff, '+', &diff->new_side.lines[from.new_line]);
        }
    }
}

static void write_hunks(const struct diff *diff)
{
    struct place place = behind_agreement(diff, (struct place){ 0, 0 });

    while (!at_end(diff, place)) {
        uint32_t before = place.old_line < CONTEXT ? place.old_line : CONTEXT;
        struct place from = { place.old_line - before, place.new_line - before }, to;
        for (;;) {
            to = behind_difference(diff, place);
            place = behind_agreement(diff, to);
            if (at_end(diff, place) || place.old_line - to.old_line > 2 * CONTEXT) {
                break;
            }
        }
        uint32_t behind = place.old_line - to.old_line < CONTEXT ? place.old_line - to.old_line : CONTEXT;
        write_hunk(diff, from, (struct place){ to.old_line + behind, to.new_line + behind });
    }
}

struct molt_error *text_diff_unified(const struct text_piece *old_piece, const struct text_piece *new_piece,
                                     struct text *ret)
{
    struct diff diff = { .ret = ret };
    struct molt_error *error = NULL;

    if (side_init(&diff.old_side, old_piece) && side_init(&diff.new_side, new_piece) &&
        (diff.match = malloc((diff.old_side.count + 1) * sizeof(*diff.match))) &&
        compare_sequences(diff.old_side.hashes, diff.old_side.count, diff.new_side.hashes,
                          diff.new_side.count, MAX_DIFFERENCES, diff.match)) {
        write_hunks(&diff);
    } else {
        error = molt_error_nomem();
    }
    free(diff.match);
    side_deinit(&diff.old_side);
    side_deinit(&diff.new_side);
    return error ? error : text_failed(ret) ? molt_error_nomem() : NULL;
}
