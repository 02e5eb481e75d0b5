/*
 * A change set: which declarations were added, removed, modified, renamed, moved or retyped since the
 * baseline, and on what evidence. It is derived state, never stored: undo every edit and it is empty again.
 * It says what the author did; what that means for machine code is found out by comparing objects in patch/.
 */
#ifndef MOLT_RECORDER_CHANGE_SET_H
#define MOLT_RECORDER_CHANGE_SET_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* name, word in JSON output */
#define DECLARATION_KINDS(X)                                                                                 \
    X(FUNCTION, "function")                                                                                  \
    X(TYPE, "type") /* struct, union, enum */                                                                \
    X(MEMBER, "member")                                                                                      \
    X(ENUMERATOR, "enumerator")                                                                              \
    X(VARIABLE, "variable")                                                                                  \
    X(TYPEDEF, "typedef")                                                                                    \
    X(MACRO, "macro") /* also other directives and macro calls outside of functions */                       \
    X(INCLUDE, "include")

enum declaration_kind {
#define X(name, word) DECLARATION_##name,
    DECLARATION_KINDS(X)
#undef X
        DECLARATION_KIND_COUNT
};

#define CHANGE_ACTIONS(X)                                                                                    \
    X(ADDED, "added")                                                                                        \
    X(REMOVED, "removed")                                                                                    \
    X(RENAMED, "renamed")                                                                                    \
    X(MOVED, "moved")       /* to another file, or past another declaration */                               \
    X(RETYPED, "retyped")   /* type of a variable, member or typedef; signature of a function */             \
    X(MODIFIED, "modified") /* body, initialiser, value, attributes */

enum change_action {
#define X(name, word) CHANGE_##name,
    CHANGE_ACTIONS(X)
#undef X
        CHANGE_ACTION_COUNT
};

/* Whole lines of a file, 1-based, both included; 0 and 0: none. */
struct line_span {
    unsigned first, last;
};

/* One entry. A declaration that was, say, renamed and modified has two, with the same id. */
struct change {
    enum declaration_kind kind;
    enum change_action action;
    bool prototype;          /* declared here, not defined: prototype, extern variable, forward struct */
    uint64_t id;             /* of the declaration: the same in every change set of one recorder */
    const char *name;        /* as it is now; as it was, if removed */
    const char *old_name;    /* as it was, if renamed; else NULL */
    const char *owner;       /* type that holds a member or enumerator ("" if it has no name); else NULL */
    const char *file;        /* relative to the root if below it, else absolute */
    const char *old_file;    /* where it was, if moved from another file; else NULL */
    unsigned line, old_line; /* 1-based, now and in the baseline; 0 if it is not there */
    struct line_span lines, old_lines; /* that all of the declaration takes, now and in the baseline */
    const char *evidence;    /* how the old and the new one were recognised as the same; a few words */
    double confidence;       /* of that, 0 to 1; below 1 it is to be shown as a choice */
    const char *declaration; /* one line of C for people, such as "static int f(int a)" */
};

/* A file that the recorder knows and whose text differs from the baseline or does not parse. */
struct change_file {
    const char *path;    /* relative to the root if below it, else absolute */
    bool changed;        /* text differs from the baseline, if only by a comment */
    bool has_error;      /* the current text has a syntax error that the baseline had not */
    unsigned error_line; /* 1-based line of the first such error, 0 for none */
};

struct change_set {
    struct change *items; /* in order of file name and line */
    size_t count;
    struct change_file *files; /* in order of name */
    size_t file_count;
};

/* What changed in PATH (a name only, nothing is read) between two texts; OLD or NEW may be NULL: the file did
 * not exist then. The set is owned by the caller. */
struct molt_error *change_set_between(const char *path, const char *old_text, size_t old_length,
                                      const char *new_text, size_t new_length, struct change_set **ret);

/* Gives back a set that recorder_changes or change_set_between returned. NULL is fine. */
void change_set_destroy(struct change_set *set);

/*
 * A new JSON array of {kind, action, id, name, file, line, old_line, evidence, confidence, declaration}, and
 * owner, old_name, old_file, prototype where they apply. NULL without memory.
 */
json_t *change_set_to_json(const struct change_set *set);

/* A JSON string of source text. Sources need not be UTF-8, JSON must be: if TEXT is not, "?" stands for
 * each byte that is not ASCII. NULL without memory. */
json_t *change_text_to_json(const char *text);

/* Words as in JSON. */
const char *declaration_kind_word(enum declaration_kind kind);
const char *change_action_word(enum change_action action);

#endif
