/*
 * Line numbers in code. Which files and lines a function was compiled from, inlined functions included, is in
 * the line table of the debug information; an immediate that falls into one of those ranges and whose line
 * reads the same in the new source, at the new immediate's number, is such a number.
 */
#include "patch/code/line_noise.h"

#include <Zydis/Zydis.h>
#include <stdlib.h>
#include <string.h>

#include "patch/code/definition_line.h"

struct range {
    const char *file; /* as the debug information names it */
    char *path;       /* absolute, owned */
    int first, last;
};

typedef LIST(struct range) ranges;

static void widen(ranges *list, Dwarf_Die *unit, const char *file, int line)
{
    for (size_t i = 0; i < list->count; i++) {
        struct range *range = &list->items[i];
        if (range->file == file || strcmp(range->file, file) == 0) {
            range->first = line < range->first ? line : range->first;
            range->last = line > range->last ? line : range->last;
            return;
        }
    }
    LIST_ADD(list, (struct range){ file, definition_path(unit, file), line, line });
}

/* The lines of each file that SYMBOL was compiled from. */
static void find_ranges(struct object *object, const struct object_symbol *symbol, ranges *ret)
{
    Dwarf *dwarf = object_dwarf(object);
    Dwarf_Addr low = object_address(object, symbol), high = low + symbol->size;
    Dwarf_CU *unit = NULL;
    Dwarf_Die die;

    while (dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &die, NULL) == 0) {
        Dwarf_Lines *lines;
        size_t count;
        if (dwarf_getsrclines(&die, &lines, &count) != 0) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            Dwarf_Line *line = dwarf_onesrcline(lines, i);
            Dwarf_Addr address = 0;
            int number = 0;
            dwarf_lineaddr(line, &address);
            dwarf_lineno(line, &number);
            const char *file = dwarf_linesrc(line, NULL, NULL);
            if (address >= low && address < high && number > 0 && file) {
                widen(ret, &die, file, number);
            }
        }
    }
}

static bool is_moved_line(const ranges *list, uint64_t old, uint64_t new, same_line *lines, void *context)
{
    const int slack = 64; /* a macro's call over several lines has its number at either end */

    for (size_t i = 0; i < list->count; i++) {
        const struct range *range = &list->items[i];
        if (old + slack >= (uint64_t)range->first && old <= (uint64_t)range->last + slack &&
            lines(context, range->path, old, new)) {
            return true;
        }
    }
    return false;
}

/* Whether the two instructions are one but for a moved line number. */
static bool same_instruction(const uint8_t *old, const uint8_t *new, const ZydisDecodedInstruction *a,
                             const ZydisDecodedInstruction *b, const ranges *list, same_line *lines,
                             void *context)
{
    if (memcmp(old, new, a->length) == 0) {
        return true;
    }
    unsigned at = a->raw.imm[0].offset, width = a->raw.imm[0].size / 8;
    if (a->length != b->length || !at || at != b->raw.imm[0].offset || width < 2 ||
        width != b->raw.imm[0].size / 8 || memcmp(old, new, at) != 0 ||
        memcmp(old + at + width, new + at + width, a->length - at - width) != 0) {
        return false;
    }
    return is_moved_line(list, a->raw.imm[0].value.u, b->raw.imm[0].value.u, lines, context);
}

bool line_noise_only(struct object *old_object, const struct object_symbol *old, struct object *new_object,
                     const struct object_symbol *new, same_line *lines, void *context)
{
    const struct object_section *section = &new_object->sections[new->section];
    const uint8_t *old_code = old_object->sections[old->section].bytes + old->value;
    const uint8_t *new_code = section->bytes + new->value;
    uint8_t *masked = must_calloc(new->size, 1); /* the new code with the old fields of relocations */
    ranges list = { 0 };
    ZydisDecoder decoder;
    bool same = true;

    memcpy(masked, new_code, new->size);
    for (size_t i = object_relocation_at(section, new->value);
         i < section->relocation_count && section->relocations[i].offset < new->value + new->size; i++) {
        uint64_t at = section->relocations[i].offset - new->value;
        memcpy(masked + at, old_code + at, relocation_width(section->relocations[i].type));
    }
    find_ranges(old_object, old, &list);
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (uint64_t at = 0; same && at < new->size;) {
        ZydisDecodedInstruction a, b;
        same =
            ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, old_code + at, new->size - at, &a)) &&
            ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, masked + at, new->size - at, &b)) &&
            same_instruction(old_code + at, masked + at, &a, &b, &list, lines, context);
        at += a.length;
    }
    free(masked);
    for (size_t i = 0; i < list.count; i++) {
        free(list.items[i].path);
    }
    LIST_FREE(&list);
    return same;
}
