/* Reading calls from source, as probe/calls.c and probe/evidence.c share it. */
#ifndef MOLT_PATCH_PROBE_CALLS_H
#define MOLT_PATCH_PROBE_CALLS_H

#include <tree_sitter/api.h>

#include "patch/probe/preprocessed.h"
#include "patch/probe/probe.h"
#include "recorder/node.h"

struct scan {
    struct probe *probe;
    const char *text; /* preprocessed */
    const struct preprocessed *source;
    const char *const *names; /* sorted */
    size_t name_count;
    size_t base;             /* where the tree's text begins in `text` */
    TSNode definition;       /* of the function being read */
    char *function;          /* its name */
    LIST(char *) parameters; /* their names, "" without */
};

bool scan_is_word_byte(char c);

/* The text of NODE, as the compiler sees it, on one line. Owned by the caller. */
char *scan_text(const struct scan *scan, TSNode node);

/* Whether NODE's text is WORD. */
bool scan_reads(const struct scan *scan, TSNode node, const char *word);

/* The identifier that DECLARATOR declares, null if there is none. */
TSNode scan_declared(TSNode declarator);

/* Where NODE is in the text. */
size_t scan_start(const struct scan *scan, TSNode node);
size_t scan_end(const struct scan *scan, TSNode node);

/* Whether NODE takes the address of something: &p. */
bool scan_is_address(TSNode node);

/* Whether DECLARATION is of variables that last. */
bool scan_is_lasting(const struct scan *scan, TSNode declaration);

/* Whether ONE and OTHER read the same. */
bool scan_same_text(const struct scan *scan, TSNode one, TSNode other);

/* NODE without parentheses around it. */
TSNode scan_inside(TSNode node);

/* NODE, an argument, without the casts that its callee's type asks for: (void **)&p. */
TSNode scan_without_casts(TSNode node);

/* Adds EVIDENCE with QUESTION, which it takes over. */
void scan_add_evidence(struct candidate *candidate, struct evidence evidence, char *question);

/* probe/sizes.c: adds what the arguments of CALL say. */
void scan_arguments(struct scan *scan, struct candidate *candidate, TSNode call);

/* probe/flow_record.c: adds where numbers about types go in the function that is being read; all flows if it
 * is one of interest. */
void scan_flows(struct scan *scan, TSNode root);

/* Whether NAME is one of the functions that are of interest. */
bool scan_is_wanted(const struct scan *scan, const char *name);

/* Parses FUNCTION and lets VISIT look at its tree. */
void scan_function(struct scan *scan, TSParser *parser, const struct preprocessed_function *function,
                   void (*visit)(struct scan *scan, TSNode root));

/* probe/related.c: reads what the functions that were read have to do with, too. */
void scan_related(struct scan *scan, TSParser *parser);

/* probe/origins.c: adds where the function that is being read takes what it returns from (unless RETURNS is
 * false), and what it does with addresses inside of blocks. */
void scan_origins(struct scan *scan, bool returns);

/* probe/evidence.c: whether the library's FUNCTION returns its first argument, as memset does. */
bool scan_returns_first_argument(const char *function);

/* probe/evidence.c: fills in what is to be asked about CALL, and what its arguments say. */
void scan_evidence(struct scan *scan, struct candidate *candidate, TSNode call);

#endif
