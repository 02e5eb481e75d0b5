/*
 * A pair of sockets for each that asks: the program holds one end and finds a byte there after each update.
 * It reads when it likes, in a loop of its own, so nothing runs on a thread or at a moment that it does not
 * expect. Sockets, since their inodes tell whether a descriptor is still the one that it was: programs close
 * what they do not know.
 */
#include "engine/notice.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link/listener.h"

#define LISTENERS_MAX 16

static struct {
    pthread_mutex_t lock;
    struct link_descriptor ends[LISTENERS_MAX]; /* ours */
    unsigned count;
} notice = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* For <molt/engine.h>. Returns the program's end, or -1 with errno. */
__attribute__((visibility("default"))) int molt_engine_update_fd(void);

/* A place for one more: those whose reader has gone are given up. */
static struct link_descriptor *free_place(void)
{
    for (unsigned i = 0; i < notice.count; i++) {
        if (!link_descriptor_intact(&notice.ends[i])) {
            return &notice.ends[i];
        }
    }
    return notice.count < LISTENERS_MAX ? &notice.ends[notice.count++] : NULL;
}

int molt_engine_update_fd(void)
{
    int ends[2], error = EMFILE;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
        return -1;
    }
    pthread_mutex_lock(&notice.lock);
    struct link_descriptor *place = free_place();
    if (place) {
        *place = (struct link_descriptor){ .fd = -1 };
        error = -link_descriptor_init(place, ends[1]);
    } else {
        close(ends[1]);
    }
    pthread_mutex_unlock(&notice.lock);
    if (error) {
        close(ends[0]);
        errno = error;
        return -1;
    }
    return ends[0];
}

void notice_send(void)
{
    pthread_mutex_lock(&notice.lock);
    for (unsigned i = 0; i < notice.count; i++) {
        struct link_descriptor *end = &notice.ends[i];
        if (link_descriptor_intact(end) && send(end->fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
            errno == EPIPE) {
            link_descriptor_close(end);
        }
    }
    pthread_mutex_unlock(&notice.lock);
}

void notice_after_fork(void)
{
    pthread_mutex_init(&notice.lock, NULL);
    for (unsigned i = 0; i < notice.count; i++) {
        link_descriptor_close(&notice.ends[i]);
    }
    notice.count = 0;
}
