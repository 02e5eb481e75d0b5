/*
 * Unwind tables of loaded code. libgcc's unwinder, which serves C++ exceptions, backtrace() and
 * pthread_cancel, learns of them by __register_frame_info; our own walk (threads/unwind.c) uses a search
 * table of the kind that linkers write.
 */
#include "engine/code/unwind_tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "engine/sort.h"

/* From libgcc_s, which libmolt.so is linked to. OBJECT is libgcc's to use; __register_frame would take it
 * from the program's heap. */
void __register_frame_info(const void *begin, void *object);
void *__deregister_frame_info(const void *begin);

#define LIBGCC_OBJECT_SIZE                                                                                   \
    128 /* its struct object has 48 bytes; generous, since its layout is libgcc's own */

#define DW_EH_PE_pcrel_sdata4 0x1b
#define DW_EH_PE_absptr 0x00

enum { CFA_DEF_EXPRESSION = 0x0f, CFA_EXPRESSION = 0x10, RETURN_ADDRESS_COLUMN = 16 };

int unwind_tables_register(const void *eh_frame)
{
    void *object = calloc(1, LIBGCC_OBJECT_SIZE);

    if (!object) {
        return -ENOMEM;
    }
    __register_frame_info(eh_frame, object);
    return 0;
}

void unwind_tables_forget(const void *eh_frame)
{
    free(__deregister_frame_info(eh_frame));
}

/* A table of one function of SIZE bytes at START, whose frame address and return address are DWARF
 * expressions. From malloc; NULL without memory. */
static uint8_t *make_table(uintptr_t start, size_t size, const uint8_t *cfa, size_t cfa_size,
                           const uint8_t *return_address, size_t return_address_size)
{
    static const uint8_t cie[] = {
        20,
        0,
        0,
        0, /* length */
        0,
        0,
        0,
        0, /* a CIE */
        1,
        'z',
        'R',
        0, /* version, augmentation */
        1,
        0x78,
        RETURN_ADDRESS_COLUMN, /* code and data alignment */
        1,
        DW_EH_PE_absptr, /* encoding of addresses */
        0,
        0,
        0,
        0,
        0,
        0,
        0, /* nothing common to all FDEs */
    };
    uint8_t fde[256] = { 0 };
    size_t at = 8;
    const uint64_t range[2] = { start, size };

    memcpy(fde + at, range, sizeof(range));
    at += sizeof(range);
    fde[at++] = 0; /* augmentation data */
    fde[at++] = CFA_DEF_EXPRESSION;
    fde[at++] = (uint8_t)cfa_size;
    memcpy(fde + at, cfa, cfa_size);
    at += cfa_size;
    fde[at++] = CFA_EXPRESSION;
    fde[at++] = RETURN_ADDRESS_COLUMN;
    fde[at++] = (uint8_t)return_address_size;
    memcpy(fde + at, return_address, return_address_size);
    at = (at + return_address_size + 7) / 8 * 8 + 4;
    const uint32_t lengths[2] = { (uint32_t)at - 4, sizeof(cie) + 4 };
    memcpy(fde, lengths, sizeof(lengths));

    uint8_t *table = calloc(1, sizeof(cie) + at + 4);
    if (table) {
        memcpy(table, cie, sizeof(cie));
        memcpy(table + sizeof(cie), fde, at);
    }
    return table;
}

int unwind_tables_add_expressions(uintptr_t start, size_t size, const uint8_t *cfa, size_t cfa_size,
                                  const uint8_t *return_address, size_t return_address_size)
{
    uint8_t *table = make_table(start, size, cfa, cfa_size, return_address, return_address_size);
    int status = table ? unwind_tables_register(table) : -ENOMEM;

    if (status < 0) {
        free(table);
    }
    return status;
}

int unwind_tables_init(void)
{
    static const uint8_t nothing[1];
    uint8_t *table = make_table((uintptr_t)nothing, 1, nothing, 1, nothing, 1);
    int status = table ? unwind_tables_register(table) : -ENOMEM;

    if (status == 0) {
        unwind_tables_forget(table);
    }
    free(table);
    return status;
}

/* Calls back for each FDE with its offset and the address its code starts at. Returns how many, or -EBADMSG.
 */
static int for_each_fde(const uint8_t *eh_frame, size_t size, uintptr_t address,
                        void (*visit)(void *context, size_t index, uint64_t code, uint64_t fde),
                        void *context)
{
    struct cursor cursor = cursor_of(eh_frame, size);
    int count = 0;

    while (cursor_left(&cursor) >= 4) {
        size_t start = cursor.position;
        uint32_t length = cursor_u32(&cursor);
        if (length == 0) {
            break;
        }
        size_t id_at = cursor.position;
        uint32_t id = cursor_u32(&cursor);
        if (id != 0) { /* only the encoding that gcc and clang use on x86-64 */
            size_t pc_at = cursor.position;
            int32_t code = (int32_t)cursor_u32(&cursor);
            if (cursor_failed(&cursor)) {
                return -EBADMSG;
            }
            if (visit) {
                visit(context, (size_t)count, address + pc_at + (uint64_t)(int64_t)code, address + start);
            }
            count++;
        }
        cursor_seek(&cursor, (uint64_t)id_at + length);
    }
    return cursor_failed(&cursor) ? -EBADMSG : count;
}

size_t unwind_tables_header_size(const uint8_t *eh_frame, size_t size)
{
    int count = for_each_fde(eh_frame, size, 0, NULL, NULL);

    return 12 + 8 * (size_t)(count > 0 ? count : 0);
}

struct table_entry {
    int32_t code, fde; /* relative to the table */
};

struct table_writer {
    struct table_entry *entries;
    uintptr_t address;
};

static void write_entry(void *context, size_t index, uint64_t code, uint64_t fde)
{
    struct table_writer *writer = context;

    writer->entries[index] =
        (struct table_entry){ (int32_t)(code - writer->address), (int32_t)(fde - writer->address) };
}

int unwind_tables_make_header(const uint8_t *eh_frame, size_t size, uintptr_t eh_frame_address,
                              uint8_t *table, uintptr_t table_address)
{
    static const uint8_t encodings[4] = { 1, DW_EH_PE_pcrel_sdata4, 0x03 /* udata4 */,
                                          0x3b /* datarel sdata4 */ };
    struct table_writer writer = { (struct table_entry *)(table + 12), table_address };
    int count = for_each_fde(eh_frame, size, eh_frame_address, write_entry, &writer);

    if (count < 0) {
        return count;
    }
    int32_t frame = (int32_t)(eh_frame_address - (table_address + 4));
    memcpy(table, encodings, sizeof(encodings));
    memcpy(table + 4, &frame, 4);
    memcpy(table + 8, &count, 4);
    SORT_BY(writer.entries, (size_t)count, struct table_entry, code);
    return 0;
}
