/*
 * What frames have been through. A frame that is suspended may have begun in a version that earlier updates
 * have replaced, and was taken over since: what that version did with the addresses of its locals still
 * counts, though its code is gone.
 *
 * An update that moves a local has made sure that nobody has its address. So of versions before the running
 * one those count that had the local where it is now, back to the first that had it elsewhere; of these all
 * that the whole function does, wherever the frame was turned.
 */
#include "patch/transfer/private.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

/* One of these versions. */
struct past_version {
    struct version version;
    bool known;
};

void transfer_find_past(struct transfer_work *work, const struct object_symbol *symbol)
{
    past_codes codes = { 0 };

    if (work->pair->past) {
        work->pair->past(work->pair->past_context, symbol, &codes);
    }
    for (size_t i = 0; i < codes.count; i++) {
        struct past_version *past = must_calloc(1, sizeof(*past));
        if (codes.items[i].side) {
            version_init(&past->version, codes.items[i].side, codes.items[i].symbol);
            past->known = !past->version.code.problem && past->version.debug.known;
        }
        LIST_ADD(&work->past, past);
    }
    LIST_FREE(&codes);
}

void transfer_forget_past(struct transfer_work *work)
{
    for (size_t i = 0; i < work->past.count; i++) {
        version_deinit(&work->past.items[i]->version);
        free(work->past.items[i]);
    }
    LIST_FREE(&work->past);
}

struct address_flow *version_addresses(struct version *version, struct captures *captures)
{
    if (!version->addresses.code) {
        address_flow_init(&version->addresses, &version->code, &version->objects, &version->escaped,
                          captures);
    }
    return &version->addresses;
}

/* Whether VERSION has LOCAL, as a whole, where it is. */
static bool has_there(const struct version *version, const struct local *local)
{
    const struct local_piece *piece = &local->pieces.items[0];

    for (size_t i = 0; i < version->objects.count; i++) {
        const struct frame_object *object = &version->objects.items[i];
        if (object->offset == piece->value && object->size == local->size &&
            strcmp(object->name, local->name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_taken(const struct version *version, const struct local *local)
{
    const struct local_piece *piece = &local->pieces.items[0];

    for (size_t i = 0; i < version->code.taken.count; i++) {
        int32_t offset = version->code.taken.items[i].offset;
        if (offset >= piece->value && offset <= piece->value + (int64_t)local->size) {
            return true;
        }
    }
    return version->wild || version->loose;
}

enum past transfer_past_of(struct transfer_work *work, const struct local *local)
{
    const struct local_piece *piece = local->pieces.items;
    enum past found = PAST_NOTHING;

    if (!local_is_whole(local)) {
        return PAST_NOTHING; /* what is in pieces has no address */
    }
    for (size_t i = work->past.count; i-- > 0 && found < PAST_KEPT;) {
        struct past_version *past = work->past.items[i];
        if (!past->known) {
            return PAST_KEPT;
        }
        if (!has_there(&past->version, local)) {
            break;
        }
        if (is_taken(&past->version, local)) {
            struct address_flow *flow = version_addresses(&past->version, work->pair->captures);
            bool kept = address_flow_ever_escapes(flow, (int32_t)piece->value, piece->size);
            found = kept ? PAST_KEPT : PAST_TAKEN;
        }
    }
    return found;
}

/* Whether LOCAL (NULL: any) may have been made of an address in the frame, at some call in VERSION. */
static bool may_lead(struct version *version, struct captures *captures, const char *local)
{
    struct address_flow *flow = version_addresses(version, captures);

    for (uint32_t at = 0; at + 1 < version->code.instructions.count; at++) {
        if (!code_comes_back(&version->code, at)) {
            continue;
        }
        const local_list *locals = version_locals(version, at);
        for (size_t i = 0; i < locals->count; i++) {
            const struct local *each = &locals->items[i];
            for (size_t k = 0; (!local || strcmp(each->name, local) == 0) && k < each->pieces.count; k++) {
                const struct local_piece *piece = &each->pieces.items[k];
                int32_t place = piece->kind == LOCAL_SLOT       ? PLACE_CFA + (int32_t)piece->value
                                : piece->kind == LOCAL_REGISTER ? (int32_t)piece->value * 8
                                                                : 0;
                if (piece->kind == LOCAL_FRAME ||
                    ((piece->kind == LOCAL_SLOT ||
                      (piece->kind == LOCAL_REGISTER && piece->value < REGISTERS)) &&
                     address_flow_has(flow, at + 1, place, piece->size))) {
                    return true;
                }
            }
        }
    }
    return false;
}

bool transfer_led_before(struct transfer_work *work, const char *local)
{
    bool led = false;

    for (size_t i = 0; i < work->past.count && !led; i++) {
        struct past_version *past = work->past.items[i];
        led = !past->known || may_lead(&past->version, work->pair->captures, local);
    }
    return led;
}

bool transfer_returned_before(struct transfer_work *work, const char *callee)
{
    bool returned = false;

    for (size_t i = 0; i < work->past.count && !returned; i++) {
        struct past_version *past = work->past.items[i];
        struct code *code = &past->version.code;
        for (uint32_t at = 0; past->known && !returned && at + 1 < code->instructions.count; at++) {
            if (code_comes_back(code, at) && strcmp(code_callee(code, at), callee) == 0) {
                struct address_flow *flow = version_addresses(&past->version, work->pair->captures);
                returned =
                    address_flow_has(flow, at + 1, RAX * 8, 8) || address_flow_has(flow, at + 1, RDX * 8, 8);
            }
        }
        returned = returned || !past->known;
    }
    return returned;
}

/* Whether NOW, the version of a function that replaces THEN, keeps no argument but those that THEN surely
 * keeps, whatever it calls. */
static bool keeps_no_more(const struct transfer_pair *pair, const struct version *now,
                          const struct version *then)
{
    char *parameters = parameters_text(&now->debug), *before = parameters_text(&then->debug);
    Dwarf_Die function = now->debug.die;
    bool result = dwarf_hasattr_integrate(&function, DW_AT_type), same = strcmp(parameters, before) == 0;
    struct capture most = captures_of_function(pair->captures, now->code.object, now->code.symbol),
                   least = { 0 };
    struct captures alone;

    captures_init(&alone, NULL, NULL);
    alone.alone = true;
    if (same) {
        least = captures_of_function(&alone, then->code.object, then->code.symbol);
    }
    captures_deinit(&alone);
    free(parameters);
    free(before);
    return !(most.kept & ~least.kept) && most.stack_bytes <= least.stack_bytes &&
           (!result || !(most.returned & ~least.returned));
}

bool transfer_keeps_nothing(const struct transfer_pair *pair, const struct object_symbol *symbol,
                            const struct object_symbol *before)
{
    struct version now, then;

    if (!pair->captures) {
        return false;
    }
    version_init(&now, pair->old, symbol);
    version_init(&then, pair->new, before);
    bool nothing = !now.code.problem && !then.code.problem && now.debug.known && then.debug.known &&
                   keeps_no_more(pair, &now, &then) &&
                   !version_addresses(&now, pair->captures)->escapes.count &&
                   !may_lead(&now, pair->captures, NULL);
    version_deinit(&now);
    version_deinit(&then);
    return nothing;
}
