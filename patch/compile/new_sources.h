/* Source files that the build does not know yet. */
#ifndef MOLT_PATCH_NEW_SOURCES_H
#define MOLT_PATCH_NEW_SOURCES_H

#include "patch/emit/emit.h"
#include "patch/session_private.h"

/* A file of the new tree that the compile database lacks; compiled as its nearest neighbour is. */
struct new_source {
    struct compile_entry *entry;
    struct unit unit;
    const struct unit *neighbour; /* borrowed */
    bool earlier;                 /* an earlier patch brought it: the old tree has it too */
};

typedef LIST(struct new_source *) new_sources;

/* Finds those in the directories of the database's files. In the root itself (the user's working tree)
 * only files younger than the binaries count: the others were left out of the build on purpose. */
void new_sources_find(const struct patch_session *session, const struct tree *from, const struct tree *to,
                      const struct earlier_patch *earlier, size_t earlier_count, new_sources *ret);
void new_sources_free(new_sources *list);

/* Whether NEEDED defines something that USER refers to and does not define. */
bool new_source_is_needed(const struct object *needed, const struct object *user);

#endif
