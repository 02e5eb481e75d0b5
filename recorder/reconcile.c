/*
 * Second thoughts after each change of text, so that what is recognised does not depend on the order in which
 * things came and went. Names come first: what was pasted before the original was cut away is the original,
 * once that has gone; and a declaration that bears a name again which another one was thought to have given
 * up gets it back. Several of one name (branches of an #if, macro calls) are told apart by their content, and
 * then by their order.
 */
#include <stdlib.h>
#include <string.h>

#include "base/search.h"
#include "recorder/compare.h"
#include "recorder/identity.h"
#include "recorder/token.h"

enum { ROUNDS_MAX = 8, NAMESAKE_DIFFERENCES = 500 };

/* A current declaration that is none of the baseline's, or one by its place only. */
struct loose {
    struct segment *segment;
    uint32_t index;
};

struct loose_list {
    struct loose *items;
    uint32_t count;
};

static bool is_loose(const struct identity *identity)
{
    return identity->base < 0 || identity->evidence > EVIDENCE_NAME;
}

static bool collect_loose(struct outline *made, struct loose_list *ret)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < made->count; i++) {
        for (uint32_t k = 0; k < made->items[i].content->declarations.count; k++) {
            count += is_loose(&made->items[i].identities[k]);
        }
    }
    ret->count = 0;
    ret->items = malloc((count + 1) * sizeof(*ret->items));
    for (uint32_t i = 0; ret->items && i < made->count; i++) {
        for (uint32_t k = 0; k < made->items[i].content->declarations.count; k++) {
            if (is_loose(&made->items[i].identities[k])) {
                ret->items[ret->count++] = (struct loose){ &made->items[i], k };
            }
        }
    }
    return ret->items;
}

static struct identity *loose_identity(const struct loose *loose)
{
    return &loose->segment->identities[loose->index];
}

static uint64_t loose_key(const struct loose *loose)
{
    const struct declarations *declarations = &loose->segment->content->declarations;
    int32_t owner = declarations->items[loose->index].owner;

    return identity_key(declarations, loose->index, owner < 0 ? 0 : loose->segment->identities[owner].id);
}

/* The key of the baseline's declaration BASE. */
static uint64_t base_key(const struct file *file, int32_t base)
{
    const struct segment *segment = &file->baseline.items[file->bases[base].segment];

    return loose_key(&(struct loose){ (struct segment *)segment, file->bases[base].index });
}

static struct identity base_identity(const struct file *file, int32_t base)
{
    return file->baseline.items[file->bases[base].segment].identities[file->bases[base].index];
}

/* A declaration of the baseline that is looked for by name, and who has it now. */
struct wanted {
    uint64_t key;
    int32_t base;
    uint32_t ghost;         /* its ghost, or UINT32_MAX */
    struct identity *taken; /* by a declaration of another name, or NULL */
};

static int compare_wanted(const void *left, const void *right)
{
    const struct wanted *a = left, *b = right;

    return a->key != b->key ? (a->key < b->key ? -1 : 1) : (a->base > b->base) - (a->base < b->base);
}

static uint32_t collect_wanted(const struct file *file, const struct loose_list *loose, struct wanted *wanted)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < file->ghosts.count; i++) {
        int32_t base = file->ghosts.items[i].base;
        wanted[count++] = (struct wanted){ base_key(file, base), base, i, NULL };
    }
    for (uint32_t i = 0; i < loose->count; i++) {
        struct identity *identity = loose_identity(&loose->items[i]);
        if (identity->base >= 0 && loose_key(&loose->items[i]) != base_key(file, identity->base)) {
            wanted[count++] =
                (struct wanted){ base_key(file, identity->base), identity->base, UINT32_MAX, identity };
        }
    }
    qsort(wanted, count, sizeof(*wanted), compare_wanted);
    return count;
}

/* Gives to a declaration that is none of the baseline's the one of its name, if that has gone or is taken by
 * one of another name only. Returns whether it did. */
static bool adopt(struct file *file, const struct loose *loose, struct wanted *wanted, uint32_t count,
                  uint64_t *next_id)
{
    struct wanted key = { .key = loose_key(loose), .base = -1 };
    uint32_t index = COUNT_BEFORE(i, count, compare_wanted(&wanted[i], &key) < 0);

    while (index < count && wanted[index].key == key.key && wanted[index].base < 0) {
        index++; /* adopted already */
    }
    if (index == count || wanted[index].key != key.key) {
        return false;
    }
    if (wanted[index].taken) {
        *wanted[index].taken = (struct identity){ .id = (*next_id)++, .base = -1 };
    } else {
        file->ghosts.items[wanted[index].ghost].base = -1;
    }
    *loose_identity(loose) = base_identity(file, wanted[index].base);
    wanted[index].base = -1;
    return true;
}

