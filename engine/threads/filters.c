/*
 * What a filter allows is asked of the filter itself, when it is put into force: it is a program of the
 * classic BPF machine (linux/filter.h) over a structure with the call's number and arguments, and ends with
 * an answer. The kernel tells only root what filters are in force.
 *
 * Filters are for threads, and are inherited; here they are for the process, which errs on the side of
 * caution.
 */
#include "engine/threads/filters.h"

#include <linux/audit.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

enum { ANY = 1, NO_STOPS = 2, NO_UNLINK = 4 };

static _Atomic uint32_t forbidden;

struct machine {
    uint32_t a, x, memory[BPF_MEMWORDS];
};

/* ---- the machine --------------------------------------------------------------------------------------- */

static bool load(struct machine *machine, const struct sock_filter *code, const struct seccomp_data *call)
{
    uint32_t value;

    if (BPF_MODE(code->code) == BPF_MEM && code->k < BPF_MEMWORDS) {
        value = machine->memory[code->k];
    } else if (BPF_MODE(code->code) == BPF_IMM) {
        value = code->k;
    } else if (BPF_MODE(code->code) == BPF_LEN) {
        value = sizeof(*call);
    } else if (BPF_MODE(code->code) == BPF_ABS && code->k <= sizeof(*call) - sizeof(value)) {
        memcpy(&value, (const char *)call + code->k, sizeof(value));
    } else {
        return false;
    }
    *(BPF_CLASS(code->code) == BPF_LD ? &machine->a : &machine->x) = value;
    return true;
}

static bool store(struct machine *machine, const struct sock_filter *code)
{
    if (code->k >= BPF_MEMWORDS) {
        return false;
    }
    machine->memory[code->k] = BPF_CLASS(code->code) == BPF_ST ? machine->a : machine->x;
    return true;
}

static uint32_t operand(const struct machine *machine, const struct sock_filter *code)
{
    return BPF_SRC(code->code) == BPF_X ? machine->x : code->k;
}

static bool compute(struct machine *machine, const struct sock_filter *code)
{
    uint32_t by = operand(machine, code);

    switch (BPF_OP(code->code)) {
    case BPF_ADD:
        machine->a += by;
        return true;
    case BPF_SUB:
        machine->a -= by;
        return true;
    case BPF_MUL:
        machine->a *= by;
        return true;
    case BPF_DIV:
        machine->a = by ? machine->a / by : 0;
        return by != 0;
    case BPF_OR:
        machine->a |= by;
        return true;
    case BPF_AND:
        machine->a &= by;
        return true;
    case BPF_XOR:
        machine->a ^= by;
        return true;
    case BPF_LSH:
        machine->a = by < 32 ? machine->a << by : 0;
        return true;
    case BPF_RSH:
        machine->a = by < 32 ? machine->a >> by : 0;
        return true;
    case BPF_NEG:
        machine->a = -machine->a;
        return true;
    default:
        return false;
    }
}

/* How many instructions are passed over. */
static size_t jump(const struct machine *machine, const struct sock_filter *code)
{
    uint32_t with = operand(machine, code);

    switch (BPF_OP(code->code)) {
    case BPF_JA:
        return code->k;
    case BPF_JEQ:
        return machine->a == with ? code->jt : code->jf;
    case BPF_JGT:
        return machine->a > with ? code->jt : code->jf;
    case BPF_JGE:
        return machine->a >= with ? code->jt : code->jf;
    case BPF_JSET:
        return machine->a & with ? code->jt : code->jf;
    default:
        return SIZE_MAX / 2; /* behind the end */
    }
}

static bool step(struct machine *machine, const struct sock_filter *code, const struct seccomp_data *call)
{
    switch (BPF_CLASS(code->code)) {
    case BPF_LD:
    case BPF_LDX:
        return load(machine, code, call);
    case BPF_ST:
    case BPF_STX:
        return store(machine, code);
    case BPF_ALU:
        return compute(machine, code);
    default: /* BPF_MISC */
        *(BPF_MISCOP(code->code) == BPF_TAX ? &machine->x : &machine->a) =
            BPF_MISCOP(code->code) == BPF_TAX ? machine->a : machine->x;
        return true;
    }
}

uint32_t filter_run(const struct sock_fprog *program, const struct seccomp_data *call)
{
    struct machine machine = { 0 };

    for (size_t at = 0; at < program->len; at++) { /* jumps lead forwards only */
        const struct sock_filter *code = &program->filter[at];
        if (BPF_CLASS(code->code) == BPF_RET) {
            return BPF_RVAL(code->code) == BPF_A ? machine.a : code->k;
        }
        if (BPF_CLASS(code->code) == BPF_JMP) {
            at += jump(&machine, code);
        } else if (!step(&machine, code, call)) {
            break;
        }
    }
    return SECCOMP_RET_KILL_PROCESS;
}

/* ---- what is asked of it ------------------------------------------------------------------------------- */

static bool allows(const struct sock_fprog *program, int number, uint64_t second)
{
    const struct seccomp_data call = { .nr = number, .arch = AUDIT_ARCH_X86_64, .args = { [1] = second } };
    uint32_t answer = filter_run(program, &call) & SECCOMP_RET_ACTION_FULL;

    return answer == SECCOMP_RET_ALLOW || answer == SECCOMP_RET_LOG;
}

bool filter_allows_stops(const struct sock_fprog *program)
{
    return allows(program, SYS_rt_sigreturn, 0) && allows(program, SYS_futex, FUTEX_WAIT_PRIVATE) &&
           allows(program, SYS_futex, FUTEX_WAKE_PRIVATE);
}

void filters_add(const struct sock_fprog *program)
{
    uint32_t found = ANY;

    found |= program && filter_allows_stops(program) ? 0 : NO_STOPS;
    found |= program && allows(program, SYS_getpid, 0) && allows(program, SYS_unlink, 0) ? 0 : NO_UNLINK;
    atomic_fetch_or(&forbidden, found);
}

bool filters_any(void)
{
    return atomic_load(&forbidden) & ANY;
}

bool filters_forbid_stops(void)
{
    return atomic_load(&forbidden) & NO_STOPS;
}

bool filters_forbid_unlink(void)
{
    return atomic_load(&forbidden) & NO_UNLINK;
}
