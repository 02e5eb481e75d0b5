/* Loops that stay as they are, each with the beginning of the reason. */
#include <alloca.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LEAVE return
#define CHECK(x)                                                                                                       \
    do {                                                                                                               \
        if (x)                                                                                                         \
            LEAVE;                                                                                                     \
    } while (0)
#define NEXT continue
#define COUNT turns++
#define NAME(x) printf("%s\n", #x)

void step(void);
int ready(void);
extern int global;

void calls(void)
{
    for (;;) /* here: what it does is a call already */
        step();
    for (;;) { /* here: what it does is a call already */
        if (ready())
            break;
    }
}

void macros(void)
{
    int turns = 0;

    for (;;) { /* here: the macro `CHECK` has `return` in it */
        turns++;
        CHECK(turns > 3);
    }
    for (;;) { /* here: the macro `NEXT` has `continue` in it */
        if (turns++ > 3)
            NEXT;
        step();
    }
    for (;;) { /* here: the macro `COUNT` means `turns` of the function */
        step();
        COUNT;
    }
    for (;;) { /* here: `turns` is spelled by a macro */
        turns++;
        NAME(turns);
    }
#define INSIDE 3
    for (;;) { /* here: the macro `INSIDE` is defined inside of the function */
        step();
        global += INSIDE;
    }
    for (;;) { /* here: it has a directive */
#define LATER 4
        global += LATER;
    }
}

void types(int count)
{
    struct inner { int x; } inner = { 0 };
    struct { int x; } nameless = { 0 };
    enum { SOME = 3 };
    typedef int number;
    number typed = 0;
    int helper(int);
    int unsized[] = { 1, 2 };
    int variable[count];
    register int fast = 0;
    __auto_type automatic = 3;
#ifdef CONDITION
    int conditional = 0;
#else
    long conditional = 0;
#endif

    for (;;) { /* here: `inner` has a type that is defined where it is declared */
        inner.x++;
        step();
    }
    for (;;) { /* here: `nameless` has a type that is defined where it is declared */
        nameless.x++;
        step();
    }
    for (;;) { /* here: `SOME` is declared inside of the function */
        global += SOME;
        step();
    }
    for (;;) { /* here: `typed` has a type that is declared inside of the function */
        typed++;
        step();
    }
    for (;;) { /* here: `helper` is declared inside of the function */
        global += helper(1);
        step();
    }
    for (;;) { /* here: `unsized` has its size by its initial value only */
        global += (int)sizeof(unsized);
        step();
    }
    for (;;) { /* here: `variable` has a type that depends on another variable */
        global += (int)sizeof(variable);
        step();
    }
    for (;;) { /* here: `fast` is a register variable */
        fast++;
        step();
    }
    for (;;) { /* here: `automatic` has a type that is not written down */
        automatic++;
        step();
    }
    for (;;) { /* here: `conditional` is declared under an #if */
        conditional++;
        step();
    }
#ifdef CONDITION
    for (;;) { /* here: it stands under an #if of the function */
        global++;
        step();
    }
#endif
}

void bound(int count, ...)
{
    static jmp_buf place;
    va_list list;

    for (;;) { /* here: it calls `alloca` */
        global += *(char *)alloca((size_t)count);
        step();
    }
    for (;;) { /* here: it calls `setjmp` */
        step();
        if (setjmp(place))
            break;
    }
    for (;;) { /* here: it calls `va_start` */
        va_start(list, count);
        global += va_arg(list, int);
        va_end(list);
    }
}

void handed_on(va_list list)
{
    for (;;) { /* here: `list` is an array that only the type's name hides */
        global += va_arg(list, int);
        step();
    }
}

void jumps(int count)
{
    void *where = &&inside;

    switch (count) {
        for (;;) { /* here: the function cannot be understood */
        case 3:
            global++;
            step();
        }
    }
    goto *where;
inside:
    step();
}

void outer(int count)
{
    switch (count) {
    default:
        for (;;) { /* here: it has a `case` of the switch around the loop */
        case 3:
            global++;
            step();
        }
    }
}

void into(void)
{
    if (global)
        goto middle;
    for (;;) { /* here: a goto leads into it */
        step();
    middle:
        global++;
    }
}

int old(count)
    int count;
{
    for (;;) { /* here: parameters are declared in the old style */
        count++;
        step();
    }
}
