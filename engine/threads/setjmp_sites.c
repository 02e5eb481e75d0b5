/*
 * The table of places behind calls of setjmp in superseded code. Nobody executes such code any more, so there
 * is room for a jump at any distance, which lets the frame be as it is and says in a register where it
 * stands:
 *
 *     lea -7(%rip), %rcx     48 8d 0d -7     calls change rcx, and longjmp's return is one
 *     jmp *0(%rip)           ff 25 0
 *     address of the entry
 */
#include "engine/threads/setjmp_sites.h"

#include <string.h>

void molt_longjmp_entry(void);

void setjmp_site_code(uint8_t ret[SETJMP_SITE_SIZE])
{
    static const uint8_t code[] = { 0x48, 0x8d, 0x0d, 0xf9, 0xff, 0xff, 0xff, 0xff, 0x25, 0, 0, 0, 0 };
    uintptr_t entry = (uintptr_t)molt_longjmp_entry;

    _Static_assert(sizeof(code) + sizeof(entry) == SETJMP_SITE_SIZE, "the place is checked for that");
    memcpy(ret, code, sizeof(code));
    memcpy(ret + sizeof(code), &entry, sizeof(entry));
}

size_t setjmp_sites_room(void)
{
    size_t room = SETJMP_SITES;

    for (uint32_t i = 0; i < setjmp_sites_end; i++) {
        room -= setjmp_sites[i] != NULL;
    }
    return room;
}

static const struct transfer *find(uintptr_t at)
{
    for (uint32_t i = 0; i < setjmp_sites_end; i++) {
        if (setjmp_sites[i] && setjmp_sites[i]->from == at) {
            return setjmp_sites[i];
        }
    }
    return NULL;
}

/* Where FIRST leads in the end. */
static uintptr_t end_of(const struct transfer *first)
{
    const struct transfer *next;

    while ((next = find(first->to))) {
        first = next;
    }
    return first->to;
}

const char *setjmp_sites_refuse(const struct transfer *recipe)
{
    for (uint32_t i = 0; i < setjmp_sites_end; i++) {
        const struct transfer *earlier = setjmp_sites[i];
        int64_t grows = earlier ? (int64_t)recipe->new_size - earlier->old_size : 0;
        if (earlier && end_of(earlier) == recipe->from &&
            (grows > SETJMP_GROWS_MAX || -grows > SETJMP_SHRINKS_MAX)) {
            return "longjmp may come back to it with a jmp_buf from before an earlier update, and with all "
                   "updates since its frame differs too much in size";
        }
    }
    return NULL;
}

void setjmp_sites_add(const struct transfer *recipe)
{
    uint32_t index = 0;

    while (setjmp_sites[index]) {
        index++;
    }
    setjmp_sites[index] = recipe;
    setjmp_sites_end = index < setjmp_sites_end ? setjmp_sites_end : index + 1;
}

static bool is_among(const struct transfer *recipe, const struct transfer *recipes, size_t count)
{
    return recipe && recipe >= recipes && recipe < recipes + count;
}

void setjmp_sites_remove(const struct transfer *recipes, size_t count)
{
    for (uint32_t i = 0; i < setjmp_sites_end; i++) {
        if (is_among(setjmp_sites[i], recipes, count)) {
            setjmp_sites[i] = NULL;
        }
    }
}

bool setjmp_sites_use(const struct transfer *recipes, size_t count)
{
    for (uint32_t i = 0; i < setjmp_sites_end; i++) {
        if (is_among(setjmp_sites[i], recipes, count)) {
            return true;
        }
    }
    return false;
}

bool setjmp_sites_use_code(uintptr_t start, uintptr_t end)
{
    for (uint32_t i = 0; i < setjmp_sites_end; i++) {
        const struct transfer *recipe = setjmp_sites[i];
        if (recipe &&
            ((recipe->from >= start && recipe->from < end) || (recipe->to >= start && recipe->to < end))) {
            return true;
        }
    }
    return false;
}

bool setjmp_sites_hold(uintptr_t pc)
{
    for (uint32_t i = 0; i < setjmp_sites_end; i++) {
        if (setjmp_sites[i] && pc - setjmp_sites[i]->from < SETJMP_SITE_SIZE) {
            return true;
        }
    }
    return false;
}

/* Half of them, since threads come that nobody has counted, and have to find one. */
bool setjmp_frames_room(void)
{
    size_t used = 0;

    for (uint32_t i = 0; i < TURNED_FRAMES; i++) {
        used += atomic_load(&turned_frames[i].cfa) != 0;
    }
    return used < TURNED_FRAMES / 2;
}
