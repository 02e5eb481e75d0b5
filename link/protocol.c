/* The protocol's words, from the tables in protocol.h. */
#include "link/protocol.h"

#include <string.h>

#define SECOND(name, word) word,
static const char *const methods[] = { LINK_METHODS(SECOND) };
#undef SECOND

#define ROW(name, word, text, status) { word, text, status },
static const struct {
    const char *word;
    const char *text;
    int status;
} results[] = { LINK_RESULTS(ROW) };
#undef ROW

const char *link_method_name(enum link_method method)
{
    return methods[method];
}

const char *link_result_word(enum link_result result)
{
    return results[result].word;
}

const char *link_result_text(enum link_result result)
{
    return results[result].text;
}

int link_result_exit_status(enum link_result result)
{
    return results[result].status;
}

int link_method_of(const char *word)
{
    for (int i = 0; i < (int)(sizeof(methods) / sizeof(*methods)); i++) {
        if (!strcmp(methods[i], word)) {
            return i;
        }
    }
    return -1;
}

int link_result_of(const char *word)
{
    for (int i = 0; i < (int)(sizeof(results) / sizeof(*results)); i++) {
        if (!strcmp(results[i].word, word)) {
            return i;
        }
    }
    return -1;
}
