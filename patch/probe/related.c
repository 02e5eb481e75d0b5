/* Functions that do not allocate themselves, but have to do with where those that do take what they return
 * from: what these call, and what fills the lists that they empty. Of one unit. */
#include <stdlib.h>
#include <string.h>

#include "patch/probe/calls.h"

/* Where WORD stands by itself between FROM and END, NULL if it does not. */
static const char *find_word(const char *from, const char *end, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = from; (at = memmem(at, end - at, word, length)); at++) {
        if ((at == from || !scan_is_word_byte(at[-1])) &&
            (at + length == end || !scan_is_word_byte(at[length]))) {
            return at;
        }
    }
    return NULL;
}

/* Whether FUNCTION is that called NAME, and has not been read. */
static bool is_unread(const struct scan *scan, const struct preprocessed_function *function, const char *name)
{
    const char *end = scan->text + function->body;
    bool named = false;

    for (const char *at = scan->text + function->head; !named && (at = find_word(at, end, name)); at++) {
        const char *behind = at + strlen(name);
        named = behind[strspn(behind, " \n")] == '(';
    }
    for (size_t i = 0; named && i < scan->probe->candidates.count; i++) {
        named = strcmp(scan->probe->candidates.items[i]->function, name) != 0;
    }
    return named;
}

static void visit_origins(struct scan *scan, TSNode root)
{
    (void)root;
    scan_origins(scan, true);
}

static void visit_pieces(struct scan *scan, TSNode root)
{
    (void)root;
    scan_origins(scan, false);
}

/* Whether FUNCTION was read, as far as that left something. */
static bool was_read(const struct scan *scan, const struct preprocessed_function *function)
{
    const char *head = scan->text + function->head, *body = scan->text + function->body;
    bool read = false;

    for (size_t i = 0; !read && i < scan->probe->origins.count; i++) {
        read = find_word(head, body, scan->probe->origins.items[i].function) != NULL;
    }
    return read;
}

/* The functions that put something where others take what they return from. */
static void find_keepers(struct scan *scan, TSParser *parser)
{
    size_t count = scan->probe->origins.count;

    for (size_t k = 0; k < scan->source->functions.count; k++) {
        const struct preprocessed_function *function = &scan->source->functions.items[k];
        bool keeps = false;
        for (size_t i = 0; !keeps && i < count; i++) {
            const struct origin *origin = &scan->probe->origins.items[i];
            keeps = origin->kind == ORIGIN_TAKEN && origin->place &&
                    find_word(scan->text + function->body, scan->text + function->end, origin->place);
        }
        if (keeps && !was_read(scan, function)) {
            scan_function(scan, parser, function, visit_pieces);
        }
    }
}

/* What the functions that were read return of others: these are read, too, as far as they are here. */
static void find_callees(struct scan *scan, TSParser *parser)
{
    LIST(const struct preprocessed_function *) read = { 0 };

    for (size_t i = 0; i < scan->probe->origins.count; i++) {
        const char *callee = scan->probe->origins.items[i].callee;
        for (size_t k = 0; callee && k < scan->source->functions.count; k++) {
            const struct preprocessed_function *function = &scan->source->functions.items[k];
            bool again = false;
            for (size_t n = 0; n < read.count; n++) {
                again = again || read.items[n] == function;
            }
            if (!again && is_unread(scan, function, callee)) {
                LIST_ADD(&read, function);
                scan_function(scan, parser, function, visit_origins);
                break;
            }
        }
    }
    LIST_FREE(&read);
}

void scan_related(struct scan *scan, TSParser *parser)
{
    find_callees(scan, parser);
    find_keepers(scan, parser);
}
