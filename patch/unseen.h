/* Code of the program that no patch would hold (unseen.c). */
#ifndef MOLT_PATCH_UNSEEN_H
#define MOLT_PATCH_UNSEEN_H

#include "patch/build_private.h"

/* Works out, once, which units of the binaries the compile database does not have. */
void session_find_unlisted(struct patch_session *session);

void unseen_deinit(struct unseen *unseen);

/* The binary that seems to hold what UNIT's command made without debug information; NULL if there is none. */
const struct image *session_hides(const struct patch_session *session, const struct unit *unit);

/* REFUSED: something that such code is made from differs between the sources. Warns of units that differ and
 * are in no binary. */
struct molt_error *build_refuse_unseen(struct build *build);

#endif
