/* Sorting without malloc (libc's qsort may take memory from the program's heap). Shell sort: our arrays come
 * nearly sorted. */
#ifndef MOLT_ENGINE_SORT_H
#define MOLT_ENGINE_SORT_H

#include <stddef.h>

/* Sorts COUNT elements of TYPE in ARRAY ascending by the integer member KEY. */
#define SORT_BY(array, count, type, key)                                                                     \
    do {                                                                                                     \
        for (size_t gap_ = (count) / 2; gap_ > 0; gap_ /= 2) {                                               \
            for (size_t i_ = gap_; i_ < (count); i_++) {                                                     \
                type moving_ = (array)[i_];                                                                  \
                size_t j_ = i_;                                                                              \
                for (; j_ >= gap_ && (array)[j_ - gap_].key > moving_.key; j_ -= gap_) {                     \
                    (array)[j_] = (array)[j_ - gap_];                                                        \
                }                                                                                            \
                (array)[j_] = moving_;                                                                       \
            }                                                                                                \
        }                                                                                                    \
    } while (0)

#endif
