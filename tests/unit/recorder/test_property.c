/*
 * Thousands of random edits over real C files. After each: the outline and the declarations equal those of a
 * fresh extraction, syntax errors those of a parse from scratch. Once all is undone the change set is empty.
 *
 *     test-recorder-property [FILE...]     MOLT_SEED=n replays, MOLT_EDITS=n edits per file
 */
#include <dirent.h>
#include <time.h>

#include "support.h"

#include "recorder/changes.h"
#include "recorder/file.h"
#include "recorder/token.h"

enum { FILE_SIZE_MAX = 60000, UNDO_MAX = 200 };

static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return limit ? (uint32_t)(random_state >> 33) % limit : 0;
}

/* One edit and what it replaced, so that it can be undone. */
struct done {
    uint32_t start, new_length, old_length;
    char *old_text;
};

static struct molt_error *next_edit(const struct file *file, size_t index, void *context,
                                    struct byte_edit *ret)
{
    *ret = ((struct byte_edit *)context)[index];
    return NULL;
}

static const char *const pieces[] = {
    "{",
    "}",
    ";",
    "\n",
    "/*",
    "*/",
    "\"",
    "'",
    "(",
    ")",
    "#if 0\n",
    "\n#endif\n",
    "\n#else\n",
    "int x;",
    "a",
    "_b",
    "static ",
    "=",
    "struct s {",
    "};\n",
    "\nint f(void)\n{\n",
    "}\n",
    ",",
    "*",
    "\\\n",
    "// x\n",
    "#define Q 1\n",
    "typedef ",
    "enum { A, B }",
    "return",
    " ",
    "\t",
};

/* A random edit of TEXT: a piece put in, a stretch taken out, a stretch copied, a character typed. */
static struct byte_edit random_edit(const struct document *document, char *buffer, size_t size)
{
    struct byte_edit edit = { .start = random_below(document->length + 1), .text = "" };
    uint32_t left = document->length - edit.start;

    edit.end = edit.start;
    switch (random_below(6)) {
    case 0:
        edit.end = edit.start + random_below(left < 40 ? left + 1 : 40);
        break;
    case 1:
        edit.end = edit.start + random_below(left < 3000 ? left + 1 : 3000);
        break;
    case 2: {
        uint32_t from = random_below(document->length + 1);
        edit.length = random_below(document->length - from < 400 ? document->length - from + 1 : 400);
        memcpy(buffer, document->text + from, edit.length < size ? edit.length : size);
        edit.text = buffer;
        break;
    }
    case 3:
        buffer[0] = (char)('a' + random_below(26));
        edit.text = buffer;
        edit.length = 1;
        break;
    default:
        edit.text = pieces[random_below(sizeof(pieces) / sizeof(pieces[0]))];
        edit.length = (uint32_t)strlen(edit.text);
        edit.end = edit.start + (left ? random_below(2) : 0);
    }
    return edit;
}

static bool same_declarations(const struct declarations *a, const struct declarations *b)
{
    bool same = a->count == b->count && a->conditional_hash == b->conditional_hash;

    for (uint32_t i = 0; same && i < a->count; i++) {
        const struct declaration *x = &a->items[i], *y = &b->items[i];
        same = strcmp(declaration_name(a, i), declaration_name(b, i)) == 0 && x->kind == y->kind &&
               x->owner == y->owner && x->extent.start == y->extent.start && x->extent.end == y->extent.end &&
               x->type_hash == y->type_hash && x->value_hash == y->value_hash &&
               x->names_hash == y->names_hash;
    }
    return same;
}

/* The outline as it came about equals one made of the text alone. */
static void assert_as_fresh(struct file_context *context, const struct file *file)
{
    struct outline fresh = { 0 };

    assert_ok(outline_build(&context->extractor, file->document.text, file->document.length, &fresh));
    assert_int_equal(fresh.count, file->current.count);
    for (uint32_t i = 0; i < fresh.count; i++) {
        const struct segment *a = &fresh.items[i], *b = &file->current.items[i];
        assert_int_equal(a->span.kind, b->span.kind);
        assert_int_equal(a->span.start, b->span.start);
        assert_int_equal(a->span.lead, b->span.lead);
        assert_int_equal(a->span.end, b->span.end);
        assert_int_equal(a->content->text_hash, b->content->text_hash);
        if (!same_declarations(&a->content->declarations, &b->content->declarations)) {
            fail_msg("declarations differ in:\n%.*s", (int)(a->span.end - a->span.start),
                     file->document.text + a->span.start);
        }
    }
    outline_deinit(&fresh);
}

/* Each segment's tree says what a parse from scratch says. */
static void assert_syntax(struct file_context *context, struct file *file)
{
    for (uint32_t i = 0; i < file->current.count; i++) {
        const struct segment *segment = &file->current.items[i];
        if (!segment->content->syntax.known) {
            continue;
        }
        struct syntax fresh = { 0 };
        assert_ok(syntax_check(&fresh, context->extractor.parser, file->document.text + segment->span.lead,
                               segment->span.end - segment->span.lead, true));
        assert_int_equal(fresh.has_error, segment->content->syntax.has_error);
        assert_int_equal(fresh.error_offset, segment->content->syntax.error_offset);
        if (segment->content->syntax.tree && segment->content->syntax.text) {
            char *a = ts_node_string(ts_tree_root_node(fresh.tree));
            char *b = ts_node_string(ts_tree_root_node(segment->content->syntax.tree));
            assert_string_equal(a, b);
            free(a);
            free(b);
        }
        syntax_deinit(&fresh);
    }
}

