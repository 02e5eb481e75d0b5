/* The machine code that one patch brought near one module, with what belongs to the code: jump tables, unwind
 * table, PLT, GOT. */
#ifndef MOLT_ENGINE_CODE_IMAGE_H
#define MOLT_ENGINE_CODE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/code/arena.h"

struct image {
    struct image *next; /* all images, in no order */
    struct arena *arena;
    uintptr_t start, end;           /* the whole allocation */
    uintptr_t plt;                  /* from here to the end: PLT and GOT */
    bool pinned;                    /* holds functions that the program may point to: never freed */
    const uint8_t *eh_frame;        /* relocated, terminated; NULL if the code has none */
    const uint8_t *eh_frame_header; /* search table for it */
};

/* Makes IMAGE known to the unwinders; it is borrowed until image_forget. Outside of a stopped world. 0 or
 * -ENOMEM. */
int image_register(struct image *image);
void image_forget(struct image *image);

/* The image that holds ADDRESS, or NULL. Lock-free; usable in a stopped world. */
const struct image *image_find(uintptr_t address);

/* All of them, by their NEXT. On the engine's thread. */
const struct image *image_first(void);

#endif
