/* From calls to sites: which call decides, and the type as the debug information has it. */
#include <dwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "patch/code/definition_line.h"
#include "patch/sites/private.h"

static const char *own(struct sites *sites, char *string)
{
    LIST_ADD(&sites->owned, string);
    return string;
}

/* "struct conn", "item *", "item [2]" */
static char *name_of_type(Dwarf_Die type)
{
    Dwarf_Attribute attribute;
    Dwarf_Die inner;
    int tag = dwarf_tag(&type);
    const char *name = dwarf_diename(&type), *word = tag == DW_TAG_structure_type     ? "struct "
                                                     : tag == DW_TAG_union_type       ? "union "
                                                     : tag == DW_TAG_enumeration_type ? "enum "
                                                                                      : "";
    bool typed = dwarf_attr(&type, DW_AT_type, &attribute) && dwarf_formref_die(&attribute, &inner);

    if (tag == DW_TAG_pointer_type || tag == DW_TAG_array_type || tag == DW_TAG_const_type ||
        tag == DW_TAG_volatile_type) {
        char *below = typed ? name_of_type(inner) : must_strdup("void");
        char *whole = must_printf("%s%s", below,
                                  tag == DW_TAG_pointer_type ? " *"
                                  : tag == DW_TAG_array_type ? " []"
                                                             : "");
        free(below);
        return whole;
    }
    return must_printf("%s%s", word, name ? name : tag == DW_TAG_subroutine_type ? "function" : "{...}");
}

/* The entry for the type NAME ("struct conn", "conn_t") in DWARF, and its unit. */
static bool find_type(Dwarf *dwarf, const char *name, Dwarf_Die *ret, Dwarf_Die *ret_unit)
{
    Dwarf_CU *cu = NULL;
    Dwarf_Die unit, die;

    while (dwarf && dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &unit, NULL) == 0) {
        for (int more = dwarf_child(&unit, &die); more == 0; more = dwarf_siblingof(&die, &die)) {
            int tag = dwarf_tag(&die);
            bool type = tag == DW_TAG_structure_type || tag == DW_TAG_union_type || tag == DW_TAG_typedef ||
                        tag == DW_TAG_enumeration_type || tag == DW_TAG_base_type;
            if (!type || !dwarf_diename(&die) || dwarf_hasattr(&die, DW_AT_declaration)) {
                continue;
            }
            char *own_name = name_of_type(die);
            bool same = strcmp(own_name, name) == 0;
            free(own_name);
            if (same) {
                *ret = die;
                *ret_unit = unit;
                return true;
            }
        }
    }
    return false;
}

/* NAME is another name of the function that makes CALL: what it would make by its own source. */
static void check_twin(struct site_work *work, const struct site_call *call, const char *name,
                       struct site_verdict *ret)
{
    struct site_verdict other;

    if (strcmp(name, call->function) == 0 || !site_judge_by_name(work, call, name, &other) ||
        site_same_verdict(ret, &other)) {
        return;
    }
    ret->kind = MOLT_SITE_UNKNOWN;
    ret->typed = false;
    ret->merged = true;
    snprintf(ret->reason, sizeof(ret->reason),
             "%s and %s, which make different types, were made one function: build with -fno-ipa-icf",
             call->function, name);
}

/* Compilers and linkers make one function of two that do the same, whatever types they do it with. */
static void check_merged(struct site_work *work, const struct site_subject *subject,
                         const struct site_call *call, struct site_verdict *ret)
{
    const struct object *object = subject->code.object;

    for (size_t i = 0; !object && call->call.callee && i < subject->image->by_address_count; i++) {
        const struct image_symbol *symbol = subject->image->by_address[i];
        if (symbol->value == call->start) {
            check_twin(work, call, symbol->name, ret);
        }
    }
    for (size_t i = 1; object && call->call.callee && i < object->symbol_count; i++) {
        const struct object_symbol *symbol = &object->symbols[i];
        if (symbol_is_function(object, symbol) && object_address(object, symbol) == call->start) {
            check_twin(work, call, symbol->name, ret);
        }
    }
}

/* The verdict on CALL, through functions that end in a jump. */
static void resolve(struct site_work *work, const struct site_subject *subject, const struct site_call *call,
                    unsigned depth, struct site_verdict *ret)
{
    bool any = false;

    for (size_t i = 0; call->call.target && depth < 8 && i < work->jumps.count; i++) {
        struct site_verdict verdict;
        if (work->jumps.items[i].start != call->call.target) {
            continue;
        }
        resolve(work, subject, &work->jumps.items[i], depth + 1, &verdict);
        if (verdict.merged) { /* the name by which it is called says nothing, either */
            *ret = verdict;
            return;
        }
        if (any &&
            (verdict.kind != ret->kind || (verdict.typed && !site_same_type(verdict.type, ret->type)))) {
            verdict = (struct site_verdict){ .kind = MOLT_SITE_WRAPPER };
        }
        *ret = verdict;
        any = true;
    }
    if (!any || ret->kind == MOLT_SITE_WRAPPER || ret->kind == MOLT_SITE_UNKNOWN) {
        site_resolve(work, call, ret);
    }
    if (call->aliased) {
        check_merged(work, subject, call, ret);
    }
}

