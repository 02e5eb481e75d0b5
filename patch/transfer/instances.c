/*
 * Locals that are instances of a type which changes, and become new ones at the commit, before their frame is
 * turned (engine/update/frame_instances.c). What was called meanwhile may have the address of one, and goes
 * on with the new instance: one that moves is led to where it is until control comes back, and then it must
 * not be known to anybody, neither by what the old code has done nor by what the new code of those who were
 * called does. So it need not be alive behind the call to be migrated; that somebody may use it now is
 * enough.
 */
#include <stdlib.h>

#include "patch/transfer/private.h"

enum local_change transfer_change(const struct transfer_work *work, const struct local *old,
                                  const struct local *new, uint32_t *ret_migration)
{
    const struct transfer_pair *pair = work->pair;

    *ret_migration = 0;
    return pair->changes && old->typed && (!new || new->typed)
               ? pair->changes(pair->changes_context, &old->type, new ? &new->type : NULL, pair->back,
                               ret_migration)
               : LOCAL_UNKNOWN;
}

bool transfer_same_type(const struct transfer_work *work, const struct local *old, const struct local *new)
{
    struct local a = *old, b = *new;
    uint32_t migration;

    return a.typed && b.typed &&
           (same_local_type(&a.type, &b.type) || transfer_change(work, old, new, &migration) == LOCAL_SAME);
}

static enum policy_part part_of(const struct transfer_pair *pair, const struct local *one,
                                const struct local *other, bool back, uint32_t offset, uint32_t size,
                                uint32_t *ret)
{
    uint64_t at = 0;
    enum policy_part part =
        pair->parts(pair->changes_context, &one->type, &other->type, back, offset, size, &at);

    *ret = part == POLICY_PART_COPIED ? (uint32_t)at : offset;
    return part;
}

enum policy_part transfer_part(const struct transfer_work *work, const struct local *old,
                               const struct local *new, uint32_t offset, uint32_t size, uint32_t *ret)
{
    uint32_t migration;

    *ret = offset;
    return transfer_same_type(work, old, new) ? POLICY_PART_COPIED
           : transfer_change(work, old, new, &migration) != LOCAL_MIGRATES
               ? POLICY_PART_UNKNOWN
               : part_of(work->pair, old, new, work->pair->back, offset, size, ret);
}

enum policy_part transfer_part_back(const struct transfer_work *work, const struct local *old,
                                    const struct local *new, uint32_t offset, uint32_t size, uint32_t *ret)
{
    uint32_t migration;

    *ret = offset;
    return transfer_same_type(work, old, new) ? POLICY_PART_COPIED
           : transfer_change(work, old, new, &migration) != LOCAL_MIGRATES
               ? POLICY_PART_UNKNOWN
               : part_of(work->pair, new, old, !work->pair->back, offset, size, ret);
}

/* Whether LOCAL is kept as a whole, and by the function itself. */
static bool is_own(const struct local *local)
{
    return local_is_whole(local) && local->pieces.items[0].value < 0;
}

/* Whether the new code may read something of LOCAL, its own, behind the call. */
static bool is_read(const struct transfer_work *work, const struct local *local)
{
    uint32_t block = work->new->code.instructions.items[work->new->at].block;

    for (size_t i = 0; i < local->pieces.count; i++) {
        const struct local_piece *piece = &local->pieces.items[i];
        if (piece->kind != LOCAL_SLOT) {
            continue;
        }
        for (int32_t at = (int32_t)piece->value; at < (int32_t)(piece->value + piece->size); at++) {
            bool direct = at >= work->direct.low && at < work->direct.high &&
                          is_live(&work->direct, block, PLACE_CFA + at);
            bool all =
                at >= work->all.low && at < work->all.high && is_live(&work->all, block, PLACE_CFA + at);
            if ((direct || all) && !version_is_idle(work->new, at)) {
                return true;
            }
        }
    }
    return false;
}

/* Whether those who go on with the new instance NEW keep its address. */
static bool is_kept_from_now_on(struct transfer_work *work, const struct local *new, uint32_t call)
{
    struct version *version = work->new;

    if (!work->pair->captures_after) {
        return true;
    }
    return address_flow_escapes(version_addresses(version, work->pair->captures_after),
                                (int32_t) new->pieces.items[0].value, new->size, call);
}

static char *add_instance(struct transfer_work *work, const struct local *old, const struct local *new,
                          uint32_t migration, bool handed, uint32_t new_call)
{
    const struct local_piece *from = &old->pieces.items[0], *to = &new->pieces.items[0];
    bool stays = from->value == to->value && old->size == new->size;

    if (!stays && handed && is_kept_from_now_on(work, new, new_call)) {
        return must_printf("local `%s` becomes another instance, and the new version keeps its address",
                           old->name);
    }
    if (from->value < -(int64_t)work->recipe->old_size || to->value < -(int64_t)work->recipe->new_size ||
        to->value + (int64_t) new->size > -8) {
        return must_printf("local `%s` is not in the frame", old->name);
    }
    transfer_add_value(work, &(struct recipe_value){ .from = from->value,
                                                     .to = (int32_t)to->value,
                                                     .to_kind = MOLT_VALUE_SLOT,
                                                     .from_kind = MOLT_VALUE_SLOT,
                                                     .size = new->size,
                                                     .from_size = old->size,
                                                     .migration = migration,
                                                     .variable = old->name });
    return NULL;
}

char *transfer_instances(struct transfer_work *work, uint32_t old_call, uint32_t new_call)
{
    char *reason = NULL;

    for (size_t i = 0; work->pair->changes && i < work->old->locals->count && !reason; i++) {
        const struct local *old = &work->old->locals->items[i];
        const struct local *new = local_counterpart(work->new->locals, work->old->locals, old);
        uint32_t migration;
        enum local_change change = transfer_change(work, old, new, &migration);
        if (change == LOCAL_SAME || change == LOCAL_UNKNOWN || (new &&transfer_is_given(work, new))) {
            continue;
        }
        work->recipe->moves =
            work->recipe->moves || local_is_whole(old); /* it has another use in the same place */
        bool handed = transfer_is_known_elsewhere(work->old, old, old_call) ||
                      transfer_past_of(work, old) != PAST_NOTHING;
        bool both = new &&change == LOCAL_MIGRATES &&is_own(old) && is_own(new);
        if (both && (handed || is_read(work, new))) {
            reason = add_instance(work, old, new, migration, handed, new_call);
        } else if (!both && handed) {
            reason = new ? must_printf("local `%s` has another type", old->name)
                         : must_printf("the type of local `%s` changes, and the new version does not have it",
                                       old->name);
        }
    }
    return reason;
}

char *transfer_check_seen(const struct recipe *recipe)
{
    for (size_t i = 0; i < recipe->seen.count; i++) {
        const struct recipe_value *seen = &recipe->seen.items[i];
        for (size_t k = 0; seen->from_kind == MOLT_VALUE_SLOT && k < recipe->values.count; k++) {
            const struct recipe_value *value = &recipe->values.items[k];
            if (value->migration && seen->from < value->from + value->from_size &&
                value->from < seen->from + seen->from_size) {
                return must_printf(
                    "MOLT_TRANSFER reads local `%s`, which becomes an instance of its new type by "
                    "itself",
                    value->variable);
            }
        }
    }
    return NULL;
}
