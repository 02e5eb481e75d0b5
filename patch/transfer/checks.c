/*
 * What forbids a recipe whatever its values are. A variable whose address somebody may have must keep its
 * place; one of which it is known that nobody has it any more when the call returns may move, if no value of
 * the frame leads there either. And the new version must not have worked out by itself, when it was compiled,
 * what a variable holds: that the version that runs has the same in it is not sure.
 */
#include <dwarf.h>

#include "patch/transfer/private.h"

bool transfer_is_known_elsewhere(const struct version *version, const struct local *local, uint32_t call)
{
    for (size_t i = 0; i < version->code.taken.count; i++) {
        const struct code_taken *taken = &version->code.taken.items[i];
        for (size_t k = 0; k < local->pieces.count; k++) {
            const struct local_piece *piece = &local->pieces.items[k];
            bool here = piece->kind == LOCAL_SLOT && taken->offset >= piece->value &&
                        taken->offset <= piece->value + (int64_t)piece->size;
            bool any = piece->kind == LOCAL_SLOT && (version->wild || version->loose);
            if ((here || any) && code_reaches(&version->code, taken->at, call)) {
                return true;
            }
        }
    }
    return false;
}

/* Whether nobody has the address of LOCAL when CALL returns, though it was taken. */
static bool may_move(struct transfer_work *work, const struct local *local, uint32_t call)
{
    if (!work->captures) {
        return false;
    }
    const struct address_flow *addresses = version_addresses(work->old, work->captures);
    for (size_t i = 0; i < local->pieces.count; i++) {
        const struct local_piece *piece = &local->pieces.items[i];
        if (piece->kind == LOCAL_SLOT &&
            address_flow_escapes(addresses, (int32_t)piece->value, piece->size, call)) {
            return false;
        }
    }
    return true;
}

/* Whether OLD is in the same places as NEW, the same variable of the new version or NULL. */
static bool stays(const struct local *old, const struct local *new)
{
    bool same = new &&new->pieces.count == old->pieces.count;

    for (size_t k = 0; same && k < old->pieces.count; k++) {
        const struct local_piece *a = &old->pieces.items[k], *b = &new->pieces.items[k];
        same = a->kind == b->kind && a->offset == b->offset && a->size == b->size &&
               (a->kind != LOCAL_SLOT || a->value == b->value);
    }
    return same;
}

/* Objects that others may know the address of must have the same place. */
static char *check_addresses(struct transfer_work *work, uint32_t call)
{
    for (size_t i = 0; i < work->old->locals->count; i++) {
        const struct local *old = &work->old->locals->items[i];
        const struct local *new = local_counterpart(work->new->locals, work->old->locals, old);
        bool known = transfer_is_known_elsewhere(work->old, old, call);
        if (stays(old, new)) {
            continue;
        }
        work->recipe->moves = work->recipe->moves || local_is_whole(old);
        if (!known && !work->past.count) {
            continue;
        }
        enum past past = transfer_past_of(work, old);
        if (past == PAST_KEPT) {
            return must_printf("the address of local `%s` may be known to somebody since before an earlier "
                               "update, and the new version %s",
                               old->name, new ? "keeps it elsewhere" : "does not have it");
        }
        if (known && !may_move(work, old, call)) {
            return must_printf("the address of local `%s` is taken, and the new version %s", old->name,
                               new ? "keeps it elsewhere" : "does not have it");
        }
        work->recipe->moves_taken = work->recipe->moves_taken || known || past == PAST_TAKEN;
    }
    return NULL;
}

/* A part of a variable that the new version has turned into a number, which the running one does not surely
 * have in it. */
static char *check_constants(const struct transfer_work *work)
{
    for (size_t i = 0; i < work->new->locals->count; i++) {
        const struct local *new = &work->new->locals->items[i];
        const struct local *old = local_counterpart(work->old->locals, work->new->locals, new);
        for (size_t k = 0; old && k < new->pieces.count; k++) {
            const struct local_piece *piece = &new->pieces.items[k], *now = NULL;
            uint32_t offset;
            enum policy_part part = transfer_part(work, old, new, piece->offset, piece->size, &offset);
            if (part == POLICY_PART_NEW) {
                continue;
            }
            now = local_piece_of(old, offset, piece->size);
            if (piece->kind == LOCAL_CONSTANT &&
                (!now || now->kind != LOCAL_CONSTANT || now->value != piece->value)) {
                return must_printf("local `%s` is the number %lld in the new version, whatever it is now",
                                   new->name, (long long)piece->value);
            }
        }
    }
    return NULL;
}

