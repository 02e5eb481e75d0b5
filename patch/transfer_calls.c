/*
 * Which call is which. Calls of the same function from the same place (through the same inlined functions) are paired in the
 * order of the source if both versions have equally many, and their lines read the same, or were edited where they stand.
 * Otherwise only those are whose line no other call of the group looks like; or, if two stand on one line, those that the alignment
 * of the whole function pairs. A call inside a loop is none outside.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/transfer_private.h"

#define FRAMES_MAX 16

struct call_site {
    uint32_t at;
    const char *callee;
    code_frames frames; /* innermost first */
};

typedef LIST(struct call_site) call_sites;

static void find_sites(struct code *code, const struct code_index *index, call_sites *ret)
{
    for (uint32_t i = 0; i < code->instructions.count; i++) {
        if (code_comes_back(code, i)) {
            struct call_site site = { .at = i, .callee = code_callee(code, i) };
            code_index_frames(index, code->instructions.items[i].address, &site.frames);
            for (size_t k = 0; k < site.frames.count; k++) {
                site.frames.items[k].file = code_path(code, site.frames.items[k].file);
            }
            LIST_ADD(ret, site);
        }
    }
}

static bool same_word(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Whether both call the same from the same inlined function. */
static bool same_group(const struct call_site *a, const struct call_site *b)
{
    if (strcmp(a->callee, b->callee) != 0 || a->frames.count != b->frames.count) {
        return false;
    }
    for (size_t i = 0; i < a->frames.count; i++) { /* the function itself may have another name */
        if (i + 1 < a->frames.count && !same_word(a->frames.items[i].function, b->frames.items[i].function)) {
            return false;
        }
    }
    return true;
}

/* The order of the source: by lines, from the outermost on. */
static int by_source(const void *left, const void *right)
{
    const struct call_site *a = left, *b = right;

    for (size_t i = 1; i <= a->frames.count && i <= b->frames.count; i++) {
        const struct code_frame *one = &a->frames.items[a->frames.count - i];
        const struct code_frame *other = &b->frames.items[b->frames.count - i];
        if (one->line != other->line) {
            return one->line < other->line ? -1 : 1;
        }
    }
    return a->at < b->at ? -1 : a->at > b->at;
}

static bool same_lines(const struct call_site *a, const struct call_site *b)
{
    for (size_t i = 0; i < a->frames.count; i++) {
        if (a->frames.items[i].line != b->frames.items[i].line) {
            return false;
        }
    }
    return true;
}

/* Whether all lines on the way to the two calls have the same text. */
static bool same_texts(const struct match *match, const struct call_site *old, const struct call_site *new)
{
    for (size_t i = 0; i < old->frames.count; i++) {
        const struct code_frame *a = &old->frames.items[i], *b = &new->frames.items[i];
        if (!same_word(a->file, b->file)) {
            return false;
        }
        if (match->lines ? !match->lines(match->lines_context, b->file, a->line, b->line)
                         : a->line != b->line) {
            return false;
        }
    }
    return true;
}

typedef LIST(const struct call_site *) site_group;

static void gather(const call_sites *sites, const struct call_site *like, site_group *ret)
{
    for (size_t i = 0; i < sites->count; i++) {
        if (same_group(&sites->items[i], like)) {
            LIST_ADD(ret, &sites->items[i]);
        }
    }
}

/* How many of GROUP have the lines' texts of SITE, which is old or, OLD being false, new. */
static unsigned look_alikes(const struct match *match, const site_group *group, const struct call_site *site,
                            bool old)
{
    unsigned count = 0;

    for (size_t i = 0; i < group->count; i++) {
        count += old ? same_texts(match, site, group->items[i]) : same_texts(match, group->items[i], site);
    }
    return count;
}

static bool shares_line(const site_group *group, size_t index)
{
    for (size_t i = 0; i < group->count; i++) {
        if (i != index && same_lines(group->items[i], group->items[index])) {
            return true;
        }
    }
    return false;
}

/* How many of the lines next to the two calls, from DISTANCE in front of them to as many behind, read the same. */
static unsigned same_neighbours(const struct match *match, const struct call_site *old,
                                const struct call_site *new, unsigned distance)
{
    const struct code_frame *a = &old->frames.items[0], *b = &new->frames.items[0];
    unsigned count = 0;

    for (unsigned i = 1; i <= distance && match->lines && a->line > i && b->line > i; i++) {
        count += match->lines(match->lines_context, b->file, a->line - i, b->line - i);
        count += match->lines(match->lines_context, b->file, a->line + i, b->line + i);
    }
    return count;
}

/* Whether each of OLD reads as the one of NEW in its place. */
static bool same_sequence(const struct match *match, const site_group *old, const site_group *new)
{
    bool same = old->count == new->count;

    for (size_t i = 0; i < old->count && same; i++) {
        same = same_texts(match, old->items[i], new->items[i]);
    }
    return same;
}

/* Whether OLD and NEW look like each other and like nothing else. */
static bool is_only_like(const struct match *match, const site_group *old, const site_group *new,
                         const struct call_site *site, const struct call_site *found)
{
    return same_texts(match, site, found) && look_alikes(match, new, site, true) == 1 &&
           look_alikes(match, old, found, false) == 1;
}

/*
 * The INDEXth of OLD and of NEW, groups of equally many. A line that was edited where it stands is still the same; but a call that was removed, and
 * one added elsewhere, make two groups of equally many, too.
 */
static const struct call_site *in_order(const struct match *match, const site_group *old,
                                        const site_group *new, size_t index)
{
    const struct call_site *site = old->items[index], *found = new->items[index];

    if (same_sequence(match, old, new)) {
        return !match->lines || is_only_like(match, old, new, site, found) ||
                       same_neighbours(match, site, found, 1)
                   ? found
                   : NULL;
    }
    bool edited = look_alikes(match, new, site, true) == 0 && look_alikes(match, old, found, false) == 0 &&
                  same_neighbours(match, site, found, 1) == 2 && same_neighbours(match, site, found, 2) >= 3;
    return edited ? found : NULL;
}

/* Those of GROUP that are inside a loop, or outside of all; in order. */
static void select_by_loop(const struct code *code, const site_group *group, bool loop, site_group *ret)
{
    for (size_t i = 0; i < group->count; i++) {
        if (code_repeats(code, group->items[i]->at) == loop) {
            LIST_ADD(ret, group->items[i]);
        }
    }
}

/* Where compilers have made two of the condition of a loop, one in front of it and one in it, they stand on one line. */
static const struct call_site *by_loop(const struct match *match, const site_group *old,
                                       const site_group *new, const struct call_site *site)
{
    bool loop = code_repeats(match->old, site->at);
    site_group own = { 0 }, others = { 0 };
    const struct call_site *found = NULL;

    select_by_loop(match->old, old, loop, &own);
    select_by_loop(match->new, new, loop, &others);
    for (size_t i = 0; i < own.count && own.count == others.count && old->count == new->count; i++) {
        if (own.items[i] == site && !shares_line(&own, i) && !shares_line(&others, i) &&
            same_sequence(match, &own, &others)) {
            found = in_order(match, &own, &others, i);
        }
    }
    LIST_FREE(&own);
    LIST_FREE(&others);
    return found;
}

static const struct call_site *counterpart(const struct match *match, const site_group *old,
                                           const site_group *new, size_t index)
{
    const struct call_site *site = old->items[index], *found = NULL;

    if (old->count == new->count && !shares_line(old, index) && !shares_line(new, index)) {
        found = in_order(match, old, new, index);
    }
    for (size_t i = 0; i < new->count && !found; i++) {
        if (is_only_like(match, old, new, site, new->items[i]) &&
            same_neighbours(match, site, new->items[i], 1)) {
            found = new->items[i];
        }
    }
    for (size_t i = 0; i < new->count && old->count == new->count && !found; i++) {
        if (match->old_of[new->items[i]->at] == site->at && !match->unsure[new->items[i]->at] &&
            (!match->lines || same_neighbours(match, site, new->items[i], 1))) {
            found = new->items[i];
        }
    }
    return found ? found : by_loop(match, old, new, site);
}

static void free_sites(call_sites *sites)
{
    for (size_t i = 0; i < sites->count; i++) {
        LIST_FREE(&sites->items[i].frames);
    }
    LIST_FREE(sites);
}

static void pair_site(const struct transfer_work *work, const call_sites *old, const call_sites *new,
                      const struct call_site *site, uint32_t *pairs)
{
    site_group old_group = { 0 }, new_group = { 0 };

    gather(old, site, &old_group);
    gather(new, site, &new_group);
    for (size_t i = 0; i < old_group.count; i++) {
        const struct call_site *found =
            old_group.items[i] == site ? counterpart(&work->match, &old_group, &new_group, i) : NULL;
        if (found && code_repeats(&work->old.code, site->at) == code_repeats(&work->new.code, found->at)) {
            pairs[site->at] = found->at;
        }
    }
    LIST_FREE(&old_group);
    LIST_FREE(&new_group);
}

uint32_t *transfer_match_calls(struct transfer_work *work, const struct code_index *old_index,
                               const struct code_index *new_index)
{
    size_t count = work->old.code.instructions.count;
    uint32_t *pairs = must_calloc(count + 1, sizeof(*pairs));
    call_sites old = { 0 }, new = { 0 };

    for (size_t i = 0; i < count; i++) {
        pairs[i] = NO_INSTRUCTION;
    }
    find_sites(&work->old.code, old_index, &old);
    find_sites(&work->new.code, new_index, &new);
    if (old.count) {
        qsort(old.items, old.count, sizeof(*old.items), by_source);
    }
    if (new.count) {
        qsort(new.items, new.count, sizeof(*new.items), by_source);
    }
    for (size_t i = 0; i < old.count; i++) {
        pair_site(work, &old, &new, &old.items[i], pairs);
    }
    free_sites(&old);
    free_sites(&new);
    return pairs;
}
