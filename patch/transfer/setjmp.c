/*
 * Functions that call setjmp. By longjmp control comes back to behind that call from any call made since, so
 * the blocks are linked that way, too: memory of the frame is what it is at that moment, registers are what
 * they were when setjmp was called.
 *
 * Whoever waits in such a function may be left by longjmp in two states. As long as its frame is the old
 * one, that is turned by the recipe of setjmp's own call. Once it was turned by another recipe, a jmp_buf
 * from before still has the registers of the old version: these are made those of the new one by the same
 * recipe, and the frame is not touched. So that recipe must not take a register from the old frame, all other
 * recipes must fill what is read behind setjmp, too, and the frames must have about the same size, since the
 * jmp_buf has the old version's stack pointer.
 */
#include <stdlib.h>
#include <string.h>

#include "patch/transfer/private.h"

bool version_calls_setjmp(const struct version *version, uint32_t call)
{
    static const char *const names[] = { "setjmp", "_setjmp", "sigsetjmp", "__sigsetjmp" };
    const struct code *code = &version->code;
    const char *callee = code_comes_back(code, call) ? code_callee(code, call) : "";

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(callee, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

void version_link_longjmps(struct version *version)
{
    for (uint32_t i = 0; i < version->code.instructions.count; i++) {
        if (version_calls_setjmp(version, i)) {
            LIST_ADD(&version->setjmps, i);
        }
    }
    for (size_t i = 0; i < version->setjmps.count; i++) {
        code_link_longjmps(&version->code, version->setjmps.items[i]);
    }
}

bool transfer_is_live_behind_setjmp(const struct transfer_work *work, const struct liveness *liveness,
                                    int32_t place)
{
    const struct version *new = work->new;

    for (size_t i = 0; i < new->setjmps.count; i++) {
        if (is_live(liveness, new->code.instructions.items[new->setjmps.items[i] + 1].block, place)) {
            return true;
        }
    }
    return false;
}

/* VALUE of a recipe of setjmp's call. NULL, or why it cannot be there: owned by the caller. */
static char *check_value(const struct recipe_value *value)
{
    const char *name = value->variable ? value->variable : "a temporary";

    if (value->to_kind == MOLT_VALUE_REGISTER && value->from_kind == MOLT_VALUE_SLOT) {
        return must_printf("what the new version has in %s when setjmp returns, the running one keeps in its "
                           "frame",
                           register_name((unsigned)value->to));
    }
    if (value->from_kind == MOLT_VALUE_POLICY) {
        return must_printf("local `%s` is given by MOLT_TRANSFER, which longjmp passes by", name);
    }
    if (value->migration && (value->from != value->to || value->size != value->from_size)) {
        return must_printf("local `%s` is migrated to another place, which longjmp passes by", name);
    }
    return NULL;
}

char *transfer_check_setjmp(const struct recipe *recipe)
{
    int64_t grows = (int64_t)recipe->new_size - recipe->old_size;
    char *reason = NULL;

    if (!recipe->new_size) {
        return must_strdup("its frame has no fixed size");
    }
    if (grows > MOLT_JUMP_GROWS || -grows > MOLT_JUMP_SHRINKS) {
        return must_printf(
            "its frame has %u bytes there, and %u in the new version: a jmp_buf has the old stack "
            "pointer, which serves frames that are at most %d larger or %d smaller",
            recipe->old_size, recipe->new_size, MOLT_JUMP_GROWS, MOLT_JUMP_SHRINKS);
    }
    for (size_t i = 0; i < recipe->values.count && !reason; i++) {
        reason = check_value(&recipe->values.items[i]);
    }
    return reason;
}

/* Of the COUNT recipes at ITEMS, all of one function: those of calls that a jmp_buf may be in use at. */
void transfer_need_setjmps(struct recipe *items, size_t count)
{
    const struct recipe *missing = NULL;

    for (size_t i = 0; i < count; i++) {
        missing = !missing && items[i].is_setjmp && items[i].reason ? &items[i] : missing;
    }
    for (size_t i = 0; i < count && missing; i++) {
        struct recipe *each = &items[i];
        if (!each->reason) {
            each->reason =
                must_printf("longjmp may come back to the call of %s in line %u, where it cannot go "
                            "on in the new version: %s",
                            missing->callee, missing->line, missing->reason);
            each->policy = NULL;
            LIST_FREE(&each->values);
            LIST_FREE(&each->seen);
        }
    }
}
