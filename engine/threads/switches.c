/*
 * Who suspends a stack on which others run meanwhile must load the stack pointer from somewhere:
 *
 *     mov (%rdi), %rsp      mov %rsi, %rsp      xchg %rsp, (%rdi)
 *
 * Programs without such an instruction keep to their threads' stacks, and need not be searched for others; so
 * it is looked for in all code that is loaded, once. Libraries of the system whose own such code is known are
 * passed over: contexts.c stands in front of what the C library has, the others come back before they call
 * anybody.
 *
 * Compilers load the stack pointer, too, where a function with arrays of variable size or alloca gives those
 * back, or has pushed arguments of a call. They load it from a register that has kept a copy of it across
 * calls, or, in functions with a frame pointer, from a place relative to that, or from a register that was
 * worked out from such a copy.
 *
 * Instructions are looked for at every byte, not decoded from the start of each function. What is found in
 * the middle of another one makes a search that was not needed, and nothing else.
 */
#include "engine/threads/switches.h"

#include <emmintrin.h>
#include <link.h>
#include <string.h>

#include "engine/code/image.h"
#include "engine/threads/unwind.h"
#include "engine/watched.h"

#define KNOWN_MAX 1024
#define LONGEST 8    /* bytes of what is looked for */
#define FUNCTION 256 /* so far is looked around where no unwind table says where a function ends */
#define LOWERING 8   /* bytes that a compiler has at least between copying and loading it */
#define RSP 4
#define RBP 5
#define PRESERVED 0xf028u /* by calls: rbx, rbp, r12 to r15. Who switches must load those, too */

static struct {
    unsigned long long adds, subs; /* of modules, when they were looked through */
    size_t module_count, count;    /* of those found in modules, and in all */
    uintptr_t at[KNOWN_MAX];
} known;

enum source { FROM_REGISTER, FROM_MEMORY, EXCHANGED };

/* An instruction that loads the stack pointer. */
struct load {
    enum source source;
    unsigned base; /* the register, or that which the memory's address is relative to; 16: none */
};

/* What an operand in memory, of FORM and SIB, is relative to (Intel SDM 2, 2.1.5). */
static unsigned base_of(uint8_t rex, uint8_t form, uint8_t sib)
{
    unsigned mode = form >> 6, base = form & 7;

    if (base == RSP) {
        base = sib & 7;
    }
    return mode == 0 && base == RBP ? 16 : base | (rex & 1u) << 3;
}

/* Whether the LONGEST bytes at CODE begin with one. */
static READS_PROGRAM bool is_load(const uint8_t *code, struct load *ret)
{
    uint8_t rex = code[0], opcode = code[1], form = code[2];
    bool to = (rex & 0xfc) == 0x48 && (form & 0x38) == 0x20;   /* its register operand is rsp */
    bool from = (rex & 0xfb) == 0x48 && (form & 0xc7) == 0xc4; /* its other one */
    bool exchange = (opcode == 0x87 && (to || from)) || (rex == 0x48 && opcode == 0x94);

    if (!exchange && !(opcode == 0x8b && to) && !(opcode == 0x89 && from)) {
        return false;
    }
    unsigned other = from ? (form >> 3 & 7) | (rex & 4u) << 1 : (form & 7) | (rex & 1u) << 3;
    bool in_memory = !from && form < 0xc0;
    *ret = (struct load){ exchange    ? EXCHANGED
                          : in_memory ? FROM_MEMORY
                                      : FROM_REGISTER,
                          in_memory ? base_of(rex, form, code[3]) : other };
    bool has_index = in_memory && (form & 7) == RSP;
    return (has_index || !(rex & 2)) && (in_memory || opcode == 0x94 || other != RSP);
}

/* Which of the 16 bytes at CODE may begin one; the two behind them are looked at, too. */
static READS_PROGRAM unsigned candidates(const uint8_t *code)
{
    __m128i rex = _mm_loadu_si128((const __m128i *)code);
    __m128i opcode = _mm_loadu_si128((const __m128i *)(code + 1));
    __m128i form = _mm_loadu_si128((const __m128i *)(code + 2));
#define HAS(vector, mask, value)                                                                             \
    _mm_cmpeq_epi8(_mm_and_si128(vector, _mm_set1_epi8((char)(mask))), _mm_set1_epi8((char)(value)))
    __m128i exchange = HAS(opcode, 0xff, 0x87);
    __m128i to = _mm_and_si128(HAS(rex, 0xfc, 0x48), HAS(form, 0x38, 0x20));
    __m128i from = _mm_and_si128(HAS(rex, 0xfb, 0x48), HAS(form, 0xc7, 0xc4));
    __m128i all = _mm_and_si128(HAS(opcode, 0xff, 0x94), HAS(rex, 0xff, 0x48));

    all = _mm_or_si128(all, _mm_and_si128(to, _mm_or_si128(exchange, HAS(opcode, 0xff, 0x8b))));
    all = _mm_or_si128(all, _mm_and_si128(from, _mm_or_si128(exchange, HAS(opcode, 0xff, 0x89))));
#undef HAS
    return (unsigned)_mm_movemask_epi8(all);
}

/* ---- compilers ------------------------------------------------------------------------------------- */

