/*
 * Which of a binary's calls lead to memory.
 *
 * A function that ends in a jump to an allocator leaves no return address of its own: what the stack then
 * holds is that of its caller's call. So calls of such functions count, too, and what they make is what the
 * jump makes.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/sites/private.h"

bool site_is_named(const char *const *names, const char *name)
{
    for (; names && *names; names++) {
        if (strcmp(*names, name) == 0) {
            return true;
        }
    }
    return false;
}

/* A function that is known to end in a jump to memory. */
static bool jumps_to_memory(const struct site_work *work, uint64_t function)
{
    for (size_t i = 0; function && i < work->jumps.count; i++) {
        if (work->jumps.items[i].start == function) {
            return true;
        }
    }
    return false;
}

/* Whether CALL leads to memory that somebody asks for. */
static bool leads_to_memory(const struct site_work *work, const struct call *call)
{
    if (!call->callee) {
        return true;
    }
    if (allocator_find(call->callee) || wrappers_at(work->wrappers, call->target) ||
        jumps_to_memory(work, call->target)) {
        return true;
    }
    char *base = site_base_name(call->callee);
    bool named = site_is_named(work->names, base);
    free(base);
    return named;
}

static void collect_function(struct site_work *work, const struct site_subject *subject, uint64_t start,
                             uint64_t size, const char *name, const struct object_symbol *symbol,
                             bool aliased)
{
    call_list calls = { 0 };

    if (symbol) {
        calls_of_object(subject->code.object, symbol, &calls);
    } else {
        calls_of_image(subject->code.targets, start, size, &calls);
    }
    for (size_t i = 0; i < calls.count; i++) {
        struct site_call call = {
            .call = calls.items[i], .symbol = symbol, .start = start, .function = name, .aliased = aliased
        };
        LIST_ADD(&work->all, call);
    }
    LIST_FREE(&calls);
}

/* Whether another function of OBJECT is the same code as SYMBOL. */
static bool has_twin(const struct object *object, const struct object_symbol *symbol)
{
    for (size_t i = 1; i < object->symbol_count; i++) {
        const struct object_symbol *other = &object->symbols[i];
        if (other != symbol && symbol_is_function(object, other) &&
            object_address(object, other) == object_address(object, symbol)) {
            return true;
        }
    }
    return false;
}

/* All calls of all functions. */
static void collect_all(struct site_work *work, const struct site_subject *subject)
{
    const struct image *image = subject->image;
    struct object *object = subject->code.object;

    for (size_t i = 0; !object && i < image->by_address_count; i++) {
        const struct image_symbol *symbol = image->by_address[i];
        bool alias = i > 0 && image->by_address[i - 1]->value == symbol->value;
        bool aliased = i + 1 < image->by_address_count && image->by_address[i + 1]->value == symbol->value;
        if (symbol->type == STT_FUNC && symbol->size && !alias) {
            collect_function(work, subject, symbol->value, symbol->size, symbol->name, NULL, aliased);
        }
    }
    for (size_t i = 1; object && i < object->symbol_count; i++) {
        const struct object_symbol *symbol = &object->symbols[i];
        if (symbol_is_function(object, symbol) && symbol->size) {
            collect_function(work, subject, object_address(object, symbol), symbol->size, symbol->name,
                             symbol, has_twin(object, symbol));
        }
    }
}

/* Sorts out those that matter: jumps first, until no function is added to those that end in one. */
static void select_calls(struct site_work *work, const struct site_subject *subject)
{
    size_t before;

    do {
        before = work->jumps.count;
        for (size_t i = 0; i < work->all.count; i++) {
            struct site_call *call = &work->all.items[i];
            if (call->call.tail && call->call.callee && !call->taken && leads_to_memory(work, &call->call)) {
                call->taken = true;
                LIST_ADD(&work->jumps, *call);
            }
        }
    } while (work->jumps.count > before);
    for (size_t i = 0; i < work->all.count; i++) {
        struct site_call *call = &work->all.items[i];
        bool wanted = !subject->wanted || subject->wanted[call->symbol->index];
        if (!call->call.tail && wanted && leads_to_memory(work, &call->call)) {
            LIST_ADD(&work->calls, *call);
        }
    }
    LIST_FREE(&work->all);
}

void site_select_calls(struct site_work *work, const struct site_subject *subject)
{
    collect_all(work, subject);
    select_calls(work, subject);
}
