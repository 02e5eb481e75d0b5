/* The kernel tells (/proc/self/pagemap): eight bytes for each page (Linux, admin-guide/mm/pagemap.rst). */
#include "engine/heap/present.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#define PAGE 4096ul
#define PRESENT (3ul << 62) /* in memory, or swapped out */

int present_open(void)
{
    return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

void present_visit(int pagemap, uintptr_t start, uintptr_t end, present_visitor *visit, void *context)
{
    static uint64_t entries[512];
    const size_t most = sizeof(entries) / sizeof(*entries);

    for (uintptr_t at = start; at < end;) {
        uintptr_t page = at & ~(PAGE - 1);
        size_t pages = (end - page + PAGE - 1) / PAGE, count = pages < most ? pages : most;
        bool known = pagemap >= 0 &&
                     pread(pagemap, entries, count * sizeof(*entries),
                           (off_t)(page / PAGE * sizeof(*entries))) == (ssize_t)(count * sizeof(*entries));
        for (size_t i = 0; i < count; i++) {
            uintptr_t from = page + i * PAGE, to = from + PAGE;
            if (!known || entries[i] & PRESENT) {
                visit(context, from > start ? from : start, to < end ? to : end);
            }
        }
        at = page + count * PAGE;
    }
}
