/*
 * Who stands in for a library's variables. A library's code reaches a variable that others may define as well
 * by an address in its GOT, and the dynamic linker has written there which one it chose: so that entry is
 * what counts, whatever the rules are by which it was chosen. Where there is none the library refers to the
 * variable from its data only, or not at all, or by its own address, and the program may have a copy all the
 * same: then the patch must tell which it is.
 */
#include "engine/code/preempted.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/code/symbol_tables.h"

struct search {
    uintptr_t bias;
    size_t modules; /* visited so far */
    struct symbol_tables program, library;
    size_t first_copy, end_of_copies; /* relocations of the program: linkers put those of a kind together */
    bool found;                       /* the library */
    struct preempted *ret;
    bool no_memory;
};

static size_t relocation_count(const struct symbol_tables *tables)
{
    return tables->relocations ? tables->relocations_size / sizeof(*tables->relocations) : 0;
}

static const Elf64_Sym *symbol_of(const struct symbol_tables *tables, const Elf64_Rela *relocation)
{
    return &tables->symbols[ELF64_R_SYM(relocation->r_info)];
}

static bool is_variable(const Elf64_Sym *symbol)
{
    return ELF64_ST_TYPE(symbol->st_info) == STT_OBJECT && symbol->st_shndx != SHN_UNDEF &&
           symbol->st_shndx != SHN_ABS;
}

static void find_copies(struct search *search)
{
    const struct symbol_tables *program = &search->program;

    for (size_t i = relocation_count(program); i-- > 0;) {
        if (ELF64_R_TYPE(program->relocations[i].r_info) == R_X86_64_COPY) {
            search->first_copy = i;
            search->end_of_copies = search->end_of_copies ? search->end_of_copies : i + 1;
        }
    }
}

/* The relocation by which the program has a copy of what the library calls SYMBOL; NULL: it has none. */
static const Elf64_Rela *copy_of(const struct search *search, const Elf64_Sym *symbol)
{
    const struct symbol_tables *program = &search->program, *library = &search->library;
    const char *name = library->strings + symbol->st_name;
    const char *version = symbol_tables_version(library, (size_t)(symbol - library->symbols));

    for (size_t i = search->first_copy; i < search->end_of_copies; i++) {
        const Elf64_Rela *relocation = &program->relocations[i];
        if (ELF64_R_TYPE(relocation->r_info) != R_X86_64_COPY ||
            strcmp(program->strings + symbol_of(program, relocation)->st_name, name) != 0) {
            continue;
        }
        const char *wanted = symbol_tables_version(program, ELF64_R_SYM(relocation->r_info));
        if (!*wanted || !*version || strcmp(wanted, version) == 0) {
            return relocation;
        }
    }
    return NULL;
}

static struct preempted_variable *find(const struct preempted *preempted, uintptr_t own)
{
    for (size_t i = 0; i < preempted->count; i++) {
        if (preempted->items[i].own == own) {
            return &preempted->items[i];
        }
    }
    return NULL;
}

/* Notes that SYMBOL of the library is at PLACE. Another name for it may have said something else. */
static void add(struct search *search, const Elf64_Sym *symbol, uintptr_t place, size_t room, bool is_silent)
{
    struct preempted *ret = search->ret;
    uintptr_t own = search->bias + symbol->st_value;
    struct preempted_variable *known = find(ret, own);
    struct preempted_variable *more;

    if (known) {
        known->place = known->place == place ? place : 0;
        known->size = symbol->st_size > known->size ? symbol->st_size : known->size;
        return;
    }
    more = realloc(ret->items, (ret->count + 1) * sizeof(*more));
    if (!more) {
        search->no_memory = true;
        return;
    }
    ret->items = more;
    more[ret->count++] = (struct preempted_variable){ own, place, symbol->st_size, room, is_silent };
}

