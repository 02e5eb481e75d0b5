/* Units that take part although their files do not differ. */
#ifndef MOLT_PATCH_BUILD_TAKE_H
#define MOLT_PATCH_BUILD_TAKE_H

#include "patch/build_private.h"

/* Each of these adds units to BUILD that are linked, compared with themselves, and compiles the old state of
 * those. REFUSED: one does not compile. */

/* Those of which the binaries' debug information is not true any more, since earlier patches have changed
 * their files. Without earlier patches there are none. */
struct molt_error *build_take_patched(struct build *build);

/* Those that made what is at ADDRESS of IMAGE. None if nobody knows. */
struct molt_error *build_take_at(struct build *build, const struct image *image, uint64_t address);

/* Those whose objects may refer to one of COUNT extern NAMES. */
struct molt_error *build_take_naming(struct build *build, const char *const *names, size_t count);

/* Whether the debug information of MADE, of IMAGE, is what there is to be asked about it after earlier
 * patches. False: it is not true any more, or objects that were compiled tell the same. */
bool build_image_tells(const struct build *build, const struct image *image, const struct image_unit *made);

#endif
