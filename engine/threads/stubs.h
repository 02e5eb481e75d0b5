/*
 * Stubs: addresses that stand on a stack in place of return addresses. Control that comes back to one finds
 * the stack as it was at the return, with two words pushed: the original return address and the stub's index;
 * then it goes to the area's entry. Whoever unwinds through a stub, in the process or from outside, sees the
 * original caller.
 */
#ifndef MOLT_ENGINE_THREADS_STUBS_H
#define MOLT_ENGINE_THREADS_STUBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/threads/stub_data.h"
#include "engine/threads/stop.h"

/* Makes AREA, whose stubs lead to ENTRY, and registers how to unwind through it. NAME is that of its
 * mapping. 0 or a negative errno. */
int stubs_init(struct stub_area *area, void (*entry)(void), const char *name);

/* Puts an unused stub in place of the return address at RETURN_SLOT. Returns its index, 0 if all are in
 * use. */
uint32_t stubs_set(struct stub_area *area, uintptr_t return_slot);

/* Puts the original return address back, unless the slot means something else by now; the stub is unused
 * again. */
void stubs_clear(struct stub_area *area, uint32_t index);

/* The same without looking at the slot. */
void stubs_forget(struct stub_area *area, uint32_t index);

/* Whether the stack still leads to stub INDEX: a frame that was left, by longjmp or an exception too, is
 * gone, and with its thread the whole stack may be gone. */
bool stubs_is_set(const struct stub_area *area, uint32_t index);

/* The stub whose address WORD is, 0 if none. */
uint32_t stubs_index(const struct stub_area *area, uintptr_t word);

/* What stands for WORD, found where a return address is expected, on an undisturbed stack: WORD itself if
 * it is no stub of any area. */
uintptr_t stubs_original(uintptr_t word);

/* The same for what stands at SLOT. */
uintptr_t stubs_original_at(uintptr_t slot);

/* The stub that THREAD was stopped in, 0 if in none; *ret_pushed is how many bytes it has pushed. */
uint32_t stubs_inside(const struct stub_area *area, const struct stopped_thread *thread, size_t *ret_pushed);

#endif
