/*
 * One change of types, tried natively: both versions are compiled, the policies made and compiled by the
 * builder, all of it linked into a library, and an instance migrated by calling what the patch would hold.
 */
#ifndef MOLT_TESTS_UNIT_PATCH_POLICY_CASE_H
#define MOLT_TESTS_UNIT_PATCH_POLICY_CASE_H

#include "patch/policy/policy.h"
#include "project.h"

/*
 * OLD defines `struct record` (or what `type` says) and an instance `before`; NEW the new one and `int
 * check(const struct record *)`, which returns 0 or a number that the failure names.
 */
struct policy_case {
    const char *title;
    const char *type; /* plan's name: molt_migrate_TYPE; NULL: "record" */
    const char *old, *new;
    const char
        *policy;       /* molt/p.c, after an #include of policy.h and of the new source's types; NULL: none */
    const char *fails; /* part of molt_fail's message; NULL: it succeeds */
    const char *refused;             /* part of the error of making the policies */
    const char *no_way_back;         /* part of the reason; NULL: the way back gives `before` again */
    const char *contains;            /* part of the generated C */
    const char *stops;               /* part of the warning */
    const struct initialiser *maker; /* what a function of the program newly sets */
    int any_way_back;                /* if there is one, it has to give `before` again */
    int skeleton;                    /* try it, too */
    int invalid;                     /* the validation is to say no */
};

#define POLICY_CASE_LOSSY "lossy" /* no_way_back: there is one, which does not give all of it again */

/* Types that both the program and the policy file need stand in this header of the new tree (and of the old
 * one). */
#define POLICY_CASE_HEADER "types.h"

/* Makes and compiles the policies only: nothing may be refused, and no instance be without a way. The policy
 * includes what it needs itself, by any name. */
void policy_case_compile(const struct policy_case *test, const char *compiler, const char *flags);

void policy_case_run(const struct policy_case *test, const char *compiler, const char *flags);

/* What molt_fail and molt_release do during a test. */
void molt_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void molt_release(void (*release)(void *), void *pointer);

#endif
