/*
 * Recipes, call by call. What the new code reads behind a call is found in its machine code; each of these
 * places gets its value from the old frame (transfer/sources.c). What a register held when the function was
 * entered must be found again even if the new code never reads it, since the caller wants it back and
 * unwinders look for it.
 */
#include "patch/transfer/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "patch/transfer/private.h"

#define ADDRESS 8

void transfer_side_init(struct transfer_side *side, struct object *object)
{
    side->object = object;
    code_index_init(&side->index, object_dwarf(object));
    side->clobbers = clobbers_create(object);
}

void transfer_side_deinit(struct transfer_side *side)
{
    code_index_deinit(&side->index);
    clobbers_destroy(side->clobbers);
}

void transfer_pair_init(struct transfer_pair *pair, const struct transfer_side *old,
                        const struct transfer_side *new, same_line *lines, void *lines_context,
                        const struct comparison *comparison)
{
    *pair = (struct transfer_pair){
        .old = old, .new = new, .lines = lines, .lines_context = lines_context, .comparison = comparison
    };
    moved_members_init(&pair->members, object_dwarf(old->object), object_dwarf(new->object));
}

void transfer_pair_deinit(struct transfer_pair *pair)
{
    moved_members_deinit(&pair->members);
}

void recipes_free(recipe_list *recipes)
{
    for (size_t i = 0; i < recipes->count; i++) {
        free(recipes->items[i].reason);
        LIST_FREE(&recipes->items[i].values);
        LIST_FREE(&recipes->items[i].seen);
    }
    LIST_FREE(recipes);
}

/* Where PLACE stands in what is noted of a frame; NO_OFFSET: it is no part of it. */
static int32_t covered_index(const struct covered *covered, int32_t place)
{
    int32_t index = place_in_frame(place) ? PLACE_FLAGS + place - PLACE_CFA + covered->size : place;

    return index < 0 || index >= PLACE_FLAGS + covered->size ? NO_OFFSET : index;
}

static bool has_value(const struct transfer_work *work, int32_t place)
{
    int32_t index = covered_index(&work->covered, place);

    return index != NO_OFFSET && work->covered.bytes[index];
}

static void cover(struct transfer_work *work, int32_t place, uint32_t size)
{
    for (int32_t i = place; i < place + (int32_t)size; i++) {
        int32_t index = covered_index(&work->covered, i);
        if (index != NO_OFFSET) {
            work->covered.bytes[index] = true;
        }
    }
}

static void covered_reset(struct covered *covered, int32_t size)
{
    if (!covered->bytes || size > covered->room) { /* frames that stay have no size */
        free(covered->bytes);
        covered->bytes = must_calloc(PLACE_FLAGS + (size_t)size, sizeof(bool));
        covered->room = size;
    }
    covered->size = size;
    memset(covered->bytes, false, PLACE_FLAGS + (size_t)size);
}

void transfer_add_value(struct transfer_work *work, const struct recipe_value *value)
{
    LIST_ADD(&work->recipe->values, *value);
    cover(work, value->to_kind == MOLT_VALUE_SLOT ? PLACE_CFA + value->to : value->to * ADDRESS, value->size);
}

/* Adds the value of SIZE bytes at PLACE. */
static char *add_value(struct transfer_work *work, struct recipe *recipe, int32_t place, uint32_t size)
{
    bool in_frame = place_in_frame(place);
    struct recipe_value value = {
        .to = in_frame ? place - PLACE_CFA : place / ADDRESS,
        .to_kind = in_frame ? MOLT_VALUE_SLOT : MOLT_VALUE_REGISTER,
        .size = in_frame ? size : ADDRESS,
    };
    char *reason = transfer_source(work, place, size, &value);

    if (!reason && value.from_kind == MOLT_VALUE_SLOT && value.from < -(int32_t)recipe->old_size) {
        reason = must_printf(
            "a value would come from below the frame (at CFA%+d): nobody keeps that during a call",
            (int)value.from);
    }
    if (!reason) {
        transfer_add_value(work, &value);
    }
    return reason;
}

