/*
 * New thread-local variables. libmolt.so itself has a thread-local array, the reserve, in static TLS: so
 * every access model that a compiler may choose (local-exec to general-dynamic) comes down to a constant.
 * Threads that exist get the initial value written into their reserve; threads to come get it from the TLS
 * template that the dynamic linker copies, which is libmolt.so's own .tdata in memory.
 */
#include "engine/code/tls.h"

#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#define RESERVE_SIZE 4096

/* One byte that is not zero puts the whole array into .tdata, the part of the template that is copied. */
static __thread __attribute__((tls_model("initial-exec"), aligned(64))) uint8_t reserve[RESERVE_SIZE] = { 1 };

static size_t taken = 64;

int tls_allocate(size_t size, size_t alignment, size_t *ret)
{
    size_t at = (taken + alignment - 1) & ~(alignment - 1);

    if (alignment > 64 || size > RESERVE_SIZE || at > RESERVE_SIZE - size) {
        return -ENOSPC;
    }
    taken = at + size;
    *ret = at;
    return 0;
}

size_t tls_mark(void)
{
    return taken;
}

void tls_reset(size_t mark)
{
    taken = mark;
}

intptr_t tls_thread_offset(void)
{
    return (intptr_t)((uintptr_t)reserve - (uintptr_t)__builtin_thread_pointer());
}

struct template
{
    size_t id, offset; /* of the reserve in the module's TLS block */
    size_t size;       /* of that block */
    uint8_t *bytes;    /* the template's copy of the reserve */
};

static int find_template(struct dl_phdr_info *info, size_t size, void *context)
{
    struct template *template = context;
    uintptr_t own = (uintptr_t)find_template;
    bool found = false;

    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *segment = &info->dlpi_phdr[i];
        found |= segment->p_type == PT_LOAD && own - (info->dlpi_addr + segment->p_vaddr) < segment->p_memsz;
    }
    for (size_t i = 0; found && i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_TLS) {
            template->id = info->dlpi_tls_modid;
            template->size = segment->p_memsz;
            template->offset = (size_t)(reserve - (uint8_t *)info->dlpi_tls_data);
            template->bytes = (uint8_t *)(info->dlpi_addr + segment->p_vaddr) + template->offset;
            return 1;
        }
    }
    return 0;
}

static const struct template *own_template(void)
{
    static struct template template;

    if (!template.bytes) {
        dl_iterate_phdr(find_template, &template);
    }
    return &template;
}

size_t tls_module_id(void)
{
    return own_template()->id;
}

size_t tls_module_offset(void)
{
    return own_template()->offset;
}

void tls_own_block(intptr_t *ret_offset, size_t *ret_size)
{
    *ret_offset = tls_thread_offset() - (intptr_t)own_template()->offset;
    *ret_size = own_template()->size;
}

int tls_initialise(const struct world *world, size_t offset, const void *bytes, size_t size)
{
    const struct template *template =
        own_template(); /* found while the patch was loaded: takes no lock here */
    uintptr_t first = (uintptr_t)(template->bytes + offset) & ~4095ul;
    uintptr_t end = ((uintptr_t) template->bytes + offset + size + 4095) & ~4095ul;

    if (!template->bytes || mprotect((void *)first, end - first, PROT_READ | PROT_WRITE) < 0) {
        return -errno;
    }
    memcpy(template->bytes + offset, bytes, size);
    /* .tdata may share its page with data that is written: it stays writable */
    for (size_t i = 0; i < world->count; i++) {
        memcpy((uint8_t *)world->threads[i].thread_pointer + tls_thread_offset() + offset, bytes, size);
    }
    memcpy(reserve + offset, bytes, size);
    return 0;
}
