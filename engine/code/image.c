/* The list of loaded images. It changes on the engine's thread only, which is also the one that unwinds. */
#include "engine/code/image.h"

#include "engine/code/unwind_tables.h"
#include "engine/heap/heap.h"

static struct image *images;

int image_register(struct image *image)
{
    int status = image->eh_frame ? unwind_tables_register(image->eh_frame) : 0;

    if (status == 0) {
        image->next = images;
        images = image;
        heap_code_added(image->start, image->end, image->eh_frame_header);
    }
    return status;
}

void image_forget(struct image *image)
{
    for (struct image **at = &images; *at; at = &(*at)->next) {
        if (*at == image) {
            *at = image->next;
            heap_code_removed(image->start, image->end);
            if (image->eh_frame) {
                unwind_tables_forget(image->eh_frame);
            }
            return;
        }
    }
}

const struct image *image_find(uintptr_t address)
{
    for (const struct image *image = images; image; image = image->next) {
        if (address - image->start < image->end - image->start) {
            return image;
        }
    }
    return NULL;
}

const struct image *image_first(void)
{
    return images;
}