static char *add_vectors(struct transfer_work *work, uint32_t old_call, uint32_t new_call)
{
    uint32_t block = work->new->code.instructions.items[work->new->at].block;
    char *reason = NULL;

    for (unsigned i = 0; i < VECTORS && !reason; i++) {
        if (is_live(&work->direct, block, PLACE_VECTOR + (int32_t)i)) {
            reason = transfer_check_relied(work, old_call, new_call, REGISTERS + i, 1);
        }
    }
    return reason;
}

/* How many bytes of register NUMBER the new code reads, as 0, 1, 2, 4 or 8. */
static uint32_t live_bytes(const struct transfer_work *work, unsigned number)
{
    uint32_t block = work->new->code.instructions.items[work->new->at].block, size = 0;

    for (uint32_t k = 0; k < ADDRESS; k++) {
        size = is_live(&work->direct, block, (int32_t)(number * ADDRESS + k)) ? k + 1 : size;
    }
    return size <= 2 ? size : size <= 4 ? 4 : ADDRESS;
}

static char *add_registers(struct transfer_work *work, struct recipe *recipe, uint32_t old_call,
                           uint32_t new_call)
{
    char *reason = NULL;

    for (unsigned i = 0; i < REGISTERS && !reason; i++) {
        uint32_t size = live_bytes(work, i);
        if (!size || i == RSP) {
            continue;
        }
        reason = register_is_preserved(i) ? add_value(work, recipe, (int32_t)i * ADDRESS, size)
                                          : transfer_check_relied(work, old_call, new_call, i, size);
    }
    return reason ? reason : add_vectors(work, old_call, new_call);
}

/* What nobody has described, and both versions use alike: it is where it was. */
static void keep_bytes(struct transfer_work *work, struct recipe *recipe, int32_t offset, uint32_t size)
{
    struct recipe_value *last = recipe->values.count ? &recipe->values.items[recipe->values.count - 1] : NULL;

    cover(work, PLACE_CFA + offset, size);
    if (last && last->to_kind == MOLT_VALUE_SLOT && last->from_kind == MOLT_VALUE_SLOT && !last->variable &&
        last->from == last->to && last->size == last->from_size && last->to + (int32_t)last->size == offset) {
        last->size += size;
        last->from_size += size;
        return;
    }
    LIST_ADD(&recipe->values, (struct recipe_value){ .from = offset,
                                                     .to = offset,
                                                     .to_kind = MOLT_VALUE_SLOT,
                                                     .from_kind = MOLT_VALUE_SLOT,
                                                     .size = size,
                                                     .from_size = size });
}

/* The rest of the piece of a variable that OFFSET lies in; else what is accessed there as one. */
static char *add_slot(struct transfer_work *work, struct recipe *recipe, int32_t offset, bool direct)
{
    const struct local_piece *piece = NULL;
    const struct local *local = local_at(work->new->locals, PLACE_CFA + offset, &piece);

    if (local) {
        return add_value(work, recipe, PLACE_CFA + offset, (uint32_t)(piece->value + piece->size - offset));
    }
    uint32_t unit = direct ? version_unit_at(work->new, offset) : 1;
    char *reason =
        direct ? add_value(work, recipe, PLACE_CFA + offset, unit)
               : must_printf("an object without a name on the stack (at CFA%+d) may be in use", offset);
    if (reason && offset >= -(int32_t)recipe->old_size && transfer_is_kept(work, offset, unit)) {
        free(reason);
        reason = NULL;
        keep_bytes(work, recipe, offset, unit);
    }
    return reason;
}

static bool is_written(const struct code *code, int32_t place)
{
    for (size_t i = 0; i < code->touches.count; i++) {
        const struct code_touch *touch = &code->touches.items[i];
        if (touch->written && place >= touch->place && place < touch->place + (int32_t)touch->size) {
            return true;
        }
    }
    return false;
}

/* Whether OLD, an argument on the stack whose byte INSIDE the new version has at PLACE still, may have got
 * another value since it was passed, which the old version keeps elsewhere. */
