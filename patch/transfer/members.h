/* Members that have another offset in the new version of their structure. */
#ifndef MOLT_PATCH_TRANSFER_MEMBERS_H
#define MOLT_PATCH_TRANSFER_MEMBERS_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#include "patch/memory.h"

struct moved_members {
    LIST(uint64_t) pairs; /* ascending: old offset in the upper half, new one in the lower */
};

/* Compares the structures and unions of the same name in both; either may be NULL. */
void moved_members_init(struct moved_members *members, Dwarf *old, Dwarf *new);
void moved_members_deinit(struct moved_members *members);

/* Whether some member has gone from OLD_OFFSET to NEW_OFFSET. */
bool moved_members_have(const struct moved_members *members, int64_t old_offset, int64_t new_offset);

#endif
