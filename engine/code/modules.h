/* The executable and the shared libraries of the program, found by build-id. */
#ifndef MOLT_ENGINE_CODE_MODULES_H
#define MOLT_ENGINE_CODE_MODULES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/patch_file.h"

struct module {
    uint8_t build_id[MOLT_BUILD_ID_MAX];
    uint32_t build_id_size;
    uintptr_t bias;         /* what is added to an address of its ELF file */
    uintptr_t start, end;   /* its mappings */
    size_t tls_id;          /* argument of __tls_get_addr, 0 without TLS */
    bool tls_static;        /* its TLS lies at a fixed distance from the thread pointer... */
    intptr_t tls_offset;    /* ...of this many bytes */
    uintptr_t tls_template; /* what new threads' TLS begins with, behind which it is zero; 0 without TLS */
    size_t tls_template_size;
    char path[PATH_MAX];
};

/* Finds the loaded module with this build-id. 0, -ENOENT, or another negative errno. Takes the dynamic
 * linker's lock. */
int module_find(const uint8_t *build_id, uint32_t size, struct module *ret);

#endif
