/* A library that allocates, for test_sites.c: opened, closed and opened again. */
#include <stdlib.h>

__attribute__((visibility("default"))) void *plugin_allocate(size_t size);

void *plugin_allocate(size_t size)
{
    void *block = malloc(size);

    __asm__ volatile("" : "+r"(block)); /* so that the call is no jump */
    return block;
}
