/* What sites make, from one update to the next. A patch tells of the program's own calls; what an update has
 * changed, and what the code of patches has asked for, is known from here. Later memories count instead of
 * earlier ones. For the engine's thread. */
#ifndef MOLT_ENGINE_UPDATE_SITE_MEMORY_H
#define MOLT_ENGINE_UPDATE_SITE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The program's function that makes such blocks and the one that takes them back. NULL: the C library's. */
struct allocator {
    void *(*allocate)(size_t size);
    void (*release)(void *pointer);
    uint32_t header; /* bytes that it keeps in front */
};

/* A layout, whatever its number is in a patch. */
struct identity {
    uint64_t hash; /* 0: the layout does not matter */
    uint64_t name; /* of the type, as a number */
    uint64_t unit; /* likewise, of a name with several meanings; else 0 */
};

static inline bool same_identity(struct identity one, struct identity other)
{
    return one.hash == other.hash && one.unit == other.unit;
}

struct remembered {
    uintptr_t address; /* 0: the site ID, synthetic or of code that has gone */
    unsigned id;
    bool of_patch; /* in code that a patch brought */
    uint32_t kind, line;
    struct identity is, was; /* by now; before the update of this memory gave it another name */
    size_t before; /* of a site ID that an update gave another name: 1 + index of what was remembered before;
                      else 0 */
    struct allocator allocator;
    char *file;         /* owned by the memory */
    const char *carver; /* interned */
    bool pieces;
};

/* TEXT for good, whoever borrows it; "" without memory. For names of which there are few. */
const char *site_memory_intern(const char *text);

/* Room for MORE memories. 0 or -ENOMEM. */
int site_memory_reserve(size_t more);
bool site_memory_is_full(void);

/* Remembers WHAT, for which there is room. */
void site_memory_add(struct remembered what);

/* How many there are, and the one at INDEX; valid until one is added or forgotten. */
size_t site_memory_count(void);
const struct remembered *site_memory_at(size_t index);

/* 1 + the index of the last one of the site ID itself; 0: there is none. */
size_t site_memory_of_id(unsigned id);

/* The last one of an address. */
struct latest_memory {
    uintptr_t address;
    size_t index;
};

/* Those of all addresses, ascending, *ret_count of them; from malloc, NULL without memory. */
struct latest_memory *site_memory_latest(size_t *ret_count);

/* The code between START and END is going away, or what is remembered from MARK on, while blocks that it has
 * asked for live on: from now on what they are is known by their sites themselves. Of patches' code only;
 * what the program's own calls make is told by every patch. World running. */
void site_memory_keep(size_t mark, uintptr_t start, uintptr_t end);

/* Back to as many memories as there were at MARK (site_memory_count then): for rollback. */
void site_memory_forget(size_t mark);

#endif
