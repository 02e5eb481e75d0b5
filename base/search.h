/*
 * Looking into what is sorted. Every look-up by address, offset or name asks the same: how many items come
 * before the place that is meant. What that is about is said where it is asked, since "before" is now a start
 * and now an end.
 */
#ifndef MOLT_BASE_SEARCH_H
#define MOLT_BASE_SEARCH_H

#include <stddef.h>

/* How many of COUNT items satisfy COMES_BEFORE, an expression in INDEX (the name of a size_t): the first
 * ones do, and none behind them. So it is also the index of the first that does not, or COUNT. Each index
 * is tried once at most. */
#define COUNT_BEFORE(index, count, comes_before)                                                             \
    ({                                                                                                       \
        size_t low_ = 0, high_ = (count);                                                                    \
        while (low_ < high_) {                                                                               \
            size_t index = low_ + (high_ - low_) / 2;                                                        \
            if (comes_before) {                                                                              \
                low_ = index + 1;                                                                            \
            } else {                                                                                         \
                high_ = index;                                                                               \
            }                                                                                                \
        }                                                                                                    \
        low_;                                                                                                \
    })

#endif
