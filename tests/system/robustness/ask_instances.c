/* Asks the engine behind SOCKET for instances with any PATCH as the query, and prints its answer. Status: 0
 * if it gave one. */
#include <stdio.h>
#include <stdlib.h>

#include "link/instances.h"
#include "patch/file.h"

int main(int count, char **arguments)
{
    struct link_client *client = NULL;
    json_t *answer = NULL;
    char *bytes;
    size_t size;

    if (count != 3 || file_read(arguments[2], &bytes, &size) || link_client_open(arguments[1], &client) < 0) {
        return 1;
    }
    int status = link_instances(client, bytes, size, json_object(), 5000, &answer);
    json_dumpf(answer, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(answer);
    link_client_close(client);
    free(bytes);
    return status == 0 ? 0 : 1;
}
