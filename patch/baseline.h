/* Whether a program was built from the sources it is said to be. */
#ifndef MOLT_PATCH_BASELINE_H
#define MOLT_PATCH_BASELINE_H

#include "patch/emit.h"

/*
 * Compares each function of the contribution's old object with the code in the binary, those that EARLIER patches replaced
 * left out. REFUSED, naming unit and function, if they differ.
 */
struct molt_error *baseline_check(const struct contribution *contribution,
                                  const struct earlier_patch *earlier, size_t earlier_count);

#endif
