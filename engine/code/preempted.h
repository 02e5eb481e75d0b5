/* Variables of a library that another module stands in for: the program, mostly, which has copies of those
 * that it names directly (R_X86_64_COPY). All code uses one of the two. */
#ifndef MOLT_ENGINE_CODE_PREEMPTED_H
#define MOLT_ENGINE_CODE_PREEMPTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct preempted_variable {
    uintptr_t own;     /* where the library has it */
    uintptr_t place;   /* where it is for all; 0: for some it is here, for some there */
    size_t size, room; /* of the one, of the other; a room of 0 is not known */
    bool is_silent;    /* that holds only if the library does not refer to it by its own address */
};

struct preempted {
    struct preempted_variable *items; /* owned */
    size_t count;
};

/* Finds those of the module at BIAS as its relocations were resolved. 0 or -ENOMEM. Takes the dynamic
 * linker's lock. */
int preempted_find(uintptr_t bias, struct preempted *ret);
void preempted_deinit(struct preempted *preempted);

/* Where the SIZE bytes are in use that the module has at OWN: there, if nobody stands in for them. BY_NAME:
 * the module does not refer to them by their address. 0: nothing tells, or there are fewer. */
uintptr_t preempted_place(const struct preempted *preempted, uintptr_t own, size_t size, bool by_name);

#endif
