/*
 * Functions that sometimes carve: what they return may be an allocator's block, or a piece of something that
 * was there before, the first of a list of free blocks or the next part of a large one. What its callers make
 * of that the call tells, as ever; but there may be more of it than what the allocator's call is asked for,
 * and blocks that are handed out again may be something else by now. The engine is told.
 */
#include <string.h>

#include "patch/sites/private.h"

static bool is_plain(const struct site_work *work, const char *name)
{
    for (size_t i = 0; i < work->settings->plain.count; i++) {
        if (strcmp(work->settings->plain.items[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* What is worse counts: pieces of larger blocks before blocks that are handed out again. */
static void take(struct carving *carving, struct carving other)
{
    if (other.function && (!carving->function || (other.pieces && !carving->pieces))) {
        *carving = other;
    }
}

/* Whether the function NAME gives back what it is given. */
static bool gives_back(const struct site_work *work, const char *name)
{
    bool gives = false;

    for (size_t i = 0; i < work->probes.count; i++) {
        const struct probe *probe = work->probes.items[i];
        for (size_t k = 0; !gives && k < probe->origins.count; k++) {
            const struct origin *origin = &probe->origins.items[k];
            gives = origin->kind == ORIGIN_PARAMETER && strcmp(origin->function, name) == 0;
        }
    }
    return gives;
}

static void add_origin(struct site_work *work, const struct probe *probe, const struct origin *origin,
                       bool told, struct carving *ret)
{
    struct carving own = { .function = origin->function,
                           .directory = probe->directory,
                           .file = origin->file,
                           .line = origin->line,
                           .pieces = origin->kind == ORIGIN_CARVED ||
                                     (origin->place && probe_has_pieces(probe, origin->place)) };

    if (origin->kind == ORIGIN_CALL) {
        take(ret, site_form(work, origin->callee)->carving);
    } else if (origin->kind != ORIGIN_PARAMETER && origin->kind <= ORIGIN_CARVED &&
               (!origin->callee || gives_back(work, origin->callee)) &&
               (origin->kind != ORIGIN_FOUND || told)) { /* who is told a size has not looked for something */
        take(ret, own);
    }
}

void site_find_carving(struct site_work *work, const char *name, bool told, struct carving *ret)
{
    for (size_t i = 0; i < work->probes.count && !is_plain(work, name); i++) {
        const struct probe *probe = work->probes.items[i];
        for (size_t k = 0; k < probe->origins.count; k++) {
            const struct origin *origin = &probe->origins.items[k];
            if (strcmp(origin->function, name) == 0) {
                add_origin(work, probe, origin, told, ret);
            }
        }
    }
}

/* Whether the block that CANDIDATE makes is returned. */
static bool is_returned(const struct candidate *candidate)
{
    bool returned = false;

    for (size_t i = 0; i < candidate->evidence.count; i++) {
        returned = returned || candidate->evidence.items[i].role == EVIDENCE_RETURN;
    }
    return returned;
}

struct carving site_carving(struct site_work *work, const struct candidate *candidate, const char *callee)
{
    struct carving carving = site_form(work, callee)->carving;

    for (size_t i = 0; candidate && is_returned(candidate) && i < work->probes.count; i++) {
        const struct probe *probe = work->probes.items[i];
        for (size_t k = 0; k < probe->origins.count; k++) {
            const struct origin *origin = &probe->origins.items[k];
            bool pieces = origin->kind == ORIGIN_CARVED && origin->cast; /* of something of another type */
            if (pieces && strcmp(origin->function, candidate->function) == 0 &&
                !is_plain(work, candidate->function)) {
                add_origin(work, probe, origin, false, &carving);
            }
        }
    }
    return carving;
}
