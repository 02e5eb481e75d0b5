/* Looking at an executable file before it is run. */
#ifndef MOLT_CLI_PROGRAM_H
#define MOLT_CLI_PROGRAM_H

#include <stdbool.h>

#include "base/error.h"

struct program {
    char *path;      /* absolute or as found on PATH, owned */
    bool script;     /* starts with #!: its interpreter is what runs */
    bool dynamic;    /* has a dynamic linker, so that the engine can be preloaded */
    bool is_musl;    /* that is musl's, which cannot load the engine */
    bool privileged; /* set-user-id, set-group-id: the dynamic linker ignores LD_PRELOAD */
    char *sanitizer; /* file name of a sanitizer's runtime that it is linked with, which has to be loaded
                        first; NULL, owned */
    bool has_build_id, has_debug_info, has_symbols;
};

/* Finds NAME as a shell would and reads its headers. NOT_FOUND, or REFUSED if it is no x86-64 program. */
struct molt_error *program_inspect(const char *name, struct program *ret);
void program_deinit(struct program *program);

/* The engine's library, beside this command or where MOLT_ENGINE says. Owned by the caller; NOT_FOUND with
 * the remedy. */
struct molt_error *program_engine(char **ret_path);

#endif
