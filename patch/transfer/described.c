/*
 * Values by what the debug information says: a place of the new frame that holds a variable gets it from
 * where the old version keeps the variable of the same name and scope.
 */
#include <stdlib.h>

#include "patch/transfer/private.h"

bool transfer_take_piece(const struct local_piece *piece, uint32_t offset, uint32_t size,
                         struct recipe_value *ret)
{
    uint32_t inside = offset - piece->offset;

    switch (piece->kind) {
    case LOCAL_REGISTER:
        ret->from_kind = MOLT_VALUE_REGISTER;
        ret->from = piece->value;
        ret->from_size = size;
        ret->addend = piece->addend;
        return !inside && piece->value < REGISTERS && register_is_preserved(piece->value) && size <= 8;
    case LOCAL_SLOT:
        ret->from_kind = MOLT_VALUE_SLOT;
        ret->from = piece->value + inside;
        ret->from_size = size;
        return true;
    case LOCAL_CONSTANT:
        ret->from_kind = MOLT_VALUE_CONSTANT;
        ret->from = piece->value;
        return !inside && size <= 8;
    case LOCAL_FRAME: /* the address of a local: whether it may move is judged for all of them */
    case LOCAL_ENTERED:
    case LOCAL_COMPUTED:
        break;
    }
    return false;
}

/* What is read of a variable may be wider in the new version. */
static bool widens(const struct local *old, const struct local *new, uint32_t size, bool *ret_signed)
{
    struct local a = *old, b = *new;
    bool new_signed;

    return a.typed && b.typed && local_is_integer(&a.type, ret_signed) &&
           local_is_integer(&b.type, &new_signed) && a.size < b.size && size == b.size &&
           (!*ret_signed || new_signed);
}

/* The value of LOCAL, a variable of the new version, SIZE bytes at OFFSET of it. */
static char *from_local(const struct transfer_work *work, const struct local *local, uint32_t offset,
                        uint32_t size, unsigned *ret_problem, struct recipe_value *ret)
{
    const struct local *old = local_counterpart(work->old->locals, work->new->locals, local);
    bool is_signed = false;

    *ret_problem = 0;
    if (!old) {
        *ret_problem = PROBLEM_NEW;
        return must_printf("local `%s` is alive and new, or cannot be told from another of the name",
                           local->name);
    }
    enum policy_part part = transfer_part(work, old, local, offset, size, &offset);
    if (part == POLICY_PART_NEW && size <= sizeof(ret->from)) { /* of an instance that is taken apart */
        ret->from_kind = MOLT_VALUE_CONSTANT;
        ret->from = 0;
        ret->from_size = size;
        return NULL;
    }
    if (part != POLICY_PART_COPIED) {
        if (offset || transfer_is_given(work, local) || !widens(old, local, size, &is_signed)) {
            *ret_problem = PROBLEM_TYPE;
            return must_printf("local `%s` has another type", local->name);
        }
        size = old->size;
    }
    if (version_is_unset(work->old, old) && !version_is_unset(work->new, local)) {
        *ret_problem = PROBLEM_LOST;
        return must_printf("local `%s` is alive and has no value yet in the version that runs", local->name);
    }
    const struct local_piece *piece = local_piece_of(old, offset, size);
    if (piece && transfer_take_piece(piece, offset, size, ret)) {
        ret->is_signed = is_signed;
        return NULL;
    }
    *ret_problem = PROBLEM_LOST;
    return must_printf("local `%s` is alive and %s in the version that runs", local->name,
                       piece ? "not kept as such" : "optimised out");
}

bool transfer_subtract(struct recipe_value *value, int64_t addend)
{
    if (value->from_kind == MOLT_VALUE_CONSTANT) {
        value->from -= addend;
    } else if (value->from_kind < MOLT_VALUE_PLACES) {
        value->addend -= addend;
    } else {
        return !addend;
    }
    return value->addend == (int32_t)value->addend && (!value->addend || value->from_size <= 8);
}

/* What the locals at one place are found to be. */
struct finding {
    struct transfer_work *work;
    int32_t place;
    struct recipe_value value; /* if `taken` */
    struct recipe_value base;  /* if `based`: what a local that leads to a moved member is told from */
    bool described, taken, based;
    char *reason;
    unsigned problems;
};

/* How many of SIZE bytes at PLACE are in PIECE, a variable's part: those of a register that it fills. 0:
 * none. */
static uint32_t held_by(const struct local_piece *piece, int32_t place, uint32_t size, uint32_t *ret_inside)
{
    bool in_register = piece->kind == LOCAL_REGISTER;
    int64_t start = in_register ? piece->value * 8 : PLACE_CFA + piece->value;

    if (piece->kind > LOCAL_SLOT || place < start || place >= start + piece->size) {
        return 0;
    }
    *ret_inside = (uint32_t)(place - start);
    size = in_register && size > piece->size ? piece->size : size;
    return *ret_inside + size > piece->size ? 0 : size;
}

