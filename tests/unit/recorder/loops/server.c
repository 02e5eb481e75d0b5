#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/select.h>

struct state { int turns; long sum; char name[8]; };

static int source(int fd) { static int n; (void)fd; return ++n > 20 ? -1 : n * 7 % 13; }
#define LIMIT 1000

/* Serves. */
static long serve(int fd, struct state *shared, const char *const *words)
{
    int turns = 0, odd = 0;
    long sum = 0, *most = &sum;
    char buffer[32];
    char line[16];
    struct state state = { 0, 0, "x" };
    int (*next)(int) = source;
    fd_set set;
    const char *word = words[0];

    for (;;) { /* here */
        int got = next(fd);

        FD_ZERO(&set);
        FD_SET(fd, &set);
        if (got < 0)
            return sum + state.sum;
        if (got == 1000) goto out;
        if (got % 5 == 0)
            continue; // the next one
        else if (got == 500) break;
        turns++;
        odd += got % 2 ? 1 : 0;
        sum += got;
        state.turns = turns;
        state.sum += *most;
        shared->turns += state.turns;
        snprintf(buffer, sizeof buffer, "%s %d\
  more", word, turns);
        strcpy(line, "abc");
        line[0] = buffer[0];
        switch (got) {
        case 3:
            if (turns > 5)
                continue;
            break;
        default:
            printf("%s %s %d %d %ld\n", buffer, line, turns, odd, sum);
        }
        if (turns > LIMIT)
            return 5;
    }
    printf("left %d %d\n", turns, odd);
out:
    return -1;
}

int main(int argc, char **argv)
{
    struct state s = { .turns = argc };

    printf("%ld\n", serve(argc, &s, (const char *const *)argv));
    printf("%d\n", s.turns);
    return 0;
}
