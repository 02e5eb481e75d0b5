/*
 * Making a command line out of the user's. What says where results go, and what would keep definitions out of
 * the object (link-time optimisation) or debug information out of its sections, or dresses messages up, is
 * dropped; everything else stays. In a mirror, all paths below the root are rewritten and mapped back by
 * -ffile-prefix-map, so that __FILE__ and the debug information do not know the difference.
 */
#include "patch/compile/command.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

typedef LIST(char *) arguments;

static bool starts(const char *string, const char *prefix)
{
    return strncmp(string, prefix, strlen(prefix)) == 0;
}

/* How many arguments to drop at ARGUMENT. */
static unsigned dropped(const char *argument, enum command_kind kind)
{
    static const char *const with_value[] = { "-o", "-MF", "-MT", "-MQ", "-MJ" };
    static const char *const alone[] = { "-M", "-flto", "-ffat-lto-objects", "-fno-fat-lto-objects", "-Wp,-M",
                                         "-gz", "-fdebug-prefix-map=", "-gsplit-dwarf", "-save-temps",
                                         "--save-temps", "-fuse-linker-plugin", "-fdebug-types-section",
                                         /* messages are read here, and shown elsewhere */
                                         "-fdiagnostics-", "-fcolor-diagnostics", "-fansi-escape-codes" };
    static const char *const sections[] = { "-ffunction-sections", "-fdata-sections",
                                            "-fno-function-sections", "-fno-data-sections" };

    static const char *const changing[] = { /* the code, or what is an error */
                                            "-O",         "-Werror",    "-Wfatal-errors", "-pedantic-errors",
                                            "-fsanitize", "--coverage", "-fprofile",      "-ftest-coverage",
                                            "-fanalyzer", "-pg"
    };
    bool unchanged = kind == COMMAND_PROBE || kind == COMMAND_UNOPTIMISED;
    bool no_value =
        kind == COMMAND_PROBE && (strcmp(argument, "-include") == 0 || strcmp(argument, "-imacros") == 0);

    for (size_t i = 0; i < sizeof(with_value) / sizeof(*with_value); i++) {
        if (no_value || strcmp(argument, with_value[i]) == 0) {
            return 2;
        }
    }
    for (size_t i = 0; unchanged && i < sizeof(changing) / sizeof(*changing); i++) {
        if (starts(argument, changing[i])) {
            return 1;
        }
    }
    if (kind == COMMAND_PREPROCESSED && (strcmp(argument, "-c") == 0 || strcmp(argument, "-P") == 0)) {
        return 1;
    }
    if (starts(argument, "-o") && argument[2] && !starts(argument, "-objc")) {
        return 1;
    }
    for (size_t i = 0; i < sizeof(alone) / sizeof(*alone); i++) {
        if (starts(argument, alone[i])) {
            return 1;
        }
    }
    for (size_t i = 0; kind != COMMAND_PLAIN && i < sizeof(sections) / sizeof(*sections); i++) {
        if (strcmp(argument, sections[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Whether the text before a path, within one argument, is something a path may follow. */
static bool may_precede_path(const char *argument, size_t length)
{
    if (length == 0 || strchr("=,:\"", argument[length - 1])) {
        return true;
    }
    for (size_t i = 0; i < length; i++) {
        if (argument[i] != '-' && !isalpha((unsigned char)argument[i])) {
            return false;
        }
    }
    return argument[0] == '-' || argument[0] == '@';
}

/* ARGUMENT with PREFIX, where a path begins with it, replaced. */
static char *rewrite(const char *argument, const char *prefix, const char *replacement)
{
    struct text result = { 0 };
    size_t length = strlen(prefix);
    const char *from = argument;

    text_puts(&result, "");
    for (const char *hit; (hit = strstr(from, prefix)); from = hit + length) {
        bool private = strncmp(hit + length, "/.molt/", 7) == 0; /* in no mirror */
        bool whole = (hit[length] == '/' && !private) || hit[length] == '\0' || strchr(",:=\"", hit[length]);
        text_append(&result, from, hit - from);
        text_puts(&result, whole && may_precede_path(argument, hit - argument) ? replacement : prefix);
    }
    text_puts(&result, from);
    return must_have(text_steal(&result));
}

/* One argument as it is to be in TREE. Definitions are left alone: they would end up in strings. */
static char *place_argument(const struct tree *tree, const char *argument)
{
    if (tree->in_place || starts(argument, "-D") || starts(argument, "-U")) {
        return must_strdup(argument);
    }
    char *root = tree_mirror_path(tree, tree->db->root), *build = tree_mirror_path(tree, tree->db->build);
    bool map = strstr(argument, "-prefix-map=") != NULL;
    const char *equal = map ? strrchr(argument, '=') : NULL;
    char *head = equal ? must_strndup(argument, equal - argument) : must_strdup(argument);
    char *once = rewrite(head, tree->db->root, root);
    char *twice = path_below(tree->db->root, tree->db->build) ? must_strdup(once)
                                                              : rewrite(once, tree->db->build, build);
    char *result = must_printf("%s%s", twice, equal ? equal : "");

    free(root);
    free(build);
    free(head);
    free(once);
    free(twice);
    return result;
}

bool command_is_clang(const struct compile_entry *entry)
{
    for (size_t i = 0; i < entry->argument_count && i < 3 && entry->arguments[i][0] != '-'; i++) {
        const char *slash = strrchr(entry->arguments[i], '/');
        if (strstr(slash ? slash + 1 : entry->arguments[i], "clang")) {
            return true;
        }
    }
    return false;
}

static void add(arguments *list, const char *argument)
{
    LIST_ADD(list, must_strdup(argument));
}

static void add_sections(arguments *list, const struct compile_entry *entry, enum command_kind kind)
{
    add(list, "-fno-lto");
    if (kind != COMMAND_PLAIN) {
        add(list, "-ffunction-sections");
        add(list, "-fdata-sections");
        add(list, "-fno-common");
    }
    if (kind == COMMAND_UNOPTIMISED) {
        add(list, "-O0");
        add(list, "-w");
    }
    if (kind == COMMAND_INDIRECT) {
        add(list, command_is_clang(entry) ? "-fno-direct-access-external-data" : "-mno-direct-extern-access");
    }
}

/* What makes a compiler tell all types of the whole source, as quickly as it can. */
static void add_probe(arguments *list, const struct compile_entry *entry)
{
    static const char *const gcc[] = { "-fkeep-static-functions", "-fkeep-inline-functions",
                                       "-fmax-errors=0" };
    static const char *const clang[] = { "-femit-all-decls", "-ferror-limit=0", "-fstandalone-debug" };
    const char *const *own = command_is_clang(entry) ? clang : gcc;

    for (size_t i = 0; i < 3; i++) {
        add(list, own[i]);
    }
    add(list, "-O0");
    add(list, "-g");
    add(list, "-w");
    add(list, "-c");
}

bool command_is_lto(const struct compile_entry *entry)
{
    bool is_lto = false;

    for (size_t i = 1; i < entry->argument_count; i++) {
        const char *argument = entry->arguments[i];
        is_lto = (is_lto && strcmp(argument, "-fno-lto") != 0) || strcmp(argument, "-flto") == 0 ||
                 starts(argument, "-flto=");
    }
    return is_lto;
}

/*
 * Maps the mirror to what it stands for. The user's own maps (-ffile-prefix-map=$PWD=., as Debian's packages
 * are built) are to hold for what the code says, __FILE__, but not for the debug information: sources are
 * read where they are. Of two maps for one path compilers take the first or the last, so there is but one.
 */
static void add_map(arguments *list, const struct compile_entry *entry, const struct tree *tree)
{
    bool own = false, same = false;

    for (size_t i = 1; i < entry->argument_count; i++) {
        const char *argument = entry->arguments[i];
        if (starts(argument, "-ffile-prefix-map=") || starts(argument, "-fmacro-prefix-map=")) {
            const char *path = strchr(argument, '=') + 1;
            own = true;
            same = same || (starts(path, tree->top) && path[strlen(tree->top)] == '=');
        }
    }
    LIST_ADD(list, must_printf("-f%s-prefix-map=%s=%s", own ? "debug" : "file", tree->mirror, tree->top));
    if (own && !same) {
        LIST_ADD(list, must_printf("-fmacro-prefix-map=%s=%s", tree->mirror, tree->top));
    }
}

static void add_kind(arguments *list, const struct compile_entry *entry, enum command_kind kind,
                     const char *dependencies, bool compile)
{
    switch (kind) {
    case COMMAND_DEPENDENCIES:
        add(list, "-M");
        add(list, "-MF");
        add(list, dependencies ? dependencies : "");
        return;
    case COMMAND_PROBE:
        add_probe(list, entry);
        return;
    case COMMAND_PREPROCESSED:
        add(list, "-E");
        add(list, "-g0"); /* with -g3 the macros' definitions would stand in the text */
        break;
    default:
        add_sections(list, entry, kind);
        if (!compile) {
            add(list, "-c");
        }
    }
    add(list, "-MD");
    if (dependencies) {
        add(list, "-MF");
        add(list, dependencies);
    }
}

/* Whether the user's own command says what MACRO is. */
static bool defines(const struct compile_entry *entry, const char *macro)
{
    for (size_t i = 1; i < entry->argument_count; i++) {
        const char *argument = entry->arguments[i];
        if ((starts(argument, "-D") || starts(argument, "-U")) &&
            (starts(argument + 2, macro) ||
             (!argument[2] && i + 1 < entry->argument_count && starts(entry->arguments[i + 1], macro)))) {
            return true;
        }
    }
    return false;
}

/* One time for everything: see build_time.c. */
static void add_time(arguments *list, const struct compile_entry *entry, const struct build_time *time)
{
    const struct {
        const char *macro, *value;
    } macros[] = { { "__DATE__", time->date },
                   { "__TIME__", time->clock },
                   { "__TIMESTAMP__", time->timestamp } };

    for (size_t i = 0; *time->date && i < 3; i++) {
        if (!defines(entry, macros[i].macro)) {
            LIST_ADD(list, must_printf("-D%s=\"%s\"", macros[i].macro, macros[i].value));
        }
    }
    if (*time->date) {
        add(list, "-Wno-builtin-macro-redefined");
    }
}

char **command_make(const struct compile_entry *entry, const struct tree *tree, enum command_kind kind,
                    const char *output, const char *dependencies)
{
    return command_make_for(entry, tree, kind, NULL, output, dependencies);
}

/* Whether ARGUMENT asks for debug information. */
static bool asks_debug(const char *argument)
{
    return starts(argument, "-g") && strcmp(argument, "-g0") != 0;
}

bool command_has_debug(const struct compile_entry *entry)
{
    bool debug = false;

    for (size_t i = 1; i < entry->argument_count; i++) {
        debug = (debug && strcmp(entry->arguments[i], "-g0") != 0) || asks_debug(entry->arguments[i]);
    }
    return debug;
}

char **command_make_for(const struct compile_entry *entry, const struct tree *tree, enum command_kind kind,
                        const char *source, const char *output, const char *dependencies)
{
    arguments list = { 0 };
    bool mapped = tree->in_place, debug = false, compile = false;

    for (size_t i = 0; i < entry->argument_count; i++) {
        const char *argument = entry->arguments[i];
        unsigned drop = i > 0 ? dropped(argument, kind) : 0;
        if (drop) {
            i += drop - 1;
            continue;
        }
        if (i > 0 && !mapped && argument[0] == '-') {
            add_map(&list, entry, tree);
            mapped = true;
        }
        debug = debug || asks_debug(argument);
        compile = compile || strcmp(argument, "-c") == 0;
        if (source && i == entry->file_argument) {
            add(&list, "-x");
            add(&list, "cpp-output");
            add(&list, source);
            continue;
        }
        char *placed = i > 0 ? place_argument(tree, argument) : must_strdup(argument);
        const char *map = starts(argument, "-ffile-prefix-map=") ? strchr(placed, '=') : NULL;
        LIST_ADD(&list, map ? must_printf("-fmacro-prefix-map%s", map) : must_strdup(placed));
        free(placed);
    }
    if (!mapped) {
        add_map(&list, entry, tree);
    }
    if (!debug) {
        add(&list, "-g");
    }
    add_time(&list, entry, &tree->db->time);
    add_kind(&list, entry, kind, dependencies, compile);
    if (output) {
        add(&list, "-o");
        add(&list, output);
    }
    LIST_ADD(&list, NULL);
    return list.items;
}

void command_free(char **list)
{
    for (size_t i = 0; list && list[i]; i++) {
        free(list[i]);
    }
    free(list);
}
