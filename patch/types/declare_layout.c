/*
 * The body of a structure or union. First it is tried as anybody would write it: where the compiler's own
 * rules put each member where it is, nothing needs to be said. If not, the type is packed, so that nothing is
 * placed but where the text before it ends, and all gaps are written out as members; that reproduces whatever
 * layout.
 */
#include <stdlib.h>

#include "patch/types/declare_private.h"

/* The alignment that TYPE has as it is written. */
static uint32_t alignment_as_written(const struct type *type)
{
    type = type_strip(type);
    if (type->kind == TYPE_ARRAY) {
        return alignment_as_written(type->inner);
    }
    if (type->kind == TYPE_BASE) {
        uint64_t size = type->encoding == TYPE_COMPLEX ? type->size / 2 : type->size;
        return size > 16 || size == 0 ? 1 : size == 12 ? 4 : size;
    }
    return type->alignment ? type->alignment : 1;
}

static uint64_t round_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) / to * to;
}

/* Where the compiler puts MEMBER if NEXT is the first free bit. */
static uint64_t natural_place(const struct type_member *member, uint64_t next)
{
    uint64_t alignment = alignment_as_written(member->type);

    alignment = 8 * (member->alignment > alignment ? member->alignment : alignment);
    if (member->bit_size) {
        uint64_t unit = 8 * type_strip(member->type)->size;
        bool straddles = next / unit != (next + member->bit_size - 1) / unit;
        return straddles ? round_up(next, alignment) : next;
    }
    return round_up(next, alignment);
}

static uint64_t bits_of(const struct type_member *member)
{
    return member->bit_size ? member->bit_size : 8 * member->type->size;
}

/* Whether the type comes out as it is without a word; *RET_ALIGNMENT is what it is aligned to then. */
static bool is_natural(const struct type *type, uint32_t *ret_alignment)
{
    uint32_t alignment = 1;
    uint64_t next = 0, end = 0;

    for (size_t i = 0; i < type->member_count; i++) {
        const struct type_member *member = &type->members[i];
        uint32_t own = alignment_as_written(member->type);
        own = member->alignment > own ? member->alignment : own;
        alignment = own > alignment ? own : alignment;
        if ((member->alignment && member->alignment < own) ||
            natural_place(member, type->kind == TYPE_UNION ? 0 : next) != member->bit_offset) {
            return false;
        }
        next = member->bit_offset + bits_of(member);
        end = next > end ? next : end;
    }
    *ret_alignment = alignment;
    alignment = type->alignment > alignment ? type->alignment : alignment;
    return alignment == type->alignment && round_up(round_up(end, 8) / 8, alignment) == type->size;
}

static void indent(unsigned depth, struct text *ret)
{
    text_printf(ret, "%*s", (int)(4 * depth), "");
}

/* Members that nobody uses in bits FROM to TO. */
static void add_padding(struct declarations *declarations, uint64_t from, uint64_t to, unsigned depth,
                        struct text *ret)
{
    while (from < to) {
        uint64_t in_byte = from % 8 ? 8 - from % 8 : 0, left = to - from;
        indent(depth, ret);
        if (!in_byte && left >= 8) {
            text_printf(ret, "char molt_padding_%u[%lu];\n", ++declarations->padding,
                        (unsigned long)left / 8);
            from += left / 8 * 8;
        } else {
            uint64_t bits = in_byte && in_byte < left ? in_byte : left;
            text_printf(ret, "unsigned char : %lu;\n", (unsigned long)bits);
            from += bits;
        }
    }
}

/* Whether TYPE is written where it is used, having no name of its own. */
static const struct type *inline_type(const struct type *type)
{
    const struct type *element = type_element(type, NULL);

    return type_is_compound(element) && !element->name && !element->alias ? element : NULL;
}

static void add_dimensions(const struct type *type, struct text *ret)
{
    for (type = type_strip(type); type->kind == TYPE_ARRAY; type = type_strip(type->inner)) {
        text_printf(ret, "[%lu]", (unsigned long)type->count);
    }
}

