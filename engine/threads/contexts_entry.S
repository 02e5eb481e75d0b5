/*
 * In front of the C library's functions for contexts: what they are called with is noted (contexts.c), then they go on as if they
 * had been called directly, with the caller's stack and registers.
 */
        .section molt_context_code, "ax", @progbits

        .macro  function name
        .globl  \name
        .type   \name, @function
\name:
        .cfi_startproc
        .endm

        .macro  done name
        .cfi_endproc
        .size   \name, . - \name
        .endm

        .macro  save register
        push    %\register
        .cfi_adjust_cfa_offset 8
        .endm

        .macro  restore register
        pop     %\register
        .cfi_adjust_cfa_offset -8
        .endm

function getcontext
        save    rdi
        mov     8(%rsp), %rsi           /* where it returns to, and what the stack is then */
        lea     16(%rsp), %rdx
        call    molt_context_got
        restore rdi
        jmp     *%rax
done    getcontext

function swapcontext
        save    rdi
        save    rsi
        save    rax                     /* for alignment */
        mov     24(%rsp), %rdx
        lea     32(%rsp), %rcx
        call    molt_context_swapped
        restore rdx
        restore rsi
        restore rdi
        jmp     *%rax
done    swapcontext

function setcontext
        save    rdi
        call    molt_context_resumed
        restore rdi
        jmp     *%rax
done    setcontext

/* It has any number of arguments. */
function makecontext
        save    rdi
        save    rsi
        save    rdx
        save    rcx
        save    r8
        save    r9
        save    rax
        call    molt_context_made
        mov     %rax, %r11
        restore rax
        restore r9
        restore r8
        restore rcx
        restore rdx
        restore rsi
        restore rdi
        jmp     *%r11
done    makecontext

/* <molt/engine.h> */
function molt_engine_stack_add
        jmp     molt_context_stack_added
done    molt_engine_stack_add

function molt_engine_stack_remove
        jmp     molt_context_stack_removed
done    molt_engine_stack_remove

        .section .note.GNU-stack,"",@progbits
