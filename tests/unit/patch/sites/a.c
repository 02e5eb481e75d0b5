/* Allocation in all forms. The comment behind a call tells what it makes; test_sites.c compares. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "a.h"

struct conn {
    struct conn *next;
    char *name;
    int fd;
};

struct node {
    struct node *left, *right;
    long key;
};

struct flex {
    size_t count;
    struct node *items[];
};

struct old_flex {
    int count;
    struct conn conns[1];
};

typedef struct {
    double x, y;
} point_t;

union value {
    long number;
    char *text;
};

/* ---- the size says it ---- */
void cast(void)
{
    keep((struct conn *)malloc(sizeof(struct conn))); /*= object struct conn */
}

void by_expression(void)
{
    struct conn *conn = malloc(sizeof *conn); /*= object struct conn */
    keep(conn);
}

void through_member(struct conn *conn)
{
    conn->next = malloc(sizeof(*conn->next)); /*= object struct conn */
}

void only_size(void)
{
    keep(malloc(sizeof(struct node))); /*= object struct node */
}

void typedef_without_tag(void)
{
    point_t *point = malloc(sizeof(point_t)); /*= object point_t */
    keep(point);
}

void a_union(void)
{
    union value *value = malloc(sizeof(union value)); /*= object union value */
    keep(value);
}

void array(size_t n)
{
    struct conn *conns = malloc(n * sizeof(*conns)); /*= array struct conn */
    keep(conns);
}

void array_of_constant(void)
{
    struct node *nodes = malloc(16 * sizeof(struct node)); /*= array struct node */
    keep(nodes);
}

void product_with_one(void)
{
    struct node *nodes = malloc(1 * sizeof(struct node)); /*= object struct node */
    keep(nodes);
}

void by_calloc(size_t n)
{
    struct conn *one = calloc(1, sizeof(struct conn)); /*= object struct conn */
    struct conn *many = calloc(n, sizeof(struct conn)); /*= array struct conn */
    struct conn *turned = calloc(sizeof(struct conn), 1); /*= object struct conn */
    keep(one);
    keep(many);
    keep(turned);
}

void of_pointers(size_t n)
{
    struct conn **table = calloc(n, sizeof(void *)); /*= array struct conn * */
    char **lines = malloc(n * sizeof(char *)); /*= array char * */
    keep(table);
    keep(lines);
}

void of_numbers(size_t n)
{
    int *numbers = malloc(n * sizeof(int)); /*= array int */
    keep(numbers);
}

struct node *resize(struct node *nodes, size_t n)
{
    nodes = realloc(nodes, n * sizeof(*nodes)); /*= array struct node */
    keep(nodes);
    return nodes;
}

void resize_array(struct node **nodes, size_t n)
{
    *nodes = reallocarray(*nodes, n, sizeof(struct node)); /*= array struct node */
}

void aligned(void)
{
    struct node *node = aligned_alloc(64, sizeof(struct node)); /*= object struct node */
    keep(node);
}

int by_address(void)
{
    struct conn *conn;
    int status = posix_memalign((void **)&conn, 64, sizeof(struct conn)); /*= object struct conn */
    keep(conn);
    return status;
}

/* ---- tails ---- */
void with_tail(size_t n)
{
    struct flex *flex = malloc(sizeof(struct flex) + n * sizeof(struct node *)); /*= object struct flex */
    keep(flex);
}

void with_tail_by_offset(size_t n)
{
    struct flex *flex = malloc(offsetof(struct flex, items) + n * sizeof(flex->items[0])); /*= object struct flex */
    keep(flex);
}

void with_old_tail(size_t n)
{
    struct old_flex *flex = malloc(sizeof(*flex) + (n - 1) * sizeof(struct conn)); /*= object struct old_flex */
    keep(flex);
}

void with_text_behind(const char *name)
{
    struct conn *conn = malloc(sizeof(struct conn) + strlen(name) + 1); /*= object struct conn */
    keep(conn);
}

void with_others_behind(size_t n)
{
    struct conn *conn = malloc(sizeof(struct conn) + n * sizeof(struct node)); /*= unknown */
    keep(conn);
}

/* ---- the pointer says it ---- */
void size_in_variable(size_t n)
{
    size_t size = n * sizeof(struct node);
    struct node *nodes = malloc(size); /*= array struct node */
    keep(nodes);
}

void through_void(void)
{
    void *memory = malloc(24); /*= object struct node */
    struct node *node = memory;
    node->key = 1;
    keep(node);
}

void cast_afterwards(void)
{
    void *memory = malloc(24); /*= object struct conn */
    keep(((struct conn *)memory)->next);
    keep(memory);
}

struct conn *returned_at_once(void)
{
    return malloc(sizeof(struct conn)); /*= object struct conn */
}

struct conn *returned_by_type(void)
{
    void *memory = calloc(1, 24); /*= object struct conn */
    keep(memory);
    return memory;
}

void as_argument(void)
{
    keep_conn(malloc(24)); /*= object struct conn */
}

void as_member(void)
{
    struct conn conn = { .name = NULL, .next = malloc(24) }; /*= object struct conn */
    keep(conn.next);
}

void conditional(int which)
{
    struct node *node = which ? malloc(sizeof(struct node)) : NULL; /*= object struct node */
    keep(node);
}

void in_condition(void)
{
    struct conn *conn;
    if (!(conn = malloc(sizeof(struct conn)))) { /*= object struct conn */
        return;
    }
    keep(conn);
}

