/*
 * The program's heap as an update sees it: every live block of malloc's family, with the place in the program
 * that asked for it. The engine stands in front of the program's allocator (interpose.c), whichever that is,
 * and notes each block's site in a shadow of the address space (shadow.c); what type a site makes is not
 * known here.
 *
 * The functions that look at blocks are for the engine's thread in a stopped world in which no thread is
 * inside the allocator (heap_allocator_code). They take no lock and allocate nothing.
 */
#ifndef MOLT_ENGINE_HEAP_HEAP_H
#define MOLT_ENGINE_HEAP_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/code/registry.h"

#define HEAP_SITE_DEPTH 8
#define HEAP_SITE_MAX 8191 /* the highest id that a site can have */

/* Where a block was asked for: the return address of the call of malloc; if that lies in a function that
 * hands memory on, its caller's, too, and so on. Outermost last. Blocks whose chains do not matter share a
 * site of depth 0: those that heap_site_synthetic made, and HEAP_SITE_OTHERS. */
struct heap_site {
    unsigned depth;
    bool unloaded; /* the library that a caller lay in was closed: the addresses mean nothing any more */
    uintptr_t callers[HEAP_SITE_DEPTH];
};

/* The site of all blocks that came after every id had been given out: of any type. */
#define HEAP_SITE_OTHERS 1

/* Ids go from 1 to heap_site_count(); 0 is no site. They are never given back and outlive updates. */
size_t heap_site_count(void);
const struct heap_site *heap_site(unsigned id); /* valid for ever */

/* A new id, for blocks that a migration makes; 0 if none is left. One for each layout is enough for ever. */
unsigned heap_site_synthetic(void);

struct heap_block {
    uintptr_t start;
    size_t size;   /* as the program asked for it; as malloc_usable_size answered if it has asked for that */
    size_t usable; /* how many bytes the block can hold, >= size */
    unsigned site;
};

/* Called per block, by ascending address. Return false to stop. */
typedef bool heap_visitor(void *context, const struct heap_block *block);

/* The same for several blocks at a time, HEAP_VISITED_MAX at most: what is done to many in a row, step by
 * step, is done quicker, since the processor need not wait for the memory of one before it comes to the next.
 * (Of more at a time, the walk waits for the memory of all, and what is done to them could not go on
 * meanwhile: with 64, a pause in which instances move took a tenth longer.) */
#define HEAP_VISITED_MAX 16
typedef bool heap_visitor_of_many(void *context, const struct heap_block *blocks, size_t count);

/* Whether the memory from START to END, which can be read, is such that the blocks in it have to be visited.
 */
typedef bool heap_filter(void *context, uintptr_t start, uintptr_t end);

/* Reads the memory map: once after the world was stopped, before anything that follows; until then no block
 * is found. 0 or negative errno. */
int heap_refresh(void);

/* Visits all blocks, or, if WANTED is not NULL, those of the sites with a true WANTED[id] (HEAP_SITE_MAX + 1
 * elements): passing over the others is several times quicker. */
void heap_walk(const bool *wanted, heap_visitor *visit, void *context);

/* The same in parts, by several threads: heap_parts says how many there are, 0 without memory for that; each
 * block is in one of them, NUMBER from 0. CONCERNS (NULL: all are) is asked of stretches of memory first,
 * with all blocks that begin in them: those of which it says no are passed over. Visitors may call
 * heap_site_at, heap_words_lead and nothing else that looks at blocks, unless they do so one at a time. */
size_t heap_parts(void);
size_t heap_part_turn(size_t turn, size_t count); /* the number of the part of COUNT to be walked in its TURN,
                                                     so that few are waited for at the end */
void heap_part(size_t number, uintptr_t *ret_start, uintptr_t *ret_end);
void heap_walk_part(size_t number, const bool *wanted, heap_filter *concerns, heap_visitor_of_many *visit,
                    void *context);

/* The block that ADDRESS lies in, its unused end included. False if none does. */
bool heap_find(uintptr_t address, struct heap_block *ret);

/* As that, also if what lies in front of ADDRESS in the block cannot be read: the guard of a stack. */
bool heap_find_guarded(uintptr_t address, struct heap_block *ret);

/* The first block that starts in [FROM, END) or reaches into it. False: there is none. */
bool heap_first(uintptr_t from, uintptr_t end, struct heap_block *ret);

