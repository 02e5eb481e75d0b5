/* The longest increasing subsequence, by patience sorting: what is not in it has moved. */
#include <stdlib.h>

#include "recorder/changes.h"

bool changes_out_of_order(const int32_t *numbers, uint32_t count, bool *ret_moved)
{
    uint32_t *tops = malloc((count + 1) * sizeof(*tops));     /* index of the smallest end, per length */
    uint32_t *before = malloc((count + 1) * sizeof(*before)); /* index before it in its subsequence */
    uint32_t length = 0;
    bool done = tops && before;

    for (uint32_t i = 0; done && i < count; i++) {
        uint32_t low = 0, high = length;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (numbers[tops[middle]] < numbers[i]) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        before[i] = low ? tops[low - 1] : UINT32_MAX;
        tops[low] = i;
        length = low + 1 > length ? low + 1 : length;
        ret_moved[i] = true;
    }
    for (uint32_t i = done && length ? tops[length - 1] : UINT32_MAX; i != UINT32_MAX; i = before[i]) {
        ret_moved[i] = false;
    }
    free(tops);
    free(before);
    return done;
}
