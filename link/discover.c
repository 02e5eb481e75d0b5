/*
 * Which processes have an engine: the sockets in the directories where this user's engines may be. Nobody is
 * woken up by it: a socket is believed as long as its process lives.
 */
#include "link/client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link/directory.h"

struct found {
    struct link_peer *peers;
    size_t count;
    size_t capacity;
};

static int add(struct found *found, pid_t pid, const char *path)
{
    if (found->count == found->capacity) {
        size_t capacity = found->capacity ? found->capacity * 2 : 8;
        struct link_peer *peers = realloc(found->peers, capacity * sizeof(*peers));

        if (!peers) {
            return -ENOMEM;
        }
        found->peers = peers;
        found->capacity = capacity;
    }
    char *copy = strdup(path);
    if (!copy) {
        return -ENOMEM;
    }
    found->peers[found->count++] = (struct link_peer){ .pid = pid, .path = copy };
    return 0;
}

static int scan(struct found *found, const char *directory, DIR *stream)
{
    struct dirent *entry;
    int error = 0;

    while (!error && (entry = readdir(stream))) {
        pid_t pid = link_socket_pid(entry->d_name);
        char path[LINK_PATH_MAX];

        if (!pid || link_socket_path(directory, pid, path, sizeof(path))) {
            continue;
        }
        if (kill(pid, 0) && errno == ESRCH) {
            unlink(path);
        } else {
            error = add(found, pid, path);
        }
    }
    return error;
}

static int compare(const void *left, const void *right)
{
    const struct link_peer *a = left;
    const struct link_peer *b = right;

    return (a->pid > b->pid) - (a->pid < b->pid);
}

int link_discover(struct link_peer **ret_peers, size_t *ret_count)
{
    struct found found = { 0 };
    char directory[LINK_PATH_MAX];
    int error = 0;

    for (unsigned index = 0; error != -ENOENT && error != -ENOMEM; index++) {
        error = link_directory_candidate(index, directory, sizeof(directory));
        if (error || link_directory_check(directory)) {
            continue;
        }
        DIR *stream = opendir(directory);
        if (stream) {
            error = scan(&found, directory, stream);
            closedir(stream);
        }
    }
    if (error == -ENOMEM) {
        link_peers_free(found.peers, found.count);
        return error;
    }
    if (found.count) {
        qsort(found.peers, found.count, sizeof(*found.peers), compare);
    }
    *ret_peers = found.peers;
    *ret_count = found.count;
    return 0;
}

void link_peers_free(struct link_peer *peers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(peers[i].path);
    }
    free(peers);
}
