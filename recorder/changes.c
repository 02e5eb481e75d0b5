/*
 * What changed in one file: every current declaration is held against the one of the baseline that it is.
 * Nothing is kept from one time to the next, so what was undone is no change, whatever happened in between.
 */
#include "recorder/changes.h"

#include <stdlib.h>
#include <string.h>

#include "recorder/token.h"

enum { TITLE_MAX = 200, NESTING_MAX = 64 };

/* The work on one file. */
struct derivation {
    struct file_context *context;
    struct file *file;
    const char *name;
    struct change_list *list;
    uint64_t *conditions; /* per current segment, under which conditions it stands; NULL: all as before */
    uint64_t *base_conditions; /* per segment of the baseline */
    bool *moved;               /* per declaration of the baseline */
};

/* One line of C: the text of ITEM without its body, comments and runs of space. */
static const char *title_of(struct change_list *list, const char *segment, const struct declaration *item)
{
    struct token_reader reader = token_reader_at(segment, item->head_end, item->extent.start);
    uint32_t last = item->extent.start;
    char title[TITLE_MAX];
    size_t length = 0;

    for (;;) {
        struct token token = token_next(&reader);
        size_t size = token.end - token.start;
        if (token.kind == TOKEN_END || length + size + 1 > sizeof(title)) {
            break;
        }
        if (token.start > last && length) {
            title[length++] = ' ';
        }
        memcpy(title + length, segment + token.start, size);
        length += size;
        last = token.end;
    }
    while (length && strchr("{;=, ", title[length - 1])) {
        length--;
    }
    for (size_t i = 0; i < length; i++) {
        title[i] = title[i] == '\n' ? ' ' : title[i]; /* in a string that goes on */
    }
    return change_list_string(list, title, length);
}

static unsigned line_of(const struct document *document, const struct segment *segment,
                        const struct declaration *item)
{
    return document_line(document, segment->span.lead + item->label.start) + 1;
}

static struct line_span lines_of(const struct document *document, const struct segment *segment,
                                 const struct declaration *item)
{
    uint32_t last = item->extent.end > item->extent.start ? item->extent.end - 1 : item->extent.start;

    return (struct line_span){ document_line(document, segment->span.lead + item->extent.start) + 1,
                               document_line(document, segment->span.lead + last) + 1 };
}

/* "a.b" for a member of the anonymous struct that is member b of a; NULL if nothing holds it. */
static const char *owner_of(struct change_list *list, const struct declarations *declarations, uint32_t index)
{
    const struct declaration *item = &declarations->items[index];
    struct text path = { 0 };

    if (item->owner < 0) {
        return item->kind == DECLARATION_MEMBER || item->kind == DECLARATION_ENUMERATOR ? "" : NULL;
    }
    const char *above = owner_of(list, declarations, (uint32_t)item->owner);
    if (above && *above) {
        text_printf(&path, "%s.", above);
    }
    text_puts(&path, declaration_name(declarations, (uint32_t)item->owner));
    const char *owner = path.failed ? "" : change_list_string(list, path.bytes, path.length);
    list->failed |= path.failed;
    text_deinit(&path);
    return owner;
}

static const char *copy_name(struct change_list *list, const struct declarations *declarations,
                             uint32_t index)
{
    const char *name = declaration_name(declarations, index);

    return change_list_string(list, name, strlen(name));
}

/* An entry for declaration INDEX of SEGMENT of the current text or of the baseline, all but the action. */
static struct change_record describe(struct derivation *derivation, const struct document *document,
                                     const struct segment *segment, uint32_t index)
{
    const struct declarations *declarations = &segment->content->declarations;
    const struct declaration *item = &declarations->items[index];
    struct change_list *list = derivation->list;

    return (struct change_record){
        .change = {
            .kind = item->kind,
            .prototype = item->prototype,
            .id = segment->identities[index].id,
            .name = copy_name(list, declarations, index),
            .owner = owner_of(list, declarations, index),
            .file = derivation->name,
            .line = line_of(document, segment, item),
            .lines = lines_of(document, segment, item),
            .evidence = "name",
            .confidence = 1,
            .declaration = title_of(list, document->text + segment->span.lead, item),
        },
        .type_hash = item->type_hash,
        .value_hash = item->value_hash,
        .size = item->extent.end - item->extent.start,
    };
}

static void add_as(struct derivation *derivation, struct change_record record, enum change_action action)
{
    record.change.action = action;
    change_list_add(derivation->list, &record);
}

static void add_removed(struct derivation *derivation, int32_t base)
{
    const struct segment *segment;

    file_base(derivation->file, base, &segment);
    struct change_record record = describe(derivation, &derivation->file->baseline_document, segment,
                                           derivation->file->bases[base].index);
    record.change.old_line = record.change.line;
    record.change.line = 0;
    record.change.old_lines = record.change.lines;
    record.change.lines = (struct line_span){ 0, 0 };
    add_as(derivation, record, CHANGE_REMOVED);
}

