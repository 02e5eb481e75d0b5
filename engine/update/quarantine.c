/*
 * Two lists. What came from malloc is freed while the program runs: free may be called by any thread at any
 * time. What came from an allocation function of the program has to go through the function beside it, which
 * may keep accounts that no lock guards: that is called in the stopped world of a later commit. Too much of
 * it is not kept: then it is released with the update that has moved it.
 */
#include "engine/update/quarantine.h"

#include <errno.h>
#include <string.h>

#include "engine/heap/heap.h"
#include "engine/update/release.h"
#include "engine/update/staging.h"

#define LIMIT ((size_t)16 << 20) /* bytes that stay in quarantine */
#define POISON 0xdb              /* eight of them are no address that a program can have */

struct kept {
    uintptr_t place;
    void (*release)(void *pointer); /* NULL: free */
};

static struct {
    struct staging from_malloc, from_program;
    size_t bytes; /* of from_malloc */
    size_t bytes_of_program;
    unsigned site;
} quarantine;

int quarantine_init(void)
{
    if (!quarantine.site) {
        quarantine.site = heap_site_synthetic();
    }
    return quarantine.site ? 0 : -ENOSPC;
}

static void release_program(void)
{
    struct staging_position position = { 0 };
    const struct kept *kept;

    while ((kept = staging_next(&quarantine.from_program, &position))) {
        staging_advance(&position, sizeof(*kept));
        release_later(kept->release, (void *)kept->place);
    }
    staging_deinit(&quarantine.from_program);
    quarantine.bytes_of_program = 0;
}

void quarantine_expire(void)
{
    release_program();
}

void quarantine_add(uintptr_t place, size_t size, size_t header, void (*release)(void *pointer))
{
    struct staging *list = release ? &quarantine.from_program : &quarantine.from_malloc;
    struct kept *kept = staging_push(list, sizeof(*kept));

    memset((void *)place, POISON, size);
    heap_retag(place - header, quarantine.site, header + size);
    if (!kept) { /* the memory is lost, and nothing else */
        return;
    }
    *kept = (struct kept){ place, release };
    if (release) {
        quarantine.bytes_of_program += size;
        if (quarantine.bytes_of_program > LIMIT) {
            release_program();
        }
    } else {
        quarantine.bytes += size;
    }
}

void quarantine_free_earlier(void)
{
    struct staging_position position = { 0 };
    const struct kept *kept;

    while ((kept = staging_next(&quarantine.from_malloc, &position))) {
        staging_advance(&position, sizeof(*kept));
        heap_release((void *)kept->place);
    }
    staging_deinit(&quarantine.from_malloc);
    quarantine.bytes = 0;
}

void quarantine_free_much(void)
{
    if (quarantine.bytes > LIMIT) {
        quarantine_free_earlier();
    }
}
