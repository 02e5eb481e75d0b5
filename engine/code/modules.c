/* Loaded modules, as the dynamic linker lists them. Asked anew for every update: programs load libraries
 * while they run. */
#include "engine/code/modules.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cursor.h"

#define STATIC_TLS_MAX (128ul << 10)

struct search {
    const uint8_t *build_id;
    uint32_t size;
    struct module *ret;
};

static bool read_build_id(const struct dl_phdr_info *info, struct module *module)
{
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_NOTE) {
            continue;
        }
        struct cursor notes = cursor_of((const void *)(info->dlpi_addr + segment->p_vaddr), segment->p_memsz);
        while (cursor_left(&notes) >= sizeof(Elf64_Nhdr)) {
            uint32_t name_size = cursor_u32(&notes), size = cursor_u32(&notes), type = cursor_u32(&notes);
            const char *name = cursor_take(&notes, (name_size + 3ull) / 4 * 4);
            const void *bytes = cursor_take(&notes, (size + 3ull) / 4 * 4);
            if (bytes && name && type == NT_GNU_BUILD_ID && name_size == 4 && memcmp(name, "GNU", 4) == 0 &&
                size <= MOLT_BUILD_ID_MAX) {
                memcpy(module->build_id, bytes, size);
                module->build_id_size = size;
                return true;
            }
        }
    }
    return false;
}

/* Static TLS lies on the stack mapping of a thread, just below its control block; TLS that was loaded
 * later lies elsewhere. A guard page ends the mapping below, and the engine's stack is small. */
static bool is_static_tls(uintptr_t block)
{
    uintptr_t thread = (uintptr_t)__builtin_thread_pointer();

    return block < thread && thread - block < STATIC_TLS_MAX;
}

static void read_segments(const struct dl_phdr_info *info, struct module *module)
{
    module->bias = info->dlpi_addr;
    module->start = UINTPTR_MAX;
    module->end = 0;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD) {
            module->start = start < module->start ? start : module->start;
            module->end = start + segment->p_memsz > module->end ? start + segment->p_memsz : module->end;
        }
    }
    module->tls_template = module->tls_template_size = 0;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_TLS) {
            module->tls_template = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            module->tls_template_size = info->dlpi_phdr[i].p_filesz;
        }
    }
    module->tls_id = info->dlpi_tls_modid;
    module->tls_static = info->dlpi_tls_data && is_static_tls((uintptr_t)info->dlpi_tls_data);
    module->tls_offset = (intptr_t)((uintptr_t)info->dlpi_tls_data - (uintptr_t)__builtin_thread_pointer());
}

static int visit(struct dl_phdr_info *info, size_t size, void *context)
{
    struct search *search = context;
    struct module *module = search->ret;

    memset(module->build_id, 0, sizeof(module->build_id));
    if (!read_build_id(info, module) || module->build_id_size != search->size ||
        memcmp(module->build_id, search->build_id, search->size) != 0) {
        return 0;
    }
    read_segments(info, module);
    if (info->dlpi_name && info->dlpi_name[0]) {
        snprintf(module->path, sizeof(module->path), "%s", info->dlpi_name);
    } else {
        ssize_t length = readlink("/proc/self/exe", module->path, sizeof(module->path) - 1);
        module->path[length > 0 ? length : 0] = '\0';
    }
    return 1;
}

int module_find(const uint8_t *build_id, uint32_t size, struct module *ret)
{
    static struct module found; /* only the engine's thread calls; PATH_MAX is much for its stack */
    struct search search = { build_id, size, &found };

    if (dl_iterate_phdr(visit, &search) != 1) {
        return -ENOENT;
    }
    *ret = found;
    return 0;
}
