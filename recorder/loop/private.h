/* The files of loop/ among themselves. Offsets are in the whole file. */
#ifndef MOLT_RECORDER_LOOP_PRIVATE_H
#define MOLT_RECORDER_LOOP_PRIVATE_H

#include <string.h>
#include <tree_sitter/api.h>

#include "base/text.h"
#include "recorder/loop/loop.h"
#include "recorder/node.h"
#include "recorder/token.h"

enum { LOOP_DEPTH_MAX = 400, LOOP_LINE_MAX = 100 };

enum name_kind {
    NAME_VARIABLE,
    NAME_PARAMETER,
    NAME_OTHER, /* a type, an enumerator, a function declared inside of a function */
};

/* How a variable comes to the new function. */
enum passing {
    PASSED_NOT,
    PASSED_VALUE,   /* the same words mean the same: a number, a pointer */
    PASSED_ELEMENT, /* an array as a pointer to its first element: the same, but for sizeof and & */
    PASSED_POINTER, /* its address; each use is rewritten */
};

/* One name that the function declares. */
struct name {
    enum name_kind kind;
    uint32_t start, end;
    TSNode declaration, declarator;
    bool alive;        /* while the function is walked: in scope */
    bool inside;       /* declared in the turn: it moves along */
    bool visible;      /* what the name means where the loop stands */
    bool conditional;  /* declared under an #if that the loop is not under */
    bool used;         /* in the turn, and declared before it */
    bool addressed;    /* its address is taken, anywhere in the function */
    bool changed;      /* assigned to in the turn */
    bool measured;     /* sizeof, typeof, in the turn */
    bool has_members;  /* x.y: surely a structure */
    bool is_argument;  /* of a macro, as it is, in the turn */
    bool spelled;      /* of a macro that makes a string or another name of it */
    bool needed;       /* used in the turn other than in macros that may leave it out */
    const char *macro; /* one that means it without being told so; NULL: none */
    bool macro_changes;
    enum passing passing;
};

/* One place in the turn where a name stands that is declared before it. */
struct use {
    uint32_t name;
    uint32_t start, end;
    uint32_t whole_start, whole_end; /* &x, if it stands in it, else the name */
    uint32_t dot;                    /* of x.y; 0: none */
    bool bare;                       /* *x needs no parentheses here */
};

/* TEXT instead of what stands from START to END. */
struct rewrite {
    uint32_t start, end;
    const char *text;
};

/* A way out of the turn. */
enum exit_kind { EXIT_BREAK, EXIT_RETURN, EXIT_RETURN_VALUE, EXIT_GOTO };

struct exit {
    enum exit_kind kind;
    uint32_t start, end; /* a label, or a constant that is returned; else empty */
};

struct macro {
    const char *text; /* what the offsets are in */
    uint32_t name, name_end;
    uint32_t parameters, parameters_end; /* between the parentheses; only with has_parameters */
    uint32_t body, body_end;
    bool has_parameters;
    bool here;     /* of the file itself */
    bool visiting; /* it stands in its own expansion */
};

#define LOOP_LIST(type)                                                                                      \
    struct {                                                                                                 \
        type *items;                                                                                         \
        uint32_t count, capacity;                                                                            \
    }

struct loop_work {
    const struct loop_source *source;
    TSTree *tree;
    TSNode function; /* the definition */
    TSNode body;     /* its body */
    TSNode loop;
    TSNode turn; /* the loop's statement */
    TSNode path[LOOP_DEPTH_MAX];
    uint32_t depth;
    uint32_t conditions; /* #if around the place that is walked */
    uint32_t assembly;   /* likewise */
    const struct loop_header *headers;
    size_t header_count;
    LOOP_LIST(struct name) names;
    LOOP_LIST(struct use) uses;
    LOOP_LIST(struct rewrite) rewrites;
    LOOP_LIST(struct exit) exits;
    LOOP_LIST(struct macro) macros;
    LOOP_LIST(char *) kept;
    bool exits_by_continue;
    bool returns_value; /* by way of a pointer */
    char *reason;       /* why not; the first one counts */
    bool failed;        /* memory */
};