/* Whether CANDIDATE, which may be NULL, has evidence of ROLE, answered if that MUST be. */
static bool has_evidence(const struct candidate *candidate, enum evidence_role role, bool must)
{
    bool found = false;

    for (size_t i = 0; candidate && i < candidate->evidence.count; i++) {
        const struct evidence *evidence = &candidate->evidence.items[i];
        found = found || (evidence->role == role && (evidence->answered || !must));
    }
    return found;
}

/* Whether a call through a pointer turned out to have nothing to do with memory. What it returns is known
 * where it stands, which may be in a function that is inlined in the one that decides. */
static bool is_other_pointer(const struct site_call *call, const struct site_verdict *verdict)
{
    bool pointer = has_evidence(verdict->innermost, EVIDENCE_RESULT, true);
    bool sized = has_evidence(verdict->candidate, EVIDENCE_SIZEOF, false);

    return !verdict->hint && (!pointer || (verdict->kind == MOLT_SITE_UNKNOWN && !sized));
}

/* Whether the source of the function NAME was read, and it is no wrapper by that. */
static bool is_plain_function(struct site_work *work, const char *name)
{
    bool has_calls = false;

    if (site_form(work, name)->known || site_is_named(work->names, name)) {
        return false;
    }
    for (size_t i = 0; !has_calls && i < work->probes.count; i++) {
        const struct probe *probe = work->probes.items[i];
        for (size_t k = 0; !has_calls && k < probe->candidates.count; k++) {
            has_calls = strcmp(probe->candidates.items[k]->function, name) == 0;
        }
    }
    return has_calls;
}

/* Whether what CALL calls, NAME, hands out nothing but pieces of what it asks for itself, of any type. */
static bool carves_only(struct site_work *work, const struct call *call, const char *name)
{
    const struct wrapper *wrapper = wrappers_at(work->wrappers, call->target);

    return wrapper && wrapper->generic && !site_form(work, name)->known &&
           site_form(work, name)->carving.function;
}

/* Whether what CALL calls looked as if it led to memory that somebody else asks for, but its source shows
 * that it knows what it makes, and so do the functions that it may end in a jump to. */
static bool is_other_function(struct site_work *work, const struct call *call, unsigned depth)
{
    if (allocator_find(call->callee) || !call->target || depth > 8) {
        return false;
    }
    char *name = site_base_name(call->callee);
    bool other = is_plain_function(work, name) && !carves_only(work, call, name);
    free(name);
    for (size_t i = 0; other && i < work->jumps.count; i++) {
        if (work->jumps.items[i].start == call->target) {
            other = is_other_function(work, &work->jumps.items[i].call, depth + 1);
        }
    }
    return other;
}

/* The function that the frame of VERDICT, one of CALL's, calls. Owned by the caller. */
static char *callee_at(const struct site_call *call, const struct site_verdict *verdict)
{
    size_t frame = verdict->frame ? (size_t)(verdict->frame - call->frames.items) : 0;
    const char *inlined =
        frame > 0 && frame < call->frames.count ? call->frames.items[frame - 1].function : NULL;

    return site_base_name(inlined ? inlined : call->call.callee ? call->call.callee : "");
}

/* The type that molt.toml gives the site. */
static void take_hint(struct sites *sites, const struct site_work *work, struct site_verdict *verdict,
                      struct site *site)
{
    Dwarf_Die unit;

    if (find_type(work->dwarf, verdict->hint, &verdict->type, &unit)) {
        LIST_ADD(&sites->hint_units, unit);
        return;
    }
    site->kind = MOLT_SITE_UNKNOWN;
    site->reason =
        own(sites, must_printf("molt.toml says %s, which the program does not know", verdict->hint));
}

/* The type of what is made, and with what it is to be allocated and released. */
static void take_type(struct sites *sites, struct site_work *work, const struct site_subject *subject,
                      const struct site_call *call, const struct site_verdict *verdict, struct site *site)
{
    char *callee = callee_at(call, verdict);
    bool header = site_form(work, callee)->shifted || (!call->call.callee && work->any_shifted);

    site->type = verdict->type;
    site->type_name = own(sites, name_of_type(verdict->type));
    site->allocator = site_allocator_of(work, subject, sites, callee, header);
    if (header && !site->allocator) {
        site->may_be = site->type_name;
        site->type_name = "";
        site->kind = MOLT_SITE_UNKNOWN;
        site->reason =
            own(sites, must_printf("%s keeps something in front of its blocks: tell how many bytes in "
                                   "molt.toml ([heap] allocators = [{ allocate = ..., release = ..., "
                                   "header = ... }])",
                                   *callee ? callee : "what is called"));
    }
    free(callee);
}

