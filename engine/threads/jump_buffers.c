/*
 * glibc keeps in a jmp_buf, on x86-64, eight words (sysdeps/x86_64/jmpbuf-offsets.h):
 *
 *     rbx | rbp * | r12 | r13 | r14 | r15 | rsp * | rip *      * in disguise
 *
 * The disguise is one for all threads: xor with a word beside the thread's control block, then turned left by
 * 17 bits. So the upper 17 bits of an address, all of them zero, show the upper bits of that word in the
 * lower bits of what is kept, and two such words side by side are hardly ever anything else.
 *
 * Most programs with longjmp never leave a stack by it that they come back to: they report errors. Who does
 * must first have come to another stack: by code of its own (switches.c), on the stack for signals, by
 * makecontext, or by a jmp_buf that it has disguised itself. A patch may bring what a module lacks; if that
 * is longjmp, the module's code may do the rest.
 */
#include "engine/threads/jump_buffers.h"

#include <dlfcn.h>
#include <emmintrin.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

#include "engine/code/image.h"
#include "engine/code/lookup.h"
#include "engine/threads/contexts.h"
#include "engine/threads/readable.h"
#include "engine/threads/switches.h"
#include "engine/watched.h"

enum { RBX, RBP, R12, R13, R14, R15, RSP, RIP, BUFFER_WORDS };
#define GUARD_OFFSET 0x30 /* of the word, from the thread pointer (tcbhead_t) */
#define TURNED 17
#define ADDRESS_BITS 47

static const char *const names[] = { "longjmp", "_longjmp", "siglongjmp", "__longjmp_chk" };
#define FUNCTION_COUNT (sizeof(names) / sizeof(*names))

static struct {
    unsigned long long adds, subs;              /* of modules, when they were looked through */
    bool jumps;                                 /* some module calls longjmp */
    bool on_other_stacks;                       /* and comes to other stacks by itself */
    bool patches_jump, patches_on_other_stacks; /* likewise those that were prepared at any time */
    uintptr_t functions[FUNCTION_COUNT];
} known;

/* ---- who can ----------------------------------------------------------------------------------------- */

