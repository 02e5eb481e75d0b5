/* Between the files that take a census (update/census.h). */
#ifndef MOLT_ENGINE_UPDATE_CENSUS_PRIVATE_H
#define MOLT_ENGINE_UPDATE_CENSUS_PRIVATE_H

#include "engine/update/census.h"
#include "engine/update/state_private.h"

#define CENSUS_TALLIES 16384 /* a power of two, more than there are sites */
#define CENSUS_POOL ((size_t)192 << 10)
#define CENSUS_POINTERS 3000

struct census {
    struct update *query;
    struct state *state;
    const struct census_request *request;
    struct census_result result;
    struct census_tally *tallies; /* open addressing */
    uint64_t *own, *total;
    bool *asked;
    struct census_instance *instances;
    struct census_pointer *pointers;
    uint8_t *pool; /* bytes of instances */
    size_t pool_used, pointer_count;
    bool traces; /* blocks of unknown type are to be recognised by pointers */
    char obstacle[1024];
};

/* Copies the instances asked for that lie in COUNT objects of LAYOUT at START, where INSTANCE says, as far as
 * there is room. In the stopped world. */
void census_copy(struct census *census, const struct census_instance *where, uint32_t layout, uintptr_t start,
                 size_t count, bool array);

/* Whether more can be copied. */
bool census_has_room(const struct census *census);

#endif
