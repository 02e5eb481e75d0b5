/*
 * A comparison of lines, as by diff: a shortest way from the old text to the new one (Myers, An O(ND)
 * Difference Algorithm). Where there are several shortest ways a line may be one of several. Therefore it is
 * searched twice, from the top and from the bottom, which prefer different ones, and only what both find
 * counts.
 */
#include "patch/transfer/lines.h"

#include <stdlib.h>

#include "patch/memory.h"

#define DISTANCE_MAX 1000

struct search {
    same_line *lines;
    void *context;
    const char *file;
    struct line_range old, new;
    bool backwards;
    LIST(int32_t *) rows; /* by distance: how far into the old text, by diagonal */
};

static bool same(const struct search *search, int32_t x, int32_t y)
{
    unsigned old = search->backwards ? search->old.end - 1 - (unsigned)x : search->old.first + (unsigned)x;
    unsigned new = search->backwards ? search->new.end - 1 - (unsigned)y : search->new.first + (unsigned)y;

    return search->lines(search->context, search->file, old, new);
}

static bool goes_down(const int32_t *row, int32_t distance, int32_t diagonal)
{
    return diagonal == -distance || (diagonal != distance && row[diagonal - 1] < row[diagonal + 1]);
}

/* Goes back along the rows, and notes by old line which new one it is. */
static void trace(const struct search *search, int32_t distance, int32_t x, int32_t y, uint32_t *new_of)
{
    for (; distance >= 0; distance--) {
        int32_t diagonal = x - y, start_x = 0, start_y = 0;
        if (distance > 0) {
            const int32_t *row = search->rows.items[distance - 1] + distance;
            bool down = goes_down(row, distance, diagonal);
            start_x = down ? row[diagonal + 1] : row[diagonal - 1];
            start_y = start_x - (down ? diagonal + 1 : diagonal - 1);
        }
        for (; x > start_x && y > start_y; x--, y--) {
            unsigned old =
                search->backwards ? search->old.end - (unsigned)x : search->old.first + (unsigned)x - 1;
            unsigned new =
                search->backwards ? search->new.end - (unsigned)y : search->new.first + (unsigned)y - 1;
            new_of[old - search->old.first] = new;
        }
        x = start_x;
        y = start_y;
    }
}

static bool find_way(struct search *search, uint32_t *new_of)
{
    int32_t old_count = (int32_t)(search->old.end - search->old.first);
    int32_t new_count = (int32_t)(search->new.end - search->new.first);

    for (int32_t distance = 0; distance <= DISTANCE_MAX && distance <= old_count + new_count; distance++) {
        int32_t *row = (int32_t *)must_calloc(2 * (size_t)distance + 3, sizeof(int32_t)) + distance + 1;
        const int32_t *before = distance ? search->rows.items[distance - 1] + distance : NULL;
        LIST_ADD(&search->rows, row - distance - 1);
        for (int32_t diagonal = -distance; diagonal <= distance; diagonal += 2) {
            bool down = distance && goes_down(before, distance, diagonal);
            int32_t x = !distance ? 0
                        : down    ? before[diagonal + 1]
                                  : before[diagonal - 1] + 1,
                    y = x - diagonal;
            while (x >= 0 && y >= 0 && x < old_count && y < new_count && same(search, x, y)) {
                x++;
                y++;
            }
            row[diagonal] = x;
            if (diagonal == old_count - new_count && x >= old_count && y >= new_count) {
                trace(search, distance, old_count, new_count, new_of);
                return true;
            }
        }
    }
    return false;
}

static bool search_from(struct search *search, bool backwards, uint32_t *new_of)
{
    search->backwards = backwards;
    bool found = find_way(search, new_of);
    for (size_t i = 0; i < search->rows.count; i++) {
        free(search->rows.items[i]);
    }
    LIST_FREE(&search->rows);
    return found;
}

void line_map_init(struct line_map *map, same_line *lines, void *context, const char *file,
                   struct line_range old, struct line_range new)
{
    struct search search = { .lines = lines, .context = context, .file = file, .old = old, .new = new };
    size_t count = old.end - old.first;
    uint32_t *also = must_calloc(count + 1, sizeof(*also));

    *map = (struct line_map){ .old = old, .new = new };
    map->new_of = must_calloc(count + 1, sizeof(*map->new_of));
    map->old_of = must_calloc(new.end - new.first + 1, sizeof(*map->old_of));
    bool found = search_from(&search, false, map->new_of) && search_from(&search, true, also);
    for (size_t i = 0; i < count; i++) {
        map->new_of[i] = found && map->new_of[i] == also[i] ? also[i] : 0;
        if (map->new_of[i]) {
            map->old_of[map->new_of[i] - new.first] = old.first + (uint32_t)i;
        }
    }
    free(also);
}

void line_map_deinit(struct line_map *map)
{
    free(map->new_of);
    free(map->old_of);
    *map = (struct line_map){ 0 };
}

static bool is_inside(const struct line_range *range, unsigned line)
{
    return line >= range->first && line < range->end;
}

bool line_map_same(const struct line_map *map, unsigned old, unsigned new)
{
    return is_inside(&map->old, old) && is_inside(&map->new, new) && map->new_of[old - map->old.first] == new;
}

/* How many lines from LINE on, in steps of BY, have no counterpart; *RET is the first that has one. False:
 * they all have none. */
static bool count_changed(const struct line_range *range, const uint32_t *others, unsigned line, int by,
                          unsigned *ret_count, unsigned *ret)
{
    for (*ret_count = 0; is_inside(range, line); line += (unsigned)by, ++*ret_count) {
        if (others[line - range->first]) {
            *ret = line;
            return true;
        }
    }
    return false;
}

bool line_map_edited(const struct line_map *map, unsigned old, unsigned new)
{
    unsigned old_count, new_count, a, b;

    if (!is_inside(&map->old, old) || !is_inside(&map->new, new)) {
        return false;
    }
    for (int by = -1; by <= 1; by += 2) {
        if (!count_changed(&map->old, map->new_of, old, by, &old_count, &a) ||
            !count_changed(&map->new, map->old_of, new, by, &new_count, &b) || !old_count ||
            old_count != new_count || !line_map_same(map, a, b)) {
            return false;
        }
    }
    return true;
}
