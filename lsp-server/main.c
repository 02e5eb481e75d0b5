/*
 * molt-lsp: Molt's language server, over standard input and output.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "lsp-server/server.h"

#define LEAVING_MS 2000 /* how long work under way is waited for at the end */

static const char help[] = "Usage: molt-lsp [--stdio]\n"
                           "\n"
                           "Molt's language server: updates a running C program when its sources are saved.\n"
                           "An editor starts it and speaks LSP over its standard input and output.\n"
                           "\n"
                           "  --stdio    the default, and the only transport\n"
                           "  --version  print the version\n"
                           "  --help     print this\n";

static void too_late(uv_timer_t *timer)
{
    _exit(((struct server *)timer->data)->exit_status);
}

/* Lets jobs that run come to their end, for a short while. */
static void wait_for_jobs(uv_loop_t *loop, struct server *server)
{
    uv_timer_t timer;

    uv_timer_init(loop, &timer);
    timer.data = server;
    uv_timer_start(&timer, too_late, LEAVING_MS, 0);
    while (jobs_running(server->jobs))
        uv_run(loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
}

static int serve(void)
{
    uv_loop_t *loop = uv_default_loop();
    struct server *server;
    struct molt_error *error;
    int status;

    signal(SIGPIPE, SIG_IGN);
    error = server_create(loop, STDIN_FILENO, STDOUT_FILENO, &server);
    if (error) {
        fprintf(stderr, "molt-lsp: %s\n", error->message);
        molt_error_destroy(error);
        return 1;
    }
    while (!server->leaving)
        uv_run(loop, UV_RUN_DEFAULT);
    status = server->exit_status;
    server_stop(server);
    wait_for_jobs(loop, server);
    server_destroy(server);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    return status;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--version")) {
            printf("molt-lsp %s\n", MOLT_VERSION);
            return 0;
        }
        if (!strcmp(argv[i], "--help")) {
            fputs(help, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--stdio")) {
            fprintf(stderr, "molt-lsp: unknown argument %s (see --help)\n", argv[i]);
            return 1;
        }
    }
    return serve();
}
