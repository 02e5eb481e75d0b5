/*
 * Sites: which place in the program a block comes from.
 *
 * The return address of malloc decides, unless it lies in a function that hands memory on (xmalloc); then its
 * caller's does, together with it. Whether it does is found out once for each return address, together with
 * the rule that leads to the caller's frame; a call that comes there again follows the nodes of a tree, one
 * reading of the stack per level.
 *
 * The tree lies in a hash table without locks: a slot gets its key, then its value, by compare and exchange,
 * and keeps both until the code is unloaded. A thread that finds a key without a value works the value out
 * for itself.
 *
 * Ids are finite. When three quarters are given out, chains are no longer followed; then all that is new
 * shares one site.
 */
#include "engine/heap/sites.h"

#include <pthread.h>
#include <string.h>

#include "engine/heap/callers.h"
#include "engine/heap/heap.h"
#include "engine/heap/places.h"
#include "engine/threads/stubs.h"

#define NODES_MAX (SITE_SLOTS / 4 * 3)
#define KEY_DEAD (~(uint64_t)0)

struct site {
    struct heap_site chain;
    uint64_t identity; /* of the builds that its callers lie in, 0 if unknown */
};

struct site_node site_nodes[SITE_SLOTS];
static struct site sites[HEAP_SITE_MAX + 1];
static atomic_uint last_site = HEAP_SITE_OTHERS;
static atomic_size_t nodes_used;
static atomic_bool any_unloaded;

/* A chain on its way outwards. */
struct walk {
    struct site_frame frame; /* of the last caller */
    size_t slot;             /* of the last node */
    struct heap_site chain;
};

/* ---- ids --------------------------------------------------------------------------------------------- */

size_t heap_site_count(void)
{
    unsigned last = atomic_load(&last_site);

    return last < HEAP_SITE_MAX ? last : HEAP_SITE_MAX;
}

const struct heap_site *heap_site(unsigned id)
{
    return &sites[id <= HEAP_SITE_MAX ? id : 0].chain;
}

static unsigned new_site(void)
{
    if (atomic_load(&last_site) >= HEAP_SITE_MAX) {
        return 0;
    }
    unsigned id = atomic_fetch_add(&last_site, 1) + 1;
    return id <= HEAP_SITE_MAX ? id : 0;
}

unsigned heap_site_synthetic(void)
{
    return new_site();
}

/* The same code, loaded again at the same place, has its old ids. */
static unsigned find_unloaded(const struct heap_site *chain, uint64_t identity)
{
    size_t count = identity && atomic_load(&any_unloaded) ? heap_site_count() : 0;

    for (unsigned id = 1; id <= count; id++) {
        struct site *site = &sites[id];
        if (site->chain.unloaded && site->identity == identity && site->chain.depth == chain->depth &&
            !memcmp(site->chain.callers, chain->callers, chain->depth * sizeof(*chain->callers))) {
            site->chain.unloaded = false;
            return id;
        }
    }
    return 0;
}

/* Which builds the callers of CHAIN lie in; 0 if one has no build-id. */
static uint64_t identity_of(const struct heap_site *chain)
{
    struct place place;
    uint64_t identity = 1;

    for (unsigned i = 0; i < chain->depth; i++) {
        if (!place_find(chain->callers[i], &place) || !place.identity) {
            return 0;
        }
        identity = identity * 31 + place.identity;
    }
    return identity;
}

static unsigned site_for_chain(const struct heap_site *chain)
{
    uint64_t identity = identity_of(chain);
    unsigned id = find_unloaded(chain, identity);

    if (!id && (id = new_site())) {
        sites[id].identity = identity;
        sites[id].chain = *chain;
    }
    return id ? id : HEAP_SITE_OTHERS;
}

/* ---- the tree ---------------------------------------------------------------------------------------- */

static bool is_scarce(void)
{
    return atomic_load(&nodes_used) >= NODES_MAX / 4 * 3 || heap_site_count() >= HEAP_SITE_MAX / 4 * 3;
}

