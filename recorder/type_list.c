/*
 * Types by their place in a file. A type's extent begins at `struct`; if its name stands in it, that is its
 * tag, else the name of the typedef around it.
 */
#include "recorder/type_list.h"

#include <string.h>

#include "recorder/token.h"

static unsigned line_at(const struct file *file, const struct segment *segment, uint32_t offset)
{
    return document_line(&file->document, segment->span.lead + offset) + 1;
}

static const struct declaration *declaration_at(const struct segment *segment, uint32_t index)
{
    return &segment->content->declarations.items[index];
}

/* "struct conn", "conn_t"; false for enumerations. */
static bool write_name(const struct file *file, const struct segment *segment, uint32_t index,
                       struct text *ret)
{
    const struct declaration *item = declaration_at(segment, index);
    const char *text = file->document.text + segment->span.lead;
    struct token_reader reader = token_reader_at(text, item->extent.end, item->extent.start);
    struct token keyword = token_next(&reader);
    bool tag = item->label.start >= item->extent.start && item->label.end <= item->extent.end;

    if (!token_is(text, &keyword, "struct") && !token_is(text, &keyword, "union")) {
        return false;
    }
    if (tag) {
        text_append(ret, text + keyword.start, keyword.end - keyword.start);
        text_puts(ret, " ");
    }
    text_puts(ret, declaration_name(&segment->content->declarations, index));
    return true;
}

/* The path of member INDEX in the type TYPE: "a.b" for one of the structure that is its member a. False if
 * it lies elsewhere. */
static bool write_path(const struct segment *segment, uint32_t index, uint32_t type, struct text *ret)
{
    const struct declaration *item = declaration_at(segment, index);

    if (item->owner < 0 || item->kind != DECLARATION_MEMBER) {
        return false;
    }
    if ((uint32_t)item->owner != type) {
        if (!write_path(segment, (uint32_t)item->owner, type, ret)) {
            return false;
        }
        text_puts(ret, ".");
    }
    text_puts(ret, declaration_name(&segment->content->declarations, index));
    return true;
}

static json_t *members_of(const struct file *file, const struct segment *segment, uint32_t type)
{
    json_t *members = json_array();
    struct text path = { 0 };

    for (uint32_t i = type + 1; i < segment->content->declarations.count; i++) {
        text_clear(&path);
        if (write_path(segment, i, type, &path) && !text_failed(&path)) {
            unsigned line = line_at(file, segment, declaration_at(segment, i)->label.start);
            json_array_append_new(members, json_pack("{s:s, s:i}", "name", path.bytes, "line", (int)line));
        }
    }
    text_deinit(&path);
    return members;
}

static void add_types(const struct file *file, const struct segment *segment, json_t *types)
{
    struct text name = { 0 };

    for (uint32_t i = 0; i < segment->content->declarations.count; i++) {
        const struct declaration *item = declaration_at(segment, i);
        text_clear(&name);
        if (item->kind != DECLARATION_TYPE || item->prototype || item->extent.end <= item->extent.start ||
            !write_name(file, segment, i, &name) || text_failed(&name)) {
            continue;
        }
        json_array_append_new(types, json_pack("{s:s, s:i, s:i, s:i, s:o}", "name", name.bytes, "line",
                                               (int)line_at(file, segment, item->label.start), "first",
                                               (int)line_at(file, segment, item->extent.start), "last",
                                               (int)line_at(file, segment, item->extent.end - 1), "members",
                                               members_of(file, segment, i)));
    }
    text_deinit(&name);
}

json_t *file_types(const struct file *file)
{
    json_t *types = json_array();

    for (uint32_t i = 0; i < file->current.count && file->exists; i++) {
        add_types(file, &file->current.items[i], types);
    }
    return types;
}
