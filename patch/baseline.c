/* Whether a program was built from the sources it is said to be. */
#include "patch/baseline.h"

struct molt_error *baseline_check(const struct contribution *contribution,
                                  const struct earlier_patch *earlier, size_t earlier_count)
{
    return NULL;
}
