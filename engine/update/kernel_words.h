/*
 * Addresses that the program has given the kernel to keep: the data words of its epoll sets. Many event loops
 * put the address of a connection there, and get it back with each event, so it has to lead to where the
 * connection is after an update.
 */
#ifndef MOLT_ENGINE_UPDATE_KERNEL_WORDS_H
#define MOLT_ENGINE_UPDATE_KERNEL_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/update/staging.h"

/* What DATA has to be from now on, into *RET; false: what it is. */
typedef bool kernel_word_moves(void *context, uint64_t data, uint64_t *ret);

struct kernel_words {
    struct staging changes;
};

/*
 * Asks MOVES about every data word of the process's epoll sets and replaces those that move; each replacement
 * is noted in WORDS. 0; -ENOMEM; -EBUSY if a word that moves cannot be replaced now, because its registration
 * is disarmed (EPOLLONESHOT) or its descriptor was closed while a copy of it keeps it registered, with
 * *RET_DESCRIPTOR being that descriptor. Usable in a stopped world.
 */
int kernel_words_lead(struct kernel_words *words, kernel_word_moves *moves, void *context,
                      int *ret_descriptor);

/* Puts back what was replaced. */
void kernel_words_undo(struct kernel_words *words);
void kernel_words_deinit(struct kernel_words *words);

#endif
