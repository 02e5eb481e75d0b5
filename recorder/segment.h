/*
 * Cutting a file into segments: one declaration at file level, one directive line, one piece in between.
 *
 * Why: an incremental parse of the whole of sqlite3.c takes 145 ms, and one macro that the grammar does not
 * understand makes an error of everything around it. Segments are cut by counting braces, each is parsed on
 * its own, so the work of a keystroke is that of one declaration and an error stays inside its declaration.
 *
 * A segment begins outside of all braces and its cut depends on nothing before it, so after an edit cutting
 * resumes at the segment that was touched and stops as soon as it meets an old boundary behind the edit.
 */
#ifndef MOLT_RECORDER_SEGMENT_H
#define MOLT_RECORDER_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

enum segment_kind {
    SEGMENT_DECLARATION, /* up to its ';' or the '}' of its body */
    SEGMENT_DIRECTIVE,   /* one line beginning with '#', continuation lines included */
    SEGMENT_LINKAGE,     /* extern "C" { */
    SEGMENT_STRAY,       /* a '}' or ';' that nothing before it needs */
    SEGMENT_TRAILING,    /* space and comments at the end of the file */
};

struct segment_span {
    enum segment_kind kind;
    uint32_t start;   /* where the segment before it ended */
    uint32_t lead;    /* its first token: comments before belong to the segment, but do not count */
    uint32_t end;     /* exclusive */
    uint32_t scanned; /* the cut depends on no byte from here on */
};

/* The segment that begins at START; false if nothing is left there. */
bool segment_cut(const char *text, uint32_t length, uint32_t start, struct segment_span *ret);

/* What stands inside braces or is a directive, and what it is good for. */
enum region_kind {
    REGION_BODY,        /* of a function, without its braces */
    REGION_INITIALISER, /* between the braces of an initialiser */
    REGION_DIRECTIVE,   /* a directive's line inside of a declaration */
    REGION_MACRO,       /* a word before `struct`, `union` or `enum` that is no word of C */
};

struct segment_region {
    enum region_kind kind;
    uint32_t start, end;
};

typedef void segment_visitor(const struct segment_region *region, void *context);

/* How a declaration ends. */
struct segment_ending {
    bool function;      /* with, or in, the body of a function */
    uint32_t aggregate; /* with so many open braces of a struct, union or enum: half-typed */
};

/* Reports the regions of the declaration TEXT[lead, end), each when its end is reached: those inside of
 * another before it. */
struct segment_ending segment_regions(const char *text, uint32_t lead, uint32_t end, segment_visitor *visit,
                                      void *context);

#endif