static bool same_source(const struct recipe_value *a, const struct recipe_value *b)
{
    return a->from_kind == b->from_kind && a->from == b->from && a->addend == b->addend;
}

static void add_problem(struct finding *finding, unsigned kind, char *problem)
{
    finding->problems |= kind;
    if (finding->reason) {
        free(problem);
    } else {
        finding->reason = problem;
    }
}

/* Whether the old version has at VALUE's place what the new one's computation leaves at the place in
 * question. */
static bool is_proven(const struct finding *finding, const struct recipe_value *value)
{
    const struct transfer_work *work = finding->work;
    int32_t from =
        value->from_kind == MOLT_VALUE_SLOT ? PLACE_CFA + (int32_t)value->from : (int32_t)value->from * 8;

    return value->from_kind <= MOLT_VALUE_SLOT && !value->addend &&
           match_finds(&finding->work->match, work->new->at, finding->place, work->old->at, &from, 1,
                       value->from_size) == 0;
}

/* Of two variables that are the same in the new version, and have one value in the old one, the wider tells
 * more of it. If the old version keeps them apart, they must both be proven to be what the new one has found
 * to be one. */
static void add_value(struct finding *finding, const struct local *local, const struct recipe_value *value)
{
    if (!finding->taken ||
        (same_source(value, &finding->value) && value->from_size > finding->value.from_size)) {
        finding->value = *value;
        finding->value.variable = local->name;
        finding->taken = true;
    } else if (!same_source(value, &finding->value) &&
               !(is_proven(finding, value) && is_proven(finding, &finding->value))) {
        add_problem(finding, PROBLEM_SHARED,
                    must_printf("locals `%s` and `%s` share a place only in the new version",
                                finding->value.variable, local->name));
    }
}

/*
 * Whether LOCAL, which the new version tells from the place by ADDEND, is the address of a member that has
 * moved in its structure: the old version tells it from VALUE's place by the number that the member had. Then
 * the place is that of the structure's address, and the new version's number leads to the member where it is
 * now.
 */
static bool leads_to_moved(struct finding *finding, const struct recipe_value *value, int64_t addend)
{
    struct recipe_value base = *value;

    base.addend = 0;
    if (!addend || value->from_kind != MOLT_VALUE_REGISTER || !finding->work->match.members ||
        !moved_members_have(finding->work->match.members, value->addend, addend) ||
        (finding->based && !same_source(&base, &finding->base))) {
        return false;
    }
    finding->based = true;
    finding->base = base;
    return true;
}

static void look_at(struct finding *finding, const struct local *local, const struct local_piece *piece,
                    uint32_t inside, uint32_t size, const struct recipe_value *empty)
{
    struct recipe_value value = *empty;
    unsigned kind;
    char *problem = from_local(finding->work, local, piece->offset + inside, size, &kind, &value);

    finding->described = true;
    if (problem) {
        if (!finding->reason) {
            finding->work->recipe->gap = (struct recipe_gap){ local->name, local->function };
        }
        add_problem(finding, kind, problem);
    } else if (leads_to_moved(finding, &value, piece->addend)) {
        return;
    } else if (!transfer_subtract(&value, piece->addend)) {
        add_problem(finding, PROBLEM_LOST,
                    must_printf("local `%s` is kept in the new version as something else", local->name));
    } else {
        add_value(finding, local, &value);
    }
}

/* All locals that the place is said to hold must agree on what it holds now. */
char *transfer_described(struct transfer_work *work, int32_t place, uint32_t size, bool *ret_described,
                         unsigned *ret_problems, struct recipe_value *ret)
{
    struct finding finding = { .work = work, .place = place };

    for (size_t i = 0; i < work->new->locals->count; i++) {
        const struct local *local = &work->new->locals->items[i];
        for (size_t k = 0; k < local->pieces.count; k++) {
            uint32_t inside, held = held_by(&local->pieces.items[k], place, size, &inside);
            if (held) {
                look_at(&finding, local, &local->pieces.items[k], inside, held, ret);
            }
        }
    }
    if (finding.based && !(finding.taken && same_source(&finding.base, &finding.value))) {
        add_problem(&finding, PROBLEM_SHARED,
                    must_strdup("the address of a member is kept in the new version as something else"));
    }
    *ret_described = finding.described;
    *ret_problems = finding.problems;
    if (finding.taken && !(finding.problems & PROBLEM_SHARED)) {
        free(finding.reason);
        finding.reason = NULL;
        *ret = finding.value;
    }
    return finding.reason;
}