/* Whether each block has glibc's header in front of it. */
bool heap_has_headers(void);

/* The site of the block that starts at ADDRESS, 0 if none does: quick, and for addresses in the heap only a
 * hint as long as heap_find does not agree. */
unsigned heap_site_at(uintptr_t address);

/* Of COUNT objects the words that stand OFFSET bytes behind OBJECTS[i]: ret[i] becomes false unless it is
 * NULL, or leads, as heap_site_at tells, to the start of a block of which MEANINGS[its site] (HEAP_SITE_MAX +
 * 1 elements) is WANTED. */
void heap_words_lead(const uintptr_t *objects, size_t offset, size_t count, const uint32_t *meanings,
                     uint32_t wanted, bool *ret);

/* How many blocks of the WANTED sites there are, and about how many bytes they have, small ones rounded up.
 * Also while the program runs: roughly, then. */
size_t heap_count(const bool *wanted, size_t *ret_bytes);

/* Calls VISIT with each stretch of the heap's memory, of SIZE bytes, in which a block of the WANTED sites
 * begins. Also while the program runs. */
void heap_pages(const bool *wanted, void (*visit)(void *context, uintptr_t start, size_t size),
                void *context);

/* Whether the allocator has had memory near ADDRESS, so that it may be of a block that was freed. */
bool heap_touched(uintptr_t address);

/* Says that the block at START, which heap_walk or heap_find gave, now is of SITE and SIZE (<= its usable
 * size). May write the last bytes of the block behind SIZE. */
void heap_retag(uintptr_t start, unsigned site, size_t size);

/* As if the block at START, which heap_allocate gave, were none; and, of SIZE and SITE, one again. Usable by
 * several threads at once, for different blocks. */
void heap_hide(uintptr_t start);
void heap_show(uintptr_t start, size_t size, unsigned site);

/* How many bytes the block at START, which heap_allocate gave, can hold. */
size_t heap_usable(uintptr_t start);

/* The code through which every call of the allocator goes: a thread with a frame in it is inside the
 * allocator. */
struct code_range heap_allocator_code(void);

/* The program's malloc and free as if it had called them; the block is tagged with SITE. NULL without memory.
 */
void *heap_allocate(size_t size, unsigned site);

/* As that, at a multiple of ALIGNMENT, a power of two: what malloc gives is at one of
 * MOLT_ALIGNMENT_ANYWHERE. */
void *heap_allocate_aligned(size_t alignment, size_t size, unsigned site);
void heap_release(void *pointer);

/* Many blocks are about to be allocated: lets the allocator take memory for about HEAP_ROOM bytes at once.
 * Left to itself, glibc asks the system for a page at a time on threads other than the first, and each page
 * is a fault. */
#define HEAP_ROOM ((size_t)120 << 10) /* less than what it maps, or gives back, by itself */
void heap_make_room(void);

/* In a stopped world, until it is called with NULL: what is given to free or realloc stays allocated, and
 * LATER is told, with the function that is to be called with it if all goes well. An allocator that gives
 * memory back to the system cannot be undone by restoring its books. */
typedef void heap_later(void (*release)(void *), void *pointer);
void heap_defer_frees(heap_later *later);

/* Whose blocks are tracked: the file name of the library with the allocator underneath; NULL if the program
 * has an allocator of its own in its executable, so that none is. */
const char *heap_allocator(void);

/* Whether a module calls jemalloc or mimalloc, where those are underneath, by their own functions (mallocx,
 * mi_free): *ret is the first one. Blocks that come and go that way are not tracked. Takes the dynamic
 * linker's lock. */
struct lookup_import;
bool heap_is_bypassed(struct lookup_import *ret);

#define HEAP_SHADOW_NAME "shadow of the heap" /* of its mappings */

/* Puts what the shadow has mapped on the list of the engine's mappings (engine/mapping.h). On the engine's
 * thread. */
void heap_list_mappings(void);

/* Code that a patch brought, from START to END, with its search table (.eh_frame_hdr) or NULL; and that is to
 * be freed: no thread is in it. On the engine's thread. */
void heap_code_added(uintptr_t start, uintptr_t end, const uint8_t *eh_frame_header);
void heap_code_removed(uintptr_t start, uintptr_t end);

/* In the child of a fork. */
void heap_after_fork(void);

#endif