static bool may_have_changed(struct transfer_work *work, const struct local *old, uint32_t inside,
                             int32_t place)
{
    const struct local_piece *piece = old ? local_piece_of(old, inside, 1) : NULL;

    if (!piece) {
        return false;
    }
    bool in_register = piece->kind == LOCAL_REGISTER && piece->value < REGISTERS && !piece->addend;
    int32_t now = (in_register ? (int32_t)piece->value * ADDRESS : PLACE_CFA + (int32_t)piece->value) +
                  (int32_t)(inside - piece->offset);
    return !(in_register || piece->kind == LOCAL_SLOT) ||
           match_finds(&work->match, work->new->at, place, work->old->at, &now, 1, 1) != 0;
}

/* Arguments that the caller has left above the frame stay there: the new version must mean the same by that
 * place. If neither version writes there, it does. */
static char *check_argument(struct transfer_work *work, int32_t offset)
{
    const struct local_piece *piece = NULL, *other;
    const struct local *local = local_at(work->new->locals, PLACE_CFA + offset, &piece);
    const struct local *old = local ? local_counterpart(work->old->locals, work->new->locals, local) : NULL;
    int32_t place = PLACE_CFA + offset;

    bool same = old && local_at(work->old->locals, place, &other) == old && other->value == piece->value &&
                other->offset == piece->offset;
    if (same) {
        return transfer_same_type(work, old, local)
                   ? NULL
                   : must_printf("argument `%s`, on the stack, has another type", local->name);
    }
    if (local && may_have_changed(work, old, piece->offset + (uint32_t)(offset - piece->value), place)) {
        return must_printf("argument `%s` is read where it was passed, on the stack, and may have another "
                           "value by now",
                           local->name);
    }
    bool as_passed = work->match.same_parameters && !is_written(&work->old->code, place) &&
                     !is_written(&work->new->code, place);
    if (as_passed || match_finds(&work->match, work->new->at, place, work->old->at, &place, 1, 1) == 0) {
        return NULL;
    }
    return must_printf("an argument on the stack (at CFA%+d) is used otherwise in the new version", offset);
}

/* Whether the new code reads PLACE from BLOCK on, or when longjmp comes back. */
static bool is_needed(const struct transfer_work *work, const struct liveness *liveness, uint32_t block,
                      int32_t place)
{
    return is_live(liveness, block, place) || transfer_is_live_behind_setjmp(work, liveness, place);
}

static char *add_frame(struct transfer_work *work, struct recipe *recipe)
{
    uint32_t block = work->new->code.instructions.items[work->new->at].block;
    int32_t low = work->all.low > -(int32_t)recipe->new_size ? work->all.low : -(int32_t)recipe->new_size;

    for (int32_t offset = low; offset < work->all.high; offset++) {
        int32_t place = PLACE_CFA + offset;
        bool direct = offset >= work->direct.low && offset < work->direct.high &&
                      is_needed(work, &work->direct, block, place);
        if ((!direct && !is_needed(work, &work->all, block, place)) || has_value(work, place)) {
            continue;
        }
        if (offset >= -ADDRESS && offset < 0) {
            continue; /* the return address */
        }
        if (version_is_idle(work->new, offset)) {
            continue;
        }
        if (offset >= 0) {
            char *reason = check_argument(work, offset);
            if (reason) {
                return reason;
            }
            continue;
        }
        char *reason = add_slot(work, recipe, offset, direct);
        if (reason) {
            return reason;
        }
    }
    return NULL;
}

/* Slots and registers that hold what a register held on entry, though this code may never restore it:
 * unwinders do. */
static void add_saved(struct transfer_work *work, struct recipe *recipe)
{
    const struct code *code = &work->new->code;

    for (uint32_t i = 0; i < work->new->slots.count + REGISTERS; i++) {
        bool is_register = i < REGISTERS;
        const struct frame_slot *slot = is_register ? NULL : &work->new->slots.items[i - REGISTERS];
        int32_t place = is_register ? (int32_t)i * ADDRESS : slot->place, entry = 0;
        bool counts = is_register ? register_is_preserved(i)
                                  : slot->size == ADDRESS && place < PLACE_CFA - ADDRESS &&
                                        place >= PLACE_CFA - (int32_t)recipe->new_size;
        if (!counts || has_value(work, place) ||
            code_origin(code, work->new->at, place, ADDRESS, &entry) != NO_INSTRUCTION || entry <= 0 ||
            !register_is_preserved(place_register(entry))) {
            continue;
        }
        char *reason = add_value(work, recipe, place, ADDRESS);
        if (reason && is_register) { /* nobody has it any more: nobody wants it */
            free(reason);
            continue;
        }
        free(reason);
    }
}

