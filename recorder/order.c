/* The longest increasing subsequence, by patience sorting: what is not in it has moved. */
#include <stdlib.h>

#include "base/search.h"
#include "recorder/changes.h"

bool changes_out_of_order(const int32_t *numbers, uint32_t count, bool *ret_moved)
{
    uint32_t *tops = malloc((count + 1) * sizeof(*tops));     /* index of the smallest end, per length */
    uint32_t *before = malloc((count + 1) * sizeof(*before)); /* index before it in its subsequence */
    uint32_t length = 0;
    bool done = tops && before;

    for (uint32_t i = 0; done && i < count; i++) {
        uint32_t index = COUNT_BEFORE(k, length, numbers[tops[k]] < numbers[i]);
        before[i] = index ? tops[index - 1] : UINT32_MAX;
        tops[index] = i;
        length = index + 1 > length ? index + 1 : length;
        ret_moved[i] = true;
    }
    for (uint32_t i = done && length ? tops[length - 1] : UINT32_MAX; i != UINT32_MAX; i = before[i]) {
        ret_moved[i] = false;
    }
    free(tops);
    free(before);
    return done;
}