/* The slot of KEY, or SITE_SLOTS; then *ret_vacant is one that it may have, which holds *ret_held. */
static size_t find_slot(uint64_t key, size_t *ret_vacant, uint64_t *ret_held)
{
    size_t slot = site_slot(key);

    *ret_vacant = SITE_SLOTS;
    for (size_t i = 0; i < SITE_SLOTS; i++, slot = (slot + 1) % SITE_SLOTS) {
        uint64_t present = atomic_load_explicit(&site_nodes[slot].key, memory_order_acquire);
        if (present == key) {
            return slot;
        }
        if ((present == KEY_DEAD || !present) && *ret_vacant == SITE_SLOTS) {
            *ret_vacant = slot;
            *ret_held = present;
        }
        if (!present) {
            break;
        }
    }
    return SITE_SLOTS;
}

/* As find_slot; takes a slot if the key has none. SITE_SLOTS if there is no room. */
static size_t take_slot(uint64_t key)
{
    for (;;) { /* another thread may be quicker, each time at another slot */
        uint64_t held = 0;
        size_t vacant;
        size_t slot = find_slot(key, &vacant, &held);

        if (slot < SITE_SLOTS || vacant == SITE_SLOTS || (!held && atomic_load(&nodes_used) >= NODES_MAX)) {
            return slot;
        }
        bool fresh = !held;
        if (atomic_compare_exchange_strong(&site_nodes[vacant].key, &held, key)) {
            atomic_fetch_add(&nodes_used, fresh);
            return vacant;
        }
    }
}

static uint64_t encode_rule(const struct caller_rule *rule)
{
    return SITE_GOES_ON | (uint64_t)rule->from_rbp << 14 | (uint64_t)rule->distance << 16 |
           (uint64_t)rule->saved_rbp << 40;
}

/* Whether the chain goes on behind WALK's last caller, which lies at PLACE; if so, *ret is how. */
static bool goes_on(const struct walk *walk, const struct place *place, struct caller_rule *ret)
{
    unsigned depth = walk->chain.depth;
    bool wanted = place->kind == PLACE_WRAPPER || (place->kind == PLACE_UNTOLD && depth == 1);

    return wanted && depth < HEAP_SITE_DEPTH && !is_scarce() && place->eh_frame_header &&
           caller_rule_find(place->eh_frame_header, walk->chain.callers[depth - 1], ret) &&
           ret->distance < 1u << 24 && ret->saved_rbp < 1u << 24;
}

/* The value of the node in SLOT, which WALK has come to; PLACE of its last caller, NULL if that was not
 * found. */
static uint64_t value_of(const struct walk *walk, size_t slot, const struct place *place)
{
    struct caller_rule rule;
    uint64_t none = 0;
    uint64_t value = atomic_load_explicit(&site_nodes[slot].value, memory_order_acquire);

    if (value) {
        return value;
    }
    value = place && goes_on(walk, place, &rule) ? encode_rule(&rule) : site_for_chain(&walk->chain);
    return atomic_compare_exchange_strong(&site_nodes[slot].value, &none, value) ? value : none;
}

/* Appends RETURN_ADDRESS to WALK and returns the value of its node; 0 if it has none and gets none. */
static uint64_t descend(struct walk *walk, uintptr_t return_address)
{
    bool first = walk->chain.depth == 0;
    uint64_t parent = (first ? 0 : (uint64_t)walk->slot + 1) << SITE_PARENT_SHIFT;
    uint64_t held;
    size_t vacant;
    struct place place = { 0 };
    size_t slot = find_slot(parent | return_address, &vacant, &held);

    if (slot == SITE_SLOTS && first && !place_find(return_address, &place)) {
        return 0; /* made at run time: many addresses that mean nothing */
    }
    if (slot == SITE_SLOTS && !first && (is_scarce() || !place_find(return_address, &place))) {
        return_address = SITE_NO_CALLER;
    }
    walk->slot = slot < SITE_SLOTS ? slot : take_slot(parent | return_address);
    if (return_address != SITE_NO_CALLER) {
        walk->chain.callers[walk->chain.depth++] = return_address;
    }
    if (walk->slot == SITE_SLOTS) {
        return 0;
    }
    uint64_t value = atomic_load_explicit(&site_nodes[walk->slot].value, memory_order_acquire);
    if (!value) {
        bool found = return_address != SITE_NO_CALLER && place_find(return_address, &place);
        value = value_of(walk, walk->slot, found ? &place : NULL);
    }
    return value;
}

