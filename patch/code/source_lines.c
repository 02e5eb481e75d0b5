/* Sources by line, read once per build. */
#include "patch/code/source_lines.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/file.h"

struct split {
    char *path, *bytes;
    LIST(char *) lines;
};

/* A file as somebody called it. */
struct asked {
    char *name;
    struct split *split;
};

struct source_lines {
    const struct tree *from, *to;
    struct table files; /* path -> struct split */
    struct table asked_from,
        asked_to; /* name -> struct asked: where a tree has a file is looked up but once */
};

struct source_lines *source_lines_create(const struct tree *from, const struct tree *to)
{
    struct source_lines *lines = must_calloc(1, sizeof(*lines));

    lines->from = from;
    lines->to = to;
    return lines;
}

static void asked_destroy(struct table *asked)
{
    for (size_t i = 0; i < asked->capacity; i++) {
        struct asked *one = asked->slots[i].value;
        if (one) {
            free(one->name);
            free(one);
        }
    }
    table_deinit(asked);
}

void source_lines_destroy(struct source_lines *lines)
{
    for (size_t i = 0; lines && i < lines->files.capacity; i++) {
        struct split *split = lines->files.slots[i].value;
        if (split) {
            LIST_FREE(&split->lines);
            free(split->bytes);
            free(split->path);
            free(split);
        }
    }
    if (lines) {
        asked_destroy(&lines->asked_from);
        asked_destroy(&lines->asked_to);
        table_deinit(&lines->files);
    }
    free(lines);
}

static struct split *read_split(struct source_lines *lines, const struct tree *tree, const char *file)
{
    char *normal = must_have(path_normalise("/", file));
    char *path = tree_file(tree, normal);
    struct split *split = table_get(&lines->files, path);
    size_t size;

    free(normal);
    if (split) {
        free(path);
        return split;
    }
    split = must_calloc(1, sizeof(*split));
    split->path = path;
    molt_error_destroy(file_read(path, &split->bytes, &size));
    for (char *at = split->bytes; at && *at;) {
        char *end = strchrnul(at, '\n');
        LIST_ADD(&split->lines, at);
        at = *end ? end + 1 : end;
        *end = '\0';
    }
    table_put(&lines->files, path, split);
    return split;
}

static struct split *load(struct source_lines *lines, bool old, const char *file)
{
    struct table *table = old ? &lines->asked_from : &lines->asked_to;
    struct asked *asked = table_get(table, file);

    if (!asked) {
        asked = must_calloc(1, sizeof(*asked));
        asked->name = must_strdup(file);
        asked->split = read_split(lines, old ? lines->from : lines->to, file);
        table_put(table, asked->name, asked);
    }
    return asked->split;
}

bool source_lines_equal(struct source_lines *lines, const char *file, unsigned old_line, unsigned new_line)
{
    const struct split *old = load(lines, true, file), *new = load(lines, false, file);

    return old_line && new_line && old_line <= old->lines.count &&
           new_line <= new->lines.count &&strcmp(old->lines.items[old_line - 1],
                                                 new->lines.items[new_line - 1]) ==
               0;
}

bool source_lines_same(void *context, const char *file, unsigned old_line, unsigned new_line)
{
    struct source_lines *lines = context;
    const struct split *old = load(lines, true, file);

    return source_lines_equal(lines, file, old_line, new_line) &&
           strpbrk(old->lines.items[old_line - 1], "()_abcdefghijklmnopqrstuvwxyz");
}
