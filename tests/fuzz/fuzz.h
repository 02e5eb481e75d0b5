/* What the fuzz targets share. Each is one file, and libFuzzer's main calls its LLVMFuzzerTestOneInput. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Reads SIZE bytes, so that the address sanitizer sees whether they may be read. */
static inline void fuzz_touch(const void *bytes, size_t size)
{
    static volatile uint8_t sink;

    for (size_t i = 0; i < size; i++)
        sink ^= ((const uint8_t *)bytes)[i];
}

static inline void fuzz_touch_string(const char *string)
{
    while (*string)
        fuzz_touch(string++, 1);
}

#endif
