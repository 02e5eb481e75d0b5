/* What an engine made of an update, for people. */
#ifndef MOLT_CLI_RESULT_H
#define MOLT_CLI_RESULT_H

#include <jansson.h>

/* Prints RESULT (link/protocol.h): a line, warnings, and of a failed validation which one and the
 * instance's values. To stdout. */
void result_print(const json_t *result);

/* Puts the words of a failed validation into RESULT: its "validation" becomes what
 * base/failed_validation.h tells, by the MANIFEST of the patch (borrowed, may be NULL). Nothing happens to
 * other results. */
void result_explain(json_t *result, const json_t *manifest);

#endif
