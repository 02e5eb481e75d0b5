/*
 * The exported syscall: hands on everything but seccomp by a jump, with registers and stack as they are, since a call
 * may return on another stack (clone).
 */
#include <sys/syscall.h>

        .text
        .globl  syscall
        .type   syscall, @function
syscall:
        .cfi_startproc
        endbr64
        cmpq    $SYS_seccomp, %rdi
        je      molt_sandbox_seccomp
        jmp     *molt_next_syscall(%rip)
        .cfi_endproc
        .size   syscall, .-syscall

        .section .note.GNU-stack, "", @progbits
