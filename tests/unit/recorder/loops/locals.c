/* Locals of every kind, read and written by a loop. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef unsigned long word_t;
typedef struct { int x, y; } point_t;
typedef void visitor(int);
enum color { RED, GREEN };
union both { int number; float fraction; };
struct node {
    struct node *next;
    int value;
};

static void visit(int value)
{
    printf("visit %d\n", value);
}

static int numbers(int count, char *argv[], const int table[])
{
    static int calls;
    static const char *const names[] = { "zero", "one", "two" };
    volatile int hard = 1;
    const int limit = 12;
    register int fast = 3;
    unsigned mask = 0x5u, shifted = 1;
    word_t total = 0;
    size_t length = strlen(argv[0] ? argv[0] : "");
    ptrdiff_t step = 2;
    bool done = false;
    double mean = 0.5;
    enum color color = RED;
    int i = 0, *pi = &i, **ppi = &pi;

    calls++;
    while (1) { /* here */
        int twice = *pi * 2;

        (*pi)++;
        hard += fast;
        total += (word_t)i * mask + shifted % 3;
        shifted <<= 1;
        mean = mean / 2 + total/3;
        color = color == RED ? GREEN : RED;
        done = i > limit;
        calls += **ppi > 3;
        printf("%d %d %s %lu %d %f %d %d %zu %td %d\n", i, twice, names[i % 3], total, hard, mean, color, calls,
               sizeof(total) + sizeof mean, step * table[i % 3], (int)length < 0);
        if (done && !(count < 0))
            break;
        if (i & 1)
            continue;
        i += step > 1;
    }
    return calls;
}

static long aggregates(void)
{
    int grid[3][4] = { { 1, 2 }, { 3 } };
    char text[16], copy[16];
    const char *list[3] = { "a", "b", "c" };
    void (*visitors[2])(int) = { visit, visit };
    void (*one)(int) = visit, (**where)(int) = &one;
    visitor *by_name = visit;
    struct node nodes[2] = { { NULL, 4 }, { NULL, 5 } }, *head = NULL;
    point_t point = { 1, 2 }, *at = &point, points[2] = { { 3, 4 }, { 5, 6 } };
    union both both = { .number = 0 };
    struct { long sum; } *none = NULL;
    int unsized[] = { 4, 5, 6 };
    int n = 3, variable[n];

    (void)none;
    memset(variable, 0, sizeof(variable));
    do { /* here */
        point_t moved = { .x = point.x + 1, .y = at->y };
        size_t points = sizeof grid / sizeof *grid;

        if (!head) {
            head = &nodes[0];
            nodes[0].next = &nodes[1];
        } else {
            head = head->next;
        }
        snprintf(text, sizeof text, "%d", point.x);
        memcpy(copy, text, sizeof copy);
        grid[1][2] += grid[0][1];
        visitors[point.x % 2](point.y);
        one(grid[1][2]);
        (*where)(1);
        by_name(unsized[point.x % 3]);
        both.number += *&point.x;
        variable[point.x % 3]++;
        printf("%s %s %s %d %zu %d %d\n", text, copy, list[point.x % 3], both.number, points, variable[0],
               head ? head->value : -1);
        one = head ? one : visit;
        point = moved;
        if (!head)
            return both.number + (long)sizeof(copy) + (&point)->x;
        {
            int point = 3; /* another one */
            printf("%d\n", point);
        }
    } while (1);
    return points[0].x;
}

static void counted(void)
{
    int sum = 0;

    for (int i = 0, limit = 5;; i++) { /* here */
        if (i == 3)
            continue;
        sum += i;
        for (int i = 0; i < 2; i++) {
            if (sum > 100)
                break;
            sum += i;
        }
        if (i > limit)
            break;
    }
    printf("%d\n", sum);
    for (int i = 0; i < 3; i++) /* here */
        sum += i;
    for (int i = 0; i < 3; i++) { sum += i; printf("%d\n", sum); } /* here */
    printf("%d\n", sum);
}

int main(int argc, char **argv)
{
    const int table[] = { 3, 4, 5 };

    (void)argv;
    printf("%d\n", numbers(argc, (char *[]){ "abc", NULL }, table));
    printf("%ld\n", aggregates());
    counted();
    while (argc > 0) /* here */
        printf("%d %d\n", argc--, table[1]);
    return 0;
}
