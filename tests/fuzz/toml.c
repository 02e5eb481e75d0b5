/* A settings file of any bytes is JSON afterwards, or an error with a line and a reason. */
#include "base/toml.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    json_t *root = NULL;
    unsigned line = 0;
    const char *reason = NULL;
    int status = toml_parse((const char *)bytes, size, &root, &line, &reason);

    if (status == 0) {
        if (!json_is_object(root))
            abort();
        json_decref(root);
    } else if (reason) {
        fuzz_touch_string(reason);
        if (line == 0)
            abort();
    }
    return 0;
}
