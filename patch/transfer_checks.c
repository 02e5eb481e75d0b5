/*
 * What forbids a recipe whatever its values are. A variable whose address somebody may have must keep its place. And the new
 * version must not have worked out by itself, when it was compiled, what a variable holds: that the version that runs has the same in it is not sure.
 */
#include <dwarf.h>

#include "patch/transfer_private.h"

/* Whether somebody may have an address inside OBJECT when the call CALL returns. */
static bool is_known_elsewhere(const struct version *version, const struct local *local, uint32_t call)
{
    for (size_t i = 0; i < version->code.taken.count; i++) {
        const struct code_taken *taken = &version->code.taken.items[i];
        for (size_t k = 0; k < local->pieces.count; k++) {
            const struct local_piece *piece = &local->pieces.items[k];
            bool here = piece->kind == LOCAL_SLOT && taken->offset >= piece->value &&
                        taken->offset <= piece->value + (int64_t)piece->size;
            bool any = piece->kind == LOCAL_SLOT && version->wild;
            if ((here || any) && code_reaches(&version->code, taken->at, call)) {
                return true;
            }
        }
    }
    return false;
}

/* Objects that others may know the address of must have the same place. */
static char *check_addresses(const struct transfer_work *work, uint32_t call)
{
    for (size_t i = 0; i < work->old.locals.count; i++) {
        const struct local *old = &work->old.locals.items[i];
        if (!is_known_elsewhere(&work->old, old, call)) {
            continue;
        }
        const struct local *new = local_counterpart(&work->new.locals, &work->old.locals, old);
        bool stays = new != NULL &&new->pieces.count == old->pieces.count;
        for (size_t k = 0; stays && k < old->pieces.count; k++) {
            const struct local_piece *a = &old->pieces.items[k], *b = &new->pieces.items[k];
            stays = a->kind == b->kind && a->offset == b->offset && a->size == b->size &&
                    (a->kind != LOCAL_SLOT || a->value == b->value);
        }
        if (!stays) {
            return new ? must_printf(
                             "the address of local `%s` is taken, and the new version keeps it elsewhere",
                             old->name)
                       : must_printf(
                             "the address of local `%s` is taken, and the new version does not have it",
                             old->name);
        }
    }
    return NULL;
}

/* A part of a variable that the new version has turned into a number, which the running one does not surely have in it. */
static char *check_constants(const struct transfer_work *work)
{
    for (size_t i = 0; i < work->new.locals.count; i++) {
        const struct local *new = &work->new.locals.items[i];
        const struct local *old = local_counterpart(&work->old.locals, &work->new.locals, new);
        for (size_t k = 0; old && k < new->pieces.count; k++) {
            const struct local_piece *piece = &new->pieces.items[k];
            const struct local_piece *now = local_piece_of(old, piece->offset, piece->size);
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

/* A variable that the running version keeps, and the new one works out from what it may not be made of now. */
static char *check_kept(const struct transfer_work *work)
{
    for (size_t i = 0; i < work->old.locals.count; i++) {
        const struct local *old = &work->old.locals.items[i];
        const struct local *new = local_counterpart(&work->new.locals, &work->old.locals, old);
        for (size_t k = 0; new &&k < old->pieces.count; k++) {
            const struct local_piece *piece = &old->pieces.items[k];
            const struct local_piece *next = local_piece_of(new, piece->offset, 1);
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

char *transfer_check_locals(const struct transfer_work *work, uint32_t old_call)
{
    char *reason = check_addresses(work, old_call);

    reason = reason ? reason : check_constants(work);
    return reason ? reason : check_kept(work);
}
