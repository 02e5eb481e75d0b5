/*
 * A frame of the old version becomes one of the new, on the thread that comes back to it. Compiled with
 * -mgeneral-regs-only, and calls nothing that is not (no memcpy, nor an assignment that might become one):
 * the result of the function that has returned may be in any vector or x87 register.
 *
 * The new frame is made aside, below both frames, since they overlap: CFA, return address and what lies above
 * stay where they are. With several recipes pending each works on what the one before has made.
 */
#include "engine/threads/transfer_frame.h"

/* Everything here: a thread in this section is between two versions (transfer_code). */
#define TRANSFER_CODE __attribute__((section("molt_transfer_code")))

const struct transfer *setjmp_sites[SETJMP_SITES];
uint32_t setjmp_sites_end;
struct turned_frame turned_frames[TURNED_FRAMES];

struct frame {
    uintptr_t cfa;
    uint8_t *bytes; /* from LOW to the CFA; where the program would have them, or aside */
    int64_t low;    /* distance from the CFA, negative */
    uint64_t general[TRANSFER_REGISTERS];
};

struct work {
    struct frame frame;
    struct transfer_result result;
};

TRANSFER_CODE static void copy(void *to, const void *from, uint64_t size)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

TRANSFER_CODE static void clear(void *to, uint64_t size)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(0) : "memory");
}

TRANSFER_CODE static uint64_t aligned(uint64_t size)
{
    return (size + 15) & ~15ul;
}

TRANSFER_CODE static uintptr_t cfa_of(const uint64_t *general, const struct transfer *recipe)
{
    return general[recipe->cfa_register] + (uint64_t)(int64_t)recipe->cfa_offset;
}

TRANSFER_CODE static const struct transfer_step *last_step(uint64_t index)
{
    return stub_data(&transfer_stubs, index)->user;
}

/* What leads on from superseded code at AT; NULL: it is in force. */
TRANSFER_CODE static const struct transfer *setjmp_site(uintptr_t at)
{
    for (uint32_t i = 0; i < setjmp_sites_end; i++) {
        if (setjmp_sites[i] && setjmp_sites[i]->from == at) {
            return setjmp_sites[i];
        }
    }
    return NULL;
}

TRANSFER_CODE static uint64_t longjmp_room(uintptr_t at)
{
    uint64_t room = aligned(sizeof(struct work)) + SETJMP_GROWS_MAX, most = 0;

    for (const struct transfer *recipe; (recipe = setjmp_site(at)); at = recipe->to) {
        room += aligned(recipe->new_size);
        most = recipe->new_size > most ? recipe->new_size : most;
    }
    return room + aligned(most);
}

TRANSFER_CODE uint64_t molt_transfer_room(const struct transfer_registers *registers)
{
    if (!registers->index) {
        return longjmp_room(registers->original);
    }
    const struct transfer_step *step = last_step(registers->index);
    uint64_t room = aligned(sizeof(struct work)) +
                    aligned(step->recipe->new_size); /* the first may hang below the old frame */

    for (; step; step = step->earlier) {
        room += aligned(step->recipe->new_size);
    }
    return room;
}

TRANSFER_CODE static uint64_t extend(uint64_t value, const struct transfer_value *rule)
{
    unsigned unused = 64 - 8 * rule->from_size;

    if (!rule->from_size || rule->from_size >= 8) {
        return value;
    }
    value <<= unused;
    return rule->is_signed ? (uint64_t)((int64_t)value >> unused) : value >> unused;
}

/* Incoming arguments above the CFA are where they always were. */
TRANSFER_CODE static const void *slot_of(const struct frame *frame, int64_t number)
{
    return number >= 0 ? (const void *)(frame->cfa + (uint64_t)number) : frame->bytes + (number - frame->low);
}

/* Where RULE's value lies: in the OLD frame, or in what the policy has GIVEN. */
TRANSFER_CODE static const void *source_of(const struct frame *old, const uint8_t *given,
                                           const struct transfer_value *rule)
{
    return rule->from == TRANSFER_POLICY ? given + rule->from_number : slot_of(old, rule->from_number);
}

TRANSFER_CODE static uint64_t value_of(const struct frame *old, const uint8_t *given,
                                       const struct transfer_value *rule)
{
    uint64_t value = 0;

    switch (rule->from) {
    case TRANSFER_REGISTER:
        value = old->general[rule->from_number];
        break;
    case TRANSFER_SLOT:
    case TRANSFER_POLICY:
        copy(&value, source_of(old, given, rule), rule->from_size);
        break;
    case TRANSFER_CONTENT:
        copy(&value, (const void *)rule->from_number, rule->from_size);
        break;
    case TRANSFER_CONSTANT:
        return (uint64_t)rule->from_number;
    case TRANSFER_GUARD: /* where x86-64's ABI of thread-local storage has it */
        __asm__("mov %%fs:0x28, %0" : "=r"(value));
        return value;
    default:
        return old->cfa + (uint64_t)rule->from_number;
    }
    return extend(value + (uint64_t)rule->addend, rule);
}

