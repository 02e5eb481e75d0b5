/*
 * The policies of one update, kept so that another build can make them part of a longer way
 * (patch/policy/compose.h). They are kept as text: each is C that includes nothing of the program's, so it
 * means the same whatever the sources have become.
 *
 *     {"sources": [{"name", "text"}], "names": [what they define], "calls": [what they use of the program],
 *      "changed": [the functions that the update changes],
 *      "types": [as in the manifest's, and "size": of the new version, "split", "flexible", "validates",
 *                "generated", "generated_back", "segments": [[old offset, size, new offset]],
 *                "place", "place_back": {"file": absolute, "line"} | null]}
 */
#ifndef MOLT_PATCH_POLICY_STAGE_H
#define MOLT_PATCH_POLICY_STAGE_H

#include "patch/policy/policy.h"

/* POLICIES (NULL: the update has none) as a stage; MANIFEST is that of their patch. A new object. */
json_t *policies_stage(const struct policies *policies, const json_t *manifest);

/* Adds the sources of all STAGES, under names of their own. */
void policy_stages_add_sources(const json_t *stages, policy_sources *sources);

/* What NAME is called as a part of stage STAGE, from 1. Owned by the caller. */
char *policy_stage_name(const char *name, unsigned stage);

/* Whether one of STAGES (NULL: there are none) leads to the type that is called KEY. */
bool policy_stages_change(const json_t *stages, const char *key);

#endif
