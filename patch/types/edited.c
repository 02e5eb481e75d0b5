/*
 * Whether an edit has to do with a variable, by the lines that name it. Of a variable that no object keeps
 * nothing else can be told without compiling its source once more, and there are many: most are locals that
 * the compiler has no need for.
 */
#include "patch/types/edited.h"

#include <ctype.h>
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "patch/code/definition_line.h"
#include "patch/file.h"

static void read_lines(struct edited_file *source)
{
    for (const char *at = source->text; at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
        LIST_ADD(&source->lines, at);
    }
}

/* The file FORM is declared in, as TREE has it; read once. NULL: nothing tells which it is. */
static const struct edited_file *source_of(struct edited_sources *sources, const struct form *form,
                                           const struct tree *tree)
{
    char *file = definition_file((Dwarf_Die *)&form->die), *path = file ? tree_file(tree, file) : NULL;
    struct edited_file source = { .path = path };
    size_t size;

    free(file);
    for (size_t i = 0; path && i < sources->files.count; i++) {
        if (strcmp(sources->files.items[i].path, path) == 0) {
            free(path);
            return &sources->files.items[i];
        }
    }
    if (!path) {
        return NULL;
    }
    molt_error_destroy(file_read(path, &source.text, &size));
    read_lines(&source);
    LIST_ADD(&sources->files, source);
    return &sources->files.items[sources->files.count - 1];
}

void edited_sources_deinit(struct edited_sources *sources)
{
    for (size_t i = 0; i < sources->files.count; i++) {
        free(sources->files.items[i].path);
        free(sources->files.items[i].text);
        LIST_FREE(&sources->files.items[i].lines);
    }
    LIST_FREE(&sources->files);
}

static bool is_letter(char character)
{
    return isalnum((unsigned char)character) || character == '_';
}

static bool has_word(const char *text, size_t length, const char *word)
{
    size_t size = strlen(word);

    for (size_t i = 0; i + size <= length; i++) {
        if (strncmp(text + i, word, size) == 0 && (i == 0 || !is_letter(text[i - 1])) &&
            !is_letter(text[i + size])) {
            return true;
        }
    }
    return false;
}

/* The lines of TEXT that have WORD. Owned by the caller. */
static char *lines_with(const char *text, const char *word)
{
    struct text lines = { 0 };
    size_t length = strlen(word);

    text_puts(&lines, "");
    for (const char *hit = strstr(text, word); hit; hit = strstr(hit, word)) {
        if ((hit > text && is_letter(hit[-1])) || is_letter(hit[length])) {
            hit += length;
            continue;
        }
        const char *start = hit;
        while (start > text && start[-1] != '\n') {
            start--;
        }
        hit += strcspn(hit, "\n");
        text_append(&lines, start, hit - start);
        text_puts(&lines, "\n");
    }
    return must_have(text_steal(&lines));
}

/* Whether the line of FORM in SOURCE, or the one before, says that it is static. */
static bool says_static(const struct form *form, const struct edited_file *source)
{
    int line = 0;

    if (dwarf_decl_line((Dwarf_Die *)&form->die, &line) != 0 || line < 1 ||
        (size_t)line > source->lines.count) {
        return false;
    }
    const char *first = source->lines.items[line > 1 ? line - 2 : 0], *last = source->lines.items[line - 1];
    return has_word(first, (size_t)(last - first) + strcspn(last, "\n"), "static");
}

bool is_edited(struct edited_sources *sources, const struct form *old, const struct form *new)
{
    const struct edited_file *after = source_of(sources, new, sources->to);
    if (!after || !after->text || !says_static(new, after)) {
        return false;
    }
    char *other = lines_with(after->text, new->name);
    const struct edited_file *before = source_of(sources, old, sources->from);
    char *one = before && before->text ? lines_with(before->text, old->name) : NULL;
    bool edited = one && strcmp(one, other) != 0;
    free(one);
    free(other);
    return edited;
}
