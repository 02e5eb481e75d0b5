/*
 * Which call is which. Calls of the same function from the same place (through the same inlined functions)
 * are the same if the comparison of the two sources says that of the lines on which they stand, or if the
 * line was edited where it stands. Columns tell several on one line apart; where a compiler has made several
 * of one, the alignment of the whole function does, or that one is in front of a loop and one in it. A call
 * inside a loop is none outside.
 *
 * Where a compiler has made one call of several (clang says that it is on line 0), it is told by what comes
 * behind it: the same instructions, to a line that is the same in both sources.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/transfer/lines.h"
#include "patch/transfer/private.h"

#define FRAMES_MAX 16

struct call_site {
    uint32_t at;
    const char *callee;
    code_frames frames; /* innermost first */
};

typedef LIST(struct call_site) call_sites;

/* The lines of one function in both versions. */
struct function_lines {
    const char *file, *function; /* NULL: the one whose calls are paired */
    struct line_map map;
};

/* The place of instruction AT; its frames are to be freed. */
static struct call_site site_at(struct code *code, const struct code_index *index, uint32_t at)
{
    struct call_site site = { .at = at, .callee = "" };

    code_index_frames(index, code->instructions.items[at].address, &site.frames);
    for (size_t i = 0; i < site.frames.count; i++) {
        site.frames.items[i].file = code_path(code, site.frames.items[i].file);
    }
    return site;
}

