/* The functions of a running program that never return, such as main with its loop, and whether they could
 * be taken over. */
#ifndef MOLT_CLI_LASTING_H
#define MOLT_CLI_LASTING_H

#include <jansson.h>

#include "base/error.h"
#include "cli/targets.h"
#include "patch/session.h"

/*
 * Looks at the stacks of TARGET, which was built by SESSION from the sources in directory FROM, several times
 * during half a second. *RET is a new array, of each function that was there each time: {"function", "file",
 * "line", "callee", "transferable", "reason"} as patch/transfer/suspended.h has them, of where it was last,
 * and "threads": ["1234 (name)"].
 */
struct molt_error *lasting_find(const struct target *target, struct patch_session *session, const char *from,
                                json_t **ret);

#endif
