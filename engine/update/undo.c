/*
 * The undo log. Code is read-only and executable; it is written through /proc/self/mem, which leaves its
 * protection alone: no page of the program is ever writable and executable, and its list of mappings does not
 * change.
 *
 * The file is open while the world is stopped only: a program may close all descriptors it does not know, and
 * open files of its own under their numbers. A program that has given up root's rights may not open it; then
 * pages are made writable for the moment.
 */
#include "engine/update/undo.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static int memory_file = -1;

void undo_begin(void)
{
    memory_file = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
}

void undo_end(void)
{
    if (memory_file >= 0) {
        close(memory_file);
        memory_file = -1;
    }
}

void undo_synchronise_code(void)
{
    /* Every other thread comes out of the stop through rt_sigreturn, which ends with IRET, a serialising
     * instruction (Intel SDM 3A, 9.1.3); threads to come start behind one. That leaves the engine's own
     * thread. (membarrier's SYNC_CORE would do, too, but its registration takes some 10 ms.) */
    unsigned a, b, c, d;

    __cpuid(0, a, b, c, d);
}

int undo_reserve(struct undo_log *log, size_t entries, size_t bytes)
{
    struct undo_entry *more_entries =
        realloc(log->entries, (log->count + entries + 1) * sizeof(*log->entries));
    if (!more_entries) {
        return -ENOMEM;
    }
    log->entries = more_entries;
    log->capacity = log->count + entries + 1;
    uint8_t *more_bytes = realloc(log->bytes, log->used + bytes + 1);
    if (!more_bytes) {
        return -ENOMEM;
    }
    log->bytes = more_bytes;
    log->room = log->used + bytes + 1;
    return 0;
}

static int write_through_protection(enum undo_kind kind, uintptr_t address, const void *bytes, size_t size)
{
    uintptr_t first = address & ~4095ul, length = ((address + size + 4095) & ~4095ul) - first;
    struct iovec from = { (void *)bytes, size }, to = { (void *)address, size };
    int normal = kind == UNDO_CODE ? PROT_READ | PROT_EXEC : PROT_READ;

    /* A page that may be written as it is (constants beside variables, where a program has no RELRO) stays
     * so. */
    if (process_vm_writev(getpid(), &from, 1, &to, 1, 0) == (ssize_t)size) {
        return 0;
    }
    if (mprotect((void *)first, length, normal | PROT_WRITE) < 0) {
        return -errno;
    }
    memcpy((void *)address, bytes, size);
    return mprotect((void *)first, length, normal) < 0 ? -errno : 0;
}

static int write_memory(enum undo_kind kind, uintptr_t address, const void *bytes, size_t size)
{
    if (memory_file >= 0 && pwrite(memory_file, bytes, size, (off_t)address) == (ssize_t)size) {
        return 0;
    }
    return write_through_protection(kind, address, bytes, size);
}

int undo_write(struct undo_log *log, enum undo_kind kind, uintptr_t address, const void *bytes, size_t size)
{
    if (log->count == log->capacity || size > log->room - log->used) {
        return -ENOSPC;
    }
    memcpy(log->bytes + log->used, (const void *)address, size);
    int status = write_memory(kind, address, bytes, size);
    if (status == 0) {
        log->entries[log->count++] = (struct undo_entry){ kind, address, size, log->used };
        log->used += size;
    }
    return status;
}

int undo_revert(struct undo_log *log)
{
    int status = 0;

    while (log->count) {
        const struct undo_entry *entry = &log->entries[--log->count];
        int result = write_memory(entry->kind, entry->address, log->bytes + entry->offset, entry->size);
        status = status < 0 ? status : result;
        log->used = entry->offset;
    }
    return status;
}

/* Exchanges what is in memory and what is in the log. */
static int exchange(struct undo_log *log, const struct undo_entry *entry)
{
    uint8_t current[256];
    int status = 0;

    for (size_t at = 0; at < entry->size && status == 0; at += sizeof(current)) {
        size_t size = entry->size - at < sizeof(current) ? entry->size - at : sizeof(current);
        uint8_t *kept = log->bytes + entry->offset + at;
        memcpy(current, (const void *)(entry->address + at), size);
        status = write_memory(entry->kind, entry->address + at, kept, size);
        if (status == 0) {
            memcpy(kept, current, size);
        } else if (at) { /* the parts before this one go back */
            struct undo_entry done = *entry;
            done.size = at;
            exchange(log, &done);
        }
    }
    return status;
}

int undo_unwrite(struct undo_log *log)
{
    for (size_t i = log->count; i-- > 0;) {
        int status = exchange(log, &log->entries[i]);
        while (status < 0 && ++i < log->count) {
            exchange(log, &log->entries[i]);
        }
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

int undo_replay(struct undo_log *log)
{
    for (size_t i = 0; i < log->count; i++) {
        int status = exchange(log, &log->entries[i]);
        while (status < 0 && i-- > 0) {
            exchange(log, &log->entries[i]);
        }
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

void undo_deinit(struct undo_log *log)
{
    free(log->entries);
    free(log->bytes);
    *log = (struct undo_log){ 0 };
}
