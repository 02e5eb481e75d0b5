/*
 * What MOLT_TRANSFER gives. A policy is asked for a local of the new version that nothing else tells, or that
 * has another type; then the locals that it reads must be readable in the old frame, at this call.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/transfer/frame_policy.h"
#include "patch/transfer/private.h"

/* The local of FUNCTION that NAME means at the call, as C has it: the innermost. */
static const struct local *innermost(const local_list *locals, const char *function, const char *name)
{
    const struct local *found = NULL;

    for (size_t i = 0; i < locals->count; i++) { /* from the outermost on */
        const struct local *local = &locals->items[i];
        bool same = local->function && strcmp(local->function, function) == 0 && local->typed &&
                    strcmp(local->name, name) == 0;
        found = same ? local : found;
    }
    return found;
}

/* Whether MEMBER stands for LOCAL. */
static bool is_member(const struct frame_member *member, const struct local *local)
{
    Dwarf_Die one = member->die, other = local->type;

    return strcmp(member->name, local->name) == 0 && member->size == local->size &&
           same_local_type(&one, &other);
}

static const struct frame_locals *locals_of(const struct frame_policy *policy, bool given)
{
    return &policy->locals[policy->back == given ? FRAME_OLD : FRAME_NEW];
}

/* The member of those that POLICY gives that stands for LOCAL, or NULL. */
static const struct frame_member *given_member(const struct frame_policy *policy, const struct local *local)
{
    for (size_t i = 0; i < policy->gives.count; i++) {
        const char *word = policy->gives.items[i];
        const struct frame_member *member = frame_locals_member(locals_of(policy, true), word, strlen(word));
        if (member && is_member(member, local)) {
            return member;
        }
    }
    return NULL;
}

/* Adds where MEMBER's value is in the old frame. False: not all of it can be read. */
static bool see(struct transfer_work *work, const struct frame_policy *policy,
                const struct frame_member *member)
{
    const struct local *local = innermost(work->old->locals, policy->statement->old_type, member->name);
    uint32_t known = 0;

    for (size_t i = 0; local && is_member(member, local) && i < local->pieces.count; i++) {
        const struct local_piece *piece = &local->pieces.items[i];
        struct recipe_value value = { .to_kind = MOLT_VALUE_POLICY,
                                      .to = (int32_t)(member->offset + piece->offset),
                                      .size = piece->size,
                                      .variable = local->name };
        if (!transfer_take_piece(piece, piece->offset, piece->size, &value)) {
            return false;
        }
        LIST_ADD(&work->recipe->seen, value);
        known += piece->size;
    }
    return known && known == member->size;
}

/* Makes POLICY that of the recipe. NULL, or why it cannot be. */
static char *use(struct transfer_work *work, const struct frame_policy *policy)
{
    const struct policy_statement *statement = policy->statement;
    const struct frame_policy *before = work->recipe->policy;

    if (before) {
        return before == policy
                   ? NULL
                   : must_printf("locals of %s and of %s, which is inlined there, would both have to "
                                 "be given",
                                 before->statement->old_type, statement->old_type);
    }
    for (size_t i = 0; i < policy->sees.count; i++) {
        const char *word = policy->sees.items[i];
        const struct frame_member *member = frame_locals_member(locals_of(policy, false), word, strlen(word));
        if (!member || !see(work, policy, member)) {
            return must_printf(
                "MOLT_TRANSFER (%s:%u) reads local `%s`, which cannot be read here: the version that "
                "runs does not keep it at this call",
                policy->file->name, statement->line, word);
        }
    }
    work->recipe->policy = policy;
    return NULL;
}

/* The policy that gives LOCAL at this call, and as which member; NULL: none does. */
static const struct frame_policy *find(const struct transfer_work *work, const struct local *local,
                                       const struct frame_member **ret_member)
{
    const struct transfer_pair *pair = work->pair;
    const struct frame_policy *policy =
        frame_policy_for(pair->policies, pair->unit, pair->back, local->function, work->recipe->callee);

    *ret_member = policy && innermost(work->new->locals, local->function, local->name) == local
                      ? given_member(policy, local)
                      : NULL;
    return *ret_member ? policy : NULL;
}

bool transfer_is_given(const struct transfer_work *work, const struct local *local)
{
    const struct frame_member *member;

    return work->pair->policies && find(work, local, &member);
}

static char *give(struct transfer_work *work, const struct local *local, const struct local_piece *piece,
                  uint32_t offset, uint32_t size, bool *ret_given, struct recipe_value *ret)
{
    const struct frame_member *member;
    const struct frame_policy *policy = find(work, local, &member);

    *ret_given = member != NULL;
    if (!member) {
        return NULL;
    }
    ret->from_kind = MOLT_VALUE_POLICY;
    ret->from = member->offset + offset;
    ret->from_size = size;
    ret->variable = local->name;
    if (!transfer_subtract(ret, piece->addend)) {
        return must_printf("local `%s` is kept in the new version as something else", local->name);
    }
    return use(work, policy);
}

char *transfer_given(struct transfer_work *work, int32_t place, uint32_t size, bool *ret_given,
                     struct recipe_value *ret)
{
    *ret_given = false;
    for (size_t i = 0; work->pair->policies && i < work->new->locals->count; i++) {
        const struct local *local = &work->new->locals->items[i];
        for (size_t k = 0; k < local->pieces.count; k++) {
            const struct local_piece *piece = &local->pieces.items[k];
            bool in_register = piece->kind == LOCAL_REGISTER;
            int64_t start = in_register ? piece->value * 8 : PLACE_CFA + piece->value;
            uint32_t inside = (uint32_t)(place - start),
                     wanted = in_register && size > piece->size ? piece->size : size;
            if (piece->kind > LOCAL_SLOT || place < start || inside + (uint64_t)wanted > piece->size) {
                continue;
            }
            char *reason = give(work, local, piece, piece->offset + inside, wanted, ret_given, ret);
            if (*ret_given) {
                return reason;
            }
        }
    }
    return NULL;
}
