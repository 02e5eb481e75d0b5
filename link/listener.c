/*
 * The listening socket. It is private from its first moment: the mode is set before bind (the kernel makes
 * the file with the mode of the unbound socket), so the program's umask is not touched; and it appears under
 * its name only when it listens, by a rename, so a refused connection always means that nobody is there any
 * more.
 */
#include "link/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define HIGH_DESCRIPTOR                                                                                      \
    900 /* below FD_SETSIZE and the usual limit of 1024, above what most programs open   \
                             */
#define BACKLOG 64

int link_descriptor_raise(int fd)
{
    struct rlimit limit;
    int high = -1;

    if (fd < 0) {
        return fd;
    }
    if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur > HIGH_DESCRIPTOR) {
        high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR);
    }
    if (high < 0) {
        return fd;
    }
    close(fd);
    return high;
}

int link_descriptor_init(struct link_descriptor *descriptor, int fd)
{
    struct stat status;

    fd = link_descriptor_raise(fd);
    if (fstat(fd, &status) || fcntl(fd, F_SETFD, FD_CLOEXEC)) {
        int error = -errno;

        close(fd);
        return error;
    }
    *descriptor = (struct link_descriptor){ .fd = fd, .device = status.st_dev, .inode = status.st_ino };
    return 0;
}

bool link_descriptor_intact(const struct link_descriptor *descriptor)
{
    struct stat status;

    return descriptor->fd >= 0 && !fstat(descriptor->fd, &status) && status.st_dev == descriptor->device &&
           status.st_ino == descriptor->inode;
}

void link_descriptor_close(struct link_descriptor *descriptor)
{
    if (link_descriptor_intact(descriptor)) {
        close(descriptor->fd);
    }
    descriptor->fd = -1;
}

/* Binds FD under a name that nobody looks for, listens, then gives it its real one. */
static int bind_and_publish(int fd, const char *directory, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/.%d.new", directory, (int)getpid());

    if (length < 0 || (size_t)length >= sizeof(address.sun_path)) {
        return -ENAMETOOLONG;
    }
    unlink(address.sun_path);
    if (fchmod(fd, 0600) || bind(fd, (struct sockaddr *)&address, sizeof(address))) {
        return -errno;
    }
    if (listen(fd, BACKLOG) || rename(address.sun_path, path)) {
        int error = -errno;

        unlink(address.sun_path);
        return error;
    }
    return 0;
}

int link_listener_open(struct link_listener *listener, char *reason, size_t reason_size)
{
    char directory[LINK_PATH_MAX];
    struct link_listener made = { .descriptor.fd = -1, .pid = getpid() };
    int error = link_directory_make(directory, sizeof(directory));

    if (error) {
        snprintf(reason, reason_size, "no private directory for the socket: %s", strerrordesc_np(-error));
        return error;
    }
    error = link_socket_path(directory, made.pid, made.path, sizeof(made.path));
    if (!error) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        error = fd < 0 ? -errno : link_descriptor_init(&made.descriptor, fd);
    }
    if (!error) {
        error = bind_and_publish(made.descriptor.fd, directory, made.path);
    }
    if (error) {
        snprintf(reason, reason_size, "no socket in %s: %s", directory, strerrordesc_np(-error));
        link_descriptor_close(&made.descriptor);
        return error;
    }
    *listener = made;
    return 0;
}

void link_listener_unlink(const struct link_listener *listener)
{
    if (listener->pid == getpid()) {
        unlink(listener->path);
    }
}

void link_listener_close(struct link_listener *listener)
{
    link_listener_unlink(listener);
    link_descriptor_close(&listener->descriptor);
}

/* The program's own user, or root. */
static bool may_connect(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) && size == sizeof(peer) &&
           (peer.uid == geteuid() || peer.uid == 0);
}

int link_listener_accept(struct link_listener *listener, struct link_descriptor *ret_connection)
{
    int fd = accept4(listener->descriptor.fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0) {
        bool transient = errno == EINTR || errno == ECONNABORTED || errno == EAGAIN;

        return transient ? -EAGAIN : -errno;
    }
    if (!may_connect(fd)) {
        close(fd);
        return -EPERM;
    }
    return link_descriptor_init(ret_connection, fd);
}
