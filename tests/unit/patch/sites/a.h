#include <stddef.h>

struct conn;
struct allocator {
    void *(*allocate)(size_t);
};

void keep(void *pointer);
void keep_conn(struct conn *conn);
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xzalloc(size_t size);
void *xtail(size_t size);
void *xdebug(size_t size, const char *file, int line);
int xfill(void **ret, size_t size);
void *xrealloc(void *pointer, size_t size);
char *old_alloc(unsigned size);
void *behind_header(size_t size);
void xfree(void *pointer);
void *slot_alloc(int slot);
void slot_free(void *pointer);
void *bytes_alloc(int size);
void bytes_free(void *pointer);
void *pool_get(size_t size);
void pool_put(void *pointer);
void *piece_get(size_t size);
