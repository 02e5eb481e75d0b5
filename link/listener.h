/*
 * The listening Unix socket, and the checks on whoever connects. Descriptors are high ones, so that the
 * program's own keep their numbers, and each is remembered together with what it stands for (struct
 * link_descriptor), since the program may close or replace any of them behind our back.
 */
#ifndef MOLT_LINK_LISTENER_H
#define MOLT_LINK_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "link/directory.h"

struct link_descriptor {
    int fd; /* -1: none */
    dev_t device;
    ino_t inode;
};

struct link_listener {
    struct link_descriptor descriptor;
    pid_t pid; /* whose socket it is: a forked child must not remove its parent's */
    char path[LINK_PATH_MAX];
};

/* Moves FD up out of the program's way and makes it close-on-exec. Returns the new number, FD itself if
 * there is no room above or FD is negative. */
int link_descriptor_raise(int fd);

/* Takes FD; moves it up and makes it close-on-exec. 0, or negative errno and FD is closed. */
int link_descriptor_init(struct link_descriptor *descriptor, int fd);

/* Whether the descriptor still stands for what it stood for. */
bool link_descriptor_intact(const struct link_descriptor *descriptor);

/* Closes it, unless it has become the program's. */
void link_descriptor_close(struct link_descriptor *descriptor);

/* Listens at this process's place. 0, or negative errno with a sentence in REASON. */
int link_listener_open(struct link_listener *listener, char *reason, size_t reason_size);

/* Closes the socket and removes its file. */
void link_listener_close(struct link_listener *listener);

/* Removes the file only, if this process made it. */
void link_listener_unlink(const struct link_listener *listener);

/* Takes the next connection, waiting for it if need be. 0; -EPERM: somebody else's, turned away; -EAGAIN: try
 * again; other negative errno: the socket is broken. */
int link_listener_accept(struct link_listener *listener, struct link_descriptor *ret_connection);

#endif
