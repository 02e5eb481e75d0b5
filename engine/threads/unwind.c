/*
 * Unwinding by libunwind's remote interface (DESIGN 4.4). The remote interface is used although the memory is
 * our own, because it lets us say where unwind tables and memory come from, and both answers here need no
 * lock:
 *
 * - tables: `_dl_find_object` (glibc's lock-free lookup) for modules, image_find for code that patches
 * brought;
 * - memory: stack words only from the stack's own mapping, read directly; anything else ends the walk.
 *
 * A return address that a return barrier has replaced reads as the original one (stubs_original), so the
 * walk does not see barriers.
 */
#include "engine/threads/unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <libunwind-x86_64.h>
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "engine/code/image.h"
#include "engine/proc.h"
#include "engine/threads/stubs.h"
#include "engine/threads/readable.h"

/* libunwind exports it under this name only for those who know it; perf uses it the same way. */
int _Ux86_64_dwarf_search_unwind_table(unw_addr_space_t space, unw_word_t ip, unw_dyn_info_t *table,
                                       unw_proc_info_t *info, int need_unwind_info, void *context);

#define MAX_FRAMES 100000 /* a deep recursion is fine, a circle in a damaged stack is not */

struct mapping {
    uintptr_t start, end;
};

static struct {
    unw_addr_space_t space;
    struct mapping *mappings; /* readable and writable, ascending */
    size_t mapping_count, mapping_capacity;
} unwinder;

struct walk {
    const ucontext_t *registers;
    bool saved;                    /* by a call: pc is a return address */
    uintptr_t low, high;           /* the stack's mapping, from its pointer up */
    uintptr_t page;                /* of it that was read last */
    uintptr_t code_low, code_high; /* the module or image whose tables were used last */
    bool without_table;            /* the last step met a function without unwind information */
};

/* ---- memory ------------------------------------------------------------------------------------------ */

static const struct mapping *find_mapping(uintptr_t address)
{
    size_t index = COUNT_BEFORE(i, unwinder.mapping_count, unwinder.mappings[i].end <= address);

    /* a stack grows downwards: an address a little below a mapping belongs to it since the last refresh */
    return index < unwinder.mapping_count ? &unwinder.mappings[index] : NULL;
}

uintptr_t unwind_stack_end(uintptr_t address)
{
    const struct mapping *mapping = find_mapping(address);

    return mapping ? mapping->end : 0;
}

static int add_mapping(uintptr_t start, uintptr_t end)
{
    if (unwinder.mapping_count && unwinder.mappings[unwinder.mapping_count - 1].end == start) {
        unwinder.mappings[unwinder.mapping_count - 1].end = end;
        return 0;
    }
    if (unwinder.mapping_count == unwinder.mapping_capacity) {
        size_t capacity = unwinder.mapping_capacity ? unwinder.mapping_capacity * 2 : 128;
        struct mapping *grown = realloc(unwinder.mappings, capacity * sizeof(*grown));
        if (!grown) {
            return -ENOMEM;
        }
        unwinder.mappings = grown;
        unwinder.mapping_capacity = capacity;
    }
    unwinder.mappings[unwinder.mapping_count++] = (struct mapping){ start, end };
    return 0;
}

/* Writable mappings may be stacks. */
static int take_mapping(void *context, const struct proc_mapping *mapping)
{
    (void)context;
    return mapping->readable && mapping->writable ? add_mapping(mapping->start, mapping->end) : 0;
}

int unwind_refresh(void)
{
    /* libunwind remembers by address how to leave a frame: where code was freed or a library closed, other
     * code may lie by now. */
    unw_flush_cache(unwinder.space, 0, 0);
    unwinder.mapping_count = 0;
    return proc_mappings(take_mapping, NULL);
}

/* Unwind tables and code are read where they are: in modules, and in the images of patches. */
static bool is_loaded_code(struct walk *walk, uintptr_t address)
{
    const struct image *image;
    struct dl_find_object found;

    if (address - walk->code_low < walk->code_high - walk->code_low) {
        return true;
    }
    if ((image = image_find(address))) {
        walk->code_low = image->start;
        walk->code_high = image->end;
    } else if (_dl_find_object((void *)address, &found) == 0) {
        walk->code_low = (uintptr_t)found.dlfo_map_start;
        walk->code_high = (uintptr_t)found.dlfo_map_end;
    } else {
        return false;
    }
    return true;
}

/* Whether the word at ADDRESS lies in the stack that is walked. Its mapping was read before the stop: a
 * stack that is younger has the bounds of the one above, so each page is asked for. */
static bool is_on_stack(struct walk *walk, uintptr_t address)
{
    if (address < walk->low || address >= walk->high || walk->high - address < sizeof(uintptr_t)) {
        return false;
    }
    if (address % sizeof(uintptr_t) || (address & ~4095ul) != walk->page) {
        if (!is_readable(address)) {
            return false;
        }
        walk->page = address & ~4095ul;
    }
    return true;
}

