/*
 * Where the stubs of pending transfers lead. Between the old frame and the new one lies a moment in which neither is whole; so the new
 * frame is made aside (transfer_frame.c), then copied into its place, and all general registers are loaded, with nothing but addresses
 * relative to rsp in hand. No vector or x87 register is touched: the result of the function that returned may be in any.
 *
 *   rsp on entry ->  index of the stub
 *                    original return address      <- as if the call had never been hijacked
 *                    the old frame
 *
 * Unwinders see a frame of size zero that returns into the old code, until the new frame is being laid down; from then on one that
 * returns into the new code. Offsets are those of struct transfer_registers and struct transfer_result.
 */
#define FLAGS 128
#define INDEX 136
#define ORIGINAL 144
#define OLD_FRAME 152
#define BELOW 512
#define RSP 56
#define TARGET 136
#define IMAGE 144
#define PLACE 152
#define SIZE 160

/* DWARF: the CFA is what lies at RSP(BASE), plus 8; the callee-saved registers are beside it. BASE is breg0 (rax) or breg7 (rsp). */
#define CFI_RESULT(base)                                                                                                 \
        .cfi_escape 0x0f, 6, base, 0xb8, 0x00, 0x06, 0x23, 8;  /* def_cfa_expression: base + 56; deref; plus_uconst 8 */ \
        .cfi_escape 0x10, 3, 2, base, 24;                      /* rbx */                                                \
        .cfi_escape 0x10, 6, 3, base, 0xb0, 0x00;              /* rbp: 48 */                                            \
        .cfi_escape 0x10, 12, 3, base, 0xe0, 0x00;             /* r12: 96 */                                            \
        .cfi_escape 0x10, 13, 3, base, 0xe8, 0x00;                                                                      \
        .cfi_escape 0x10, 14, 3, base, 0xf0, 0x00;                                                                      \
        .cfi_escape 0x10, 15, 3, base, 0xf8, 0x00
#define RAX 0x70
#define RSP_BASE 0x77

/* All general registers but rsp to where rsp leads. */
        .macro SAVE
        mov     %rax, 0(%rsp)
        mov     %rdx, 8(%rsp)
        mov     %rcx, 16(%rsp)
        mov     %rbx, 24(%rsp)
        .cfi_rel_offset rbx, 24
        mov     %rsi, 32(%rsp)
        mov     %rdi, 40(%rsp)
        mov     %rbp, 48(%rsp)
        mov     %r8, 64(%rsp)
        mov     %r9, 72(%rsp)
        mov     %r10, 80(%rsp)
        mov     %r11, 88(%rsp)
        mov     %r12, 96(%rsp)
        mov     %r13, 104(%rsp)
        mov     %r14, 112(%rsp)
        mov     %r15, 120(%rsp)
        .endm

/* Turns the frame that the registers at rsp tell of, and goes on in it. */
        .macro TURN
        cld
        mov     %rsp, %rbx
        .cfi_def_cfa_register rbx
        mov     %rsp, %rdi
        and     $-16, %rsp
        call    molt_transfer_room
        sub     %rax, %rsp
        and     $-16, %rsp
        mov     %rbx, %rdi
        mov     %rsp, %rsi
        call    molt_transfer_turn
        CFI_RESULT(RAX)
        push    FLAGS(%rax)
        popfq
        mov     %rax, %rsp
        CFI_RESULT(RSP_BASE)
        mov     RSP(%rsp), %rdx
        mov     TARGET(%rsp), %rcx
        mov     %rcx, (%rdx)
        mov     IMAGE(%rsp), %rsi
        mov     PLACE(%rsp), %rdi
        mov     SIZE(%rsp), %rcx
        rep movsb
        mov     0(%rsp), %rax
        mov     8(%rsp), %rdx
        mov     16(%rsp), %rcx
        mov     24(%rsp), %rbx
        mov     32(%rsp), %rsi
        mov     40(%rsp), %rdi
        mov     48(%rsp), %rbp
        mov     64(%rsp), %r8
        mov     72(%rsp), %r9
        mov     80(%rsp), %r10
        mov     88(%rsp), %r11
        mov     96(%rsp), %r12
        mov     104(%rsp), %r13
        mov     112(%rsp), %r14
        mov     120(%rsp), %r15
        mov     RSP(%rsp), %rsp
        .cfi_def_cfa rsp, 8
        .cfi_offset rip, -8
        .cfi_same_value rbx
        .cfi_same_value rbp
        .cfi_same_value r12
        .cfi_same_value r13
        .cfi_same_value r14
        .cfi_same_value r15
        ret
        .endm

        .section molt_transfer_code, "ax", @progbits
        .globl  molt_transfer_entry
        .hidden molt_transfer_entry
        .type   molt_transfer_entry, @function
molt_transfer_entry:
        .cfi_startproc
        .cfi_def_cfa_offset 16
        pushfq
        .cfi_adjust_cfa_offset 8
        lea     -FLAGS(%rsp), %rsp
        .cfi_adjust_cfa_offset FLAGS
        SAVE
        lea     OLD_FRAME(%rsp), %rax
        mov     %rax, RSP(%rsp)
        TURN
        .cfi_endproc
        .size   molt_transfer_entry, . - molt_transfer_entry

/*
 * Where longjmp comes to by way of superseded code, whose address is in rcx: rsp is that of the frame it means, though that may have been
 * turned and reach further down. Nothing is written above BELOW until the new frame is laid down.
 */
        .globl  molt_longjmp_entry
        .hidden molt_longjmp_entry
        .type   molt_longjmp_entry, @function
molt_longjmp_entry:
        .cfi_startproc
        .cfi_def_cfa rsp, 0
        .cfi_register rip, rcx
        lea     -BELOW(%rsp), %rsp
        .cfi_adjust_cfa_offset BELOW
        SAVE
        pushfq
        .cfi_adjust_cfa_offset 8
        pop     FLAGS(%rsp)
        .cfi_adjust_cfa_offset -8
        movq    $0, INDEX(%rsp)
        mov     %rcx, ORIGINAL(%rsp)
        .cfi_rel_offset rip, ORIGINAL
        lea     BELOW(%rsp), %rax
        mov     %rax, RSP(%rsp)
        TURN
        .cfi_endproc
        .size   molt_longjmp_entry, . - molt_longjmp_entry

        .section .note.GNU-stack,"",@progbits
