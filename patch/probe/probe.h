/*
 * What a unit's source says about its allocation calls.
 *
 * A call's surroundings name types: the operand of a `sizeof`, a cast, the pointer that takes the result.
 * They are found in the preprocessed source; what they mean is not worked out here but asked of the user's
 * own compiler: next to the call a variable is declared with `__typeof__` of each of them, the whole is
 * compiled once, and the types of these variables are read from the debug information.
 */
#ifndef MOLT_PATCH_PROBE_H
#define MOLT_PATCH_PROBE_H

#include <elfutils/libdw.h>
#include <jansson.h>

#include "patch/compile/compile.h"
#include "patch/memory.h"
#include "patch/code/object.h"

/* name */
#define EVIDENCE_ROLES(X)                                                                                    \
    X(SIZEOF)    /* operand of a sizeof in an argument */                                                    \
    X(OFFSETOF)  /* the structure of an offsetof there */                                                    \
    X(CAST)      /* what the result is cast to */                                                            \
    X(TARGET)    /* the pointer that it is assigned to */                                                    \
    X(OUT)       /* the pointer whose address the call takes to fill it in */                                \
    X(RETURN)    /* what the function that calls returns, the block being returned */                        \
    X(FLOW)      /* a pointer that the variable which took the result is assigned or cast to afterwards */   \
    X(POINTER)   /* the block that is resized */                                                             \
    X(PARAMETER) /* that of the function which the block is passed to */                                     \
    X(RESULT)    /* what a call through a pointer returns */

enum evidence_role {
#define X(name) EVIDENCE_##name,
    EVIDENCE_ROLES(X)
#undef X
        EVIDENCE_ROLE_COUNT
};

struct evidence {
    enum evidence_role role;
    unsigned argument; /* SIZEOF, OFFSETOF: in which argument of the call, from 1; PARAMETER: which one of the
                          other's */
    unsigned term;     /* SIZEOF, OFFSETOF: in which summand of the argument, from 0 */
    bool product;      /* it is multiplied by something else than 1 */
    bool callers_place; /* the block goes to where a parameter points */
    bool answered;      /* the compiler knew the type, and it is a pointer */
    bool known;         /* and does not lead to void */
    Dwarf_Die type;     /* what lies in the block: the operand itself, what the pointer leads to */
    size_t start, end;  /* the expression in the preprocessed text that the question is asked beside */
    char *question;     /* a declaration, PROBE_NAME for the name; NULL: it cannot be asked */
};

/* An argument of a call, as far as it says how much is allocated. */
struct candidate_argument {
    bool constant; /* a number */
    bool one;      /* and that 1 */
    bool sized;    /* has a sizeof or an offsetof */
    bool text;     /* has the length of a string */
    bool product;  /* multiplies */
    uint32_t
        parameters; /* bit I: parameter I + 1 of the enclosing function is in it, outside of any sizeof */
};

/* name */
#define ORIGIN_KINDS(X)                                                                                      \
    X(CALL)      /* what `callee` returns */                                                                 \
    X(PARAMETER) /* what it was given itself */                                                              \
    X(FOUND)     /* an address that lies in memory and stays there */                                        \
    X(TAKEN)     /* one that the function changes, too: the first of a list */                               \
    X(CARVED)    /* one that it counts up */                                                                 \
    X(LISTED)    /* not returned, but put to `place`: an address inside of a block */                        \
    X(KEPT)      /* the same with what it was given */                                                       \
    X(PASSED)    /* an address inside of a block that is given to `callee` */

enum origin_kind {
#define X(name) ORIGIN_##name,
    ORIGIN_KINDS(X)
#undef X
        ORIGIN_KIND_COUNT
};

/* Where a function has something from that it returns, other than from an allocator of the C library; or, for
 * the last kinds, where addresses go that others may return. */
struct origin {
    enum origin_kind kind;
    char *function;
    char *callee; /* CALL: which; else only if that gives back what it is given; NULL: whatever it does */
    char *place; /* TAKEN: the member or variable that it lies in, or in an element of which; NULL: unknown */
    char *file;  /* as the compiler names it */
    unsigned line;
    bool cast; /* to another type */
};