static void drop_adopted_ghosts(struct ghosts *ghosts)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < ghosts->count; i++) {
        if (ghosts->items[i].base >= 0) {
            ghosts->items[kept++] = ghosts->items[i];
        }
    }
    ghosts->count = kept;
}

/* One round; false without memory. */
static bool reconsider(struct file *file, struct outline *made, uint64_t *next_id, bool *ret_again)
{
    struct loose_list loose = { 0 };

    *ret_again = false;
    if (!collect_loose(made, &loose)) {
        return false;
    }
    struct wanted *wanted = malloc((file->ghosts.count + loose.count + 1) * sizeof(*wanted));
    if (wanted && loose.count) {
        uint32_t count = collect_wanted(file, &loose, wanted);
        for (uint32_t i = 0; count && i < loose.count; i++) {
            if (loose_identity(&loose.items[i])->base < 0) {
                *ret_again |= adopt(file, &loose.items[i], wanted, count, next_id);
            }
        }
        drop_adopted_ghosts(&file->ghosts);
    }
    bool done = wanted != NULL;
    free(wanted);
    free(loose.items);
    return done;
}

/* --- several of one name --- */

/* One of several of one name: a current declaration, or (IDENTITY is NULL) one of the baseline that some
 * current declaration or ghost may be. */
struct namesake {
    uint64_t key;
    uint64_t content;
    struct identity *identity;
    int32_t base;
    uint32_t order; /* place in the current text */
    struct ghost *ghost;
};

struct namesakes {
    struct namesake *items;
    uint32_t count;
};

static uint64_t content_of(const struct declaration *item)
{
    return hash_mix(hash_mix(item->type_hash, item->value_hash), item->names_hash);
}

static const struct declaration *base_declaration(const struct file *file, int32_t base)
{
    const struct segment *segment;

    return file_base(file, base, &segment);
}

/* Whether LOOSE, any current declaration, takes part: it holds nothing, and has its baseline's name. */
static bool is_namesake(const struct file *file, const struct loose *loose)
{
    const struct identity *identity = loose_identity(loose);
    const struct declaration *item = &loose->segment->content->declarations.items[loose->index];

    return identity->base >= 0 && file->bases[identity->base].namesake &&
           identity->evidence == EVIDENCE_NAME && item->kind != DECLARATION_TYPE &&
           loose_key(loose) == base_key(file, identity->base);
}

static int compare_by_base(const void *left, const void *right)
{
    const struct namesake *a = left, *b = right;

    return a->key != b->key ? (a->key < b->key ? -1 : 1) : (a->base > b->base) - (a->base < b->base);
}

static int compare_by_order(const void *left, const void *right)
{
    const struct namesake *a = left, *b = right;

    return a->key != b->key ? (a->key < b->key ? -1 : 1) : (a->order > b->order) - (a->order < b->order);
}

/* Lists in CURRENT the current ones, in BASES those of the baseline that they and the ghosts are. */
static void collect_namesakes(struct file *file, struct outline *made, struct namesakes *current,
                              struct namesakes *bases)
{
    for (uint32_t i = 0; i < made->count; i++) {
        for (uint32_t k = 0; k < made->items[i].content->declarations.count; k++) {
            struct loose one = { &made->items[i], k };
            if (is_namesake(file, &one)) {
                int32_t base = loose_identity(&one)->base;
                current->items[current->count] = (struct namesake){
                    .key = base_key(file, base),
                    .content = content_of(&made->items[i].content->declarations.items[k]),
                    .identity = loose_identity(&one),
                    .order = current->count,
                };
                bases->items[bases->count++] =
                    (struct namesake){ .key = current->items[current->count++].key,
                                       .content = content_of(base_declaration(file, base)),
                                       .base = base };
            }
        }
    }
    for (uint32_t i = 0; i < file->ghosts.count; i++) {
        int32_t base = file->ghosts.items[i].base;
        if (file->bases[base].namesake && base_declaration(file, base)->kind != DECLARATION_TYPE) {
            bases->items[bases->count++] =
                (struct namesake){ .key = base_key(file, base),
                                   .content = content_of(base_declaration(file, base)),
                                   .base = base,
                                   .ghost = &file->ghosts.items[i] };
        }
    }
    qsort(current->items, current->count, sizeof(*current->items), compare_by_order);
    qsort(bases->items, bases->count, sizeof(*bases->items), compare_by_base);
}

/* Memory for the comparison of one group. */
struct group_memory {
    uint64_t *old_content, *new_content;
    int32_t *match;
    bool *used;
};

