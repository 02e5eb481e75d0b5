/* Every way out of a loop. */
#include <stdio.h>
#include <stdlib.h>

struct pair {
    int a;
    const char *b;
};

static int next;

static struct pair whole(void)
{
    struct pair pair = { 0, "none" };

    for (;;) { /* here */
        switch (next++) {
        case 0:
            continue;
        case 3:
            pair.b = "three";
            break;
        case 5:
            return pair;
        default:
            if (next > 100)
                return (struct pair){ 1, NULL };
            pair.a += next;
        }
        if (next == 200)
            break;
    }
    return pair;
}

static const char *text(int stop)
{
    const char *found = "nothing";
    int left = 0, result = 0;

    for (;;) { /* here */
        next += 2;
        left++;
        if (next > stop)
            return /* at last */ found;
        else if (next == stop)
            return "exactly";
        else if (next < 0)
            goto negative;
        found = next % 3 ? "some" : "other";
        if (left > 1000)
            return NULL;
        if (result)
            goto end;
    }
end:
    return "end";
negative:
    return "negative";
}

static void nothing(void)
{
    int turns = 0;

    for (;;) { /* here */
    again:
        turns++;
        if (turns == 2)
            goto again;
        if (turns % 5 == 0)
            goto skip;
        printf("turn %d\n", turns);
        if (turns > 12)
            return;
    skip:;
    }
}

static int constants(int argc)
{
    for (;;) { /* here */
        if (argc > 5)
            return -1;
        if (argc++ > 3)
            return (EXIT_FAILURE);
        while (1) {
            if (argc > 2)
                break;
            for (int i = 0; i < 3; i++)
                if (i == argc)
                    continue;
            argc++;
        }
    }
}

static long recursion(long depth)
{
    long sum = 0;

    for (;;) { /* here */
        if (depth <= 0)
            return sum;
        depth--;
        sum += recursion(depth - 1) + depth;
    }
}

int main(int argc, char **argv)
{
    struct pair pair = whole();

    (void)argv;
    printf("%d %s\n", pair.a, pair.b);
    printf("%s\n", text(20));
    printf("%s\n", text(next + 4));
    next = -10;
    printf("%s\n", text(0));
    nothing();
    printf("%d %d\n", constants(argc), constants(7));
    printf("%ld\n", recursion(6));
    for (;;) /* here */
        if (argc++ > 4) return next + 40; else printf("%d\n", argc);
}