/* Room for one item more in LIST; NULL without memory, which is remembered. */
#define LOOP_ADD(work, list, ...)                                                                            \
    (loop_reserve(work, (void **)&(list)->items, (list)->count, &(list)->capacity, sizeof(*(list)->items))   \
         ? (void)((list)->items[(list)->count++] = (__VA_ARGS__))                                            \
         : (void)0)
bool loop_reserve(struct loop_work *work, void **items, uint32_t count, uint32_t *capacity, size_t size);

/* The string in TEXT, which lives as long as WORK; "" without memory. */
const char *loop_keep(struct loop_work *work, struct text *text);

/* TEXT, taken, is to stand instead of what stands from START to END. */
void loop_rewrite(struct loop_work *work, uint32_t start, uint32_t end, struct text *text);

/* Says why the loop stays as it is, unless that is said already. LINE of OFFSET is added: ", line 12". */
void loop_refuse(struct loop_work *work, uint32_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* find.c: sets function, body, loop and turn; false: there is none. */
bool loop_find(struct loop_work *work, const struct loop_wish *wish);

/* headers and macros.c */
void loop_read_macros(struct loop_work *work);
const struct macro *loop_macro(const struct loop_work *work, const char *name, uint32_t length);
/* What macros in the turn do behind their names. */
void loop_expand_macros(struct loop_work *work);
/* Whether MACRO may write to its argument number INDEX; whether it spells it (# or ##). */
bool loop_macro_writes(const struct loop_work *work, const struct macro *macro, uint32_t index);
/* Whether a definition of it, from MACRO (as loop_macro has it) on, may leave that argument out. */
bool loop_macro_may_drop(const struct loop_work *work, const struct macro *macro, uint32_t index);
/* Whether it puts that argument between parentheses or commas only, so that it needs none of its own. */
bool loop_macro_wraps(const struct macro *macro, uint32_t index);
/* Whether it asks for the size or the type of something. */
bool loop_macro_measures(const struct loop_work *work, const struct macro *macro);
bool loop_macro_spells(const struct macro *macro, uint32_t index);

/* scope.c: names and uses */
void loop_read_names(struct loop_work *work);

/* passing.c: how each name comes to the new function, and what is rewritten for it. */
void loop_choose_passing(struct loop_work *work);
/* Appends the parameter for NAME, and the argument of the call. */
void loop_write_parameter(const struct loop_work *work, const struct name *name, struct text *text);
void loop_write_argument(const struct loop_work *work, const struct name *name, struct text *text);

/* exits.c: break, continue, return and goto of the turn, rewritten. RESULT: the pointer for what is returned.
 */
void loop_read_exits(struct loop_work *work);
void loop_rewrite_exits(struct loop_work *work, const char *result);
/* Appends the type that the function returns; false: it cannot be written in front of a name. */
bool loop_write_type(const struct loop_work *work, struct text *text);

/* write.c: the edits. */
void loop_write(struct loop_work *work, struct loop_extraction *ret);

/* ---- the tree ---- */

static inline uint32_t node_start(const struct loop_work *work, TSNode node)
{
    return work->source->lead + ts_node_start_byte(node);
}

static inline uint32_t node_end(const struct loop_work *work, TSNode node)
{
    return work->source->lead + ts_node_end_byte(node);
}

static inline bool node_holds(TSNode outer, TSNode inner)
{
    return ts_node_start_byte(outer) <= ts_node_start_byte(inner) &&
           ts_node_end_byte(outer) >= ts_node_end_byte(inner);
}

static inline const char *text_at(const struct loop_work *work, uint32_t offset)
{
    return work->source->text + offset;
}

static inline bool node_reads(const struct loop_work *work, TSNode node, const char *word)
{
    return !ts_node_is_null(node) && node_end(work, node) - node_start(work, node) == strlen(word) &&
           memcmp(text_at(work, node_start(work, node)), word, strlen(word)) == 0;
}

static inline bool is_directive(TSNode node)
{
    return strncmp(ts_node_type(node), "preproc_", 8) == 0;
}

/* Whether A and B, of the given lengths, are the same. */
static inline bool same_words(const char *a, size_t a_length, const char *b, size_t b_length)
{
    return a_length == b_length && memcmp(a, b, a_length) == 0;
}

#endif