static bool is_in_order(const struct file *file, const struct namesake *current, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (content_of(base_declaration(file, current[i].identity->base)) != current[i].content ||
            (i && current[i - 1].identity->base >= current[i].identity->base)) {
            return false;
        }
    }
    return true;
}

/* Gives the CURRENT ones of a name the BASES of that name, of which there are at least as many. */
static bool settle_group(const struct file *file, struct namesake *current, uint32_t count,
                         const struct namesake *bases, uint32_t base_count, struct group_memory *memory)
{
    if (is_in_order(file, current, count)) {
        return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        memory->new_content[i] = current[i].content;
        memory->used[i] = false;
    }
    for (uint32_t i = 0; i < base_count; i++) {
        memory->old_content[i] = bases[i].content;
    }
    if (!compare_sequences(memory->old_content, base_count, memory->new_content, count, NAMESAKE_DIFFERENCES,
                           memory->match)) {
        return false;
    }
    for (uint32_t i = 0; i < base_count; i++) {
        if (memory->match[i] >= 0) {
            memory->used[memory->match[i]] = true;
            *current[memory->match[i]].identity = base_identity(file, bases[i].base);
        }
    }
    uint32_t next = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!memory->used[i]) {
            while (memory->match[next] >= 0) {
                next++;
            }
            *current[i].identity = base_identity(file, bases[next].base);
            memory->match[next++] = (int32_t)i;
        }
    }
    uint32_t ghost = 0;
    for (uint32_t i = 0; i < base_count; i++) {
        if (memory->match[i] < 0) {
            while (!bases[ghost].ghost) {
                ghost++;
            }
            bases[ghost++].ghost->base = bases[i].base;
        }
    }
    return true;
}

static bool settle_groups(struct file *file, const struct namesakes *current, const struct namesakes *bases,
                          struct group_memory *memory)
{
    uint32_t base = 0;

    for (uint32_t from = 0, to; from < current->count; from = to) {
        uint64_t key = current->items[from].key;
        for (to = from; to < current->count && current->items[to].key == key; to++) {
        }
        while (bases->items[base].key != key) {
            base++;
        }
        uint32_t base_end = base;
        while (base_end < bases->count && bases->items[base_end].key == key) {
            base_end++;
        }
        if (!settle_group(file, current->items + from, to - from, bases->items + base, base_end - base,
                          memory)) {
            return false;
        }
        base = base_end;
    }
    return true;
}

static bool settle_namesakes(struct file *file, struct outline *made)
{
    size_t most = file->base_count + (size_t)1;
    struct namesakes current = { .items = malloc(most * sizeof(*current.items)) };
    struct namesakes bases = { .items = malloc(most * sizeof(*bases.items)) };
    struct group_memory memory = {
        .old_content = malloc(most * sizeof(uint64_t)),
        .new_content = malloc(most * sizeof(uint64_t)),
        .match = malloc(most * sizeof(int32_t)),
        .used = malloc(most * sizeof(bool)),
    };
    bool done = current.items && bases.items && memory.old_content && memory.new_content && memory.match &&
                memory.used;

    if (done) {
        collect_namesakes(file, made, &current, &bases);
        done = settle_groups(file, &current, &bases, &memory);
    }
    free(current.items);
    free(bases.items);
    free(memory.old_content);
    free(memory.new_content);
    free(memory.match);
    free(memory.used);
    return done;
}

bool identity_reconcile(struct file *file, struct outline *made, bool namesakes, uint64_t *next_id)
{
    bool again = true;

    for (uint32_t round = 0; again && round < ROUNDS_MAX; round++) {
        if (!reconsider(file, made, next_id, &again)) {
            return false;
        }
    }
    return !namesakes || settle_namesakes(file, made);
}

static int compare_keys(const void *left, const void *right)
{
    const struct namesake *a = left, *b = right;

    return (a->key > b->key) - (a->key < b->key);
}

void identity_find_namesakes(struct file *file)
{
    struct namesake *all = malloc((file->base_count + (size_t)1) * sizeof(*all));

    if (!all) {
        return;
    }
    for (uint32_t i = 0; i < file->base_count; i++) {
        all[i] = (struct namesake){ .key = base_key(file, (int32_t)i), .base = (int32_t)i };
    }
    qsort(all, file->base_count, sizeof(*all), compare_keys);
    for (uint32_t i = 0; i < file->base_count; i++) {
        file->bases[all[i].base].namesake =
            (i && all[i - 1].key == all[i].key) || (i + 1 < file->base_count && all[i + 1].key == all[i].key);
    }
    free(all);
}
