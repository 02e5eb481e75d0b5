/* What macros do behind their names. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/select.h>
#include <sys/wait.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define SET(place, value) ((place) = (value))
#define TWICE(x) SET(x, (x) * 2)
#define SWAP(a, b)                                                                                                     \
    do {                                                                                                               \
        __typeof__(a) keep_ = a;                                                                                       \
        a = b;                                                                                                         \
        b = keep_;                                                                                                     \
    } while (0)
#define SAY(...) fprintf(out, __VA_ARGS__)
#define DEBUG(level, ...) ((void)0)
#define FIRST list[0]
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

struct item {
    int value;
    TAILQ_ENTRY(item) link;
};
TAILQ_HEAD(items, item);

static int serve(int verbose)
{
    FILE *out = stdout;
    int list[] = { 3, 4 }, sizes[5] = { 0 };
    int small = 1, large = 100, unused = 0, status = 0, fd = 0;
    struct items items = TAILQ_HEAD_INITIALIZER(items);
    struct item item = { .value = 1 };
    fd_set set;

    TAILQ_INSERT_TAIL(&items, &item, link);
    for (;;) { /* here */
        FD_ZERO(&set);
        FD_SET(fd, &set);
        sizes[0] = (int)ARRAY_SIZE(sizes);
        TWICE(small);
        SWAP(small, large);
        DEBUG(unused, "%d", verbose);
        assert(small >= 0);
        SAY("%d %d %d %d\n", small, large, sizes[0], FIRST);
        if (UNLIKELY(WIFEXITED(status)) && small > 300)
            break;
        item.value += TAILQ_FIRST(&items)->value;
    }
    return item.value + unused + verbose;
}

int main(void)
{
    printf("%d\n", serve(1));
    return 0;
}
