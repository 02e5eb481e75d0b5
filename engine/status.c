/* The status object: the process, its modules with their build-ids, its threads, the updates in force. */
#include "engine/status.h"

#include <elf.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/build_id.h"
#include "engine/code/tls.h"
#include "engine/heap/heap.h"
#include "engine/mapping.h"
#include "engine/threads/coroutines.h"
#include "engine/update/update.h"

#define LISTED_STACKS 16 /* of coroutines */

void status_executable(char *target, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", target, size - 1);

    target[length > 0 ? length : 0] = '\0';
}

static void append_module(json_t *modules, const char *path, const uint8_t *id, size_t size)
{
    char hex[2 * 64 + 1] = "";

    for (size_t i = 0; i < size && i < 64; i++) {
        snprintf(hex + 2 * i, 3, "%02x", id[i]);
    }
    json_array_append_new(modules, json_pack("{s:s, s:s}", "path", path, "build_id", hex));
}

/* Called with the dynamic linker's lock held, for each module; the executable comes first and has no name. */
static int visit_module(struct dl_phdr_info *info, size_t size, void *modules)
{
    char executable[PATH_MAX];
    const char *path = info->dlpi_name;

    if (!*path) {
        if (json_array_size(modules)) {
            return 0;
        }
        status_executable(executable, sizeof(executable));
        path = executable;
    } else if (!strchr(path, '/')) {
        return 0; /* the vdso */
    }
    const uint8_t *id = NULL;
    size_t length = build_id_find(info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum, &id);

    append_module(modules, path, id, length);
    return 0;
}

/* Threads of the program: the engine's own is not counted. */
static int count_threads(void)
{
    struct stat status;

    return stat("/proc/self/task", &status) ? 0 : (int)status.st_nlink - 3;
}

static json_t *describe_updates(void)
{
    json_t *updates = json_array();
    struct update_entry entry;

    for (size_t i = 0; update_history(i, &entry); i++) {
        json_array_append_new(updates, json_pack("{s:s, s:s, s:i, s:b}", "id", entry.id ? entry.id : "",
                                                 "title", entry.title ? entry.title : "", "functions",
                                                 (int)entry.functions, "revertible", (int)entry.revertible));
    }
    return updates;
}

/* By the linker: where libmolt.so begins and ends in memory. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

static void append_mapping(json_t *mappings, const struct mapping *mapping)
{
    json_array_append_new(mappings,
                          json_pack("{s:I, s:I, s:s}", "start", (json_int_t)mapping->start, "end",
                                    (json_int_t)(mapping->start + mapping->size), "what", mapping->what));
}

json_t *status_describe_memory(void)
{
    json_t *mappings = json_array();
    uintptr_t start = (uintptr_t)__ehdr_start, end = ((uintptr_t)_end + 4095) & ~(uintptr_t)4095;
    struct mapping mapping = { start, end - start, "libmolt.so" };
    intptr_t offset;
    size_t size;

    append_mapping(mappings, &mapping);
    heap_list_mappings();
    for (size_t i = 0; mapping_get(i, &mapping); i++) {
        append_mapping(mappings, &mapping);
    }
    tls_own_block(&offset, &size);
    return json_pack("{s:o, s:{s:I, s:I}}", "mappings", mappings, "thread_local", "offset",
                     (json_int_t)offset, "size", (json_int_t)size);
}

/* Stacks of the program's own making. */
static json_t *describe_coroutines(void)
{
    struct coroutine_stack stacks[LISTED_STACKS];
    struct coroutine_counts counts = coroutines_list(stacks, LISTED_STACKS);
    size_t count = counts.made + counts.registered;
    json_t *list = json_array();

    for (size_t i = 0; i < count && i < LISTED_STACKS; i++) {
        json_array_append_new(list,
                              json_pack("{s:I, s:I, s:b}", "low", (json_int_t)stacks[i].low, "size",
                                        (json_int_t)stacks[i].size, "registered", stacks[i].registered));
    }
    return json_pack("{s:I, s:I, s:b, s:o}", "made", (json_int_t)counts.made, "registered",
                     (json_int_t)counts.registered, "overflow", coroutines_overflow(), "stacks", list);
}

json_t *status_describe(const char *name)
{
    char executable[PATH_MAX];
    json_t *modules = json_array();
    const char *allocator = heap_allocator();

    dl_iterate_phdr(visit_module, modules);
    status_executable(executable, sizeof(executable));
    return json_pack("{s:i, s:s, s:s, s:s, s:o, s:i, s:o, s:s, s:o}", "pid", (int)getpid(), "name", name,
                     "exe", executable, "version", MOLT_VERSION, "build_ids", modules, "threads",
                     count_threads(), "coroutines", describe_coroutines(), "heap",
                     allocator ? allocator : "own allocator: untracked", "updates", describe_updates());
}
