/* Reading a manifest back out of a patch file. */
#include "patch/manifest.h"

#include <stdlib.h>

#include "base/patch_file.h"
#include "patch/file.h"

struct molt_error *patch_manifest_load(const char *path, json_t **ret)
{
    char *bytes;
    size_t size;
    struct patch_file file;
    const char *reason;
    struct molt_error *error = file_read(path, &bytes, &size);

    if (error) {
        error->code = MOLT_ERROR_USAGE;
        return error;
    }
    if (patch_file_open(bytes, size, &file, &reason) < 0) {
        error = molt_error_new(MOLT_ERROR_REFUSED, "%s: %s", path, reason);
    } else if (!(*ret = json_loadb(file.manifest, file.manifest_size, 0, NULL))) {
        error = molt_error_new(MOLT_ERROR_REFUSED, "%s: its manifest is not JSON", path);
    }
    free(bytes);
    return error;
}