/* Says how a renamed declaration was recognised. */
static void explain(struct change_record *record, enum evidence evidence, bool same_value)
{
    if (evidence == EVIDENCE_EDIT) {
        record->change.evidence = "name edited in place";
        record->change.confidence = 0.95;
    } else if (record->change.kind == DECLARATION_FUNCTION && !record->change.prototype && same_value) {
        record->change.evidence = "same place, same body";
        record->change.confidence = 0.9;
    } else {
        record->change.evidence = "same place";
        record->change.confidence = 0.7;
    }
}

/* Holds declaration INDEX of the current SEGMENT, number SEGMENT_INDEX, against the baseline's. */
static void compare_declaration(struct derivation *derivation, const struct segment *segment,
                                uint32_t segment_index, uint32_t index)
{
    struct file *file = derivation->file;
    const struct declaration *item = &segment->content->declarations.items[index];
    const struct identity *identity = &segment->identities[index];
    const struct segment *base_segment;

    if (identity->base < 0) {
        add_as(derivation, describe(derivation, &file->document, segment, index), CHANGE_ADDED);
        return;
    }
    const struct declaration *old = file_base(file, identity->base, &base_segment);
    uint32_t base_index = file->bases[identity->base].index;
    bool renamed = strcmp(declaration_name(&segment->content->declarations, index),
                          declaration_name(&base_segment->content->declarations, base_index)) != 0;
    bool retyped = old->type_hash != item->type_hash || old->prototype != item->prototype;
    bool modified = old->value_hash != item->value_hash ||
                    (item->kind == DECLARATION_FUNCTION && !retyped && old->names_hash != item->names_hash);
    bool moved = derivation->moved && derivation->moved[identity->base];
    bool conditioned = item->owner < 0 && derivation->conditions &&
                       derivation->conditions[segment_index] !=
                           derivation->base_conditions[file->bases[identity->base].segment];
    if (!renamed && !retyped && !modified && !moved && !conditioned) {
        return;
    }
    struct change_record record = describe(derivation, &file->document, segment, index);
    record.change.old_line = line_of(&file->baseline_document, base_segment, old);
    record.change.old_lines = lines_of(&file->baseline_document, base_segment, old);
    if (renamed) {
        explain(&record, identity->evidence, !modified);
        record.change.old_name =
            copy_name(derivation->list, &base_segment->content->declarations, base_index);
        add_as(derivation, record, CHANGE_RENAMED);
    }
    if (moved) {
        add_as(derivation, record, CHANGE_MOVED);
    }
    if (retyped) {
        add_as(derivation, record, CHANGE_RETYPED);
    }
    if (modified || conditioned) {
        record.change.evidence = modified ? record.change.evidence : "condition";
        add_as(derivation, record, CHANGE_MODIFIED);
    }
}

/* --- the order of declarations --- */

/* Marks those of NUMBERS, indexes of the baseline in their current order, that have moved. */
static bool mark_moved(struct derivation *derivation, const int32_t *numbers, uint32_t count)
{
    bool ordered = true;

    for (uint32_t i = 1; i < count && ordered; i++) {
        ordered = numbers[i - 1] < numbers[i];
    }
    if (ordered) {
        return true;
    }
    bool *moved = calloc(count, sizeof(*moved));
    if (!derivation->moved) {
        derivation->moved = calloc(derivation->file->base_count, sizeof(*derivation->moved));
    }
    bool done = moved && derivation->moved && changes_out_of_order(numbers, count, moved);
    for (uint32_t i = 0; done && i < count; i++) {
        derivation->moved[numbers[i]] |= moved[i];
    }
    free(moved);
    return done;
}

/* The members of owner OWNER of SEGMENT, in order. */
static bool order_members(struct derivation *derivation, const struct segment *segment, int32_t owner,
                          int32_t *numbers)
{
    const struct declarations *declarations = &segment->content->declarations;
    uint32_t count = 0;

    for (uint32_t i = (uint32_t)owner + 1; i < declarations->count; i++) {
        if (declarations->items[i].owner == owner && segment->identities[i].base >= 0) {
            numbers[count++] = segment->identities[i].base;
        }
    }
    return mark_moved(derivation, numbers, count);
}