/* Writes RULE's value to SLOT. */
TRANSFER_CODE static void put(const struct frame *old, const uint8_t *given,
                              const struct transfer_value *rule, uint8_t *slot)
{
    if (rule->from_size == 0) {
        copy(slot, source_of(old, given, rule), rule->size);
    } else {
        uint64_t value = value_of(old, given, rule);
        copy(slot, &value, rule->size);
    }
}

/* Makes in BYTES the frame that STEP says. Registers that it does not speak of stay. */
TRANSFER_CODE static void turn(struct frame *frame, const struct transfer_step *step, uint8_t *bytes)
{
    const struct transfer *recipe = step->recipe;
    struct frame new;

    new.cfa = frame->cfa;
    new.bytes = bytes;
    new.low = -(int64_t)recipe->new_size;
    copy(new.general, frame->general, sizeof(new.general));
    clear(bytes, recipe->new_size);
    if (recipe->new_size) {
        copy(bytes + recipe->new_size - 8, slot_of(frame, -8), 8); /* the return address */
    }
    for (uint32_t i = 0; i < recipe->value_count; i++) {
        const struct transfer_value *rule = &recipe->values[i];
        if (rule->to == TRANSFER_REGISTER) {
            new.general[rule->to_number] = value_of(frame, step->given, rule);
        } else {
            put(frame, step->given, rule, bytes + (rule->to_number - new.low));
        }
    }
    new.general[TRANSFER_RSP] = frame->cfa - recipe->new_size;
    copy(frame, &new, sizeof(new));
}

/* The COUNTth step from the first one on. */
TRANSFER_CODE static const struct transfer_step *step_at(const struct transfer_step *last, unsigned from_last)
{
    while (from_last--) {
        last = last->earlier;
    }
    return last;
}

TRANSFER_CODE static unsigned count_steps(const struct transfer_step *last)
{
    unsigned count = 0;

    for (; last; last = last->earlier) {
        count++;
    }
    return count;
}

/* The frame of the program, where RECIPE is the first that it is turned by. */
TRANSFER_CODE static void enter(struct frame *frame, const uint64_t *general, const struct transfer *recipe)
{
    copy(frame->general, general, sizeof(frame->general));
    frame->cfa = cfa_of(frame->general, recipe);
    frame->low = (int64_t)(frame->general[TRANSFER_RSP] - frame->cfa);
    frame->bytes = (uint8_t *)frame->general[TRANSFER_RSP];
}

/* Does the COUNT steps that are pending, each aside in BUFFER. */
TRANSFER_CODE static void turn_all(struct frame *frame, const struct transfer_step *last, unsigned count,
                                   uint8_t *buffer)
{
    for (unsigned i = count; i-- > 0;) {
        const struct transfer_step *step = step_at(last, i);
        turn(frame, step, buffer);
        buffer += aligned(step->recipe->new_size);
    }
}

/* The entry of the frame with CFA, or a new one; there is room. */
TRANSFER_CODE static struct turned_frame *turned_frame(uintptr_t cfa)
{
    for (uint64_t i = cfa / 16;; i++) {
        struct turned_frame *entry = &turned_frames[i % TURNED_FRAMES];
        uintptr_t unused = 0;
        if (atomic_load(&entry->cfa) == cfa || atomic_compare_exchange_strong(&entry->cfa, &unused, cfa)) {
            return entry;
        }
    }
}

/* Whether what comes to AT is led on by a recipe of SET. */
TRANSFER_CODE static bool passes(uintptr_t at, uint32_t set)
{
    for (const struct transfer *recipe; (recipe = setjmp_site(at)); at = recipe->to) {
        if (recipe->set == set) {
            return true;
        }
    }
    return false;
}

/* Makes the registers those that RECIPE's new version has; its frame is there already. */
TRANSFER_CODE static void turn_registers(struct frame *frame, const struct transfer *recipe)
{
    struct frame new;

    copy(&new, frame, sizeof(new));
    for (uint32_t i = 0; i < recipe->value_count; i++) {
        const struct transfer_value *rule = &recipe->values[i];
        if (rule->to == TRANSFER_REGISTER) {
            new.general[rule->to_number] = value_of(frame, NULL, rule);
        }
    }
    new.low = -(int64_t)recipe->new_size;
    new.general[TRANSFER_RSP] = frame->cfa - recipe->new_size;
    new.bytes = (uint8_t *)new.general[TRANSFER_RSP];
    copy(frame, &new, sizeof(new));
}

/* Longjmp has come to superseded code: with its registers, but a frame that may be of a later version. */
TRANSFER_CODE static struct transfer_result *turn_longjmp(const struct transfer_registers *registers,
                                                          struct work *work, uint8_t *buffer)
{
    struct frame *frame = &work->frame;
    uintptr_t at = registers->original;