static void find_sites(struct code *code, const struct code_index *index, call_sites *ret)
{
    for (uint32_t i = 0; i < code->instructions.count; i++) {
        if (code_comes_back(code, i)) {
            struct call_site site = site_at(code, index, i);
            site.callee = code_callee(code, i);
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

typedef LIST(const struct call_site *) site_group;

static void gather(const call_sites *sites, const struct call_site *like, site_group *ret)
{
    for (size_t i = 0; i < sites->count; i++) {
        if (same_group(&sites->items[i], like)) {
            LIST_ADD(ret, &sites->items[i]);
        }
    }
}

/* What the calls of two versions are paired by. */
struct pairing {
    const struct match *match;
    struct code *old_code, *new_code;
    const struct code_index *old_index, *new_index;
    call_sites old, new;
    LIST(struct function_lines) functions; /* made when they are needed */
};

#define TAIL_MAX 64 /* instructions behind a call that are compared */
#define CONTEXT 30  /* lines around calls that are compared, too */

/* The name of the function that frame K of SITE is in, or NULL for the outermost, which may have got another
 * name. */
static const char *function_of(const struct call_site *site, size_t k)
{
    return k + 1 < site->frames.count ? site->frames.items[k].function : NULL;
}

/* The lines of FUNCTION that frames of SITES are on, and some around. */
static struct line_range lines_of(const call_sites *sites, const char *file, const char *function)
{
    struct line_range range = { UINT32_MAX, 0 };

    for (size_t i = 0; i < sites->count; i++) {
        for (size_t k = 0; k < sites->items[i].frames.count; k++) {
            const struct code_frame *frame = &sites->items[i].frames.items[k];
            if (frame->line && same_word(frame->file, file) &&
                same_word(function_of(&sites->items[i], k), function)) {
                range.first = frame->line < range.first ? frame->line : range.first;
                range.end = frame->line >= range.end ? frame->line + 1 : range.end;
            }
        }
    }
    range.first = range.first > range.end ? 1 : range.first;
    range.first = range.first > CONTEXT ? range.first - CONTEXT : 1;
    range.end += CONTEXT;
    return range;
}

static const struct line_map *lines_in(struct pairing *pairing, const char *file, const char *function)
{
    for (size_t i = 0; i < pairing->functions.count; i++) {
        const struct function_lines *each = &pairing->functions.items[i];
        if (same_word(each->file, file) && same_word(each->function, function)) {
            return &each->map;
        }
    }
    LIST_ADD(&pairing->functions, (struct function_lines){ .file = file, .function = function });
    struct line_map *map = &pairing->functions.items[pairing->functions.count - 1].map;
    line_map_init(map, pairing->match->lines, pairing->match->lines_context, file,
                  lines_of(&pairing->old, file, function), lines_of(&pairing->new, file, function));
    return map;
}

/* How closely two calls are compared, from the surest way on. */
enum closeness { BY_COLUMN, BY_LINE, EDITED, CLOSENESSES };

/* Whether frame K of NEW is on the line that the one of OLD was on; EDITED: which was edited where it stands.
 */
static bool same_line_of(struct pairing *pairing, const struct call_site *old, const struct call_site *new,
                         size_t k, bool edited)
{
    const struct code_frame *a = &old->frames.items[k], *b = &new->frames.items[k];

    if (!pairing->match->lines || !a->file) {
        return a->line == b->line && !edited;
    }
    const struct line_map *map = lines_in(pairing, a->file, function_of(old, k));
    return edited ? line_map_edited(map, a->line, b->line) : line_map_same(map, a->line, b->line);
}

/* Whether NEW is where OLD was. EDITED: one of the lines was edited. */
static bool same_place(struct pairing *pairing, const struct call_site *old, const struct call_site *new,
                       enum closeness closeness)
{
    unsigned edited = 0;

    for (size_t i = 0; i < old->frames.count; i++) {
        const struct code_frame *a = &old->frames.items[i], *b = &new->frames.items[i];
        if (!same_word(a->file, b->file) || (closeness == BY_COLUMN && a->column != b->column)) {
            return false;
        }
        if (!same_line_of(pairing, old, new, i, false)) {
            if (closeness != EDITED || !same_line_of(pairing, old, new, i, true)) {
                return false;
            }
            edited++;
        }
    }
    return edited == (closeness == EDITED);
}

/* Whether two calls of one version are in one place, as far as CLOSENESS can tell. */
static bool one_place(const struct call_site *a, const struct call_site *b, enum closeness closeness)
{
    for (size_t i = 0; i < a->frames.count; i++) {
        const struct code_frame *one = &a->frames.items[i], *other = &b->frames.items[i];
        if (one->line != other->line || (closeness == BY_COLUMN && one->column != other->column)) {
            return false;
        }
    }
    return true;
}

/* Where a compiler has made several of one call, or does not tell calls on one line apart: the aligned one,
 * or the only one that is inside a loop, or outside of all, as SITE is. OLD and NEW are those on the line. */
static const struct call_site *one_of(const struct match *match, const site_group *old, const site_group *new,
                                      const struct call_site *site)
{
    const struct call_site *found = NULL;
    bool loop = code_repeats(match->old, site->at);
    unsigned own = 0, others = 0;

    for (size_t i = 0; i < new->count; i++) {
        if (match->old_of[new->items[i]->at] == site->at && !match->unsure[new->items[i]->at]) {
            return new->items[i];
        }
        if (code_repeats(match->new, new->items[i]->at) == loop) {
            found = new->items[i];
            others++;
        }
    }
    for (size_t i = 0; i < old->count; i++) {
        own += code_repeats(match->old, old->items[i]->at) == loop;
    }
    return own == 1 && others == 1 ? found : NULL;
}

/* Which of NEW, calls of the same function, is SITE, one of OLD; NULL: none is surely. */
static const struct call_site *counterpart_by(struct pairing *pairing, const site_group *old,
                                              const site_group *new, const struct call_site *site,
                                              enum closeness closeness)
{
    site_group own = { 0 }, others = { 0 };
    const struct call_site *found = NULL;

    for (size_t i = 0; i < old->count; i++) {
        if (one_place(site, old->items[i], closeness)) {
            LIST_ADD(&own, old->items[i]);
        }
    }
    for (size_t i = 0; i < new->count; i++) {
        if (same_place(pairing, site, new->items[i], closeness)) {
            LIST_ADD(&others, new->items[i]);
        }
    }
    if (own.count == 1 && others.count == 1) {
        found = others.items[0];
    } else if (own.count == others.count && closeness != EDITED) {
        found = one_of(pairing->match, &own, &others, site);
    }
    LIST_FREE(&own);
    LIST_FREE(&others);
    return found;
}

/* Whether control is at the same place of the source at OLD and at NEW, as far as either has lines. */
static bool same_source(struct pairing *pairing, const struct call_site *old, const struct call_site *new)
{
    bool same = same_group(old, new);

    for (size_t i = 0; i < old->frames.count && same; i++) {
        same = (!old->frames.items[i].line && !new->frames.items[i].line) ||
               same_line_of(pairing, old, new, i, false);
    }
    return same;
}

static bool same_source_at(struct pairing *pairing, uint32_t old_at, uint32_t new_at)
{
    struct call_site old = site_at(pairing->old_code, pairing->old_index, old_at);
    struct call_site new = site_at(pairing->new_code, pairing->new_index, new_at);
    bool same = same_source(pairing, &old, &new);

    LIST_FREE(&old.frames);
    LIST_FREE(&new.frames);
    return same;
}

/* The first instruction from AT on that has a line, calls, leaves, or has a counterpart: the others are what
 * one version does in passing, such as a check of its frame. */
static uint32_t skip_own(const struct code *code, const uint32_t *counterparts, uint32_t at)
{
    for (unsigned i = 0; i < TAIL_MAX && at + 1 < code->instructions.count; i++, at++) {
        const struct code_instruction *instruction = &code->instructions.items[at];
        if (instruction->line || (instruction->flags & (CODE_CALL | CODE_ENDS | CODE_INDIRECT)) ||
            counterparts[at] != NO_INSTRUCTION) {
            break;
        }
    }
    return at;
}

/* Whether the same comes from OLD and from NEW on, up to an instruction that is on a line, or that leaves the
 * function. */
static bool goes_on_alike(struct pairing *pairing, uint32_t old, uint32_t new)
{
    const struct match *match = pairing->match;

    for (unsigned i = 0; i < TAIL_MAX; i++) {
        if (old >= match->old->instructions.count || new >= match->new->instructions.count) {
            return false;
        }
        old = skip_own(match->old, match->new_of, old);
        new = skip_own(match->new, match->old_of, new);
        const struct code_instruction *a = &match->old->instructions.items[old];
        const struct code_instruction *b = &match->new->instructions.items[new];
        if (a->line && b->line) {
            return same_source_at(pairing, old, new);
        }
        if (match->old_of[new] != old || match->unsure[new] || (a->flags & CODE_INDIRECT)) {
            return false;
        }
        bool jumps = (a->flags & CODE_ENDS) && a->jump != NO_INSTRUCTION && b->jump != NO_INSTRUCTION;
        if ((a->flags & CODE_ENDS) && !jumps) {
            return (b->flags & CODE_ENDS) && b->jump == NO_INSTRUCTION;
        }
        old = jumps ? a->jump : old + 1;
        new = jumps ? b->jump : new + 1;
    }
    return false;
}

/* Which of NEW is SITE, a call that the compiler has made of several; NULL: none is surely. */
static const struct call_site *counterpart_of_merged(struct pairing *pairing, const site_group *new,
                                                     const struct call_site *site)
{
    const struct match *match = pairing->match;

    for (size_t i = 0; i < new->count; i++) {
        const struct call_site *other = new->items[i];
        if (match->old_of[other->at] == site->at && !match->unsure[other->at] && other->frames.count &&
            !other->frames.items[0].line && same_source(pairing, site, other)) {
            return goes_on_alike(pairing, site->at + 1, other->at + 1) ? other : NULL;
        }
    }
    return NULL;
}

static const struct call_site *counterpart(struct pairing *pairing, const site_group *old,
                                           const site_group *new, const struct call_site *site)
{
    bool merged = site->frames.count && !site->frames.items[0].line;
    const struct call_site *found = merged ? counterpart_of_merged(pairing, new, site) : NULL;

    for (unsigned closeness = 0; closeness < CLOSENESSES && !found; closeness++) {
        found = counterpart_by(pairing, old, new, site, closeness);
    }
    return found;
}

static void free_sites(call_sites *sites)
{
    for (size_t i = 0; i < sites->count; i++) {
        LIST_FREE(&sites->items[i].frames);
    }
    LIST_FREE(sites);
}

static void pair_site(struct pairing *pairing, const struct call_site *site, uint32_t *pairs)
{
    const struct match *match = pairing->match;
    site_group old = { 0 }, new = { 0 };

    gather(&pairing->old, site, &old);
    gather(&pairing->new, site, &new);
    const struct call_site *found = counterpart(pairing, &old, &new, site);
    if (found && code_repeats(match->old, site->at) == code_repeats(match->new, found->at)) {
        pairs[site->at] = found->at;
    }
    LIST_FREE(&old);
    LIST_FREE(&new);
}

uint32_t *transfer_match_calls(struct transfer_work *work, const struct code_index *old_index,
                               const struct code_index *new_index)
{
    size_t count = work->old->code.instructions.count;
    uint32_t *pairs = must_calloc(count + 1, sizeof(*pairs));
    struct pairing pairing = { .match = &work->match,
                               .old_code = &work->old->code,
                               .new_code = &work->new->code,
                               .old_index = old_index,
                               .new_index = new_index };

    for (size_t i = 0; i < count; i++) {
        pairs[i] = NO_INSTRUCTION;
    }
    find_sites(&work->old->code, old_index, &pairing.old);
    find_sites(&work->new->code, new_index, &pairing.new);
    for (size_t i = 0; i < pairing.old.count; i++) {
        pair_site(&pairing, &pairing.old.items[i], pairs);
    }
    for (size_t i = 0; i < pairing.functions.count; i++) {
        line_map_deinit(&pairing.functions.items[i].map);
    }
    LIST_FREE(&pairing.functions);
    free_sites(&pairing.old);
    free_sites(&pairing.new);
    return pairs;
}
