/* Which variables the lines are about that an edit has changed. */
#ifndef MOLT_PATCH_EDITED_H
#define MOLT_PATCH_EDITED_H

#include "patch/types/forms.h"
#include "patch/compile/tree.h"

/* A file of one of the trees. */
struct edited_file {
    char *path, *text; /* text NULL: it could not be read */
    LIST(const char *) lines;
};

/* The sources of two trees, read when asked about. */
struct edited_sources {
    const struct tree *from, *to; /* borrowed; set by the owner */
    LIST(struct edited_file) files;
};

/* Whether NEW, which was OLD, is declared static and named by other lines of the file that declares it. */
bool is_edited(struct edited_sources *sources, const struct form *old, const struct form *new);
void edited_sources_deinit(struct edited_sources *sources);

#endif
