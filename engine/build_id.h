/* The build-id of a loaded module, by which patches, tables and editors know it. */
#ifndef MOLT_ENGINE_BUILD_ID_H
#define MOLT_ENGINE_BUILD_ID_H

#include <link.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Looks through the notes of a module that is loaded at BASE with the program headers SEGMENTS. Returns the
 * build-id's size and sets *RET to it, in the module's memory; 0: there is none. Allocates nothing.
 */
size_t build_id_find(uintptr_t base, const ElfW(Phdr) * segments, size_t count, const uint8_t **ret);

#endif
