/*
 * Where the stubs of return barriers lead: all general registers are kept, since a caller may rely on more than the ABI
 * promises (gcc's -fipa-ra), and barrier_reached is compiled to touch no others.
 *
 *   rsp on entry ->  index of the barrier
 *                    original return address      <- as if the call had never been hijacked
 */
        .text
        .globl  molt_barrier_entry
        .hidden molt_barrier_entry
        .type   molt_barrier_entry, @function
molt_barrier_entry:
        .cfi_startproc
        .cfi_def_cfa_offset 16
        pushfq
        .cfi_adjust_cfa_offset 8
        push    %rax
        .cfi_adjust_cfa_offset 8
        push    %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        push    %rcx
        .cfi_adjust_cfa_offset 8
        push    %rdx
        .cfi_adjust_cfa_offset 8
        push    %rsi
        .cfi_adjust_cfa_offset 8
        push    %rdi
        .cfi_adjust_cfa_offset 8
        push    %r8
        .cfi_adjust_cfa_offset 8
        push    %r9
        .cfi_adjust_cfa_offset 8
        push    %r10
        .cfi_adjust_cfa_offset 8
        push    %r11
        .cfi_adjust_cfa_offset 8
        mov     %rsp, %rbx
        .cfi_def_cfa_register rbx
        mov     88(%rsp), %rdi
        and     $-16, %rsp
        call    molt_barrier_reached
        mov     %rbx, %rsp
        .cfi_def_cfa_register rsp
        pop     %r11
        .cfi_adjust_cfa_offset -8
        pop     %r10
        .cfi_adjust_cfa_offset -8
        pop     %r9
        .cfi_adjust_cfa_offset -8
        pop     %r8
        .cfi_adjust_cfa_offset -8
        pop     %rdi
        .cfi_adjust_cfa_offset -8
        pop     %rsi
        .cfi_adjust_cfa_offset -8
        pop     %rdx
        .cfi_adjust_cfa_offset -8
        pop     %rcx
        .cfi_adjust_cfa_offset -8
        pop     %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        pop     %rax
        .cfi_adjust_cfa_offset -8
        popfq
        .cfi_adjust_cfa_offset -8
        lea     8(%rsp), %rsp
        .cfi_adjust_cfa_offset -8
        ret
        .cfi_endproc
        .size   molt_barrier_entry, . - molt_barrier_entry

        .section .note.GNU-stack,"",@progbits
