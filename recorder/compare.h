/* The longest common subsequence of two sequences of hashes, as far as it is cheap to find. */
#ifndef MOLT_RECORDER_COMPARE_H
#define MOLT_RECORDER_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * For each i < OLD_COUNT, RET_MATCH[i] becomes the index in NEW_ITEMS that it corresponds to, or -1. Beyond
 * MAX_DIFFERENCES only the common beginning and end are matched. False without memory.
 */
bool compare_sequences(const uint64_t *old_items, uint32_t old_count, const uint64_t *new_items,
                       uint32_t new_count, uint32_t max_differences, int32_t *ret_match);

#endif