/* ---- text ---- */
void text(const char *from, size_t n)
{
    char *copy = malloc(strlen(from) + 1); /*= bytes */
    char *more = malloc(n); /*= bytes */
    char *again = strdup(from); /*= bytes */
    strcpy(copy, from);
    keep(copy);
    keep(more);
    keep(again);
}

void buffer(size_t n)
{
    unsigned char *bytes = calloc(n, sizeof(uint8_t)); /*= bytes */
    keep(bytes);
}

/* ---- nothing says it ---- */
void nothing(size_t n)
{
    keep(malloc(n)); /*= unknown */
}

void of_unknown_number(size_t n)
{
    struct conn *conn = malloc(n); /*= unknown */
    keep(conn);
}

/* ---- macros ---- */
#define NEW(type) ((type *)malloc(sizeof(type)))
#define NEW_ARRAY(pointer, n) ((pointer) = calloc((n), sizeof *(pointer)))

void by_macro(size_t n)
{
    struct conn *conn = NEW(struct conn); /*= object struct conn */
    struct node *nodes;
    NEW_ARRAY(nodes, n); /*= array struct node */
    keep(conn);
    keep(nodes);
}

void two_on_a_line(void)
{
    struct two { void *a, *b; } two;
    /* clang-format off */
    two.a = malloc(sizeof(struct conn)); keep(two.a); two.b = malloc(3 * sizeof(struct node)); keep(two.b); /*= object struct conn | array struct node */
    /* clang-format on */
}

/* ---- wrappers ---- */
static inline void *inlined(size_t size)
{
    void *memory = malloc(size); /*= wrapper ? */
    if (!memory) {
        abort();
    }
    return memory;
}

void by_inlined(void)
{
    struct conn *conn = inlined(sizeof(struct conn)); /*= object struct conn */
    struct node *nodes = inlined(4 * sizeof(struct node)); /*= array struct node */
    keep(conn);
    keep(nodes);
}

void by_wrapper(size_t n)
{
    struct conn *conn = xmalloc(sizeof(struct conn)); /*= object struct conn */
    struct node *nodes = xcalloc(n, sizeof(struct node)); /*= array struct node */
    struct node *one = xcalloc(1, sizeof(struct node)); /*= object struct node */
    char *text = xmalloc(n); /*= bytes */
    keep(conn);
    keep(nodes);
    keep(one);
    keep(text);
}

void by_nested_wrapper(void)
{
    struct conn *conn = xzalloc(sizeof(*conn)); /*= object struct conn */
    keep(conn);
}

void by_tail_wrapper(void)
{
    struct node *node = xtail(sizeof(struct node)); /*= object struct node */
    keep(node);
}

void by_debugging_wrapper(void)
{
    struct node *node = xdebug(sizeof(struct node), __FILE__, __LINE__); /*= object struct node */
    keep(node);
}

int by_filling_wrapper(void)
{
    struct conn *conn = NULL;
    int status = xfill((void **)&conn, sizeof(struct conn)); /*= object struct conn */
    keep(conn);
    return status;
}

void by_resizing_wrapper(struct conn **conns, size_t n)
{
    *conns = xrealloc(*conns, n * sizeof(struct conn)); /*= array struct conn */
}

void by_text_wrapper(void)
{
    struct conn *conn = (struct conn *)old_alloc(sizeof(struct conn)); /*= object struct conn */
    keep(conn);
}

void by_header_wrapper(void)
{
    struct conn *conn = behind_header(sizeof(struct conn)); /*= unknown */
    keep(conn);
}

void by_slot(void)
{
    struct conn *conn = slot_alloc(1); /*= object struct conn */
    keep(conn);
}

void by_bytes(void)
{
    struct conn *conn = bytes_alloc(sizeof(struct conn)); /*= object struct conn */
    keep(conn);
}

/* ---- functions that sometimes carve ---- */
void by_pool(void)
{
    struct conn *conn = pool_get(sizeof(struct conn)); /*= object struct conn, used before */
    keep(conn);
    pool_put(conn);
}

void by_pieces(void)
{
    struct conn *conn = piece_get(sizeof(struct conn)); /*= object struct conn, carved */
    keep(conn);
    keep(piece_get(20));
}

/* ---- pointers to functions ---- */
void by_pointer(struct allocator *allocator)
{
    struct node *node = allocator->allocate(sizeof(struct node)); /*= object struct node */
    keep(node);
}

int main(int count, char **arguments)
{
    struct allocator allocator = { xmalloc };
    struct node *nodes = NULL;
    struct conn conn, *conns = NULL;

    cast(); by_expression(); through_member(&conn); only_size(); typedef_without_tag(); a_union();
    array(count); array_of_constant(); product_with_one(); by_calloc(count); of_pointers(count);
    of_numbers(count); nodes = resize(nodes, count); resize_array(&nodes, count); aligned(); by_address();
    with_tail(count); with_tail_by_offset(count); with_old_tail(count); with_text_behind(arguments[0]);
    with_others_behind(count); size_in_variable(count); through_void(); cast_afterwards();
    keep(returned_at_once()); keep(returned_by_type()); as_argument(); as_member(); conditional(count);
    in_condition(); text(arguments[0], count); buffer(count); nothing(count); of_unknown_number(count);
    by_macro(count); two_on_a_line(); by_inlined(); by_wrapper(count); by_nested_wrapper(); by_tail_wrapper();
    by_debugging_wrapper(); by_filling_wrapper(); by_resizing_wrapper(&conns, count); by_text_wrapper();
    by_header_wrapper(); by_slot(); by_bytes(); by_pointer(&allocator);
    by_pool(); by_pieces();
    return 0;
}
