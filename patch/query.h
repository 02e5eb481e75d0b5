/*
 * A query: what a running program's memory holds, as a patch that changes nothing. It brings the layouts of
 * all types, what each allocation call makes, and the variables; with it the engine finds instances as it
 * would for a migration.
 */
#ifndef MOLT_PATCH_QUERY_H
#define MOLT_PATCH_QUERY_H

#include <jansson.h>

#include "patch/session.h"

struct patch_query {
    void *bytes; /* the patch file, from malloc */
    size_t size;
    json_t
        *types; /* what the name asked for means: [{"layout", "name", "unit", "file", "line", "shape"}];
                 * `unit` is "" unless the name means something else in another one; empty without a name */
    json_t
        *sites; /* as in manifests, and "functions": {"FILE:LINE": the function that allocates there}, and
                 * "code":
                 * {"MODULE:ADDRESS": the function there}, both in decimal, MODULE an index of the query's */
    struct molt_diagnostics diagnostics;
    double total_ms;
};

/*
 * Makes the query for the program made of the binaries with BUILD_IDS, an array of hexadecimal strings,
 * borrowed. REQUEST->from has the sources of the program as it is by now, ->after the patches that it has.
 * TYPE (may be NULL) is a structure or union as C names it, the tag alone, or a typedef. *RET is filled in
 * any case, for patch_query_deinit. NOT_FOUND: none of the binaries is of this session, or there is no such
 * type; the message suggests others.
 */
struct molt_error *patch_session_query(struct patch_session *session, const struct patch_request *request,
                                       const json_t *build_ids, const char *type, struct patch_query *ret);
void patch_query_deinit(struct patch_query *query);

#endif
