/* Unwind tables for code that no module contains: what exceptions, backtrace() and pthread_cancel need to
 * pass. */
#ifndef MOLT_ENGINE_CODE_UNWIND_TABLES_H
#define MOLT_ENGINE_CODE_UNWIND_TABLES_H

#include <stddef.h>
#include <stdint.h>

/* Goes once through what registering and forgetting call, so that the dynamic linker binds it now: an
 * update that is discarded must leave its data as they were. 0 or -ENOMEM. */
int unwind_tables_init(void);

/*
 * Registers one FDE for code [START, START + SIZE): its CFA, and the place of the return address, are given
 * by DWARF expressions, every other register is unchanged. The table stays for the life of the process. 0 or
 * -ENOMEM.
 */
int unwind_tables_add_expressions(uintptr_t start, size_t size, const uint8_t *cfa, size_t cfa_size,
                                  const uint8_t *return_address, size_t return_address_size);

/* Registers and forgets a relocated .eh_frame section, terminated by a zero word. Outside of a stopped world.
 */
int unwind_tables_register(const void *eh_frame);
void unwind_tables_forget(const void *eh_frame);

/*
 * Makes the sorted search table (.eh_frame_hdr, LSB) of the SIZE bytes of relocated EH_FRAME into TABLE,
 * which has room for unwind_tables_header_size bytes, within 2 GB of EH_FRAME. 0, or -EBADMSG for an
 * .eh_frame that is not well-formed.
 */
size_t unwind_tables_header_size(const uint8_t *eh_frame, size_t size);
int unwind_tables_make_header(const uint8_t *eh_frame, size_t size, uintptr_t eh_frame_address,
                              uint8_t *table, uintptr_t table_address);

#endif