static int access_memory(unw_addr_space_t space, unw_word_t address, unw_word_t *value, int write,
                         void *context)
{
    struct walk *walk = context;

    if (!write && is_on_stack(walk, address)) {
        *value = stubs_original_at(address);
        return 0;
    }
    if (write || !is_loaded_code(walk, address)) {
        return -UNW_EINVAL;
    }
    memcpy(value, (const void *)address, sizeof(*value));
    return 0;
}

/* ---- registers --------------------------------------------------------------------------------------- */

static int access_register(unw_addr_space_t space, unw_regnum_t number, unw_word_t *value, int write,
                           void *context)
{
    static const int places[] = {
        [UNW_X86_64_RAX] = REG_RAX, [UNW_X86_64_RDX] = REG_RDX, [UNW_X86_64_RCX] = REG_RCX,
        [UNW_X86_64_RBX] = REG_RBX, [UNW_X86_64_RSI] = REG_RSI, [UNW_X86_64_RDI] = REG_RDI,
        [UNW_X86_64_RBP] = REG_RBP, [UNW_X86_64_RSP] = REG_RSP, [UNW_X86_64_R8] = REG_R8,
        [UNW_X86_64_R9] = REG_R9,   [UNW_X86_64_R10] = REG_R10, [UNW_X86_64_R11] = REG_R11,
        [UNW_X86_64_R12] = REG_R12, [UNW_X86_64_R13] = REG_R13, [UNW_X86_64_R14] = REG_R14,
        [UNW_X86_64_R15] = REG_R15, [UNW_X86_64_RIP] = REG_RIP,
    };
    const struct walk *walk = context;

    if (write || number < 0 || (size_t)number >= sizeof(places) / sizeof(places[0])) {
        return -UNW_EBADREG;
    }
    *value = (unw_word_t)walk->registers->uc_mcontext.gregs[places[number]];
    if (walk->saved && number == UNW_X86_64_RIP) {
        *value = stubs_original(*value);
    }
    return 0;
}

static int no_float_registers(unw_addr_space_t space, unw_regnum_t number, unw_fpreg_t *value, int write,
                              void *context)
{
    return -UNW_EBADREG;
}

/* ---- tables ------------------------------------------------------------------------------------------ */

/* The binary search table behind a .eh_frame_hdr (LSB, "Exception Frames"): version 1, pcrel sdata4, udata4,
 * datarel sdata4. */
static bool table_of_header(const uint8_t *header, unw_dyn_info_t *table)
{
    uint32_t count;

    if (header[0] != 1 || header[1] != 0x1b || header[2] != 0x03 || header[3] != 0x3b) {
        return false;
    }
    memcpy(&count, header + 8, sizeof(count));
    table->format = UNW_INFO_FORMAT_REMOTE_TABLE;
    table->u.rti.segbase = (unw_word_t)header;
    table->u.rti.table_data = (unw_word_t)header + 12;
    table->u.rti.table_len = (unw_word_t)count * 8 / sizeof(unw_word_t);
    return true;
}

static int find_procedure(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t *info, int need_unwind_info,
                          void *context)
{
    struct walk *walk = context;
    unw_dyn_info_t table = { 0 };
    struct dl_find_object found;
    const struct image *image = image_find(ip);
    const uint8_t *header = NULL;

    if (image) {
        header = image->eh_frame_header;
        table.start_ip = image->start;
        table.end_ip = image->end;
    } else if (_dl_find_object((void *)ip, &found) == 0) {
        header = found.dlfo_eh_frame;
        table.start_ip = (unw_word_t)found.dlfo_map_start;
        table.end_ip = (unw_word_t)found.dlfo_map_end;
    }
    int status = header && table_of_header(header, &table)
                     ? _Ux86_64_dwarf_search_unwind_table(space, ip, &table, info, need_unwind_info, context)
                     : -UNW_ENOINFO;
    walk->without_table |= status < 0;
    return status;
}

bool unwind_function(uintptr_t pc, uintptr_t *ret_start, uintptr_t *ret_end)
{
    struct walk walk = { 0 };
    unw_proc_info_t info;

    if (find_procedure(unwinder.space, pc, &info, 0, &walk) < 0) {
        return false;
    }
    *ret_start = info.start_ip;
    *ret_end = info.end_ip;
    return true;
}

static void put_unwind_info(unw_addr_space_t space, unw_proc_info_t *info, void *context)
{
}

static int no_dynamic_list(unw_addr_space_t space, unw_word_t *list, void *context)
{
    return -UNW_ENOINFO;
}

static int no_resume(unw_addr_space_t space, unw_cursor_t *cursor, void *context)
{
    return -UNW_EINVAL;
}

static int no_name(unw_addr_space_t space, unw_word_t address, char *name, size_t size, unw_word_t *offset,
                   void *context)
{
    return -UNW_ENOINFO;
}

