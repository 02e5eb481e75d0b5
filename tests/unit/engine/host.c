/*
 * A program that the engine lives in, for test_library: does what it is told on standard input, one word a
 * line, and answers with one line. It knows nothing of Molt.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int errno_at_start;

/* Everything that an engine must leave alone. */
static void print_state(void)
{
    sigset_t blocked;
    mode_t mask = umask(0);
    int handlers = 0;
    int descriptors = 0;
    char directory[4096] = "";

    umask(mask);
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;

        if (!sigaction(number, NULL, &action)) {
            handlers += action.sa_handler != SIG_DFL;
            handlers += 1000 * (sigismember(&blocked, number) == 1);
        }
    }
    for (int fd = 0; fd < 800; fd++) {
        descriptors += fcntl(fd, F_GETFD) >= 0;
    }
    printf("errno %d umask %o handlers %d descriptors %d locale %s directory %s sigpipe %d\n", errno_at_start,
           (unsigned)mask, handlers, descriptors, setlocale(LC_ALL, NULL),
           getcwd(directory, sizeof(directory)), signal(SIGPIPE, SIG_DFL) == SIG_DFL);
}

static void close_all(void)
{
    for (int fd = 3; fd < 1100; fd++) {
        close(fd);
    }
}

/* A child that lives until it is killed. */
static void print_child(int closes_all)
{
    fflush(stdout);
    pid_t child = fork();

    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (closes_all) {
            close_all();
        }
        for (;;) {
            pause();
        }
    }
    printf("%d\n", (int)child);
}

/* Under a filter that allows little more than its end, as that of a server's unprivileged child; put into
 * force by prctl or, as libseccomp does, by syscall. */
static void enter_sandbox(int by_syscall)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    const struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (by_syscall) {
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
    } else {
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
    }
}

/* A child that ends in a sandbox: how, and which it was. */
static void print_sandboxed(int by_syscall)
{
    int status = 0;

    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        enter_sandbox(by_syscall);
        _exit(3);
    }
    waitpid(child, &status, 0);
    printf("%s %d of %d\n", WIFEXITED(status) ? "exited" : "killed",
           WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), (int)child);
}

static void obey(const char *word, char **argv)
{
    if (!strcmp(word, "state")) {
        print_state();
    } else if (!strcmp(word, "heap")) {
        printf("%zu\n", mallinfo2().uordblks);
    } else if (!strcmp(word, "fork")) {
        print_child(0);
    } else if (!strcmp(word, "daemon")) {
        print_child(1);
    } else if (!strcmp(word, "reap")) {
        printf("%d\n", (int)wait(NULL));
    } else if (!strcmp(word, "close")) {
        close_all();
        printf("closed\n");
    } else if (!strcmp(word, "exec")) {
        execv("/proc/self/exe", argv);
    } else if (!strncmp(word, "sandbox", 7)) {
        print_sandboxed(!strcmp(word, "sandbox-by-syscall"));
    } else if (!strcmp(word, "spawn")) {
        printf("%d\n", system("true"));
    }
}

int main(int argc, char **argv)
{
    char line[64];

    (void)argc;
    errno_at_start = errno;
    setvbuf(stdin, NULL, _IONBF, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("ready\n");
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        obey(line, argv);
    }
    return 7;
}