unsigned site_find(uintptr_t return_address, const uintptr_t *frame)
{
    struct walk walk = { .frame = site_frame_of(frame) };
    uint64_t value = descend(&walk, stubs_original(return_address));

    while (value & SITE_GOES_ON) {
        value = descend(&walk, stubs_original(site_ascend(&walk.frame, value)));
    }
    return value ? (unsigned)value : HEAP_SITE_OTHERS;
}

/* ---- code that goes away ----------------------------------------------------------------------------- */

static pthread_mutex_t forgetting = PTHREAD_MUTEX_INITIALIZER;
static uint8_t doomed[SITE_SLOTS]; /* 0, or how far from the node whose code is gone, plus 1 */

static bool is_gone(uintptr_t address, uintptr_t start, uintptr_t end)
{
    struct place place;

    if (address <= SITE_NO_CALLER) {
        return false;
    }
    return start < end ? address > start && address <= end : !place_find(address, &place);
}

/* Marks the nodes of code that is gone, and those that chains reach through them. Returns how far the
 * furthest is. */
static uint8_t mark_doomed(uintptr_t start, uintptr_t end)
{
    uint8_t round = 1;

    for (bool any = true; any && round < UINT8_MAX; round++) {
        any = false;
        for (size_t slot = 0; slot < SITE_SLOTS; slot++) {
            uint64_t key = atomic_load(&site_nodes[slot].key);
            uint64_t parent = key >> SITE_PARENT_SHIFT;
            uintptr_t address = key & (((uintptr_t)1 << SITE_PARENT_SHIFT) - 1);

            if (!key || key == KEY_DEAD || doomed[slot]) {
                continue;
            }
            if (round == 1 ? is_gone(address, start, end) : parent && doomed[parent - 1] == round - 1) {
                doomed[slot] = round;
                any = true;
            }
        }
    }
    return round;
}

/* Slots may be taken again at once, so what hangs on a node goes before it. */
static void remove_doomed(uint8_t furthest)
{
    for (uint8_t round = furthest; round > 0; round--) {
        for (size_t slot = 0; slot < SITE_SLOTS; slot++) {
            if (doomed[slot] == round) {
                doomed[slot] = 0;
                atomic_store(&site_nodes[slot].value, 0);
                atomic_store(&site_nodes[slot].key, KEY_DEAD);
            }
        }
    }
}

static void forget(uintptr_t start, uintptr_t end)
{
    size_t count = heap_site_count();

    pthread_mutex_lock(&forgetting);
    remove_doomed(mark_doomed(start, end));
    for (unsigned id = 1; id <= count; id++) {
        struct heap_site *chain = &sites[id].chain;
        for (unsigned i = 0; i < chain->depth && !chain->unloaded; i++) {
            if (is_gone(chain->callers[i], start, end)) {
                chain->unloaded = true;
                atomic_store(&any_unloaded, true);
            }
        }
    }
    pthread_mutex_unlock(&forgetting);
}

void sites_forget_unloaded(void)
{
    forget(0, 0);
}

void heap_code_added(uintptr_t start, uintptr_t end, const uint8_t *eh_frame_header)
{
    place_add_code(start, end, eh_frame_header);
}

void heap_code_removed(uintptr_t start, uintptr_t end)
{
    place_remove_code(start, end);
    if (start < end) {
        forget(start, end);
    }
}

void heap_after_fork(void)
{
    pthread_mutex_init(&forgetting, NULL);
    memset(doomed, 0, sizeof(doomed));
}
