/*
 * Asking the compiler. Preprocess, find the calls, write the source with the questions, compile; a question
 * that the compiler does not like is taken back and the rest compiled again. What was found and the answers
 * are kept in the unit's cache:
 *
 *     KEY-probe-NAMES.txt   calls and their surroundings (probe/store.c)
 *     KEY-probe-NAMES.o     an object whose debug information has the types; none if there was nothing to ask
 */
#include "patch/probe/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define ROUNDS 5 /* compiles of one unit at most */

/* One request on its way. */
struct asking {
    struct probe_request *request;
    struct compile_job job;
    char *text; /* preprocessed */
    size_t length;
    char *base;   /* of the files in the cache */
    char *source; /* with the questions */
    char *object;
    char *name; /* of the made-up file that the questions are in */
    bool whole; /* bodies are left in */
    bool open;  /* still to be compiled */
};

struct evidence *probe_evidence(const struct probe *probe, size_t number, struct candidate **ret_candidate)
{
    for (size_t i = 0; number && i < probe->candidates.count; i++) {
        struct candidate *candidate = probe->candidates.items[i];
        if (number <= candidate->evidence.count) {
            if (ret_candidate) {
                *ret_candidate = candidate;
            }
            return &candidate->evidence.items[number - 1];
        }
        number -= candidate->evidence.count;
    }
    return NULL;
}

void probe_destroy(struct probe *probe)
{
    if (!probe) {
        return;
    }
    for (size_t i = 0; i < probe->candidates.count; i++) {
        struct candidate *candidate = probe->candidates.items[i];
        for (size_t k = 0; k < candidate->evidence.count; k++) {
            free(candidate->evidence.items[k].question);
        }
        LIST_FREE(&candidate->evidence);
        LIST_FREE(&candidate->arguments);
        free(candidate->callee);
        free(candidate->function);
        free(candidate->file);
        free(candidate->path);
        free(candidate->member);
        free(candidate);
    }
    for (size_t i = 0; i < probe->origins.count; i++) {
        free(probe->origins.items[i].function);
        free(probe->origins.items[i].callee);
        free(probe->origins.items[i].place);
        free(probe->origins.items[i].file);
    }
    for (size_t i = 0; i < probe->flows.count; i++) {
        free(probe->flows.items[i].function);
        free(probe->flows.items[i].from);
        free(probe->flows.items[i].from_member);
        free(probe->flows.items[i].to);
        free(probe->flows.items[i].to_member);
    }
    for (size_t i = 0; i < probe->functions.count; i++) {
        free(probe->functions.items[i]);
    }
    LIST_FREE(&probe->candidates);
    LIST_FREE(&probe->origins);
    LIST_FREE(&probe->flows);
    LIST_FREE(&probe->functions);
    object_destroy(probe->object);
    free(probe->path);
    free(probe);
}

/* "DIRECTORY/KEY-probe-NAMES" */
static char *cache_base(const struct probe_request *request, const struct dependencies *files)
{
    struct hash hash;
    char hex[HASH_HEX];

    hash_init(&hash);
    hash_add_string(&hash, PROBE_VERSION);
    hash_add_string(&hash, request->numbers ? "numbers" : "calls");
    for (size_t i = 0; request->names && request->names[i]; i++) {
        hash_add_string(&hash, request->names[i]);
    }
    hash_end(&hash, hex);
    return must_printf("%s/%s-probe-%.12s", request->unit->directory, files->key, hex);
}

/* Takes the result from the cache. */
static bool from_cache(const struct compile_setup *setup, struct probe_request *request)
{
    const struct dependencies *files = unit_dependencies(request->unit, request->tree, setup->hashes);
    char *bytes = NULL;
    size_t size;

    if (!files) {
        return false;
    }
    char *base = cache_base(request, files), *path = must_printf("%s.txt", base);
    struct molt_error *error = file_read(path, &bytes, &size);
    request->probe = error ? NULL : probe_from_text(bytes, size);
    free(path);
    free(bytes);
    molt_error_destroy(error);
    if (request->probe) {
        path = must_printf("%s.o", base);
        request->probe->path = probe_read_types(request->probe, path) ? must_strdup(path) : NULL;
        free(path);
        if (request->probe->answered && !request->probe->path) { /* lost, or being written anew */
            probe_destroy(request->probe);
            request->probe = NULL;
        }
    }
    free(base);
    return request->probe != NULL;
}

static bool has_questions(const struct probe *probe)
{
    bool any = false;

    for (size_t i = 0; !any && i < probe->candidates.count; i++) {
        const struct candidate *candidate = probe->candidates.items[i];
        for (size_t k = 0; !any && k < candidate->evidence.count; k++) {
            any = candidate->evidence.items[k].question != NULL;
        }
    }
    return any;
}

/* The preprocessed text is there: finds the calls in it. */
static struct molt_error *find_calls(struct asking *asking)
{
    struct probe *probe = asking->request->probe;

    if (asking->job.failed) {
        probe->failed = true;
        return NULL;
    }
    struct molt_error *error = file_read(asking->job.object, &asking->text, &asking->length);
    unlink(asking->job.object);
    free(asking->job.object);
    asking->job.object = NULL;
    if (error) {
        return error;
    }
    asking->base = cache_base(asking->request, asking->job.files);
    asking->source = must_printf("%s-%ld.i", asking->base, (long)getpid());
    asking->object = must_printf("%s.o", asking->base);
    if (asking->request->numbers) {
        probe_find_numbers(probe, asking->text, asking->length, asking->request->names);
    } else {
        probe_find_calls(probe, asking->text, asking->length, asking->request->names);
    }
    asking->open = has_questions(probe);
    return NULL;
}