/* ---- walking ----------------------------------------------------------------------------------------- */

int unwind_init(void)
{
    static unw_accessors_t accessors = {
        .find_proc_info = find_procedure,
        .put_unwind_info = put_unwind_info,
        .get_dyn_info_list_addr = no_dynamic_list,
        .access_mem = access_memory,
        .access_reg = access_register,
        .access_fpreg = no_float_registers,
        .resume = no_resume,
        .get_proc_name = no_name,
    };
    if (unwinder.space) {
        return 0;
    }
    unwinder.space = unw_create_addr_space(&accessors, 0);
    if (!unwinder.space) {
        return -ENOMEM;
    }
    unw_set_caching_policy(unwinder.space, UNW_CACHE_GLOBAL);
    return 0;
}

/* The registers that calls preserve, and rsp, by DWARF's numbers, as they are when control comes back to
 * the frame at CURSOR. */
static void read_preserved(unw_cursor_t *cursor, uint64_t *ret)
{
    static const unw_regnum_t preserved[] = { UNW_X86_64_RBX, UNW_X86_64_RBP, UNW_X86_64_RSP, UNW_X86_64_R12,
                                              UNW_X86_64_R13, UNW_X86_64_R14, UNW_X86_64_R15 };

    for (size_t i = 0; i < sizeof(preserved) / sizeof(*preserved); i++) {
        unw_word_t value = 0;
        unw_get_reg(cursor, preserved[i], &value);
        ret[preserved[i]] = value; /* libunwind's numbers are DWARF's */
    }
}

/* REGISTERS_WANTED (NULL: none) are those of the frame that is being visited. */
static enum unwind_end unwind(const ucontext_t *registers, bool saved, unwind_visitor *visit, void *context,
                              uint64_t *registers_wanted, uintptr_t *ret_lost_sp)
{
    uintptr_t sp = (uintptr_t)registers->uc_mcontext.gregs[REG_RSP];
    struct walk walk = {
        .registers = registers, .saved = saved, .low = sp - 128, .high = unwind_stack_end(sp)
    };
    unw_cursor_t cursor;
    uintptr_t pc_slot = saved ? (uintptr_t)&registers->uc_mcontext.gregs[REG_RIP] : 0;
    bool after_call = saved;

    *ret_lost_sp = sp;
    if (!walk.high || unw_init_remote(&cursor, unwinder.space, &walk) < 0) {
        return UNWIND_LOST;
    }
    for (size_t depth = 0; depth < MAX_FRAMES; depth++) {
        unw_word_t pc = 0, next_sp = 0, next_pc = 0;
        unw_get_reg(&cursor, UNW_REG_IP, &pc);
        struct stack_frame frame = { .pc = pc, .lookup = pc - after_call, .pc_slot = pc_slot };
        bool signal_frame = unw_is_signal_frame(&cursor) > 0;
        if (registers_wanted) {
            read_preserved(&cursor, registers_wanted);
        }
        int stepped = unw_step(&cursor);
        if (stepped > 0) {
            unw_get_reg(&cursor, UNW_REG_SP, &next_sp);
            unw_get_reg(&cursor, UNW_REG_IP, &next_pc);
            if (!signal_frame && is_on_stack(&walk, next_sp - 8) &&
                stubs_original_at(next_sp - 8) == next_pc) {
                frame.return_slot = next_sp - 8;
            }
        }
        if (!visit(context, &frame)) {
            return UNWIND_COMPLETE;
        }
        if (stepped == 0 || (stepped > 0 && next_pc == 0)) {
            return UNWIND_COMPLETE;
        }
        if (stepped < 0 ||
            walk.without_table) { /* libunwind goes on by guessing at frame pointers; we do not */
            return UNWIND_LOST;
        }
        after_call = !signal_frame;
        pc_slot = frame.return_slot;
        *ret_lost_sp = next_sp;
        if (next_sp < walk.low || next_sp >= walk.high) { /* a signal stack, or the stack it interrupted */
            walk.low = next_sp - 128;
            walk.high = unwind_stack_end(next_sp);
        }
    }
    return UNWIND_LOST;
}

enum unwind_end unwind_thread(const struct stopped_thread *thread, unwind_visitor *visit, void *context,
                              uintptr_t *ret_lost_sp)
{
    return unwind(thread->context, false, visit, context, NULL, ret_lost_sp);
}

enum unwind_end unwind_saved(const ucontext_t *context, unwind_visitor *visit, void *argument,
                             uintptr_t *ret_lost_sp)
{
    return unwind(context, true, visit, argument, NULL, ret_lost_sp);
}

void unwind_with_registers(const ucontext_t *context, bool saved, unwind_visitor *visit, void *argument,
                           uint64_t *registers)
{
    uintptr_t lost_sp;

    unwind(context, saved, visit, argument, registers, &lost_sp);
}