/* A call that may be an allocation. */
struct candidate {
    char *callee;             /* NULL: an expression */
    char *function;           /* that it is in */
    char *file;               /* as the compiler names it */
    unsigned line, last_line; /* of the callee's name, and of the end */
    bool shifted;    /* what goes on is not where the block starts: the function keeps something in front */
    unsigned column; /* bytes from the start of the line in the preprocessed text, from 1 */
    /* Of a number about a type, and of a place where such a number goes (struct flow): */
    bool size;    /* it is the size, of the member `path` if there is one; else the place of that member */
    char *path;   /* NULL: no member */
    char *member; /* of a place: its last name, "#1" for the second one in braces; else NULL */
    LIST(struct candidate_argument) arguments;
    LIST(struct evidence) evidence;
};

/* A step of a number about a type on its way through a function; probe/flows.c says what the ends mean. */
struct flow {
    char *function;
    char *from, *from_member, *to, *to_member;
    size_t place; /* candidate that says what is written to, from 1; 0: none */
};

struct probe {
    const char *unit;                    /* its name, borrowed; set by who asked */
    const char *directory;               /* that it was compiled in; the same */
    char *path;                          /* of the object with the answers; NULL: none were got */
    LIST(struct candidate *) candidates; /* in the order of the text */
    LIST(struct origin) origins;         /* of the functions with candidates, and of what these call */
    LIST(struct flow) flows;
    LIST(char *) functions; /* that flows lead to, or that were asked for, and that the unit defines */
    struct object *object;  /* the same, opened; NULL without answers */
    bool answered;          /* the compiler took the questions: there is such an object */
    bool failed;            /* the source could not be read, or the compiler refused all questions */
};

/* One unit to be asked. */
struct probe_request {
    struct unit *unit;        /* borrowed */
    struct tree *tree;        /* borrowed */
    const char *const *names; /* functions whose calls are of interest, sorted, NULL-terminated; borrowed.
                               * Calls through pointers that may allocate are of interest, too */
    bool numbers; /* where numbers about types go is asked instead: in all functions that name some (`names`
                   * is NULL), or through the functions of these names and, with '=' in front, in what calls
                   * them */
    struct probe *probe; /* result, owned by the caller */
};

/* Asks about all REQUESTS, from the cache where it can be. An error is returned when compilers could not
 * be run at all. */
struct molt_error *probe_run(const struct compile_setup *setup, struct probe_request *requests, size_t count);
void probe_destroy(struct probe *probe);

/* probe/calls.c: finds the calls in TEXT (preprocessed, NUL-terminated) and what to ask about them. */
void probe_find_calls(struct probe *probe, const char *text, size_t length, const char *const *names);

/* probe/flows.c: finds where numbers about types go, as struct probe_request says. */
void probe_find_numbers(struct probe *probe, const char *text, size_t length, const char *const *names);

/* probe/forgetful.c: whether FUNCTION, a library's, is known to keep no number that it is given. */
bool probe_forgets(const char *function);

/* probe/pieces.c: whether the lists that begin at a member or variable PLACE hold pieces of larger blocks, by
 * the functions of PROBE's unit. */
bool probe_has_pieces(const struct probe *probe, const char *place);

#define PROBE_VERSION "14" /* of what is kept in the cache */
#define PROBE_NAME "\001"

/*
 * probe/text.c: the source with the questions of PROBE in it. The question of evidence number I (counted from
 * 1 through all candidates) declares "molt_site_I" and stands on line I of the made-up file FILE. WHOLE:
 * bodies of functions without any question are kept, too. Owned by the caller.
 */
char *probe_write(const struct probe *probe, const char *text, size_t length, const char *file, bool whole,
                  size_t *ret_length);

/* probe/types.c: reads the answers from the object at PATH. False: there are none. */
bool probe_read_types(struct probe *probe, const char *path);

/* Evidence number I, counted as above; NULL if there are not so many. */
struct evidence *probe_evidence(const struct probe *probe, size_t number, struct candidate **ret_candidate);

/* probe/store.c: what was found without the compiler, to and from the cache. NULL: TEXT is none of it. */
char *probe_to_text(const struct probe *probe);
struct probe *probe_from_text(const char *text, size_t length);

#endif
