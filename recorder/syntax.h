/*
 * Whether a segment parses, function bodies included. Its tree is kept from one keystroke to the next and
 * edited, so that even a function of 9000 lines is parsed again only where it changed.
 */
#ifndef MOLT_RECORDER_SYNTAX_H
#define MOLT_RECORDER_SYNTAX_H

#include <stdbool.h>
#include <stdint.h>
#include <tree_sitter/api.h>

#include "base/error.h"

struct syntax {
    bool known;
    bool has_error;
    uint32_t error_offset; /* of the first error, from the segment's first token */
    TSTree *tree;          /* of `text`, or of the text of an earlier version of the segment */
    char *text;            /* the text that the tree was made from */
    uint32_t length;
};

void syntax_deinit(struct syntax *syntax);

/* Hands the tree of OLD on to NEW, a later version of the same segment, unless that has one. */
void syntax_inherit(struct syntax *new_syntax, struct syntax *old_syntax);

/* Works out has_error and error_offset of the segment's TEXT, if not known yet. KEEP: remember the tree. */
struct molt_error *syntax_check(struct syntax *syntax, TSParser *parser, const char *text, uint32_t length,
                                bool keep);

#endif