static void add_member(struct declarations *declarations, const struct type_member *member, bool aligned,
                       unsigned depth, struct text *ret)
{
    const struct type *body = inline_type(member->type);
    const char *name = member->name ? member->name : "";

    indent(depth, ret);
    if (aligned && member->alignment) {
        text_printf(ret, "_Alignas(%u) ", member->alignment);
    }
    if (body) {
        declare_compound(declarations, body, "", depth, ret);
        text_printf(ret, "%s%s", *name ? " " : "", name);
        add_dimensions(member->type, ret);
    } else {
        type_write(member->type, name, false, declare_leaf, declarations, ret);
    }
    if (member->bit_size) {
        text_printf(ret, " : %u", member->bit_size);
    }
    text_puts(ret, ";\n");
}

static void add_exact(struct declarations *declarations, const struct type *type, unsigned depth,
                      struct text *ret)
{
    uint64_t next = 0, end = 0;

    for (size_t i = 0; i < type->member_count; i++) {
        const struct type_member *member = &type->members[i];
        if (type->kind == TYPE_STRUCT) {
            add_padding(declarations, next, member->bit_offset, depth, ret);
        }
        add_member(declarations, member, false, depth, ret);
        next = member->bit_offset + bits_of(member);
        end = next > end ? next : end;
    }
    if (type->kind == TYPE_STRUCT) {
        add_padding(declarations, next, 8 * type->size, depth, ret);
    } else if (round_up(end, 8) < 8 * type->size) {
        add_padding(declarations, 0, 8 * type->size, depth, ret);
    }
}

void declare_compound(struct declarations *declarations, const struct type *type, const char *name,
                      unsigned depth, struct text *ret)
{
    uint32_t alignment = 1;
    bool natural = is_natural(type, &alignment);

    text_puts(ret, type->kind == TYPE_UNION ? "union " : "struct ");
    if (!natural) {
        text_printf(ret, "__attribute__((packed, aligned(%u))) ", type->alignment);
    } else if (type->alignment > alignment) {
        text_printf(ret, "__attribute__((aligned(%u))) ", type->alignment);
    }
    text_printf(ret, "%s%s{\n", name, *name ? " " : "");
    if (natural) {
        for (size_t i = 0; i < type->member_count; i++) {
            add_member(declarations, &type->members[i], true, depth + 1, ret);
        }
    } else {
        add_exact(declarations, type, depth + 1, ret);
    }
    indent(depth, ret);
    text_puts(ret, "}");
}

/* Adds a condition for each member of TYPE that has a name and an address, and for what lies in those
 * without type names. */
static void check_members(const struct type *type, const char *name, const char *path, uint64_t at,
                          struct text *ret)
{
    for (size_t i = 0; i < type->member_count; i++) {
        const struct type_member *member = &type->members[i];
        const struct type *stripped = type_strip(member->type);
        uint64_t place = at + member->bit_offset / 8;
        if (!member->name && type_is_compound(stripped)) {
            check_members(stripped, name, path, place, ret);
            continue;
        }
        if (member->bit_size || !member->name) {
            continue;
        }
        char *own = must_printf("%s%s%s", path, *path ? "." : "", member->name);
        text_printf(ret, " &&\n                   __builtin_offsetof(%s, %s) == %lu", name, own,
                    (unsigned long)place);
        if (inline_type(member->type) && type_is_compound(stripped)) {
            check_members(stripped, name, own, place, ret);
        }
        free(own);
    }
}

void declare_check(const struct type *type, const char *name, struct text *ret)
{
    text_printf(ret, "_Static_assert(sizeof(%s) == %lu", name, (unsigned long)type->size);
    check_members(type, name, "", 0, ret);
    text_printf(ret, ",\n               \"%s has another layout than in the program\");\n\n", name);
}
