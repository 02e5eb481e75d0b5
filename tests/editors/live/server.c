/*
 * The program that is edited while it runs: answers each line on each connection with answer(), and says
 * which request of the connection it was. Prints its port, ends when its standard input is closed.
 */
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answer.h"
#include "guest.h"

enum { MAX_CLIENTS = 16 };

struct server {
    struct pollfd polled[2 + MAX_CLIENTS];
    int requests[2 + MAX_CLIENTS];
    int count;
};

static int listen_on_loopback(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(fd, (struct sockaddr *)&address, length) || listen(fd, MAX_CLIENTS) ||
        getsockname(fd, (struct sockaddr *)&address, &length))
        return -1;
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void accept_client(struct server *server)
{
    int fd = accept(server->polled[1].fd, NULL, NULL);

    if (fd >= 0 && server->count < 2 + MAX_CLIENTS) {
        server->polled[server->count] = (struct pollfd){ .fd = fd, .events = POLLIN };
        server->requests[server->count++] = 0;
    }
}

static void serve_client(struct server *server, int index)
{
    char line[256];
    ssize_t length = read(server->polled[index].fd, line, sizeof(line));

    if (length <= 0) {
        close(server->polled[index].fd);
        server->polled[index].fd = -1;
        return;
    }
    guest_add(server->requests[index] + 1);
    length = snprintf(line, sizeof(line), "%s %d\n", answer(), ++server->requests[index]);
    if (write(server->polled[index].fd, line, length) != length)
        server->polled[index].fd = -1;
}

int main(void)
{
    struct server server = { .count = 2 };

    guest_add(0);
    server.polled[0] = (struct pollfd){ .fd = 0, .events = POLLIN };
    server.polled[1] = (struct pollfd){ .fd = listen_on_loopback(), .events = POLLIN };
    while (server.polled[1].fd >= 0 && poll(server.polled, server.count, -1) > 0) {
        if (server.polled[0].revents)
            return 0;
        if (server.polled[1].revents)
            accept_client(&server);
        for (int i = 2; i < server.count; i++)
            if (server.polled[i].revents)
                serve_client(&server, i);
    }
    return 1;
}