/* Compilers are silent about floating-point variables that they have found to be constant. */
static bool may_be_silent(const struct local *local)
{
    Dwarf_Die type = local->type;
    bool is_signed;

    return local->typed && !local_is_integer(&type, &is_signed) && dwarf_tag(&type) != DW_TAG_pointer_type;
}

/* A variable that the running version keeps, and the new one works out from what it may not be made of now.
 */
static char *check_kept(const struct transfer_work *work)
{
    for (size_t i = 0; i < work->old->locals->count; i++) {
        const struct local *old = &work->old->locals->items[i];
        const struct local *new = local_counterpart(work->new->locals, work->old->locals, old);
        for (size_t k = 0; new &&k < old->pieces.count; k++) {
            const struct local_piece *piece = &old->pieces.items[k];
            uint32_t offset;
            if (transfer_part_back(work, old, new, piece->offset, piece->size, &offset) == POLICY_PART_NEW) {
                continue;
            }
            const struct local_piece *next = local_piece_of(new, offset, piece->size ? 1 : 0);
            bool is_kept = piece->kind == LOCAL_SLOT || piece->kind == LOCAL_CONSTANT ||
                           (piece->kind == LOCAL_REGISTER && register_is_preserved((unsigned)piece->value));
            if (is_kept && (next ? next->kind == LOCAL_COMPUTED : may_be_silent(new))) {
                return must_printf("local `%s` is %s in the new version, perhaps to another value", old->name,
                                   next ? "computed anew" : "optimised out");
            }
        }
    }
    return NULL;
}

char *transfer_check_locals(struct transfer_work *work, uint32_t old_call)
{
    char *reason = check_addresses(work, old_call);

    reason = reason ? reason : check_constants(work);
    return reason ? reason : check_kept(work);
}

/* Whether register NUMBER may hold an address in the old frame when the call returns, and the new code reads
 * it. */
static bool returns_address(struct transfer_work *work, struct address_flow *addresses, unsigned number)
{
    return version_reads(work->new, number) &&
           (address_flow_has(addresses, work->old->at, (int32_t)number * 8, 8) ||
            transfer_returned_before(work, code_callee(&work->old->code, work->old->at - 1)));
}

/* Whether VALUE may lead to what is in the old frame. */
static bool leads_into_frame(struct transfer_work *work, struct address_flow *addresses,
                             const struct recipe_value *value)
{
    bool in_slot = value->from_kind == MOLT_VALUE_SLOT;
    int32_t place = in_slot ? PLACE_CFA + (int32_t)value->from : (int32_t)value->from * 8;

    return (in_slot || value->from_kind == MOLT_VALUE_REGISTER) &&
           (address_flow_has(addresses, work->old->at, place, in_slot ? value->from_size : 8) ||
            (value->variable && transfer_led_before(work, value->variable)));
}

char *transfer_check_values(struct transfer_work *work, const struct recipe *recipe)
{
    if (!recipe->moves_taken) {
        return NULL;
    }
    struct address_flow *addresses = version_addresses(work->old, work->captures);
    if (returns_address(work, addresses, RAX) || returns_address(work, addresses, RDX)) {
        return must_strdup(
            "the call returns an address in the frame, and the new version keeps locals elsewhere");
    }
    for (size_t i = 0; i < recipe->values.count; i++) {
        const struct recipe_value *value = &recipe->values.items[i];
        if (leads_into_frame(work, addresses, value)) {
            return value->variable
                       ? must_printf("local `%s` may lead to a local that the new version keeps elsewhere",
                                     value->variable)
                       : must_strdup("a temporary may lead to a local that the new version keeps elsewhere");
        }
    }
    return NULL;
}
