/* Addresses become offsets in modules, as their symbols and debug information have them; code of patches
 * is told by the function's name. */
#include "engine/stacks_json.h"

#include <limits.h>
#include <link.h>
#include <string.h>

#include "engine/code/registry.h"
#include "engine/status.h"
#include "engine/threads/stop.h"
#include "engine/update/stacks.h"

/* What an address is looked for in, and found. */
struct search {
    uintptr_t address;
    size_t index; /* of the module that is looked at */
    int found;    /* index, or -1 */
    uintptr_t bias;
    json_t *paths; /* of all modules, or NULL: not wanted */
};

static int visit_module(struct dl_phdr_info *info, size_t size, void *context)
{
    struct search *search = context;
    char executable[PATH_MAX];

    if (search->paths) {
        const char *path = info->dlpi_name;
        if (!*path && search->index == 0) {
            status_executable(executable, sizeof(executable));
            path = executable;
        }
        json_array_append_new(search->paths, json_string(path));
    }
    for (size_t i = 0; i < info->dlpi_phnum && search->address; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_LOAD && search->address >= start &&
            search->address < start + header->p_memsz) {
            search->found = (int)search->index;
            search->bias = info->dlpi_addr;
            return 1;
        }
    }
    search->index++;
    return 0;
}

/* The function whose version that is in force holds ADDRESS, in the range at *RET_START; NULL if none of a
 * patch does. */
static const struct function *find_patched(uintptr_t address, uintptr_t *ret_start)
{
    const struct function *function;

    for (size_t i = 0; (function = registry_function(i)); i++) {
        for (size_t k = 0; function->current.image && k < function->current.count; k++) {
            const struct code_range *range = &function->current.ranges[k];
            if (address > range->start && address <= range->start + range->size) {
                *ret_start = range->start;
                return function;
            }
        }
    }
    return NULL;
}

static json_t *describe_frame(const struct stacks_frame *frame)
{
    uintptr_t start = 0;
    const struct function *function = find_patched(frame->address, &start);
    struct search search = { .address = frame->address, .found = -1 };
    json_t *value = json_pack("{s:b, s:I}", "suspended", frame->suspended, "slot", (json_int_t)frame->slot);

    if (function) {
        json_object_set_new(value, "function", json_string(function->name));
        json_object_set_new(value, "unit", json_string(function->unit));
        json_object_set_new(value, "offset", json_integer((json_int_t)(frame->address - start)));
        return value;
    }
    dl_iterate_phdr(visit_module, &search);
    if (search.found >= 0) {
        json_object_set_new(value, "module", json_integer(search.found));
        json_object_set_new(value, "offset", json_integer((json_int_t)(frame->address - search.bias)));
    }
    return value;
}

static json_t *describe_thread(pid_t tid)
{
    char name[32];

    thread_name(tid, name, sizeof(name));
    for (char *at = name; *at; at++) {
        *at = (unsigned char)*at < 0x80 ? *at : '?';
    }
    return json_pack("{s:i, s:s, s:b, s:[]}", "tid", (int)tid, "name", name, "lost", 0, "frames");
}

json_t *stacks_describe(const struct stacks *stacks)
{
    struct search search = { .found = -1, .paths = json_array() };
    json_t *threads = json_array(), *thread = NULL;

    dl_iterate_phdr(visit_module, &search);
    for (size_t i = 0; i < stacks->count; i++) {
        const struct stacks_frame *frame = &stacks->frames[i];
        if (!i || frame->tid != stacks->frames[i - 1].tid) {
            thread = describe_thread(frame->tid);
            json_array_append_new(threads, thread);
        }
        if (frame->lost) {
            json_object_set_new(thread, "lost", json_true());
        } else {
            json_array_append_new(json_object_get(thread, "frames"), describe_frame(frame));
        }
    }
    return json_pack("{s:f, s:b, s:o, s:o}", "pause_ms", (double)stacks->pause_us / 1000, "all", stacks->all,
                     "modules", search.paths, "threads", threads);
}