/* Whether SEGMENT has the content that it had in the baseline, and nothing in it became something else. */
static bool is_pristine(const struct file *file, const struct segment *segment)
{
    if (!segment->identities || segment->identities[0].base < 0) {
        return false;
    }
    const struct content *old =
        file->baseline.items[file->bases[segment->identities[0].base].segment].content;
    if (old != segment->content &&
        (old->text_hash != segment->content->text_hash || old->length != segment->content->length)) {
        return false;
    }
    for (uint32_t i = 1; i < segment->content->declarations.count; i++) {
        if (segment->identities[i].base != segment->identities[0].base + (int32_t)i) {
            return false;
        }
    }
    return true;
}

static bool find_moved(struct derivation *derivation)
{
    const struct outline *outline = &derivation->file->current;
    uint32_t largest = 1, roots = 0;
    bool done = true;

    for (uint32_t i = 0; i < outline->count; i++) {
        largest += outline->items[i].content->declarations.count;
    }
    int32_t *numbers = malloc(largest * sizeof(*numbers));
    for (uint32_t i = 0; numbers && i < outline->count; i++) {
        const struct segment *segment = &outline->items[i];
        const struct declarations *declarations = &segment->content->declarations;
        for (uint32_t k = 0; k < declarations->count; k++) {
            if (declarations->items[k].owner < 0 && segment->identities[k].base >= 0) {
                numbers[roots++] = segment->identities[k].base;
            }
        }
    }
    done = numbers && mark_moved(derivation, numbers, roots);
    for (uint32_t i = 0; done && i < outline->count; i++) {
        const struct segment *segment = &outline->items[i];
        bool pristine = is_pristine(derivation->file, segment);
        for (uint32_t k = 0; !pristine && done && k + 1 < segment->content->declarations.count; k++) {
            if (segment->content->declarations.items[k].kind != DECLARATION_ENUMERATOR) {
                done = order_members(derivation, segment, (int32_t)k, numbers);
            }
        }
    }
    free(numbers);
    return done;
}

/* --- conditions --- */

static uint64_t conditional_sequence(const struct outline *outline)
{
    uint64_t hash = 0;

    for (uint32_t i = 0; i < outline->count; i++) {
        if (outline->items[i].content->declarations.conditional) {
            hash = hash_mix(hash, outline->items[i].content->declarations.conditional_hash);
        }
    }
    return hash;
}

/* Whether segment 0 is the "#ifndef" of an include guard. */
static bool is_guard(const struct outline *outline, const char *text)
{
    if (outline->count < 2 || outline->items[0].content->declarations.conditional != CONDITIONAL_IF ||
        outline->items[1].content->declarations.count != 1) {
        return false;
    }
    struct token_reader reader =
        token_reader_at(text, outline->items[0].span.end, outline->items[0].span.lead);
    token_next(&reader);
    struct token word = token_next(&reader);
    struct token name = token_next(&reader);
    return token_is(text, &word, "ifndef") &&
           token_is(text, &name, declaration_name(&outline->items[1].content->declarations, 0));
}

/* For each segment a hash of the conditions that hold there. */
static uint64_t *work_out_conditions(const struct outline *outline, const char *text)
{
    uint64_t *conditions = calloc(outline->count + 1, sizeof(*conditions));
    uint64_t stack[NESTING_MAX] = { 0 };
    uint32_t depth = 0;

    for (uint32_t i = 0; conditions && i < outline->count; i++) {
        const struct declarations *declarations = &outline->items[i].content->declarations;
        uint64_t hash = declarations->conditional_hash;
        if (declarations->conditional == CONDITIONAL_IF && depth + 1 < NESTING_MAX) {
            stack[depth + 1] =
                i == 0 && is_guard(outline, text) ? stack[depth] : hash_mix(stack[depth], hash);
            depth++;
        } else if (declarations->conditional == CONDITIONAL_ELSE && depth) {
            stack[depth] = hash_mix(stack[depth], hash);
        } else if (declarations->conditional == CONDITIONAL_END && depth) {
            depth--;
        }
        conditions[i] = stack[depth];
    }
    return conditions;
}

static bool find_conditions(struct derivation *derivation)
{
    struct file *file = derivation->file;

    if (conditional_sequence(&file->current) == conditional_sequence(&file->baseline)) {
        return true;
    }
    derivation->conditions = work_out_conditions(&file->current, file->document.text);
    derivation->base_conditions = work_out_conditions(&file->baseline, file->baseline_document.text);
    return derivation->conditions && derivation->base_conditions;
}

/* --- syntax errors --- */

static struct molt_error *check(struct file_context *context, const struct segment *segment,
                                const struct document *document, bool keep)
{
    return syntax_check(&segment->content->syntax, context->extractor.parser,
                        document->text + segment->span.lead, segment->span.end - segment->span.lead, keep);
}

