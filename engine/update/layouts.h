/* The layouts of a patch, made ready: where in a type there are addresses, and what they lead to. */
#ifndef MOLT_ENGINE_UPDATE_LAYOUTS_H
#define MOLT_ENGINE_UPDATE_LAYOUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/patch_file.h"

/* A word of a layout that may hold an address; `count` of them, `stride` bytes apart. Embedded objects are
 * resolved, except arrays of them: those are MEMBERs. */
struct layout_word {
    uint32_t offset, count, stride;
    uint32_t layout; /* POINTER: what it leads to; MEMBER: of one element */
    uint32_t kind;   /* POINTER, WORD or MEMBER: enum molt_field_kind */
    uint32_t field;  /* of the patch file; names the word in messages */
};

struct layout {
    const struct molt_patch_layout *record;
    const char *name;
    uint32_t size;
    uint32_t first_word, word_count;
    uint32_t first_conversion, conversion_count; /* migrations that lead away from it, among those in use */
    uint32_t becomes; /* the layout that the first of them leads to; itself if there is none */
    uint32_t was;     /* one that becomes this one; itself if it becomes something else, or there is none */
    uint32_t tail;    /* layout of the elements of its flexible array */
    bool changed;     /* it contains what migrates: has conversions, or is an OBJECT of one that has */
    bool words;       /* it holds addresses: it or its tail has words */
    bool aligned;     /* all of them at multiples of 8 */
    bool opaque;      /* nothing is known of its words */
    bool leads;       /* an address in it leads, by way of others perhaps, to a changed layout */
};

struct layouts {
    const struct patch_file *file; /* borrowed */
    struct layout *items;
    size_t count;
    struct layout_word *words;
    size_t word_count;
};

/* Prepares the layouts of FILE, which is borrowed until layouts_deinit. IN_USE says of each of its migrations
 * whether it is to be made; ROLLBACK: these are the ones that lead back. 0, -ENOMEM, or -EFBIG if they are
 * too entangled. */
int layouts_init(struct layouts *layouts, const struct patch_file *file, const bool *in_use, bool rollback);
void layouts_deinit(struct layouts *layouts);

/* As if the layouts with a true ASKED[index] changed, and no others; ASKED NULL: none does, but pointers to
 * all of them count. For looking at instances that nothing is done to. */
void layouts_single_out(struct layouts *layouts, const bool *asked);

/* Pointers to layout INDEX are to be looked at, although it leads to nothing that changes. */
void layouts_watch(struct layouts *layouts, uint32_t index);

/* Whether an object of layout INNER, by value, starts OFFSET bytes into one of layout OUTER. */
bool layouts_contain(const struct layouts *layouts, uint32_t outer, uint64_t offset, uint32_t inner);

/* The name of the member that lies at OFFSET of layout INDEX, "" if there is none: for messages. */
const char *layouts_member(const struct layouts *layouts, uint32_t index, uint64_t offset);

/* Called for each word of an object: WORD is a POINTER or WORD, AT its address. */
typedef void layout_visitor(void *context, uintptr_t at, const struct layout_word *word);

/* Visits the words of one object of layout INDEX at AT, its flexible array left out. */
void layouts_walk(const struct layouts *layouts, uint32_t index, uintptr_t at, layout_visitor *visit,
                  void *context);

/* The same, for visitors that are to become part of the loop. */
static inline __attribute__((always_inline)) void layouts_walk_here(const struct layouts *layouts,
                                                                    uint32_t index, uintptr_t at,
                                                                    layout_visitor *visit, void *context)
{
    const struct layout *layout = &layouts->items[index];
    const struct layout_word *word = &layouts->words[layout->first_word], *end = word + layout->word_count;

    for (; word < end; word++) {
        uintptr_t place = at + word->offset;
        for (uint32_t i = 0; i < word->count; i++, place += word->stride) {
            if (word->kind == MOLT_FIELD_MEMBER) {
                layouts_walk(layouts, word->layout, place, visit, context);
            } else {
                visit(context, place, word);
            }
        }
    }
}

#endif
