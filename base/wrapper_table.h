/*
 * Which functions of a program hand on memory that somebody else asked for (xmalloc, zmalloc): what `molt
 * run` works out from the debug information and tells the engine, so that it notes who called them, too. One
 * file per executable or shared library; MOLT_WRAPPERS names them, separated by colons. A file that is
 * missing or damaged is no error: then the engine notes two callers for every block.
 */
#ifndef MOLT_BASE_WRAPPER_TABLE_H
#define MOLT_BASE_WRAPPER_TABLE_H

#include <stdint.h>

#include "base/patch_file.h"

#define MOLT_WRAPPER_MAGIC "MOLTWRP1"

struct molt_wrapper_table { /* the file: this, then `count` ranges, ascending, not overlapping */
    char magic[8];
    uint8_t build_id[MOLT_BUILD_ID_MAX];
    uint32_t build_id_size;
    uint32_t count;
};

struct molt_wrapper_range { /* virtual addresses as the module's ELF file states them */
    uint64_t start, end;
};

#endif