/* Every declaration of the baseline is one current declaration or one ghost; ids are unique. */
static void assert_identities(const struct file *file)
{
    uint8_t *seen = calloc(file->base_count + 1, 1);

    for (uint32_t i = 0; i < file->current.count; i++) {
        const struct segment *segment = &file->current.items[i];
        for (uint32_t k = 0; k < segment->content->declarations.count; k++) {
            assert_true(segment->identities[k].id > 0);
            if (segment->identities[k].base >= 0) {
                assert_int_equal(seen[segment->identities[k].base]++, 0);
            }
        }
    }
    for (uint32_t i = 0; i < file->ghosts.count; i++) {
        assert_int_equal(seen[file->ghosts.items[i].base]++, 0);
    }
    for (uint32_t i = 0; i < file->base_count; i++) {
        assert_int_equal(seen[i], 1);
    }
    free(seen);
}

static uint64_t all_tokens(const struct document *document)
{
    return document->length ? token_hash(0, document->text, 0, document->length, NULL, 0) : 0;
}

/* What differs in more than spaces and comments is in the change set. */
static void assert_changes_seen(struct file_context *context, struct file *file, bool empty)
{
    struct change_list list = { 0 };

    assert_ok(changes_of_file(context, file, "a.c", &list));
    empty |= all_tokens(&file->document) == all_tokens(&file->baseline_document);
    if (empty && list.count) {
        const struct change *change = &list.records[0].change;
        fail_msg("%zu changes where there are none, such as %s %s %s at line %u (%u)", list.count,
                 change_action_word(change->action), declaration_kind_word(change->kind), change->name,
                 change->line, change->old_line);
    }
    change_list_deinit(&list);
}

static void make_edit(struct file_context *context, struct file *file, struct done *done)
{
    char buffer[512];
    struct byte_edit edit = random_edit(&file->document, buffer, sizeof(buffer));

    *done =
        (struct done){ .start = edit.start, .new_length = edit.length, .old_length = edit.end - edit.start };
    done->old_text = strndup(file->document.text + edit.start, done->old_length);
    done->old_length = (uint32_t)strlen(done->old_text);
    edit.end = edit.start + done->old_length;
    assert_ok(file_edit(context, file, 1, next_edit, &edit));
}

static void undo(struct file_context *context, struct file *file, struct done *done)
{
    struct byte_edit edit = { done->start, done->start + done->new_length, done->old_text, done->old_length };

    assert_ok(file_edit(context, file, 1, next_edit, &edit));
    free(done->old_text);
}

/* EDITS random edits in bursts, each undone again. */
static void play(const char *text, size_t length, uint32_t edits)
{
    static struct done stack[UNDO_MAX];
    struct file_context context;
    struct file file;

    assert_ok(file_context_init(&context));
    file_init(&file, strdup("/a.c"));
    assert_ok(file_set_baseline(&context, &file, text, length));
    assert_as_fresh(&context, &file);
    while (edits) {
        uint32_t burst = 1 + random_below(UNDO_MAX < edits ? UNDO_MAX : edits), count = 0;
        for (; count < burst; count++) {
            make_edit(&context, &file, &stack[count]);
            if (random_below(4) == 0) {
                assert_changes_seen(&context, &file, false);
                assert_syntax(&context, &file);
            }
            assert_as_fresh(&context, &file);
            assert_identities(&file);
        }
        edits -= burst;
        while (count) {
            undo(&context, &file, &stack[--count]);
        }
        assert_as_fresh(&context, &file);
        assert_identities(&file);
        assert_int_equal(file.ghosts.count, 0);
        file.exists = true;
        assert_changes_seen(&context, &file, true);
    }
    file_deinit(&file);
    file_context_deinit(&context);
}

static char *read_file(const char *path, size_t *ret_length)
{
    FILE *stream = fopen(path, "r");
    char *text = calloc(1, FILE_SIZE_MAX + 1);

    *ret_length = stream ? fread(text, 1, FILE_SIZE_MAX, stream) : 0;
    if (stream) {
        fclose(stream);
    }
    return text;
}

static void play_file(const char *path, uint32_t edits)
{
    size_t length;
    char *text = read_file(path, &length);

    printf("%s: %zu bytes, %u edits, MOLT_SEED=%llu\n", path, length, edits,
           (unsigned long long)random_state);
    fflush(stdout);
    if (length) {
        play(text, length, edits);
    }
    free(text);
}

static char **arguments;
static int argument_count;
static uint32_t edits_per_file = 60;

static void play_directory(const char *path, const char *suffix, int limit)
{
    struct dirent **names = NULL;
    int count = scandir(path, &names, NULL, alphasort);
    char full[4096];

    for (int i = 0; i < count; i++) {
        const char *dot = strrchr(names[i]->d_name, '.');
        if (dot && strcmp(dot, suffix) == 0 && limit-- > 0) {
            snprintf(full, sizeof(full), "%s/%s", path, names[i]->d_name);
            play_file(full, edits_per_file);
        }
        free(names[i]);
    }
    free(names);
}

static void test_random_edits(void **state)
{
    for (int i = 0; i < argument_count; i++) {
        play_file(arguments[i], edits_per_file);
    }
    if (!argument_count) {
        play_directory(RECORDER_SOURCES, ".c", 20);
        play_directory(RECORDER_SOURCES, ".h", 20);
        play_directory("/usr/include", ".h", 30);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random_edits) };
    const char *seed = getenv("MOLT_SEED"), *edits = getenv("MOLT_EDITS");

    random_state = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    edits_per_file = edits ? (uint32_t)atoi(edits) : edits_per_file;
    arguments = argv + 1;
    argument_count = argc - 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
