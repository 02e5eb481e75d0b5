/* Recipes, and what transfer.c shares with the code that runs on a thread whose frame is turned. */
#ifndef MOLT_ENGINE_THREADS_TRANSFER_FRAME_H
#define MOLT_ENGINE_THREADS_TRANSFER_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/threads/stub_data.h"

#define TRANSFER_REGISTERS 16 /* general ones, by their DWARF numbers (psABI, figure 3.36) */
#define TRANSFER_RSP 7

enum transfer_kind {
    TRANSFER_REGISTER, /* number: a register, as it is when the call has returned */
    TRANSFER_SLOT,     /* number: distance from the CFA, negative in the frame */
    TRANSFER_CONSTANT, /* number: the value itself */
    TRANSFER_FRAME,    /* number: distance from the CFA, whose address is the value */
    TRANSFER_GUARD,    /* the thread's word that -fstack-protector puts into frames */
    TRANSFER_CONTENT,  /* number: the address of what is the value */
    TRANSFER_POLICY,   /* number: distance from the start of what the policy has given, or is given */
};

/* What the new code finds in one place. Values in registers have up to 8 bytes and are extended to 8. */
struct transfer_value {
    uint8_t to, from;  /* transfer_kind; TO is a register or a slot */
    uint8_t from_size; /* of what is extended: 1, 2, 4 or 8; 0: SIZE bytes are copied from slot to slot */
    uint8_t is_signed;
    uint32_t size; /* of the slot that is written */
    int64_t to_number, from_number;
    int64_t addend; /* to what is read from a register or slot of up to 8 bytes */
};

/* MOLT_TRANSFER's function: it sees locals of the old frame and gives some of the new. */
typedef void transfer_policy(const void *seen, void *given);

struct molt_patch_root;

/* A local that is an instance of a type that changes. It becomes the new one with all others, before the
 * commit: where it is, or in what is given, where it lies until the frame is turned. */
struct transfer_instance {
    const struct molt_patch_root *forth, *back; /* it as if it were a variable, by direction */
    int64_t slot;                               /* of the old frame: distance from the CFA */
    uint32_t size;                              /* bytes there */
    bool stays;
    uint32_t given; /* distance from the start of what is given; unless it stays */
};

/* How an activation that waits for a call of the old code goes on in the new. */
struct transfer {
    uintptr_t from, to;   /* return addresses */
    uint8_t cfa_register; /* of the old frame: rsp or rbp */
    int32_t cfa_offset;
    uint32_t old_size;
    uint32_t new_size; /* CFA - rsp, behind the call of the new code; 0: the frame stays as it is, and rsp
                          there counts as its CFA */
    uint32_t value_count;
    const struct transfer_value *values;
    const char *function; /* for messages, as its UNIT */
    const char *unit;
    const char *reason; /* NULL, or why this call has no recipe; then nothing but FROM, FUNCTION, UNIT and
                           LINE is set */
    uint32_t line;      /* of the call in the old source */
    bool moves, moves_taken; /* whether nobody has the address of a local is asked of withdrawn.c */
    transfer_policy *policy; /* NULL: none is needed; else it has run before the transfer is pending */
    uint32_t seen_size, seen_count;
    uint32_t given_size; /* by the policy */
    uint32_t given_room; /* with the instances behind that */
    uint32_t instance_count;
    const struct transfer_instance *instances;
    const struct transfer_value *seen; /* what it is called with */
    const char *policy_file;
    uint32_t policy_line;
    uint32_t
        set; /* number of the time at which the update that it came with took effect: each is given once */
    bool is_setjmp;  /* longjmp comes back there, and nobody else is led on */
    bool has_setjmp; /* its function has such a place */
};

/* What superseded code behind calls of setjmp leads on by; NULL: unused (setjmp_sites.h). */
#define SETJMP_SITES 512
extern const struct transfer *setjmp_sites[SETJMP_SITES];
extern uint32_t setjmp_sites_end; /* there are none from here on */

/* Frames of functions that call setjmp which were turned: a jmp_buf from before has registers that are older
 * than the frame. Never forgotten: an entry serves whatever frame has its CFA. */
#define TURNED_FRAMES 8192
struct turned_frame {
    _Atomic uintptr_t cfa; /* 0: unused */
    uint32_t set;          /* of the last recipe; only its own thread asks */
};
extern struct turned_frame turned_frames[TURNED_FRAMES];

/* What is pending, last first. */
struct transfer_step {
    const struct transfer *recipe;
    struct transfer_step *earlier;
    const uint8_t *given; /* what the recipe's policy has given; NULL: it has none */
};

enum { TRANSFER_FREE, TRANSFER_PENDING, TRANSFER_DONE }; /* states of stubs */

extern struct stub_area transfer_stubs; /* their user is the last step */

/* By how much a frame may be larger or smaller than the one whose stack pointer is in a jmp_buf. */
#define SETJMP_GROWS_MAX 128
#define SETJMP_SHRINKS_MAX 16

/* As transfer_entry.S lays it out. */
struct transfer_registers {
    uint64_t general[TRANSFER_REGISTERS];
    uint64_t flags;
    uint64_t index;    /* of the stub; 0: longjmp came */
    uint64_t original; /* return address, or where it came to */
};

/* How control goes on; transfer_entry.S knows the offsets. */
struct transfer_result {
    uint64_t general[TRANSFER_REGISTERS]; /* rsp: where the address to return to is to lie, below the frame */
    uint64_t flags;
    uint64_t target; /* that address */
    const void *image;
    void *place;
    uint64_t size; /* of the image, to be copied to its place */
};

/* How many bytes of stack molt_transfer_turn needs below the frame. */
uint64_t molt_transfer_room(const struct transfer_registers *registers);

/* Works the new frame out in the ROOM bytes at BUFFER, which lie below the old and the new frame. */
struct transfer_result *molt_transfer_turn(const struct transfer_registers *registers, void *buffer);

/* Where INSTANCE is that the frame with CFA will have when all that is pending at LAST (NULL: nothing) has
 * been done: in the old frame, or in what was given. 0: in several pieces, or nowhere. */
uintptr_t transfer_locate(const struct transfer_step *last, uintptr_t cfa,
                          const struct transfer_instance *instance);

/* How many bytes transfer_see needs for what is pending, LAST first. */
uint64_t transfer_see_room(const struct transfer_step *last);

/* Writes to SEEN what the policy of RECIPE is called with, where the activation will have the general
 * registers at GENERAL when its call returns, and all that is pending at LAST (NULL: nothing) has been
 * done by then. BUFFER is aligned to 16 bytes. */
void transfer_see(const uint64_t *general, const struct transfer_step *last, const struct transfer *recipe,
                  void *buffer, uint8_t *seen);

#endif
