/*
 * Compiling policies. Both steps are jobs as for any unit (patch/compile/compile.h), so results come from the
 * cache where contents are the same. The second one is compiled in place, since its text stands in the cache
 * and includes nothing.
 */
#include "base/text.h"
#include "patch/policy/compile.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "patch/hash.h"

/* include/molt/policy.h, so that it need not be installed where the program is built. */
static const char header[] = {
#include "patch/policy_header.inc" /* bytes, made by the build */
};

static bool starts(const char *string, const char *prefix)
{
    return strncmp(string, prefix, strlen(prefix)) == 0;
}

/* Whether ARGUMENT has no meaning for a text that is preprocessed already, or would only complain about it;
 * *RET_VALUE: the next argument belongs to it. */
static bool is_for_preprocessing(const char *argument, bool *ret_value)
{
    static const char *const with_value[] = { "-I",       "-D",      "-U",         "-include", "-imacros",
                                              "-isystem", "-iquote", "-idirafter", "-iprefix", "-isysroot" };
    static const char *const alone[] = { "-W",        "-pedantic",       "--coverage",
                                         "-fprofile", "-ftest-coverage", "-finstrument-functions",
                                         "-pg" };

    *ret_value = false;
    for (size_t i = 0; i < sizeof(with_value) / sizeof(*with_value); i++) {
        if (starts(argument, with_value[i])) {
            *ret_value = strcmp(argument, with_value[i]) == 0;
            return true;
        }
    }
    for (size_t i = 0; i < sizeof(alone) / sizeof(*alone); i++) {
        if (starts(argument, alone[i]) && !starts(argument, "-Wa,")) {
            return true;
        }
    }
    return false;
}

static void add_argument(struct compile_entry *entry, char *argument)
{
    entry->arguments = must_realloc(entry->arguments, entry->argument_count + 2, sizeof(char *));
    entry->arguments[entry->argument_count++] = argument;
    entry->arguments[entry->argument_count] = NULL;
}

/* Whether ARGUMENT asks for C as it was before 1999, which neither the header nor the generated code is.
 * Compilers take --std, too. */