static bool contains(const uint8_t *start, const uint8_t *end, const char *bytes, size_t count)
{
    return start < end && memmem(start, (size_t)(end - start), bytes, count);
}

/* mov %rsp, %rbp; lea N(%rsp), %rbp; lea 8(%rsp), %r10, of which rbp is made when the stack is aligned */
static bool has_frame_pointer(const uint8_t *start, const uint8_t *end)
{
    return contains(start, end, "\x48\x89\xe5", 3) || contains(start, end, "\x48\x8d\x6c\x24", 4) ||
           contains(start, end, "\x4c\x8d\x54\x24\x08", 5);
}

/* mov %rsp, %REGISTER */
static bool is_copied_to(const uint8_t *start, const uint8_t *end, unsigned number)
{
    const char copy[] = { (char)(number < 8 ? 0x48 : 0x49), (char)0x89, (char)(0xe0 | (number & 7)) };

    return contains(start, end, copy, sizeof(copy));
}

/* To any register. */
static bool is_copied(const uint8_t *start, const uint8_t *end)
{
    for (unsigned number = 0; number < 16; number++) {
        if (number != RSP && number != RBP && is_copied_to(start, end, number)) {
            return true;
        }
    }
    return false;
}

static bool is_compilers(const uint8_t *at, const struct load *load)
{
    uintptr_t start, end;

    if (load->base == RSP && load->source == FROM_MEMORY) {
        return true; /* what was kept on this stack is of this stack */
    }
    if (!unwind_function((uintptr_t)at, &start, &end)) {
        return false;
    }
    const uint8_t *first = (const uint8_t *)start, *last = (const uint8_t *)end;
    if (load->source == EXCHANGED) { /* in a long function it is the middle of something else */
        return at[1] == 0x94 || end - start > FUNCTION;
    }
    bool copied = load->source == FROM_REGISTER && is_copied_to(first, last, load->base);
    if (copied && (PRESERVED >> load->base & 1)) {
        return true;
    }
    return has_frame_pointer(first, at) &&
           (copied || load->base == RBP ||
            (load->source == FROM_REGISTER && is_copied(first, at - LOWERING)));
}

/* ---- all code -------------------------------------------------------------------------------------- */

static void look_at(const uint8_t *code)
{
    struct load load;

    if (is_load(code, &load) && !is_compilers(code, &load) && known.count < KNOWN_MAX) {
        known.at[known.count++] = (uintptr_t)code;
    }
}

static void look_through(uintptr_t start, uintptr_t end)
{
    const uint8_t *at = (const uint8_t *)start, *last = (const uint8_t *)end - LONGEST;

    for (; last - at > 32; at += 16) {
        for (unsigned bits = candidates(at); bits; bits &= bits - 1) {
            look_at(at + __builtin_ctz(bits));
        }
    }
    for (; at <= last; at++) {
        look_at(at);
    }
}

static bool is_passed_over(const char *path)
{
    static const char *const systems[] = { "libc.so.",      "ld-linux",      "libm.so.", "libgcc_s.so.",
                                           "libstdc++.so.", "libcrypto.so.", "libmolt",  "linux-vdso" };
    const char *name = strrchr(path, '/');

    name = name ? name + 1 : path;
    for (size_t i = 0; i < sizeof(systems) / sizeof(*systems); i++) {
        if (strncmp(name, systems[i], strlen(systems[i])) == 0) {
            return true;
        }
    }
    return false;
}

static int look_at_module(struct dl_phdr_info *info, size_t size, void *context)
{
    if (info->dlpi_adds == known.adds && info->dlpi_subs == known.subs) {
        return 1;
    }
    for (size_t i = 0; i < info->dlpi_phnum && !is_passed_over(info->dlpi_name); i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_LOAD && header->p_flags & PF_X && header->p_flags & PF_R) {
            uintptr_t start = info->dlpi_addr + header->p_vaddr;
            look_through(start, start + header->p_memsz);
        }
    }
    struct dl_phdr_info *latest = context;
    *latest = *info;
    return 0;
}

void switches_look(void)
{
    struct dl_phdr_info latest = { .dlpi_adds = known.adds, .dlpi_subs = known.subs };

    known.count = 0;
    if (dl_iterate_phdr(look_at_module, &latest) != 0) {
        known.count = known.module_count;
    }
    known.module_count = known.count;
    known.adds = latest.dlpi_adds;
    known.subs = latest.dlpi_subs;
    for (const struct image *image = image_first(); image; image = image->next) {
        look_through(image->start, image->plt ? image->plt : image->end);
    }
}

bool switches_exist(void)
{
    return known.count > 0;
}

bool switches_within(uintptr_t start, uintptr_t end)
{
    for (size_t i = 0; i < known.count; i++) {
        if (known.at[i] >= start && known.at[i] < end) {
            return true;
        }
    }
    return false;
}

bool switches_by_library(uintptr_t start, uintptr_t end)
{
    struct load load;

    for (const uint8_t *at = (const uint8_t *)start; at + LONGEST <= (const uint8_t *)end; at++) {
        if (is_load(at, &load) && !is_compilers(at, &load)) {
            return true;
        }
    }
    return false;
}
