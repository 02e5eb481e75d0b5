/* What the program's heap blocks are: the meaning of each site that the heap knows, for one update and across
 * updates. */
#ifndef MOLT_ENGINE_UPDATE_SITES_H
#define MOLT_ENGINE_UPDATE_SITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/code/load.h"
#include "engine/heap/heap.h"
#include "engine/update/layouts.h"
#include "engine/update/site_memory.h"

/* What stands at one place that asks for memory. */
struct site_entry {
    uintptr_t address; /* return address of the call */
    uint32_t kind;     /* enum molt_site_kind */
    uint32_t layout;   /* of the update */
    uint32_t line;
    const char *file; /* borrowed: of the patch or of what is remembered */
    uint32_t doubt; /* a changed layout that its blocks may have: by its name, or one of several of that hash;
                       0: none */
    const char *carver; /* "pool_get (pool.c:30)": gives its callers other memory, too; "": there is none */
    bool pieces;        /* of larger blocks */
    struct allocator allocator;
    bool of_patch; /* in code that this patch brings */
    size_t memory; /* 1 + what was remembered of it; 0: nothing */
};

/* What a block of some site is. */
struct meaning {
    bool resolved;
    uint8_t kind; /* OBJECT, ARRAY, BYTES or UNKNOWN */
    uint32_t layout;
    uint32_t doubt;  /* as the entry's */
    uint32_t may_be; /* the layout of the first object that such a block was made for, if there is a CARVER:
                        whether it is that still is for typed pointers to tell, and the kind is UNKNOWN */
    const char *carver; /* as the entry's */
    struct allocator allocator;
    const struct site_entry *entry; /* that decided; NULL: none */
};

struct sites {
    const struct layouts *layouts;
    bool rollback;
    struct site_entry *entries; /* ascending by address */
    size_t count;
    struct meaning *meanings;    /* by the heap's site id */
    struct identity *identities; /* of the layouts, across updates */
};

/* Makes ready for PATCH, which is loaded, or for its ROLLBACK; it and LAYOUTS are borrowed. 0 or -ENOMEM. */
int sites_init(struct sites *sites, const struct loaded_patch *patch, const struct layouts *layouts,
               bool rollback);
void sites_deinit(struct sites *sites);

/* Works out what blocks of site ID are, which nobody has asked for yet. */
const struct meaning *sites_resolve(struct sites *sites, unsigned id);

/* What blocks of site ID are. Usable in a stopped world; valid until sites_deinit. */
static inline const struct meaning *sites_meaning(struct sites *sites, unsigned id)
{
    const struct meaning *meaning = &sites->meanings[id <= HEAP_SITE_MAX ? id : 0];

    return __builtin_expect(meaning->resolved, 1) ? meaning : sites_resolve(sites, id);
}

/* "conn.c:120", or "an unknown place" into TEXT. */
void sites_describe(const struct meaning *meaning, char *text, size_t size);

/* Whether calls of two sites, in the program's own code, stand on one line: inlined ones do. */
bool sites_same_line(struct sites *sites, unsigned one, unsigned other);

/* ---- across updates -------------------------------------------------------------------------------- */

/* Makes room for all that SITES may have to remember, so that sites_remember cannot fail. 0 or -ENOMEM. */
int sites_reserve(const struct sites *sites);

/* The update was committed: what its sites, those of unchanged code included, make now. Later patches do not
 * tell them again. World running. */
void sites_remember(const struct sites *sites);

/* The site of blocks that are KIND of LAYOUT of SITES, whoever asked for them, and were made of blocks that
 * MEANING is about: for what a migration makes. 0: none is left. Usable in a stopped world, after
 * sites_reserve. */
unsigned sites_synthetic(struct sites *sites, uint32_t kind, uint32_t layout, const struct meaning *meaning);

#endif
