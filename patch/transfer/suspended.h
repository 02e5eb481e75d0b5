/*
 * Whether functions that are suspended in a running program could be taken over where they wait: by the
 * recipes that lead from their code to the same code. What has none against itself has none against another
 * version either.
 */
#ifndef MOLT_PATCH_SUSPENDED_H
#define MOLT_PATCH_SUSPENDED_H

#include <jansson.h>

#include "patch/session.h"

/*
 * FRAMES is an array of objects, each a return address as the engine tells it (`stacks` in link/protocol.h):
 * {"module": path, "offset"}, or for code of a patch {"function", "unit", "offset"}. To each of which
 * anything is known are added "function", "unit" (its name in patches), "file" (absolute), "line" (of the
 * call), "callee" ("" through a pointer), "transferable", and "reason" if it is not. REQUEST->from has the
 * sources of the program as it is by now; they are compiled if need be. A frame of no binary of this session
 * stays as it is. The error is that of a compile, or of a program that was not built from these sources.
 */
struct molt_error *patch_session_suspended(struct patch_session *session, const struct patch_request *request,
                                           json_t *frames);

#endif
