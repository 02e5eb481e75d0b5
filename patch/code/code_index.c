/*
 * Addresses to places in the source. libdw finds scopes by walking the whole unit for each address; here the
 * functions of all units are sorted once, and only the tree of the one that holds the address is walked. Its
 * inlined calls tell where each was called from; the line table tells the innermost line.
 */
#include "patch/code/code_index.h"

#include <dwarf.h>
#include <stdlib.h>

#include "base/search.h"

#define DEPTH_MAX 64

static void add_function(struct code_index *index, Dwarf_Die *die, Dwarf_Die *unit)
{
    Dwarf_Addr base, start, end;
    ptrdiff_t offset = 0;
    bool entry = true; /* compilers name the part with the entry first */

    while ((offset = dwarf_ranges(die, offset, &base, &start, &end)) > 0) {
        if (start < end) {
            LIST_ADD(&index->ranges, (struct code_range){ start, end, *die, *unit, entry });
            entry = false;
        }
    }
}

static int by_start(const void *left, const void *right)
{
    const struct code_range *a = left, *b = right;

    return a->start < b->start ? -1 : a->start > b->start;
}

static void add_unit(struct code_index *index, Dwarf_Die *unit)
{
    Dwarf_Die die;

    for (int more = dwarf_child(unit, &die); more == 0; more = dwarf_siblingof(&die, &die)) {
        if (dwarf_tag(&die) == DW_TAG_subprogram && !dwarf_hasattr(&die, DW_AT_declaration)) {
            add_function(index, &die, unit);
        }
    }
}

static void sort(struct code_index *index)
{
    if (index->ranges.count) {
        qsort(index->ranges.items, index->ranges.count, sizeof(*index->ranges.items), by_start);
    }
}

void code_index_init(struct code_index *index, Dwarf *dwarf)
{
    Dwarf_CU *cu = NULL;
    uint8_t kind;
    Dwarf_Die unit;

    *index = (struct code_index){ 0 };
    while (dwarf && dwarf_get_units(dwarf, cu, &cu, NULL, &kind, &unit, NULL) == 0) {
        if (kind == DW_UT_compile || kind == DW_UT_partial) {
            add_unit(index, &unit);
        }
    }
    sort(index);
}

void code_index_init_unit(struct code_index *index, Dwarf_Die *unit)
{
    *index = (struct code_index){ 0 };
    add_unit(index, unit);
    sort(index);
}

void code_index_deinit(struct code_index *index)
{
    LIST_FREE(&index->ranges);
}

const struct code_range *code_index_find(const struct code_index *index, uint64_t address)
{
    size_t count = COUNT_BEFORE(i, index->ranges.count, index->ranges.items[i].start <= address);
    const struct code_range *range = count ? &index->ranges.items[count - 1] : NULL;

    return range && address < range->end ? range : NULL;
}

static unsigned number_of(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value;

    return dwarf_attr(die, name, &attribute) && dwarf_formudata(&attribute, &value) == 0 ? value : 0;
}

/* The place that the inlined call DIE was made from. */
static struct code_frame call_place(Dwarf_Die *die, Dwarf_Die *unit)
{
    struct code_frame frame = { .line = number_of(die, DW_AT_call_line),
                                .column = number_of(die, DW_AT_call_column) };
    Dwarf_Files *files;
    size_t count;

    if (dwarf_getsrcfiles(unit, &files, &count) == 0) {
        frame.file = dwarf_filesrc(files, number_of(die, DW_AT_call_file), NULL, NULL);
    }
    return frame;
}

/* The path of inlined calls below DIE that leads to ADDRESS, outermost first. */
static unsigned inlined_at(Dwarf_Die *die, uint64_t address, Dwarf_Die *ret, unsigned depth)
{
    Dwarf_Die child;

    for (int more = depth < DEPTH_MAX ? dwarf_child(die, &child) : 1; more == 0;
         more = dwarf_siblingof(&child, &child)) {
        int tag = dwarf_tag(&child);
        if ((tag != DW_TAG_inlined_subroutine && tag != DW_TAG_lexical_block) ||
            dwarf_haspc(&child, address) != 1) {
            continue;
        }
        if (tag == DW_TAG_inlined_subroutine) {
            ret[depth++] = child;
        }
        return inlined_at(&child, address, ret, depth);
    }
    return depth;
}

void code_index_frames(const struct code_index *index, uint64_t address, code_frames *ret)
{
    const struct code_range *range = code_index_find(index, address);
    struct code_frame frame = { 0 };
    Dwarf_Die inlined[DEPTH_MAX];
    int line = 0, column = 0;

    if (!range) {
        return;
    }
    Dwarf_Die function = range->die, unit = range->unit;
    Dwarf_Line *row = dwarf_getsrc_die(&unit, address);
    if (row) {
        dwarf_lineno(row, &line);
        dwarf_linecol(row, &column);
        frame = (struct code_frame){ .file = dwarf_linesrc(row, NULL, NULL), .line = line, .column = column };
    }
    for (unsigned i = inlined_at(&function, address, inlined, 0); i-- > 0;) {
        frame.function = dwarf_diename(&inlined[i]);
        LIST_ADD(ret, frame);
        frame = call_place(&inlined[i], &unit);
    }
    frame.function = dwarf_diename(&function);
    LIST_ADD(ret, frame);
}
