/* Where a definition stands in the source. */
#ifndef MOLT_PATCH_DEFINITION_LINE_H
#define MOLT_PATCH_DEFINITION_LINE_H

#include "patch/code/object.h"

/* The line SYMBOL is declared at, by the debug information; 0 if it does not say. */
unsigned definition_line(struct object *object, const struct object_symbol *symbol);

/* FILE, as the debug information of the unit that DIE belongs to names it, as an absolute path. Owned by
 * the caller. */
char *definition_path(Dwarf_Die *die, const char *file);

/* The file that DIE is declared in, absolute; NULL if the debug information does not say. Owned by the
 * caller. */
char *definition_file(Dwarf_Die *die);

#endif
