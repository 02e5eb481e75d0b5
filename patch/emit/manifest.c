/* Reading what a patch file has for people: its manifest and the C that was generated. */
#include "patch/emit/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/patch_file.h"
#include "patch/file.h"
#include "patch/memory.h"

/* Reads and opens PATH. RET lies in *RET_BYTES, owned by the caller. */
static struct molt_error *open_patch(const char *path, char **ret_bytes, struct patch_file *ret)
{
    char *bytes = NULL;
    size_t size;
    const char *reason;
    struct molt_error *error = file_read(path, &bytes, &size);

    if (error) {
        error->code = MOLT_ERROR_USAGE;
        return error;
    }
    if (patch_file_open(bytes, size, ret, &reason) < 0) {
        error = molt_error_new(MOLT_ERROR_REFUSED, "%s: %s; make the patch again", path, reason);
        free(bytes);
        return error;
    }
    *ret_bytes = bytes;
    return NULL;
}

struct molt_error *patch_manifest_load(const char *path, json_t **ret)
{
    struct patch_file file;
    char *bytes = NULL;
    struct molt_error *error = open_patch(path, &bytes, &file);

    if (error) {
        return error;
    }
    if (!(*ret = json_loadb(file.manifest, file.manifest_size, 0, NULL))) {
        error =
            molt_error_new(MOLT_ERROR_REFUSED, "%s: its manifest is not JSON; make the patch again", path);
    }
    free(bytes);
    return error;
}

static char *source_in(const struct patch_file *file)
{
    for (size_t i = 1; i < file->section_count; i++) {
        if (strcmp(patch_file_section_name(file, i), ".molt.source") == 0) {
            return must_strndup((const char *)patch_file_section_bytes(file, i), file->sections[i].sh_size);
        }
    }
    return must_strdup("");
}

char *patch_source_of(const void *bytes, size_t size)
{
    struct patch_file file;
    const char *reason;

    return patch_file_open(bytes, size, &file, &reason) < 0 ? NULL : source_in(&file);
}

struct molt_error *patch_source_load(const char *path, char **ret)
{
    struct patch_file file;
    char *bytes = NULL;
    struct molt_error *error = open_patch(path, &bytes, &file);

    if (!error) {
        *ret = source_in(&file);
        free(bytes);
    }
    return error;
}
