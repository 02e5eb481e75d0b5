#include "patch/policy/code.h"

#include <stdlib.h>

static void compare_with_nothing(struct policy_code *code, const policy_sources *sources)
{
    code->nothing = code->nothing ? code->nothing : object_empty();
    for (size_t i = code->comparisons.count; i < sources->count; i++) {
        struct comparison *comparison = must_calloc(1, sizeof(*comparison));
        comparison_init(comparison, code->nothing, sources->items[i]->object, NULL, NULL);
        LIST_ADD(&code->comparisons, comparison);
    }
}

static void contribute(struct policy_code *code, const struct policy_source *source,
                       const struct comparison *comparison, struct emission *emission,
                       const struct image *image)
{
    struct contribution *contribution = must_calloc(1, sizeof(*contribution));

    *contribution = (struct contribution){ .comparison = comparison,
                                           .image = image,
                                           .name = source->name,
                                           .source = source->entry->file,
                                           .policy = true };
    LIST_ADD(&code->contributions, contribution);
    emission_add(emission, contribution);
}

static void forget(struct policy_code *code)
{
    for (size_t i = 0; i < code->contributions.count; i++) {
        free(code->contributions.items[i]); /* of an emission that was given up, or is over */
    }
    code->contributions.count = 0;
}

void policy_code_contribute(struct policy_code *code, const policy_sources *sources,
                            struct emission *emission, const struct image *const *images, size_t count)
{
    forget(code);
    compare_with_nothing(code, sources);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < sources->count; k++) {
            contribute(code, sources->items[k], code->comparisons.items[k], emission, images[i]);
        }
    }
}

void policy_code_deinit(struct policy_code *code)
{
    forget(code);
    for (size_t i = 0; i < code->comparisons.count; i++) {
        comparison_deinit(code->comparisons.items[i]);
        free(code->comparisons.items[i]);
    }
    LIST_FREE(&code->contributions);
    LIST_FREE(&code->comparisons);
    object_destroy(code->nothing);
}
