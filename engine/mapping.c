/*
 * The list of the engine's mappings. It lives in memory that is mapped for it, since the heap is one of its
 * users. There are a few dozen, so it is searched from its end.
 */
#include "engine/mapping.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/watched.h"

#ifndef PR_SET_VMA /* Linux 5.17 */
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

#define FIRST_CAPACITY 128
#define PAGE ((uintptr_t)4096)

static struct mapping first[FIRST_CAPACITY];
static struct {
    pthread_mutex_t mutex;
    struct mapping *items;
    size_t count, capacity;
    struct mapping stack; /* of the engine's thread */
    bool nameless;        /* the kernel has no names (CONFIG_ANON_VMA_NAME) */
} own = { .mutex = PTHREAD_MUTEX_INITIALIZER, .items = first, .capacity = FIRST_CAPACITY };

/* System calls, since mmap and munmap are led here (engine/wrap.c) in what the engine is linked with. */
static void *map(void *address, size_t size, int protection, int flags)
{
    long start = syscall(SYS_mmap, address, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0l);

    return start == -1 ? NULL : (void *)start;
}

static void unmap(void *start, size_t size)
{
    WATCHED_OPEN(start, size); /* a stack, perhaps, that was left in the middle */
    syscall(SYS_munmap, start, size);
}

static void give_name(const struct mapping *mapping)
{
    char name[64];
    int saved = errno;

    snprintf(name, sizeof(name), "molt: %s", mapping->what);
    own.nameless =
        own.nameless || prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, mapping->start, mapping->size, name) < 0;
    errno = saved;
}

static void append(struct mapping mapping)
{
    own.items[own.count++] = mapping;
    give_name(&mapping);
}

/* Makes room for MORE. The list's own memory is on the list. */
static bool reserve(size_t more)
{
    while (own.count + more > own.capacity) {
        size_t size = 2 * own.capacity * sizeof(*own.items);
        struct mapping *grown = map(NULL, size, PROT_READ | PROT_WRITE, 0);
        if (!grown) {
            return false;
        }
        memcpy(grown, own.items, own.count * sizeof(*own.items));
        for (size_t i = own.count; i-- > 0;) { /* the list's old memory; the first is static and not found */
            if (grown[i].start == (uintptr_t)own.items) {
                unmap(own.items, grown[i].size);
                grown[i] = grown[--own.count];
                break;
            }
        }
        own.items = grown;
        own.capacity *= 2;
        append((struct mapping){ (uintptr_t)grown, size, "list of mappings" });
    }
    return true;
}

bool mapping_adopt(void *start, size_t size, const char *what)
{
    pthread_mutex_lock(&own.mutex);
    bool kept = reserve(1);
    if (kept) {
        append((struct mapping){ (uintptr_t)start, size, what });
    }
    pthread_mutex_unlock(&own.mutex);
    return kept;
}

/* Puts a mapping on the list; without memory for the list it is given back. */
static void *keep(void *start, size_t size, const char *what)
{
    if (!start) {
        return NULL;
    }
    if (!mapping_adopt(start, size, what)) {
        unmap(start, size);
        errno = ENOMEM;
        return NULL;
    }
    return start;
}

void *mapping_create(void *address, size_t size, int protection, int flags, const char *what)
{
    size = (size + PAGE - 1) & ~(PAGE - 1); /* nobody else can have the rest of a page */
    return keep(map(address, size, protection, flags), size, what);
}

void *mapping_create_aligned(size_t size, size_t alignment, const char *what)
{
    char *memory = map(NULL, size + alignment, PROT_READ | PROT_WRITE, MAP_NORESERVE);

    if (!memory) {
        return NULL;
    }
    char *start = (char *)(((uintptr_t)memory + alignment - 1) & ~(alignment - 1));
    if (start > memory) {
        unmap(memory, (size_t)(start - memory));
    }
    size_t tail = (size_t)(memory + alignment - start);
    if (tail) {
        unmap(start + size, tail);
    }
    return keep(start, size, what);
}

bool mapping_destroy(void *start)
{
    size_t size = 0;

    pthread_mutex_lock(&own.mutex);
    for (size_t i = own.count; start && i-- > 0;) {
        if (own.items[i].start == (uintptr_t)start) {
            size = own.items[i].size;
            own.items[i] = own.items[--own.count];
            break;
        }
    }
    if (size) { /* under the lock: the list never names what is somebody else's by now */
        unmap(start, size);
    }
    pthread_mutex_unlock(&own.mutex);
    return size > 0;
}

/* The C library puts a thread's control block into the last page of its stack. The stack gets no name: in
 * a forked child, the C library may hand the memory to a thread of the program. */
void mapping_adopt_stack(size_t size)
{
    uintptr_t end = ((uintptr_t)__builtin_thread_pointer() | (PAGE - 1)) + 1;

    pthread_mutex_lock(&own.mutex);
    own.stack = (struct mapping){ end - size, size, "stack" };
    pthread_mutex_unlock(&own.mutex);
}

bool mapping_get(size_t index, struct mapping *ret)
{
    pthread_mutex_lock(&own.mutex);
    bool found = index <= own.count && (index < own.count || own.stack.size);
    if (found) {
        *ret = index < own.count ? own.items[index] : own.stack;
    }
    pthread_mutex_unlock(&own.mutex);
    return found;
}

void mapping_fork_prepare(void)
{
    pthread_mutex_lock(&own.mutex);
}

void mapping_fork_parent(void)
{
    pthread_mutex_unlock(&own.mutex);
}

void mapping_fork_child(void)
{
    pthread_mutex_init(&own.mutex, NULL);
    own.stack = (struct mapping){ 0 }; /* the parent's thread does not exist here */
}
