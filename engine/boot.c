/*
 * How the engine comes to life: when libmolt.so is loaded, before main, and again in each forked child. The
 * socket is there before the program's first instruction, so whoever sees the process can reach it;
 * everything else is done on the engine's thread. Whatever fails here is written to the file that MOLT_LOG
 * names, and the program runs without an engine.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "engine/code/lookup.h"
#include "engine/control.h"
#include "engine/heap/heap.h"
#include "engine/mapping.h"
#include "engine/private_heap.h"
#include "engine/status.h"
#include "engine/threads/filters.h"
#include "engine/update/guard.h"
#include "engine/update/update.h"

#define STACK_SIZE ((size_t)512 << 10)

static struct {
    char name[128];
    char log_path[PATH_MAX];
    void (*next_exit)(int status); /* the _exit that ours stands before: libc's or a sanitizer's */
    void (*next_full_exit)(int status);
    void (*next_quick_exit)(int status);
    pthread_mutex_t setting_up; /* held while the core is set up: no fork in the middle of it */
} boot = { .setting_up = PTHREAD_MUTEX_INITIALIZER };

/* Opens the file for each line: the engine keeps no descriptor that the program could close and reuse. */
static void log_to_file(enum molt_log_level level, const char *line, void *context)
{
    char buffer[1100];
    int fd = open(boot.log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    int length = snprintf(buffer, sizeof(buffer), "molt[%d] %s: %s\n", (int)getpid(), boot.name, line);

    if (fd >= 0 && length > 0) {
        ssize_t written =
            write(fd, buffer, (size_t)length < sizeof(buffer) ? (size_t)length : sizeof(buffer));
        (void)written; /* nobody to tell */
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* Takes what is needed from the environment, which is the program's from here on. */
static void read_environment(void)
{
    const char *name = secure_getenv("MOLT_NAME");
    const char *log_path = secure_getenv("MOLT_LOG");
    char executable[PATH_MAX];

    if (log_path && *log_path && strlen(log_path) < sizeof(boot.log_path)) {
        strcpy(boot.log_path, log_path);
        molt_log_to(log_to_file, NULL, MOLT_LOG_INFO);
    }
    if (!name || !*name) {
        status_executable(executable, sizeof(executable));
        name = strrchr(executable, '/');
        name = name ? name + 1 : executable;
    }
    snprintf(boot.name, sizeof(boot.name), "%.*s", (int)sizeof(boot.name) - 1, name);
}

static void *run(void *unused)
{
    prctl(PR_SET_NAME, "molt");
    mapping_adopt_stack(STACK_SIZE);
    uselocale(newlocale(LC_ALL_MASK, "C", NULL)); /* JSON has decimal points, whatever the program's locale */
    pthread_mutex_lock(&boot.setting_up);
    int error = engine_core_init();
    pthread_mutex_unlock(&boot.setting_up);
    if (error) {
        molt_log(MOLT_LOG_ERROR, "programs cannot be updated here: %s", strerrordesc_np(-error));
    }
    error = control_serve(error);
    molt_log(MOLT_LOG_ERROR, "the socket is lost: %s", strerrordesc_np(-error));
    return NULL;
}

/* The thread inherits a mask that blocks everything, so no signal meant for the program is ever handled on
 * it. */
static int start_thread(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all;
    sigset_t before;

    int error = pthread_attr_init(&attributes);
    if (error) {
        return -error;
    }
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, &attributes, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -error;
}

static void start(void)
{
    char reason[256] = "";
    int error = control_listen(boot.name, reason, sizeof(reason));

    if (error) {
        molt_log(MOLT_LOG_ERROR, "no engine: %s", reason);
        return;
    }
    error = start_thread();
    if (error) {
        molt_log(MOLT_LOG_ERROR, "no engine: no thread: %s", strerrordesc_np(-error));
        control_unlink();
    }
}

/* Locks are taken in the order in which the engine's thread takes them: the core's lock may be waited for
 * while a transaction runs, which allocates. */
static void before_fork(void)
{
    pthread_mutex_lock(&boot.setting_up);
    engine_core_fork_prepare();
    control_fork_prepare();
    private_heap_fork_prepare();
    mapping_fork_prepare();
}

static void after_fork_in_parent(void)
{
    mapping_fork_parent();
    private_heap_fork_parent();
    control_fork_parent();
    engine_core_fork_parent();
    pthread_mutex_unlock(&boot.setting_up);
}

static void after_fork_in_child(void)
{
    int saved = errno;

    mapping_fork_child();
    heap_after_fork();
    private_heap_fork_child();
    control_fork_child();
    engine_core_fork_child();
    pthread_mutex_unlock(&boot.setting_up);
    if (filters_any()) { /* for whatever starting one takes the filter may kill the child */
        molt_log(MOLT_LOG_INFO,
                 "no engine: the process was forked in a sandbox of the program's own (seccomp)");
    } else {
        start();
    }
    errno = saved;
}

__attribute__((constructor)) static void load(void)
{
    int saved = errno;

    if (!getauxval(AT_SECURE)) { /* a set-user-id program is not its caller's to update */
        read_environment();
        lookup_init();
        boot.next_exit = (void (*)(int))dlsym(RTLD_NEXT, "_exit");
        boot.next_full_exit = (void (*)(int))dlsym(RTLD_NEXT, "exit");
        boot.next_quick_exit = (void (*)(int))dlsym(RTLD_NEXT, "quick_exit");
        if (!pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child)) {
            start();
        }
    }
    errno = saved;
}

/* In place of libc's: forked children end so, without running destructors, and would leave their sockets
 * behind. After vfork the process is another than the socket's, whose name stays. What libc itself calls
 * is not led here; that is after the destructors. */
__attribute__((visibility("default"), noreturn)) void _exit(int status)
{
    guard_left("_exit");
    control_unlink();
    if (boot.next_exit) {
        boot.next_exit(status);
    }
    for (;;) {
        syscall(SYS_exit_group, status);
    }
}

__attribute__((visibility("default"), noreturn, alias("_exit"))) void _Exit(int status);

/* A policy that ends the process has failed; everybody else may. */
__attribute__((visibility("default"), noreturn)) void exit(int status)
{
    guard_left("exit");
    if (boot.next_full_exit) {
        boot.next_full_exit(status);
    }
    _exit(status);
}

__attribute__((visibility("default"), noreturn)) void quick_exit(int status)
{
    guard_left("quick_exit");
    if (boot.next_quick_exit) {
        boot.next_quick_exit(status);
    }
    _exit(status);
}

__attribute__((destructor)) static void unload(void)
{
    int saved = errno;

    control_unlink();
    errno = saved;
}
