/*
 * A build of the engine that the address sanitizer watches (tests/system/README.md): what that has to be
 * told. Nothing of it is in other builds.
 */
#ifndef MOLT_ENGINE_WATCHED_H
#define MOLT_ENGINE_WATCHED_H

#include <stddef.h>
#include <string.h>

#ifdef __has_feature
#define WATCHED_BY_ADDRESS_SANITIZER __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define WATCHED_BY_ADDRESS_SANITIZER 1
#else
#define WATCHED_BY_ADDRESS_SANITIZER 0
#endif

/* For functions that read whatever the program's memory holds: some of it is the sanitizer's, which has no
 * say in this. */
#define READS_PROGRAM __attribute__((no_sanitize("address")))

#if WATCHED_BY_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>

/* Nobody may touch SIZE bytes at START from now on, or may again. */
#define WATCHED_CLOSE(start, size) __asan_poison_memory_region(start, size)
#define WATCHED_OPEN(start, size) __asan_unpoison_memory_region(start, size)
#else
#define WATCHED_CLOSE(start, size) ((void)0)
#define WATCHED_OPEN(start, size) ((void)0)
#endif

/* As memcpy, of whatever the program's memory holds. */
static inline void copy_unwatched(void *to, const void *from, size_t size)
{
#if WATCHED_BY_ADDRESS_SANITIZER
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
#else
    memcpy(to, from, size);
#endif
}

#endif