/* Whether SEGMENT has an error that its counterpart in the baseline has not. */
static struct molt_error *check_segment(struct derivation *derivation, const struct segment *segment,
                                        bool *ret_error)
{
    struct file *file = derivation->file;
    int32_t base = segment->identities ? segment->identities[0].base : -1;

    *ret_error = false;
    struct molt_error *error = check(derivation->context, segment, &file->document, true);
    if (error || !segment->content->syntax.has_error) {
        return error;
    }
    if (base >= 0) {
        const struct segment *old = &file->baseline.items[file->bases[base].segment];
        error = check(derivation->context, old, &file->baseline_document, false);
        *ret_error = !error && !old->content->syntax.has_error;
        return error;
    }
    *ret_error = true;
    return NULL;
}

static int braces_opened(const struct outline *outline, const char *text, uint32_t index)
{
    const struct segment *segment = &outline->items[index];

    if (segment->span.kind == SEGMENT_LINKAGE) {
        return 1;
    }
    return segment->span.kind == SEGMENT_STRAY && text[segment->span.lead] == '}' ? -1 : 0;
}

/* The place of a '}' that closes nothing, or UINT32_MAX. */
static uint32_t stray_brace(const struct outline *outline, const char *text)
{
    int open = 0;

    for (uint32_t i = 0; i < outline->count; i++) {
        open += braces_opened(outline, text, i);
        if (open < 0) {
            return outline->items[i].span.lead;
        }
    }
    return UINT32_MAX;
}

static struct molt_error *find_error(struct derivation *derivation, struct change_file *ret)
{
    struct file *file = derivation->file;
    uint32_t first = stray_brace(&file->current, file->document.text);

    if (stray_brace(&file->baseline, file->baseline_document.text) != UINT32_MAX) {
        first = UINT32_MAX;
    }
    for (uint32_t i = 0; i < file->current.count; i++) {
        const struct segment *segment = &file->current.items[i];
        bool has_error;
        if (segment->span.lead >= first) {
            break;
        }
        if (segment->span.kind != SEGMENT_DECLARATION || is_pristine(file, segment)) {
            continue;
        }
        struct molt_error *error = check_segment(derivation, segment, &has_error);
        if (error) {
            return error;
        }
        if (has_error) {
            first = segment->span.lead + segment->content->syntax.error_offset;
        }
    }
    ret->has_error = first != UINT32_MAX;
    ret->error_line = ret->has_error ? document_line(&file->document, first) + 1 : 0;
    return NULL;
}

/* --- all of it --- */

static void compare_all(struct derivation *derivation)
{
    struct file *file = derivation->file;

    for (uint32_t i = 0; i < file->current.count; i++) {
        const struct segment *segment = &file->current.items[i];
        if (!derivation->moved && !derivation->conditions && is_pristine(file, segment)) {
            continue;
        }
        for (uint32_t k = 0; k < segment->content->declarations.count; k++) {
            compare_declaration(derivation, segment, i, k);
        }
    }
    for (uint32_t i = 0; i < file->ghosts.count; i++) {
        add_removed(derivation, file->ghosts.items[i].base);
    }
}

/* Whether current text and baseline differ in comments and spaces only. Segments are cut with an eye on
 * layout, so code that is not balanced may be cut in another way when it is only indented; this is the
 * last word. Costs no more than finding the first difference, if there is one. */
static bool only_layout_differs(const struct file *file)
{
    const struct document *now = &file->document, *before = &file->baseline_document;
    const struct outline *outline = &file->current, *base = &file->baseline;
    uint32_t same = 0;

    if (file->exists != file->existed) {
        return false;
    }
    while (same < outline->count && same < base->count &&
           outline->items[same].content->text_hash == base->items[same].content->text_hash) {
        same++;
    }
    return tokens_equal(now->text ? now->text : "", now->length, same ? outline->items[same - 1].span.end : 0,
                        before->text ? before->text : "", before->length,
                        same ? base->items[same - 1].span.end : 0);
}

struct molt_error *changes_of_file(struct file_context *context, struct file *file, const char *name,
                                   struct change_list *list)
{
    struct change_file entry = { .changed = true };
    struct derivation derivation = { .context = context, .file = file, .list = list };
    size_t count = list->count;

    struct molt_error *error = file_refresh(context, file);
    if (error || file_is_unchanged(file)) {
        return error;
    }
    derivation.name = entry.path = change_list_string(list, name, strlen(name));
    if (!find_moved(&derivation) || !find_conditions(&derivation)) {
        error = molt_error_nomem();
    } else {
        compare_all(&derivation);
        if (list->count > count && only_layout_differs(file)) {
            list->count = count;
        }
        error = find_error(&derivation, &entry);
    }
    if (!error) {
        change_list_add_file(list, &entry);
    }
    free(derivation.conditions);
    free(derivation.base_conditions);
    free(derivation.moved);
    return error;
}
