/*
 * Line numbers in code. Which lines each part of a function was compiled from, inlined functions included, is
 * in the line table of the debug information. An immediate close to one of them that changed by as much as
 * that line has moved, and whose line reads the same in the new source, is such a number; any other is a
 * value, be there a line that happens to read the same.
 */
#include "patch/code/line_noise.h"

#include <Zydis/Zydis.h>
#include <stdlib.h>
#include <string.h>

#include "patch/code/definition_line.h"

#define SLACK 16 /* lines of a macro's call over several, which has its number at either end */

/* A row of the line table. */
struct row {
    Dwarf_Die unit;
    const char *file; /* as the debug information names it */
    uint64_t offset;  /* from the start of the function */
    int line;
};

typedef LIST(struct row) rows;

static void find_rows(struct object *object, const struct object_symbol *symbol, rows *ret)
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
                LIST_ADD(ret, (struct row){ die, file, address - low, number });
            }
        }
    }
}

/* The line tables of a function's two versions, row by row. */
struct moves {
    rows old, new;
    same_line *lines;
    void *context;
};

static bool is_moved_line(const struct moves *moves, int64_t old, int64_t new)
{
    bool moved = false;

    for (size_t i = 0; !moved && i < moves->old.count; i++) {
        const struct row *before = &moves->old.items[i], *now = &moves->new.items[i];
        if (llabs(old - before->line) <= SLACK && new - old == now->line - before->line &&
            before->offset == now->offset) {
            Dwarf_Die unit = before->unit;
            char *path = definition_path(&unit, before->file);
            moved = old > 0 && moves->lines(moves->context, path, (unsigned)old, (unsigned)new);
            free(path);
        }
    }
    return moved;
}

/* Whether the two instructions are one but for a moved line number. */
static bool same_instruction(const uint8_t *old, const uint8_t *new, const ZydisDecodedInstruction *a,
                             const ZydisDecodedInstruction *b, const struct moves *moves)
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
    return is_moved_line(moves, a->raw.imm[0].value.s, b->raw.imm[0].value.s);
}

bool line_noise_only(struct object *old_object, const struct object_symbol *old, struct object *new_object,
                     const struct object_symbol *new, same_line *lines, void *context)
{
    const struct object_section *section = &new_object->sections[new->section];
    const uint8_t *old_code = old_object->sections[old->section].bytes + old->value;
    const uint8_t *new_code = section->bytes + new->value;
    uint8_t *masked = must_calloc(new->size, 1); /* the new code with the old fields of relocations */
    struct moves moves = { .lines = lines, .context = context };
    ZydisDecoder decoder;

    memcpy(masked, new_code, new->size);
    for (size_t i = object_relocation_at(section, new->value);
         i < section->relocation_count && section->relocations[i].offset < new->value + new->size; i++) {
        uint64_t at = section->relocations[i].offset - new->value;
        memcpy(masked + at, old_code + at, relocation_width(section->relocations[i].type));
    }
    find_rows(old_object, old, &moves.old);
    find_rows(new_object, new, &moves.new);
    bool same = moves.old.count == moves.new.count; /* else more than numbers differs */
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (uint64_t at = 0; same && at < new->size;) {
        ZydisDecodedInstruction a, b;
        same =
            ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, old_code + at, new->size - at, &a)) &&
            ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, masked + at, new->size - at, &b)) &&
            same_instruction(old_code + at, masked + at, &a, &b, &moves);
        at += a.length;
    }
    free(masked);
    LIST_FREE(&moves.old);
    LIST_FREE(&moves.new);
    return same;
}