/* PATH of FRAME, or, where the compiler was told to write other names (-ffile-prefix-map), the name under
 * which the source was read. Takes PATH over. */
static char *readable_path(char *path, const struct site_call *call, const struct code_frame *frame,
                           const struct site_verdict *verdict)
{
    const struct candidate *candidate = verdict->candidate;
    bool same = candidate && candidate->line <= frame->line && frame->line <= candidate->last_line;

    if (access(path, F_OK) == 0 || !call->probe) {
        return path;
    }
    char *other = must_have(path_normalise(call->probe->directory, same ? candidate->file : frame->file));
    bool found = access(other, F_OK) == 0;
    free(found ? path : other);
    return found ? other : path;
}

/* Where the call is in the source: in FRAME, or else where the probe has found it. */
static void take_place(struct sites *sites, const struct tree *tree, const struct site_call *call,
                       const struct code_frame *frame, const struct site_verdict *verdict, struct site *site)
{
    char *path = NULL;

    if (frame && frame->file) {
        path = definition_path((Dwarf_Die *)&call->unit_die, frame->file);
        path = readable_path(path, call, frame, verdict);
        site->line = frame->line;
    } else if (verdict->probe) {
        path = must_have(path_normalise(verdict->probe->directory, verdict->candidate->file));
        site->line = verdict->candidate->line;
    }
    if (path) {
        site->file = own(sites, tree_original_path(tree, path));
    }
    free(path);
}

/* A function that only carves matters as far as it is known what for: the calls in it tell of the rest. */
static bool makes_something(struct site_work *work, const struct site_call *call, const struct site *site)
{
    if (!call->call.callee || site->kind == MOLT_SITE_OBJECT || site->kind == MOLT_SITE_ARRAY) {
        return true;
    }
    char *name = site_base_name(call->call.callee);
    bool carves = is_plain_function(work, name) && carves_only(work, &call->call, name);
    free(name);
    return !carves;
}

/* What is made may also be carved out of other memory. */
static void take_carving(struct sites *sites, struct site_work *work, const struct tree *tree,
                         const struct site_call *call, const struct site_verdict *verdict, struct site *site)
{
    char *callee = callee_at(call, verdict);
    struct carving carving = site_carving(work, verdict->candidate, callee);

    free(callee);
    if (carving.function) {
        char *path = must_have(path_normalise(carving.directory, carving.file));
        site->carver = own(sites, must_strdup(carving.function));
        site->carver_file = own(sites, tree_original_path(tree, path));
        site->carver_line = carving.line;
        site->pieces = carving.pieces;
        free(path);
    }
}

void site_add(struct sites *sites, struct site_work *work, const struct site_subject *subject,
              const struct tree *tree, const struct site_call *call)
{
    struct site_verdict verdict;
    struct site site = { .symbol = call->symbol,
                         .type_name = "",
                         .file = "",
                         .reason = "",
                         .may_be = "",
                         .carver = "",
                         .carver_file = "" };

    if (call->call.callee && is_other_function(work, &call->call, 0)) {
        return;
    }
    resolve(work, subject, call, 0, &verdict);
    if (!call->call.callee && is_other_pointer(call, &verdict)) {
        return;
    }
    const struct code_frame *frame = verdict.frame        ? verdict.frame
                                     : call->frames.count ? call->frames.items
                                                          : NULL;
    site.address = call->symbol ? call->call.after - call->start : call->call.after;
    site.kind = verdict.kind;
    site.function = own(sites, must_strdup(frame && frame->function ? frame->function : call->function));
    if (verdict.hint) {
        take_hint(sites, work, &verdict, &site);
    }
    if (site.kind == MOLT_SITE_OBJECT || site.kind == MOLT_SITE_ARRAY) {
        take_type(sites, work, subject, call, &verdict, &site);
    }
    if (site.kind == MOLT_SITE_UNKNOWN && !*site.reason) {
        site.reason = own(sites, must_strdup(verdict.reason));
        site.may_be = verdict.typed ? own(sites, name_of_type(verdict.type)) : "";
    }
    if (!makes_something(work, call, &site)) {
        return;
    }
    if (site.kind != MOLT_SITE_WRAPPER && !verdict.hint) {
        take_carving(sites, work, tree, call, &verdict, &site);
    }
    take_place(sites, tree, call, frame, &verdict, &site);
    LIST_ADD(&sites->items, site);
}