/* Variables that the new code reads no more, but is said to keep: a later update may lead to code that reads
 * them, so they go along where they can. */
static void add_described(struct transfer_work *work, struct recipe *recipe)
{
    for (size_t i = 0; i < work->new->locals->count; i++) {
        const struct local *local = &work->new->locals->items[i];
        const struct local *old = local_counterpart(work->old->locals, work->new->locals, local);
        for (size_t k = 0; old && old->pieces.count && k < local->pieces.count; k++) {
            const struct local_piece *piece = &local->pieces.items[k];
            bool in_register = piece->kind == LOCAL_REGISTER;
            int32_t start = in_register ? (int32_t)piece->value * ADDRESS : PLACE_CFA + (int32_t)piece->value;
            bool is_own = in_register
                              ? piece->value < REGISTERS && register_is_preserved((unsigned)piece->value)
                              : piece->kind == LOCAL_SLOT && piece->value >= -(int64_t)recipe->new_size &&
                                    piece->value + (int64_t)piece->size <= -ADDRESS;
            for (uint32_t done = 0, end; is_own && done < piece->size; done = end) {
                bool known = has_value(work, start + (int32_t)done);
                for (end = done + 1; end < piece->size; end++) {
                    if (has_value(work, start + (int32_t)end) != known) {
                        break;
                    }
                }
                if (!known && (!in_register || done == 0)) {
                    free(add_value(work, recipe, start + (int32_t)done, end - done));
                }
            }
        }
    }
}

/* How large the two frames are. NULL, or why that is not known. */
static char *measure_frames(struct transfer_work *work, struct recipe *recipe, uint32_t old_call,
                            uint32_t new_call, bool stays)
{
    char *reason = NULL;

    if (stays) {
        reason = transfer_prepare_to_stay(work, old_call, new_call);
    } else {
        recipe->old_size = (uint32_t)-work->old->code.instructions.items[old_call + 1].stack;
        recipe->new_size = (uint32_t)-work->new->code.instructions.items[new_call + 1].stack;
    }
    if (!reason) {
        covered_reset(&work->covered, (int32_t)recipe->new_size);
    }
    return reason;
}

static char *work_out(struct transfer_work *work, struct recipe *recipe, uint32_t old_call, uint32_t new_call)
{
    uint64_t call = work->new->code.instructions.items[new_call].address;
    bool stays = transfer_stays(work, old_call, new_call);

    work->recipe = recipe;
    recipe->new_place = work->new->code.instructions.items[new_call + 1].address;
    char *reason = measure_frames(work, recipe, old_call, new_call, stays);
    if (reason) {
        return reason;
    }
    work->old->at = old_call + 1;
    work->new->at = new_call + 1;
    work->old->locals = version_locals(work->old, old_call);
    work->new->locals = version_locals(work->new, new_call);
    version_enter(work->new, call);
    reason = transfer_check_locals(work, old_call);
    reason = reason ? reason : transfer_instances(work, old_call, new_call);
    reason = reason ? reason : add_registers(work, recipe, old_call, new_call);
    reason = reason ? reason : add_frame(work, recipe);
    reason = reason ? reason : transfer_check_seen(recipe);
    if (!reason) {
        add_saved(work, recipe);
        add_described(work, recipe);
        reason = transfer_check_values(work, recipe);
    }
    if (!reason && stays) {
        reason = transfer_stay(work);
    }
    return !reason && recipe->is_setjmp ? transfer_check_setjmp(recipe) : reason;
}

/* What was found missing last need not be why there is no recipe. */
static void forget_other_gap(struct recipe *recipe)
{
    char *words = must_printf("local `%s`", recipe->gap.local ? recipe->gap.local : "");

    if (!recipe->reason || !recipe->gap.function || strncmp(recipe->reason, words, strlen(words)) != 0) {
        recipe->gap = (struct recipe_gap){ 0 };
    }
    free(words);
}

