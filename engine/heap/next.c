/*
 * Finding the allocator underneath: the next definition behind ours in the order of the dynamic linker
 * (jemalloc, mimalloc, linked or preloaded behind us; else glibc). It happens in the first call of the
 * program's, which is the dynamic linker's own, before any constructor.
 *
 * glibc keeps a block's size in the word in front of it (malloc/malloc.c, "chunks"):
 *
 *     ... | size, low bits: flags | block ...
 *
 * of which size - 8 bytes can be used, or size - 16 if the block was mapped by itself.
 * That is not promised, so it is tried on a few blocks.
 */
#include "engine/heap/next.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <string.h>

#include "engine/code/lookup.h"
#include "engine/heap/shadow.h"

#ifdef ENGINE_IS_WATCHED
/* What the sanitizer's runtime allocates while it makes itself ready is not noted: little works until then.
 */
static bool ready;
__attribute__((constructor(101))) static void begin(void) /* before heap/interpose.c looks */
{
    ready = true;
}
#else
static const bool ready = true;
#endif

struct next next;

static struct next found; /* without rounding */
static atomic_bool looking;
bool next_glibc;
static bool sanitized;
static char library[256]; /* its file's name */

_Alignas(
    16) char next_early_bytes[NEXT_EARLY_SIZE]; /* each block has its size in the 16 bytes in front of it */
static atomic_size_t early_used;

void *next_early(size_t size)
{
    size_t room = 16 + ((size + 16) & ~(size_t)15); /* a byte at least, so that no block starts at the end */

    if (size > NEXT_EARLY_SIZE / 2 || atomic_load(&early_used) + room > NEXT_EARLY_SIZE) {
        errno = ENOMEM;
        return NULL;
    }
    size_t at = atomic_fetch_add(&early_used, room);
    if (at + room > NEXT_EARLY_SIZE) {
        errno = ENOMEM;
        return NULL;
    }
    memcpy(next_early_bytes + at, &size, sizeof(size));
    return next_early_bytes + at + 16;
}

size_t next_early_size(const void *pointer)
{
    size_t size;

    memcpy(&size, (const char *)pointer - 16, sizeof(size));
    return size;
}

/* Whether blocks lie as glibc's do. That they hold as much is asked first: of a debugger's allocator in
 * libc's place, nothing is read in front of them. None is so large that glibc maps it on its own: freeing one
 * raises the size from which it does, for good. */
static bool looks_like_glibc(void)
{
    static const size_t sizes[] = { 0, 24, 25, 40, 41, 1000, 100000 };

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *block = found.malloc(sizes[i]);
        size_t room = sizes[i] <= 24 ? 24 : ((sizes[i] + 8 + 15) & ~(size_t)15) - 8;
        size_t usable = block ? found.malloc_usable_size(block) : 0;
        bool as_expected =
            usable >= room && (uintptr_t)block % 16 == 0 && usable == next_usable_by_header((uintptr_t)block);

        found.free(block);
        if (!as_expected) {
            return false;
        }
    }
    return true;
}

/* ---- rounding -------------------------------------------------------------------------------------- */

static size_t rounded(size_t size)
{
    return !size || size > 48 ? size : size <= 32 ? 32 : 48;
}

static void *rounded_malloc(size_t size)
{
    return found.malloc(rounded(size));
}

static void *rounded_calloc(size_t count, size_t size)
{
    size_t total;

    return __builtin_mul_overflow(count, size, &total) ? found.calloc(count, size)
                                                       : found.calloc(1, rounded(total));
}

static void *rounded_realloc(void *pointer, size_t size)
{
    return found.realloc(pointer, rounded(size));
}

static void *rounded_memalign(size_t alignment, size_t size)
{
    return found.memalign(alignment, rounded(size));
}

static void *rounded_aligned_alloc(size_t alignment, size_t size)
{
    return found.aligned_alloc(alignment, rounded(size));
}

static int rounded_posix_memalign(void **ret, size_t alignment, size_t size)
{
    return found.posix_memalign(ret, alignment, rounded(size));
}

static struct next with_rounding(struct next functions)
{
    functions.malloc = rounded_malloc;
    functions.calloc = rounded_calloc;
    functions.realloc = rounded_realloc;
    functions.memalign = rounded_memalign;
    functions.aligned_alloc = rounded_aligned_alloc;
    functions.posix_memalign = rounded_posix_memalign;
    return functions;
}

/* ---- finding --------------------------------------------------------------------------------------- */

/* Letter by letter: a sanitizer's runtime stands in front of strncpy and its like, too, and is not ready
 * for them yet. */
static void note_library(uintptr_t function)
{
    struct dl_find_object module;
    size_t length = 0;

    if (_dl_find_object((void *)function, &module) != 0) {
        return;
    }
    for (const char *letter = module.dlfo_link_map->l_name; *letter; letter++) {
        if (*letter == '/') {
            length = 0;
        } else if (length < sizeof(library) - 1) {
            library[length++] = *letter;
        }
    }
    library[length] = '\0';
}

/* libasan.so.8, libtsan.so.2 and so on: their allocators belong to what they watch over. */
static bool is_sanitizer(void)
{
    for (const char *at = library; *at; at++) {
        if (at[0] == 's' && at[1] == 'a' && at[2] == 'n' && at[3] == '.' && at[4] == 's' && at[5] == 'o') {
            return true;
        }
    }
    return false;
}

bool next_find(void)
{
    int saved = errno;

    if (atomic_exchange(&looking, true)) {
        return next.malloc != NULL;
    }
#define X(name, type, parameters)                                                                            \
    found.name = (type(*) parameters)lookup_definition(#name, LOOKUP_UNDERNEATH);
    NEXT_FUNCTIONS(X)
#undef X
    note_library((uintptr_t)found.malloc);
    sanitized = is_sanitizer();
    next_glibc = !sanitized && strcmp(library, "libc.so.6") == 0 && looks_like_glibc();
    if (!sanitized) {
        shadow_init(next_glibc);
    }
    next = next_glibc || sanitized ? found : with_rounding(found);
    errno = saved;
    return next.malloc != NULL;
}

const char *next_library(void)
{
    return sanitized || !ready ? NULL : library;
}
