/* Whether types keep their layout: live instances of others cannot be carried over yet. */
#ifndef MOLT_PATCH_LAYOUT_H
#define MOLT_PATCH_LAYOUT_H

#include "base/diagnostic.h"
#include "patch/compare.h"

/* REFUSED, naming type, member and line, if a type or variable that both objects have is laid out differently. */
struct molt_error *layout_check(const struct comparison *comparison, struct molt_diagnostics *diagnostics);

#endif