static void add_recipes(struct transfer_work *work, const struct code_index *old_index,
                        const struct code_index *new_index, recipe_list *ret)
{
    const struct code *old = &work->old->code;
    uint32_t *pairs = transfer_match_calls(work, old_index, new_index);
    size_t first = ret->count;

    for (uint32_t i = 0; i < old->instructions.count; i++) {
        const struct code_instruction *call = &old->instructions.items[i];
        if (!code_comes_back(old, i)) {
            continue;
        }
        struct recipe recipe = { .old_place = call[1].address,
                                 .callee = code_callee(old, i),
                                 .line = call->line,
                                 .is_setjmp = version_calls_setjmp(work->old, i) };
        recipe.reason = pairs[i] == NO_INSTRUCTION
                            ? must_strdup("no call in the new version is surely the same")
                            : work_out(work, &recipe, i, pairs[i]);
        if (recipe.reason) {
            recipe.policy = NULL;
            LIST_FREE(&recipe.values);
            LIST_FREE(&recipe.seen);
        }
        forget_other_gap(&recipe);
        LIST_ADD(ret, recipe);
    }
    transfer_need_setjmps(ret->items + first, ret->count - first);
    free(pairs);
}

/* The calls from which control comes back, where one of the versions has a problem: for each the same reason.
 */
static void add_refusals(const struct transfer_work *work, recipe_list *ret)
{
    const struct code *old = &work->old->code;
    const char *problem = old->problem ? old->problem : work->new->code.problem;

    for (uint32_t i = 0; i + 1 < old->instructions.count; i++) {
        const struct code_instruction *call = &old->instructions.items[i];
        if ((call->flags & (CODE_CALL | CODE_ENDS)) == CODE_CALL &&
            call[1].address == call->address + call->length) {
            struct recipe recipe = { .old_place = call[1].address,
                                     .callee = code_callee(old, i),
                                     .line = call->line };
            recipe.reason = must_printf("the %s version %s", old->problem ? "running" : "new", problem);
            LIST_ADD(ret, recipe);
        }
    }
}

/* Adds the recipes from one version, SYMBOL, to the other. */
static void add_direction(const struct transfer_pair *pair, const struct object_symbol *symbol,
                          struct version *old, struct version *new, bool same_parameters, recipe_list *ret)
{
    struct transfer_work work = { .old = old, .new = new, .captures = pair->captures, .pair = pair };

    if (old->code.problem || new->code.problem) {
        add_refusals(&work, ret);
        return;
    }
    match_init(&work.match, &old->code, &new->code, pair->lines, pair->lines_context);
    work.match.members = &pair->members;
    work.match.comparison = pair->comparison;
    work.match.same_parameters = same_parameters;
    liveness_init(&work.direct, &new->code, NULL, 0);
    liveness_init(&work.all, &new->code, new->escaped.items, new->escaped.count);
    transfer_find_past(&work, symbol);
    add_recipes(&work, &pair->old->index, &pair->new->index, ret);
    transfer_forget_past(&work);
    liveness_deinit(&work.direct);
    liveness_deinit(&work.all);
    kept_deinit(&work.kept);
    free(work.covered.bytes);
    match_deinit(&work.match);
}

void transfer_function(const struct transfer_pair *forward, const struct transfer_pair *back,
                       const struct object_symbol *old_symbol, const struct object_symbol *new_symbol,
                       recipe_list *ret_forward, recipe_list *ret_back)
{
    struct version old, new;
    bool same_parameters = false;

    version_init(&old, forward->old, old_symbol);
    version_init(&new, forward->new, new_symbol);
    if (!old.code.problem && !new.code.problem) {
        char *old_parameters = parameters_text(&old.debug), *new_parameters = parameters_text(&new.debug);
        same_parameters = strcmp(old_parameters, new_parameters) == 0;
        free(old_parameters);
        free(new_parameters);
    }
    add_direction(forward, old_symbol, &old, &new, same_parameters, ret_forward);
    if (back) {
        add_direction(back, new_symbol, &new, &old, same_parameters, ret_back);
    }
    version_deinit(&old);
    version_deinit(&new);
}
