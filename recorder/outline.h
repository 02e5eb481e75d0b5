/*
 * The outline of a file: its segments in order, each with what it declares. Offsets in a segment's content
 * count from its first token, so an edit somewhere else in the file changes nothing in it, and baseline and
 * current outline share the content of what is the same in both.
 */
#ifndef MOLT_RECORDER_OUTLINE_H
#define MOLT_RECORDER_OUTLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "recorder/declarations.h"
#include "recorder/hunks.h"
#include "recorder/segment.h"
#include "recorder/syntax.h"

/* What one segment says. Immutable but for `syntax`, which is worked out when asked for; counted. */
struct content {
    unsigned references;
    uint64_t text_hash; /* of its bytes from the first token on */
    uint32_t length;
    struct declarations declarations;
    struct syntax syntax;
};

/* How a declaration was recognised. */
enum evidence {
    EVIDENCE_NONE,
    EVIDENCE_NAME,     /* the same name */
    EVIDENCE_EDIT,     /* its name was edited in place */
    EVIDENCE_POSITION, /* texts were compared: another name in the same place */
};

struct identity {
    uint64_t id;
    int32_t base; /* index among the baseline's declarations, or -1 */
    uint8_t evidence;
};

struct segment {
    struct segment_span span;
    struct content *content;
    struct identity *identities; /* one per declaration; NULL if there are none, or while not yet matched */
};

struct outline {
    struct segment *items;
    uint32_t count, capacity;
};

/* Replaces *RET, a valid outline, by that of TEXT. */
struct molt_error *outline_build(struct extractor *extractor, const char *text, uint32_t length,
                                 struct outline *ret);

/*
 * The outline of TEXT, given that of the text before HUNKS. Segments that no hunk touches are taken from OLD
 * with their identities, which are moved only when nothing can fail any more: OLD's are then NULL for those.
 * New segments have none.
 */
struct molt_error *outline_update(struct extractor *extractor, struct outline *old, const char *text,
                                  uint32_t length, const struct hunks *hunks, struct outline *ret);

/* A copy that shares all content and has no identities. */
struct molt_error *outline_clone(const struct outline *outline, struct outline *ret);
void outline_deinit(struct outline *outline);

#endif
