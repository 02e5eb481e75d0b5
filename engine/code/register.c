/*
 * gdb's JIT interface (gdb manual, "JIT Compilation Interface"): a list of in-memory object files, and a
 * function whose breakpoint tells gdb that the list changed. gdb wants an ordinary relocatable object whose
 * section headers carry the addresses; debug sections must have been relocated. So the patch file itself is
 * registered, in a copy.
 */
#include "engine/code/register.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The names and layouts are gdb's. */
struct jit_code_entry {
    struct jit_code_entry *next_entry, *prev_entry;
    const char *symfile_addr;
    uint64_t symfile_size;
};

struct jit_descriptor {
    uint32_t version;
    uint32_t action_flag;
    struct jit_code_entry *relevant_entry;
    struct jit_code_entry *first_entry;
};

enum { JIT_NOACTION, JIT_REGISTER_FN, JIT_UNREGISTER_FN };

extern struct jit_descriptor __jit_debug_descriptor;
void __jit_debug_register_code(void);

__attribute__((used)) struct jit_descriptor __jit_debug_descriptor = { 1, JIT_NOACTION, NULL, NULL };

__attribute__((noinline, used)) void __jit_debug_register_code(void)
{
    __asm__ volatile("" ::: "memory");
}

struct debug_object {
    struct jit_code_entry entry;
    bool registered;
    char bytes[];
};

/* Relocates a debug section: absolute references only, to loaded code and data or within debug information.
 */
static void relocate_debug(const struct loaded_patch *patch, char *bytes, const Elf64_Shdr *table)
{
    const Elf64_Shdr *target = &patch->file.sections[table->sh_info];
    const Elf64_Rela *relocations = (const Elf64_Rela *)(patch->file.bytes + table->sh_offset);

    for (size_t i = 0; i < table->sh_size / sizeof(Elf64_Rela); i++) {
        const Elf64_Rela *relocation = &relocations[i];
        uint32_t type = ELF64_R_TYPE(relocation->r_info);
        size_t size = type == R_X86_64_64 ? 8 : type == R_X86_64_32 ? 4 : 0;
        const Elf64_Sym *symbol = &patch->file.symbols[ELF64_R_SYM(relocation->r_info)];
        uint64_t value = patch->symbols[ELF64_R_SYM(relocation->r_info)].address;
        if (!value && symbol->st_shndx != SHN_UNDEF) {
            value = symbol->st_value; /* a place in another debug section */
        }
        value += (uint64_t)relocation->r_addend;
        if (size && relocation->r_offset + size <= target->sh_size) {
            memcpy(bytes + target->sh_offset + relocation->r_offset, &value, size);
        }
    }
}

struct debug_object *debug_object_create(const struct loaded_patch *patch)
{
    const struct patch_file *file = &patch->file;
    struct debug_object *object = malloc(sizeof(*object) + file->size);
    if (!object) {
        return NULL;
    }
    char *bytes = object->bytes;
    memcpy(bytes, file->bytes, file->size);
    Elf64_Shdr *sections = (Elf64_Shdr *)(bytes + ((const uint8_t *)file->sections - file->bytes));
    for (size_t i = 1; i < file->section_count; i++) {
        const Elf64_Shdr *section = &file->sections[i];
        if (patch->sections[i].class != SECTION_UNLOADED && patch->sections[i].class != SECTION_TLS) {
            sections[i].sh_addr = patch->sections[i].address;
            if (section->sh_type != SHT_NOBITS &&
                patch->sections[i].bytes) { /* relocated; gdb unwinds by .eh_frame */
                memcpy(bytes + section->sh_offset, patch->sections[i].bytes, section->sh_size);
            }
        }
        if (section->sh_type == SHT_RELA) {
            if (patch->sections[section->sh_info].class == SECTION_UNLOADED) {
                relocate_debug(patch, bytes, section);
            }
            sections[i].sh_type = SHT_NULL; /* done; gdb must not do it again */
        }
    }
    object->entry = (struct jit_code_entry){ .symfile_addr = bytes, .symfile_size = file->size };
    object->registered = false;
    return object;
}

static void announce(struct debug_object *object, uint32_t action)
{
    __jit_debug_descriptor.action_flag = action;
    __jit_debug_descriptor.relevant_entry = &object->entry;
    __jit_debug_register_code();
    __jit_debug_descriptor.action_flag = JIT_NOACTION;
}

void debug_object_register(struct debug_object *object)
{
    if (!object || object->registered) {
        return;
    }
    struct jit_code_entry *first = __jit_debug_descriptor.first_entry;
    object->entry.next_entry = first;
    if (first) {
        first->prev_entry = &object->entry;
    }
    __jit_debug_descriptor.first_entry = &object->entry;
    object->registered = true;
    announce(object, JIT_REGISTER_FN);
}

void debug_object_destroy(struct debug_object *object)
{
    if (object && object->registered) {
        struct jit_code_entry *next = object->entry.next_entry, *previous = object->entry.prev_entry;
        *(previous ? &previous->next_entry : &__jit_debug_descriptor.first_entry) = next;
        if (next) {
            next->prev_entry = previous;
        }
        announce(object, JIT_UNREGISTER_FN);
    }
    free(object);
}

void perf_map_add(const struct loaded_patch *patch)
{
    char path[64], line[512];

    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    int file =
        open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (getenv("MOLT_PERF") ? O_CREAT : 0), 0600);
    if (file < 0) {
        return;
    }
    for (size_t i = 1; i < patch->file.symbol_count; i++) {
        const Elf64_Sym *symbol = &patch->file.symbols[i];
        if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF &&
            patch->symbols[i].address) {
            int length =
                snprintf(line, sizeof(line), "%lx %lx %s\n", (unsigned long)patch->symbols[i].address,
                         (unsigned long)symbol->st_size, patch_file_symbol_name(&patch->file, i));
            if (length > 0 && write(file, line, (size_t)length) < 0) {
                break; /* a profile without names is no reason to fail an update */
            }
        }
    }
    close(file);
}