/* Drops the questions that DIAGNOSTICS complain about. Returns whether there were any. */
static bool take_back(const struct asking *asking, const struct molt_diagnostics *diagnostics)
{
    bool any = false;

    for (size_t i = 0; i < diagnostics->count; i++) {
        const struct molt_diagnostic *item = &diagnostics->items[i];
        const char *slash = item->file ? strrchr(item->file, '/') : NULL;
        struct evidence *evidence = probe_evidence(asking->request->probe, item->line, NULL);
        if (item->severity == MOLT_SEVERITY_ERROR && slash && strcmp(slash + 1, asking->name) == 0 &&
            evidence && evidence->question) {
            free(evidence->question);
            evidence->question = NULL;
            any = true;
        }
    }
    return any;
}

/* Writes the questions of ASKING and adds the job that compiles them. */
static struct molt_error *prepare(struct asking *asking, compile_jobs *jobs)
{
    size_t length;
    char *text = probe_write(asking->request->probe, asking->text, asking->length, asking->name,
                             asking->whole, &length);
    struct molt_error *error = file_write(asking->source, text, length);

    free(text);
    asking->job = (struct compile_job){ .unit = asking->request->unit,
                                        .tree = asking->request->tree,
                                        .kind = COMMAND_PROBE,
                                        .source = asking->source,
                                        .object = asking->object };
    LIST_ADD(jobs, &asking->job);
    return error;
}

/* The compiler has said what it thinks of ASKING. */
static void conclude(struct asking *asking, const struct molt_diagnostics *diagnostics)
{
    struct probe *probe = asking->request->probe;

    if (!asking->job.failed) {
        asking->open = false;
        probe->path = probe_read_types(probe, asking->object) ? must_strdup(asking->object) : NULL;
        probe->answered = true;
        probe->failed = !probe->path;
    } else if (!take_back(asking, diagnostics)) {
        asking->open = !asking->whole;
        asking->whole = true;
    }
}

/* One compile of all that are open. *RET_ANY: there were some. */
static struct molt_error *compile_open(const struct compile_setup *setup, struct asking *all, size_t count,
                                       bool *ret_any)
{
    struct molt_diagnostics diagnostics = { 0 };
    struct molt_error *error = NULL;
    compile_jobs jobs = { 0 };

    for (size_t i = 0; !error && i < count; i++) {
        if (all[i].open) {
            error = prepare(&all[i], &jobs);
        }
    }
    error = error ? error : compile_run(setup, &jobs, &diagnostics);
    for (size_t i = 0; !error && i < count; i++) {
        if (all[i].open) {
            conclude(&all[i], &diagnostics);
        }
    }
    *ret_any = jobs.count > 0;
    LIST_FREE(&jobs);
    molt_diagnostics_deinit(&diagnostics);
    return error;
}

/* Keeps what was found. */
static struct molt_error *store(const struct asking *asking)
{
    struct probe *probe = asking->request->probe;

    if (!asking->base) {
        return NULL;
    }
    probe->failed = probe->failed || asking->open;
    char *text = probe_to_text(probe), *path = must_printf("%s.txt", asking->base);
    struct molt_error *error = file_write(path, text, strlen(text));
    free(text);
    free(path);
    return error;
}

static void asking_deinit(struct asking *asking)
{
    if (asking->source) {
        unlink(asking->source);
    }
    free(asking->text);
    free(asking->base);
    free(asking->source);
    free(asking->object);
    free(asking->name);
}

/* Preprocesses what the cache does not have and finds the calls. */
static struct molt_error *open_all(const struct compile_setup *setup, struct asking *all, size_t count)
{
    struct molt_diagnostics ignored = { 0 };
    compile_jobs jobs = { 0 };

    for (size_t i = 0; i < count; i++) {
        if (from_cache(setup, all[i].request)) {
            continue;
        }
        all[i].name = must_printf("molt-probe-%zu", i);
        all[i].request->probe = must_calloc(1, sizeof(struct probe));
        all[i].job = (struct compile_job){ .unit = all[i].request->unit,
                                           .tree = all[i].request->tree,
                                           .kind = COMMAND_PREPROCESSED };
        LIST_ADD(&jobs, &all[i].job);
    }
    struct molt_error *error = compile_run(setup, &jobs, &ignored);
    for (size_t i = 0; !error && i < count; i++) {
        error = all[i].job.unit ? find_calls(&all[i]) : NULL;
    }
    LIST_FREE(&jobs);
    molt_diagnostics_deinit(&ignored);
    return error;
}

struct molt_error *probe_run(const struct compile_setup *setup, struct probe_request *requests, size_t count)
{
    struct asking *all = must_calloc(count, sizeof(*all));
    bool any = true;

    for (size_t i = 0; i < count; i++) {
        all[i].request = &requests[i];
    }
    struct molt_error *error = open_all(setup, all, count);
    for (unsigned i = 0; !error && any && i < ROUNDS; i++) {
        error = compile_open(setup, all, count, &any);
    }
    for (size_t i = 0; i < count; i++) {
        error = error ? error : store(&all[i]);
        asking_deinit(&all[i]);
    }
    free(all);
    return error;
}