static bool is_old_standard(const char *argument)
{
    static const char *const standards[] = {
        "-ansi",      "-std=c89",          "-std=gnu89",         "-std=c90",
        "-std=gnu90", "-std=iso9899:1990", "-std=iso9899:199409"
    };

    argument += starts(argument, "--");
    for (size_t i = 0; i < sizeof(standards) / sizeof(*standards); i++) {
        if (strcmp(argument, standards[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* NEIGHBOUR's command for FILE; PREPROCESSED: without what is for the preprocessor. */
static struct compile_entry *make_entry(const struct compile_entry *neighbour, const char *file,
                                        const char *name, bool preprocessed)
{
    struct compile_entry *entry = must_calloc(1, sizeof(*entry));
    bool value;

    entry->file = must_strdup(file);
    entry->name = must_strdup(name);
    entry->directory = must_strdup(neighbour->directory);
    for (size_t i = 0; i < neighbour->argument_count; i++) {
        const char *argument = neighbour->arguments[i];
        if (i == neighbour->file_argument) {
            entry->file_argument = entry->argument_count;
            add_argument(entry, must_strdup(file));
        } else if (i > 0 && preprocessed && is_for_preprocessing(argument, &value)) {
            i += value;
        } else if (!is_old_standard(argument)) {
            add_argument(entry, must_strdup(argument));
        }
    }
    return entry;
}

/* The file's name without its ending as part of a C name: "a-b.c" is "a_2db". */
static char *identifier_of(const char *path)
{
    const char *name = path_last(path), *dot = strrchr(name, '.');
    struct text result = { 0 };

    text_puts(&result, "");
    for (const char *at = name; *at && at != dot; at++) {
        bool plain = isalnum((unsigned char)*at) || *at == '_';
        text_printf(&result, plain ? "%c" : "_%02x", (unsigned char)*at);
    }
    return must_have(text_steal(&result));
}

static char *include_directory(const struct patch_session *session)
{
    return must_printf("%s/include", session->cache);
}

/* Puts the header where it can be included from. */
static struct molt_error *provide_header(const struct patch_session *session)
{
    char *directory = include_directory(session), *below = must_printf("%s/molt", directory);
    char *path = must_printf("%s/policy.h", below), *there = NULL;
    size_t size = 0;
    struct molt_error *error = file_read(path, &there, &size);
    bool same = !error && size == sizeof(header) && memcmp(there, header, size) == 0;

    molt_error_destroy(error);
    error = same ? NULL : file_make_directory(below);
    if (!same && !error) {
        error = file_write(path, header, sizeof(header));
    }
    free(there);
    free(path);
    free(below);
    free(directory);
    return error;
}

/* Lets FILE find the program's headers by their names alone, as the program's own files beside them do. */
static void add_source_directories(const struct policy_setup *setup, struct compile_entry *entry)
{
    struct table seen = { 0 };
    LIST(char *) directories = { 0 };
    struct patch_session *session = setup->session;

    LIST_ADD(&directories, must_strdup(setup->neighbour->file));
    LIST_ADD(&directories, must_printf("%s/", session->db.root));
    for (size_t i = 0; i < session->unit_count; i++) {
        LIST_ADD(&directories, must_strdup(session->units[i].entry->file));
    }
    for (size_t i = 0; i < directories.count; i++) {
        *strrchr(directories.items[i], '/') = '\0';
        if (!table_put(&seen, directories.items[i], entry)) {
            add_argument(entry, must_strdup("-iquote"));
            add_argument(entry, must_strdup(directories.items[i]));
        }
    }
    table_deinit(&seen);
    for (size_t i = 0; i < directories.count; i++) {
        free(directories.items[i]);
    }
    LIST_FREE(&directories);
}

/* Whether the program is made from the file: it is no policy, whatever its directory is called. */
static bool is_programs_own(const struct patch_session *session, const char *directory, const char *name)
{
    char *path = must_printf("%s/%s", directory, name);
    bool own = false;

    for (size_t i = 0; !own && i < session->db.entries.count; i++) {
        own = strcmp(session->db.entries.items[i]->file, path) == 0;
    }
    free(path);
    return own;
}

size_t policy_files_list(const struct patch_session *session, struct tree *tree, const char *directory,
                         char ***ret)
{
    char *path = tree->in_place ? must_strdup(directory) : tree_mirror_path(tree, directory);
    DIR *stream = opendir(path);
    struct dirent *entry;
    LIST(char *) names = { 0 };

    while (stream && (entry = readdir(stream))) {
        size_t length = strlen(entry->d_name);
        if (length > 2 && entry->d_name[0] != '.' && strcmp(entry->d_name + length - 2, ".c") == 0 &&
            !is_programs_own(session, directory, entry->d_name)) {
            LIST_ADD(&names, must_strdup(entry->d_name));
        }
    }
    if (stream) {
        closedir(stream);
    }
    free(path);
    strings_sort(names.items, names.count);
    *ret = names.items;
    return names.count;
}

/* The line on which the policy file PATH includes NAME, 1 if another header does. */
static unsigned line_of_include(const struct policy_setup *setup, const char *path, const char *name)
{
    char *here = setup->to->in_place ? must_strdup(path) : tree_mirror_path(setup->to, path), *line = NULL;
    FILE *stream = fopen(here, "r");
    size_t room = 0;
    unsigned number = 0;
    bool found = false;

    while (stream && !found && getline(&line, &room, stream) > 0) {
        number++;
        found = strstr(line, "include") && strstr(line, name);
    }
    if (stream) {
        fclose(stream);
    }
    free(line);
    free(here);
    return found ? number : 1;
}

/* If the first error since FROM is in a header, all of them become one in the policy file NAME, which
 * includes it without what it needs: where the program itself includes it, it compiles. */
static void blame_include(const struct policy_setup *setup, size_t from, const char *name)
{
    struct molt_diagnostics *list = setup->diagnostics;
    size_t first = from;

    while (first < list->count && list->items[first].severity != MOLT_SEVERITY_ERROR) {
        first++;
    }
    const char *file = first < list->count ? list->items[first].file : NULL;
    const char *dot = file ? strrchr(path_last(file), '.') : NULL;
    if (!dot || strcmp(dot, ".h") != 0) {
        return;
    }
    char *path = must_printf("%s/%s", setup->session->db.root, name),
         *included = must_strdup(path_last(file));
    unsigned line = list->items[first].line;
    char *message = must_strdup(list->items[first].message);
    while (list->count > from) {
        list->count--;
        free(list->items[list->count].file);
        free(list->items[list->count].message);
    }
    molt_diagnostics_add(list, MOLT_SEVERITY_ERROR, path, line_of_include(setup, path, included), 0,
                         "compile",
                         "%s does not compile here (line %u: %s): include in front of it what the program's "
                         "files do, or leave it out, since Molt declares the types that change",
                         included, line, message);
    free(message);
    free(included);
    free(path);
}

/* The refusal for what does not compile: the compiler's first error since FROM. */
static struct molt_error *refusal(const struct policy_setup *setup, size_t from, const char *name)
{
    const struct molt_diagnostics *list = setup->diagnostics;

    blame_include(setup, from, name);
    for (size_t i = from; i < list->count; i++) {
        if (list->items[i].severity == MOLT_SEVERITY_ERROR) {
            return molt_error_at(MOLT_ERROR_REFUSED, list->items[i].file, list->items[i].line,
                                 "the migration policies in %s do not compile: %s", name,
                                 list->items[i].message);
        }
    }
    return molt_error_new(MOLT_ERROR_REFUSED, "the migration policies in %s do not compile", name);
}

/* Names in a mirror as those in the root. Equal contents in another tree may have come from the cache, so any
 * mirror will do. */
static char *map_back(const struct policy_setup *setup, const char *bytes, size_t size, size_t *ret_size)
{
    struct text result = { 0 };
    char *prefix = must_printf("%s/mirror/", setup->session->cache);
    size_t length = strlen(prefix) + strspn(strrchr(setup->to->mirror, '/') + 1, "0123456789abcdef");
    const char *from = bytes, *end = bytes + size, *at;

    text_puts(&result, "");
    while ((at = memmem(from, end - from, prefix, strlen(prefix))) && (size_t)(end - at) >= length) {
        text_append(&result, from, at - from);
        text_puts(&result, setup->to->top);
        from = at + length;
    }
    text_append(&result, from, end - from);
    free(prefix);
    *ret_size = result.length;
    return must_have(text_steal(&result));
}

static struct molt_error *read_preprocessed(const struct policy_setup *setup, const char *path,
                                            struct policy_file *file)
{
    char *bytes;
    size_t size;
    struct molt_error *error = file_read(path, &bytes, &size);

    if (!error) {
        char *mapped = map_back(setup, bytes, size, &size);
        policy_text_init(&file->text, mapped, size);
        free(mapped);
        free(bytes);
    }
    return error;
}

/* Preprocesses and reads the one file. */
static struct molt_error *read_file(const struct policy_setup *setup, struct policy_file *file)
{
    struct compile_entry *entry = make_entry(setup->neighbour, file->path, file->name, false);
    char *identifier = identifier_of(file->path);
    size_t said = setup->diagnostics->count;
    struct unit unit;
    compile_jobs jobs = { 0 };

    add_source_directories(setup, entry);
    add_argument(entry, must_strdup("-isystem"));
    add_argument(entry, include_directory(setup->session));
    add_argument(entry, must_printf("-DMOLT_POLICY_FILE=%s", identifier));
    unit_init(&unit, entry, &setup->session->db, setup->session->cache);
    struct compile_job job = { &unit, setup->to, COMMAND_PREPROCESSED };
    LIST_ADD(&jobs, &job);
    struct molt_error *error = compile_run(setup->compile, &jobs, setup->diagnostics);
    if (!error && job.failed) {
        error = refusal(setup, said, file->name);
    } else if (!error) {
        error = read_preprocessed(setup, job.object, file);
    }
    LIST_FREE(&jobs);
    unit_prune(&unit);
    unit_deinit(&unit);
    compile_entry_free(entry);
    free(job.object);
    free(identifier);
    return error;
}

struct molt_error *policy_files_read(const struct policy_setup *setup, policy_files *ret)
{
    char *directory = must_printf("%s/molt", setup->session->db.root), **names;
    struct molt_error *error = tree_make_mirror(setup->to);
    size_t count = error ? 0 : policy_files_list(setup->session, setup->to, directory, &names);

    if (count) {
        error = provide_header(setup->session);
    }
    for (size_t i = 0; i < count; i++) {
        struct policy_file *file = must_calloc(1, sizeof(*file));
        file->path = must_printf("%s/%s", directory, names[i]);
        file->name = must_printf("molt/%s", names[i]);
        LIST_ADD(ret, file);
        error = error ? error : read_file(setup, file);
        free(names[i]);
    }
    if (count) {
        free(names);
    }
    free(directory);
    return error;
}

void policy_files_free(policy_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        policy_text_deinit(&files->items[i]->text);
        free(files->items[i]->path);
        free(files->items[i]->name);
        free(files->items[i]);
    }
    LIST_FREE(files);
}

void policy_sources_add(policy_sources *sources, const char *name, char *text)
{
    struct policy_source *source = must_calloc(1, sizeof(*source));

    source->name = must_strdup(name);
    source->text = text;
    LIST_ADD(sources, source);
}

/* What is added for the second step: no complaints about what the user need not care about, and code that
 * reaches all data through the GOT, since it may be a library's. */
static void add_own_arguments(const struct policy_setup *setup, struct compile_entry *entry)
{
    add_argument(entry, must_strdup(setup->strict ? "-Werror=incompatible-pointer-types" : "-w"));
    add_argument(entry, must_strdup("-fPIC"));
    add_argument(entry, must_strdup("-isystem"));
    add_argument(entry, include_directory(setup->session));
}

/* Where the text of SOURCE is compiled: named by its content, since several builds may share the cache at the
 * same time. */
static char *path_for(const struct policy_source *source, const char *directory)
{
    char *identifier = identifier_of(source->name), hex[HASH_HEX];
    struct hash hash;

    hash_init(&hash);
    hash_add(&hash, source->text, strlen(source->text));
    hash_end(&hash, hex);
    char *path = must_printf("%s/%s-%.16s.c", directory, identifier, hex);
    free(identifier);
    return path;
}

/* Writes the text where the compiler reads it. */
static struct molt_error *prepare(const struct policy_setup *setup, struct policy_source *source,
                                  struct tree *root)
{
    char *directory = must_printf("%s/policies", setup->session->cache);
    char *path = path_for(source, directory);
    struct molt_error *error = provide_header(setup->session);

    if (!error) {
        error = file_make_directory(directory);
    }
    if (!error) {
        error = file_write(path, source->text, strlen(source->text));
    }
    source->entry = make_entry(setup->neighbour, path, source->name, true);
    add_own_arguments(setup, source->entry);
    unit_init(&source->unit, source->entry, &setup->session->db, setup->session->cache);
    source->job = (struct compile_job){ &source->unit, root, COMMAND_OBJECT };
    free(directory);
    free(path);
    return error;
}

struct molt_error *policy_sources_compile(const struct policy_setup *setup, policy_sources *sources)
{
    const struct compile_db *db = &setup->session->db;
    struct tree root;
    struct molt_error *error = tree_init(&root, db, NULL, setup->session->cache);
    compile_jobs jobs = { 0 };
    size_t said = setup->diagnostics->count;

    if (error) {
        return error;
    }
    for (size_t i = 0; !error && i < sources->count; i++) {
        error = prepare(setup, sources->items[i], &root);
        LIST_ADD(&jobs, &sources->items[i]->job);
    }
    file_hashes_refresh(setup->session->hashes);
    if (!error) {
        error = compile_run(setup->compile, &jobs, setup->diagnostics);
    }
    for (size_t i = 0; !error && i < sources->count; i++) {
        struct policy_source *source = sources->items[i];
        error = source->job.failed ? refusal(setup, said, source->name)
                                   : session_object(setup->session, source->job.object, &source->object);
        unit_prune(&source->unit);
    }
    LIST_FREE(&jobs);
    tree_deinit(&root);
    return error;
}

void policy_sources_free(policy_sources *sources)
{
    for (size_t i = 0; i < sources->count; i++) {
        struct policy_source *source = sources->items[i];
        if (source->entry) {
            unit_deinit(&source->unit);
            compile_entry_free(source->entry);
        }
        free(source->job.object);
        free(source->name);
        free(source->text);
        free(source);
    }
    LIST_FREE(sources);
}