static bool is_jump(const char *name)
{
    for (size_t i = 0; i < FUNCTION_COUNT; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool jump_buffers_is_longjmp(uintptr_t address)
{
    for (size_t i = 0; i < FUNCTION_COUNT; i++) {
        if (address && known.functions[i] == address) {
            return true;
        }
    }
    return false;
}

static bool is_signal_stack(const char *name)
{
    return strcmp(name, "sigaltstack") == 0;
}

/* Whether [start, end) has an instruction with the word that addresses are disguised with: mov or xor
 * %fs:0x30, %REGISTER. */
static READS_PROGRAM bool has_guard(const uint8_t *start, const uint8_t *end)
{
    static const uint8_t operand[] = { 0x25, GUARD_OFFSET, 0, 0, 0 };

    for (const uint8_t *at = start + 4; at < end; at++) {
        at = memmem(at, (size_t)(end - at), operand, sizeof(operand));
        if (!at) {
            return false;
        }
        if (at[-4] == 0x64 && (at[-2] == 0x33 || at[-2] == 0x8b)) {
            return true;
        }
    }
    return false;
}

static bool disguises(const struct dl_phdr_info *info)
{
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        const uint8_t *start = (const uint8_t *)(info->dlpi_addr + header->p_vaddr);
        if (header->p_type == PT_LOAD && header->p_flags & PF_X && header->p_flags & PF_R &&
            has_guard(start, start + header->p_memsz)) {
            return true;
        }
    }
    return false;
}

/* The engine comes back from policies that crash by it. */
static bool is_ours(const struct dl_phdr_info *info)
{
    struct dl_find_object own;

    return _dl_find_object((void *)is_ours, &own) == 0 && own.dlfo_link_map->l_addr == info->dlpi_addr;
}

static int look_at_module(struct dl_phdr_info *info, size_t size, void *context)
{
    if (info->dlpi_adds == known.adds && info->dlpi_subs == known.subs) {
        return 1;
    }
    if (!is_ours(info) && lookup_imports(info, is_jump)) {
        known.jumps = true;
        known.on_other_stacks |= lookup_imports(info, is_signal_stack) || disguises(info);
    }
    struct dl_phdr_info *latest = context;
    *latest = *info;
    return 0;
}

void jump_buffers_imported(const char *name)
{
    known.patches_jump |= is_jump(name);
    known.patches_on_other_stacks |= is_signal_stack(name);
}

static void look_at_patches(void)
{
    for (const struct image *image = image_first(); image; image = image->next) {
        known.patches_on_other_stacks |=
            has_guard((const uint8_t *)image->start, (const uint8_t *)image->end);
    }
}

void jump_buffers_look(void)
{
    struct dl_phdr_info latest = { .dlpi_adds = known.adds, .dlpi_subs = known.subs };

    if (dl_iterate_phdr(look_at_module, &latest) == 0) {
        for (size_t i = 0; i < FUNCTION_COUNT; i++) {
            known.functions[i] = lookup_symbol(names[i], "", NULL);
        }
    }
    look_at_patches();
    known.adds = latest.dlpi_adds;
    known.subs = latest.dlpi_subs;
}

bool jump_buffers_possible(void)
{
    const struct context_table *table = contexts();

    return known.patches_jump ||
           (known.jumps && (known.on_other_stacks || known.patches_on_other_stacks || switches_exist() ||
                            (table && atomic_load(&table->changes))));
}

/* ---- where ------------------------------------------------------------------------------------------- */

static READS_PROGRAM uint64_t guard(void)
{
    return *(const uint64_t *)((const char *)__builtin_thread_pointer() + GUARD_OFFSET);
}

static uint64_t undisguised(uint64_t word)
{
    return (word >> TURNED | word << (64 - TURNED)) ^ guard();
}

static bool is_address(uint64_t word)
{
    return !(undisguised(word) >> ADDRESS_BITS);
}

/* Whether one of COUNT words, a multiple of two, may be a disguised address. */
static READS_PROGRAM bool any_address(const uint64_t *words, size_t count)
{
    const uint64_t shown = guard() >> ADDRESS_BITS;
    const __m128i mask = _mm_set1_epi64x((1 << TURNED) - 1), wanted = _mm_set1_epi64x((int64_t)shown);
    __m128i found = _mm_setzero_si128();

    for (size_t i = 0; i < count; i += 2) {
        __m128i two = _mm_and_si128(_mm_loadu_si128((const __m128i *)&words[i]), mask);
        found = _mm_or_si128(found, _mm_cmpeq_epi32(two, wanted));
    }
    return _mm_movemask_epi8(found) & 0x0f0f; /* the upper halves are zero, and always equal */
}

READS_PROGRAM void jump_buffers_find(uintptr_t start, uintptr_t end, jump_buffer_visitor *visit,
                                     void *context)
{
    const uint64_t *words = (const uint64_t *)start;
    size_t count = (end - start) / sizeof(*words);

    if (count % 2 == 0 && !any_address(words, count)) {
        return;
    }
    for (size_t i = 0; i < count; i++) { /* what it has before and behind may be on other pages */
        uintptr_t buffer = (uintptr_t)&words[i] - RSP * sizeof(*words);
        if (!is_address(words[i]) || !is_readable(buffer) || !is_readable((uintptr_t)&words[i + 1]) ||
            !is_address(words[i + 1])) {
            continue;
        }
        struct jump_buffer found = { buffer, undisguised(words[i + 1]), undisguised(words[i]) };
        if (found.sp % sizeof(*words) == 0) {
            visit(context, &found);
        }
    }
}

READS_PROGRAM void jump_buffers_registers(uintptr_t at, greg_t *ret)
{
    const uint64_t *words = (const uint64_t *)at;

    ret[REG_RBX] = (greg_t)words[RBX];
    ret[REG_R12] = (greg_t)words[R12];
    ret[REG_R13] = (greg_t)words[R13];
    ret[REG_R14] = (greg_t)words[R14];
    ret[REG_R15] = (greg_t)words[R15];
    ret[REG_RBP] = (greg_t)undisguised(words[RBP]);
    ret[REG_RSP] = (greg_t)undisguised(words[RSP]);
    ret[REG_RIP] = (greg_t)undisguised(words[RIP]);
}
