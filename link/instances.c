/* Three calls: a query is a patch, so it is uploaded and prepared like one. */
#include "link/instances.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "link/protocol.h"

static bool is_prepared(const json_t *result)
{
    const char *word = json_string_value(json_object_get(result, "result"));

    return word && strcmp(word, link_result_word(LINK_RESULT_PREPARED)) == 0;
}

static int prepare(struct link_client *client, const json_t *upload, int timeout_ms, json_t **ret_result)
{
    json_t *params = json_pack("{s:O}", "upload", json_object_get(upload, "upload"));

    return params ? link_client_call(client, link_method_name(LINK_METHOD_PREPARE), params, timeout_ms, NULL,
                                     NULL, ret_result)
                  : -EPROTO;
}

int link_instances(struct link_client *client, const void *bytes, size_t size, json_t *params, int timeout_ms,
                   json_t **ret_result)
{
    json_t *upload = NULL, *prepared = NULL;
    int status = link_client_upload(client, bytes, size, &upload);

    if (status != 0) {
        *ret_result = upload;
        json_decref(params);
        return status;
    }
    status = prepare(client, upload, timeout_ms, &prepared);
    json_decref(upload);
    if (status != 0 || !is_prepared(prepared)) {
        *ret_result = prepared;
        json_decref(params);
        return status;
    }
    json_object_set(params, "update", json_object_get(prepared, "update"));
    json_decref(prepared);
    return link_client_call(client, link_method_name(LINK_METHOD_INSTANCES), params, timeout_ms, NULL, NULL,
                            ret_result);
}
