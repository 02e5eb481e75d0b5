/* Two versions of a source, compiled, and the recipes of their function: for the tests of patch/transfer. */
#ifndef MOLT_TEST_VERSIONS_H
#define MOLT_TEST_VERSIONS_H

#include <stdbool.h>

#include "patch/transfer/transfer.h"

/* What the sources are compiled with. */
extern const char *compiler, *flags;
extern bool optimised;

#define DECLARATIONS                                                                                         \
    "extern int wait_event(int fd);\n"                                                                       \
    "extern int setup(const char *name);\n"                                                                  \
    "extern void step(int fd, int n);\n"                                                                     \
    "extern void note(const char *text, long number);\n"                                                     \
    "extern void fill(void *memory, unsigned long size);\n"                                                  \
    "extern double measure(double x);\n"

/* The two, and the recipes of their function. */
struct versions {
    const char *old_text, *new_text;
    struct object *old_object, *new_object;
    struct transfer_side old, new;
    struct transfer_pair pair;
    struct captures captures;
    recipe_list recipes;
};

/* Sets the above from the arguments of main. */
void take_arguments(int count, char **arguments);

/* Compiles the two texts, which are borrowed. */
void start(struct versions *versions, const char *old, const char *new);
void end(struct versions *versions);

/* Makes the recipes of the function NAME, instead of those that there were. */
void work_out(struct versions *versions, const char *name);

/* The recipe of the first call of CALLEE. */
const struct recipe *recipe_of(const struct versions *versions, const char *callee);

/* Its value of VARIABLE, or NULL. */
const struct recipe_value *value_of(const struct recipe *recipe, const char *variable);

/* Fails unless RECIPE's reason has WORDS in it. */
void expect_reason(const struct recipe *recipe, const char *words);

#endif
