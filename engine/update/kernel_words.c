/*
 * Epoll sets tell what they hold in /proc/self/fdinfo/SET, a line for each registration:
 *
 *     tfd:        6 events:     2019 data:     55d1fff91a70  pos:0 ino:6f85dc sdev:9
 *
 * A data word is replaced by registering the same events again. Nothing is allocated here, and libc is asked
 * for system calls only.
 */
#include "engine/update/kernel_words.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/proc.h"

#define PATH_SIZE 40

struct registration {
    int set, descriptor;
    uint32_t events;
    uint64_t before, after;
};

/* ---- text ------------------------------------------------------------------------------------------ */

static void make_path(char path[PATH_SIZE], const char *directory, int number)
{
    char digits[12];
    size_t length = strlen(directory), count = 0;

    memcpy(path, directory, length);
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    while (count) {
        path[length++] = digits[--count];
    }
    path[length] = '\0';
}

/* The number in base BASE behind WORD in LINE; false: there is none. */
static bool number_after(const char *line, const char *word, unsigned base, uint64_t *ret)
{
    const char *at = strstr(line, word);
    bool any = false;

    *ret = 0;
    for (at = at ? at + strlen(word) : ""; *at == ' '; at++) {
    }
    for (;; at++, any = true) {
        unsigned digit = *at >= '0' && *at <= '9'   ? (unsigned)(*at - '0')
                         : *at >= 'a' && *at <= 'f' ? (unsigned)(*at - 'a') + 10
                                                    : base;
        if (digit >= base) {
            return any;
        }
        *ret = *ret * base + digit;
    }
}

/* ---- one registration ------------------------------------------------------------------------------ */

static int set_data(const struct registration *registration, uint64_t data)
{
    struct epoll_event event = { .events = registration->events, .data.u64 = data };
    int set = registration->set, descriptor = registration->descriptor;

    if (registration->events & EPOLLEXCLUSIVE) { /* such ones cannot be modified */
        return epoll_ctl(set, EPOLL_CTL_DEL, descriptor, NULL) < 0 ||
                       epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event) < 0
                   ? -errno
                   : 0;
    }
    return epoll_ctl(set, EPOLL_CTL_MOD, descriptor, &event) < 0 ? -errno : 0;
}

/* One that has fired and waits to be armed again has no events but modes; to modify it would arm it. */
static bool is_disarmed(const struct registration *registration)
{
    return registration->events & EPOLLONESHOT && !(registration->events & (EPOLLERR | EPOLLHUP));
}

struct search {
    struct kernel_words *words;
    kernel_word_moves *moves;
    void *context;
    int *ret_descriptor;
    int set;    /* whose lines these are */
    int status; /* of the last registration */
};

static int visit_line(void *context, char *line)
{
    struct search *search = context;
    struct registration found = { .set = search->set };
    uint64_t descriptor, events;

    if (!number_after(line, "tfd:", 10, &descriptor) || !number_after(line, "events:", 16, &events) ||
        !number_after(line, "data:", 16, &found.before) ||
        !search->moves(search->context, found.before, &found.after)) {
        return 0;
    }
    found.descriptor = *search->ret_descriptor = (int)descriptor;
    found.events = (uint32_t)events;
    struct registration *noted = staging_push(&search->words->changes, sizeof(*noted));
    if (!noted) {
        return search->status = -ENOMEM;
    }
    *noted = found;
    if (is_disarmed(&found) || set_data(&found, found.after) < 0) {
        staging_pop(&search->words->changes, sizeof(*noted));
        search->status = -EBUSY;
    }
    return search->status;
}

/* ---- sets ------------------------------------------------------------------------------------------ */

static int visit_set(struct search *search, int set)
{
    char path[PATH_SIZE];

    make_path(path, "/proc/self/fdinfo/", set);
    search->set = set;
    proc_lines(path, visit_line, search); /* a set that cannot be read is no set of this process */
    return search->status;
}

static bool is_epoll(int descriptor)
{
    static const char kind[] = "anon_inode:[eventpoll]";
    char path[PATH_SIZE], target[sizeof(kind)];

    make_path(path, "/proc/self/fd/", descriptor);
    return readlink(path, target, sizeof(target)) == sizeof(kind) - 1 &&
           memcmp(target, kind, sizeof(kind) - 1) == 0;
}

struct entry { /* struct linux_dirent64 */
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

int kernel_words_lead(struct kernel_words *words, kernel_word_moves *moves, void *context,
                      int *ret_descriptor)
{
    struct search search = { words, moves, context, ret_descriptor };
    int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), status = 0;
    _Alignas(struct entry) char buffer[2048];
    uint64_t number;
    long size;

    while (directory >= 0 && status == 0 &&
           (size = syscall(SYS_getdents64, directory, buffer, sizeof(buffer))) > 0) {
        for (long at = 0; at < size && status == 0; at += ((struct entry *)(buffer + at))->length) {
            const struct entry *entry = (const struct entry *)(buffer + at);
            if (number_after(entry->name, "", 10, &number) && is_epoll((int)number)) {
                status = visit_set(&search, (int)number);
            }
        }
    }
    if (directory >= 0) {
        close(directory);
    }
    return status;
}

void kernel_words_undo(struct kernel_words *words)
{
    struct staging_position position = { 0 };
    const struct registration *registration;

    while ((registration = staging_next(&words->changes, &position))) {
        staging_advance(&position, sizeof(*registration));
        (void)set_data(registration, registration->before);
    }
}

void kernel_words_deinit(struct kernel_words *words)
{
    staging_deinit(&words->changes);
}