/* What the library's GOT says of RELOCATION's symbol. */
static void look_at_entry(struct search *search, const Elf64_Rela *relocation, const Elf64_Sym *symbol)
{
    uintptr_t own = search->bias + symbol->st_value;
    uintptr_t place = *(const uintptr_t *)(search->bias + relocation->r_offset);
    const Elf64_Rela *copy = copy_of(search, symbol);
    bool in_copy = copy && place == search->program.bias + copy->r_offset;

    if (copy || place != own) {
        size_t room = in_copy ? symbol_of(&search->program, copy)->st_size : 0;
        add(search, symbol, copy && !in_copy ? 0 : place, room, false);
    } else if (find(search->ret, own)) {
        add(search, symbol, place, 0, false); /* by another name it is elsewhere */
    }
}

static void look_at_entries(struct search *search)
{
    const struct symbol_tables *library = &search->library;

    for (int round = 0; round < 2;
         round++) { /* the second one finds other names of what the first has found */
        for (size_t i = 0; i < relocation_count(library); i++) {
            const Elf64_Rela *relocation = &library->relocations[i];
            const Elf64_Sym *symbol = symbol_of(library, relocation);
            if (ELF64_R_TYPE(relocation->r_info) == R_X86_64_GLOB_DAT && is_variable(symbol)) {
                look_at_entry(search, relocation, symbol);
            }
        }
    }
}

/* Whether the library's data names SYMBOL by way of the dynamic linker, and so by what it chose. */
static bool is_in_data(const struct symbol_tables *library, const Elf64_Sym *symbol)
{
    for (size_t i = 0; i < relocation_count(library); i++) {
        const Elf64_Rela *relocation = &library->relocations[i];
        if (ELF64_R_TYPE(relocation->r_info) == R_X86_64_64 &&
            symbol_of(library, relocation)->st_value == symbol->st_value &&
            is_variable(symbol_of(library, relocation))) {
            return true;
        }
    }
    return false;
}

/* What the program has copies of besides. */
static void look_at_copies(struct search *search)
{
    const struct symbol_tables *program = &search->program;

    for (size_t i = search->first_copy; i < search->end_of_copies; i++) {
        const Elf64_Rela *relocation = &program->relocations[i];
        if (ELF64_R_TYPE(relocation->r_info) != R_X86_64_COPY) {
            continue;
        }
        const Elf64_Sym *copy = symbol_of(program, relocation);
        const char *name = program->strings + copy->st_name;
        struct wanted_symbol wanted = { name, symbol_tables_version(program, ELF64_R_SYM(relocation->r_info)),
                                        symbol_hash(name), true };
        const Elf64_Sym *symbol = symbol_tables_find(&search->library, &wanted);
        if (symbol && is_variable(symbol) && !find(search->ret, search->bias + symbol->st_value)) {
            add(search, symbol, program->bias + relocation->r_offset, copy->st_size,
                !is_in_data(&search->library, symbol));
        }
    }
}

static int visit(struct dl_phdr_info *info, size_t size, void *context)
{
    struct search *search = context;
    bool first = search->modules++ == 0;
    struct symbol_tables tables;

    if (!symbol_tables_of(info, &tables)) {
        return 0;
    }
    if (first) {
        search->program = tables;
        find_copies(search);
    } else if (info->dlpi_addr == search->bias) {
        search->library = tables;
        search->found = true;
        look_at_entries(search);
        look_at_copies(search);
    }
    return search->found;
}

int preempted_find(uintptr_t bias, struct preempted *ret)
{
    struct search search = { .bias = bias, .ret = ret };

    *ret = (struct preempted){ 0 };
    dl_iterate_phdr(visit, &search);
    return search.no_memory ? -ENOMEM : 0;
}

void preempted_deinit(struct preempted *preempted)
{
    free(preempted->items);
    *preempted = (struct preempted){ 0 };
}

uintptr_t preempted_place(const struct preempted *preempted, uintptr_t own, size_t size, bool by_name)
{
    for (size_t i = 0; i < preempted->count; i++) {
        const struct preempted_variable *variable = &preempted->items[i];
        if (own >= variable->own && own - variable->own < variable->size) {
            uintptr_t distance = own - variable->own;
            bool fits = !variable->room || distance + size <= variable->room;
            bool told = variable->place && (by_name || !variable->is_silent);
            return told && fits ? variable->place + distance : 0;
        }
    }
    return own;
}
