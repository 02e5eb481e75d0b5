/* Between the files that migrate instances (migrate.c says in what order): items, of which there is one for
 * each instance that is not made in the one pass (items.c), what gets one (collect.c), and what is done to
 * them where they are (in_place.c), or aside (aside.c). */
#ifndef MOLT_ENGINE_UPDATE_MIGRATE_PRIVATE_H
#define MOLT_ENGINE_UPDATE_MIGRATE_PRIVATE_H

#include "engine/update/state_private.h"

#define GUARD_BYTES 64 /* behind what a custom policy writes to */

/* Says what is being worked on, should it fail. */
static inline void migrate_now(struct state *state, const struct conversion *conversion,
                               const struct item *item, const void *old, void *new,
                               enum state_function function)
{
    state->current = conversion;
    state->current_item = item;
    state->current_old = old;
    state->current_new = new;
    state->current_index = 0;
    state->current_function = function;
    state_note(state);
}

/* Bytes of the new instance of ITEM. */
static inline size_t item_new_size(const struct conversion *conversion, const struct item *item)
{
    return conversion_size(conversion, item->kind, item->size);
}

/* ---- items ----------------------------------------------------------------------------------------- */

/* A copy of ITEM, with room for what belongs to it, is one of CONVERSION's. NULL without memory. */
struct item *item_push(struct conversion *conversion, struct item item);

/* The site of ITEM's block from now on: another one if its own cannot say what it is then. */
unsigned item_site_after(struct state *state, struct conversion *conversion, const struct item *item);

/* Tells the heap that BLOCK, NULL if the item lies in none, has SIZE bytes of the new instance. To be called
 * with what the block was when its content was the old one: the heap may note in a small block's unused end
 * how much of it is in use. */
void item_retag(struct state *state, struct conversion *conversion, struct item *item, size_t size,
                const struct heap_block *block);

/* ---- which instances there are --------------------------------------------------------------------- */

/* Whether blocks of MEANING may hold instances. A state_wants. */
bool is_changed(const struct state *state, const struct meaning *meaning);

/* Whether SIZE bytes of KIND hold a whole object of LAYOUT; else refuse_part says so of PLACE. */
bool is_whole(const struct layout *layout, enum place_kind kind, size_t size);
int refuse_part(struct state *state, const struct layout *layout, struct place place);

/* Gives an item to what moves or has a custom policy. Under the guard; sets state->status. */
void collect(void *state);

/* The same of variables alone; those with a generated policy are converted at once, when HERE says so. 0, or
 * negative with the report. */
int collect_roots(struct state *state, bool here);

/* ---- in place -------------------------------------------------------------------------------------- */

/* WHAT becomes SIZE_AFTER bytes where it is. BLOCK, NULL for none, is to be told of it. NULL without memory.
 */
const struct item *convert_here(struct state *state, struct conversion *conversion, struct item what,
                                size_t size_after, const struct heap_block *block);

/* All that has a generated policy, stays where it is, and has not been made. Under the guard; sets
 * state->status. */
void convert_rest(void *state);

/* ---- aside ----------------------------------------------------------------------------------------- */

/* Makes the new instances of all items: in blocks of their own, or in the items. Under the guard; sets
 * state->status. */
void make_aside(void *state);

/* Exchanges what CONVERSION's items hold with what is at their places. */
void settle(struct state *state, struct conversion *conversion);

/* Tells the heap what the blocks are that the program's own allocation functions gave. */
void tag_moved(struct state *state, struct conversion *conversion);

#endif