    enter(frame, registers->general, setjmp_site(at));
    struct turned_frame *turned = turned_frame(frame->cfa);
    bool reached = !turned->set || !passes(at, turned->set), any = false;
    for (const struct transfer *recipe; (recipe = setjmp_site(at)); at = recipe->to) {
        struct transfer_step step;
        step.recipe = recipe;
        step.given = NULL;
        if (!reached) {
            turn_registers(frame, recipe);
            reached = recipe->set == turned->set;
            continue;
        }
        turn(frame, &step, buffer);
        buffer += aligned(recipe->new_size);
        turned->set = recipe->set;
        any = true;
    }
    work->result.target = at;
    work->result.image = frame->bytes;
    work->result.place = (void *)frame->general[TRANSFER_RSP];
    work->result.size = any ? frame->cfa - frame->general[TRANSFER_RSP] : 0;
    frame->general[TRANSFER_RSP] -= 8;
    copy(work->result.general, frame->general, sizeof(frame->general));
    work->result.flags = registers->flags;
    return &work->result;
}

TRANSFER_CODE struct transfer_result *molt_transfer_turn(const struct transfer_registers *registers,
                                                         void *buffer)
{
    struct work *work = buffer;
    uint8_t *images = (uint8_t *)buffer + aligned(sizeof(*work));
    if (!registers->index) {
        return turn_longjmp(registers, work, images);
    }
    const struct transfer_step *last = last_step(registers->index);
    struct frame *frame = &work->frame;
    unsigned count = count_steps(last);

    enter(frame, registers->general, step_at(last, count - 1)->recipe);
    turn_all(frame, last, count, images);
    if (last->recipe->has_setjmp) {
        turned_frame(frame->cfa)->set = last->recipe->set;
    }
    frame->general[TRANSFER_RSP] -= 8;
    copy(work->result.general, frame->general, sizeof(frame->general));
    work->result.flags = registers->flags;
    work->result.target = last->recipe->to;
    work->result.image = frame->bytes;
    work->result.place = (void *)(frame->cfa - last->recipe->new_size);
    work->result.size = last->recipe->new_size;
    atomic_store(&stub_data(&transfer_stubs, registers->index)->state, TRANSFER_DONE);
    return &work->result;
}

/* ---- before the commit, on the engine's thread --------------------------------------------------------- */

/* The value that RECIPE puts at SLOT; NULL: none. */
static const struct transfer_value *value_at(const struct transfer *recipe, int64_t slot)
{
    for (uint32_t i = 0; i < recipe->value_count; i++) {
        const struct transfer_value *rule = &recipe->values[i];
        if (rule->to == TRANSFER_SLOT && slot >= rule->to_number &&
            slot < rule->to_number + (int64_t)rule->size) {
            return rule;
        }
    }
    return NULL;
}

#define NO_VALUE 1 /* is no place either */

/* Where the byte at SLOT comes from; *RET_SIZE bytes from there on come from the same place. 0: it is no copy
 * of one that is in memory; NO_VALUE: nobody has said what it is. */
static uintptr_t origin_of(const struct transfer_step *last, uintptr_t cfa, int64_t slot, int64_t *ret_size)
{
    *ret_size = INT64_MAX;
    for (; last && slot < 0; last = last->earlier) {
        const struct transfer_value *rule = value_at(last->recipe, slot);
        int64_t inside = rule ? slot - rule->to_number : 0;
        if (!rule) {
            *ret_size = 1;
            return NO_VALUE;
        }
        if (rule->from_size || (rule->from != TRANSFER_SLOT && rule->from != TRANSFER_POLICY)) {
            return 0;
        }
        *ret_size = rule->size - inside < *ret_size ? rule->size - inside : *ret_size;
        slot = rule->from_number + inside;
        if (rule->from == TRANSFER_POLICY) {
            return (uintptr_t)last->given + (uint64_t)slot;
        }
    }
    return cfa + (uint64_t)slot;
}

uintptr_t transfer_locate(const struct transfer_step *last, uintptr_t cfa,
                          const struct transfer_instance *instance)
{
    uintptr_t start = 0;

    for (int64_t at = 0, some; at < instance->size; at += some) {
        uintptr_t origin = origin_of(last, cfa, instance->slot + at, &some);
        bool unknown =
            origin == NO_VALUE && !instance->stays; /* all of it is given then, and this not read */
        if (!unknown && (origin <= NO_VALUE || (start && origin != start + (uint64_t)at))) {
            return 0;
        }
        start = unknown ? start : origin - (uint64_t)at;
    }
    return start;
}

uint64_t transfer_see_room(const struct transfer_step *last)
{
    uint64_t room = 0;

    for (; last; last = last->earlier) {
        room += aligned(last->recipe->new_size);
    }
    return room;
}

void transfer_see(const uint64_t *general, const struct transfer_step *last, const struct transfer *recipe,
                  void *buffer, uint8_t *seen)
{
    unsigned count = count_steps(last);
    struct frame frame;

    enter(&frame, general, count ? step_at(last, count - 1)->recipe : recipe);
    turn_all(&frame, last, count, buffer);
    for (uint32_t i = 0; i < recipe->seen_count; i++) {
        put(&frame, NULL, &recipe->seen[i], seen + recipe->seen[i].to_number);
    }
}
