/* Symbols of the program's global scope, found without leaving a trace in the dynamic linker or the
 * program's heap. */
#ifndef MOLT_ENGINE_CODE_LOOKUP_H
#define MOLT_ENGINE_CODE_LOOKUP_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Notes which modules the program was started with. Called before main; without it every look-up is
 * dlsym's. */
void lookup_init(void);

/* Address of function or variable NAME with VERSION ("": the default one), as a module that refers to it
 * would be bound; 0: nowhere. *ret_size is what its symbol says, 0 if unknown; may be NULL. Takes the
 * dynamic linker's lock. */
uintptr_t lookup_symbol(const char *name, const char *version, size_t *ret_size);

/* Where lookup_definition begins. */
enum lookup_start {
    LOOKUP_FROM_FIRST,
    LOOKUP_BEHIND_US, /* in modules that come after the one that this code is part of */
    LOOKUP_IN_LIBC,   /* nowhere else */
};

/* What our own functions stand in front of. A sanitizer's runtime that watches us came with us: behind that
 * is libc. */
#ifdef ENGINE_IS_WATCHED
#define LOOKUP_UNDERNEATH LOOKUP_IN_LIBC
#else
#define LOOKUP_UNDERNEATH LOOKUP_BEHIND_US
#endif

/* Address of the first definition of NAME in the modules from START on, in the order in which the dynamic
 * linker searches those that the program was started with. 0: nowhere. Without a lock: before main, when
 * there is one thread. Needs no lookup_init. */
uintptr_t lookup_definition(const char *name, enum lookup_start start);

typedef void lookup_variable_visitor(void *context, const Elf64_Sym *entry, uintptr_t address);

/* Calls VISIT with the entry of each variable that a loaded module offers to others, and its address. Takes
 * the dynamic linker's lock. */
void lookup_variables(lookup_variable_visitor *visit, void *context);

/* Who refers to a symbol that it does not define. */
struct lookup_import {
    char name[64];
    char module[256]; /* its path; "the program" for the executable */
};

typedef bool lookup_name_wanted(const char *name);

/* The first reference of a loaded module to a symbol of another one whose name is WANTED; false: there is
 * none. Takes the dynamic linker's lock. */
bool lookup_import(lookup_name_wanted *wanted, struct lookup_import *ret);

/* Whether MODULE, as dl_iterate_phdr tells of it, refers to such a symbol. */
struct dl_phdr_info;
bool lookup_imports(const struct dl_phdr_info *module, lookup_name_wanted *wanted);

#endif
