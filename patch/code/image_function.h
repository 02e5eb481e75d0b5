/* Functions of a linked binary, as if each were an object of its own. */
#ifndef MOLT_PATCH_IMAGE_FUNCTION_H
#define MOLT_PATCH_IMAGE_FUNCTION_H

#include "patch/code/calls.h"

#define IMAGE_STATIC_MARK '@' /* in front of a function's address: names it, whatever else it is called */

/* Those that were asked for, kept until the end. */
struct image_functions {
    const struct image *image;
    struct call_targets targets;
    bool known; /* the targets */
    struct table found;
    LIST(char *) names;
    LIST(struct object *) objects;
};

/* IMAGE is borrowed. */
void image_functions_init(struct image_functions *functions, const struct image *image);
void image_functions_deinit(struct image_functions *functions);

/* The function NAME, its object having nothing else: the code and, as relocations, the names of what it calls
 * directly, static ones by their addresses. False: there is no such function, or
 * its code cannot be told from data. */
bool image_functions_find(struct image_functions *functions, const char *name, struct object **ret_object,
                          const struct object_symbol **ret_symbol);

#endif
