/* A patch without code, made by hand: the records about state, and functions of the test program as its
 * symbols. */
#ifndef MOLT_TESTS_STATE_FIXTURE_H
#define MOLT_TESTS_STATE_FIXTURE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/code/load.h"

#define FIXTURE_MAX 64

struct fixture {
    struct molt_patch_layout layouts[FIXTURE_MAX];
    struct molt_patch_field fields[FIXTURE_MAX];
    struct molt_patch_site sites[FIXTURE_MAX];
    struct molt_patch_allocator allocators[FIXTURE_MAX];
    struct molt_patch_root roots[FIXTURE_MAX];
    struct molt_patch_migration migrations[FIXTURE_MAX];
    struct molt_patch_segment segments[FIXTURE_MAX];
    struct molt_patch_invariant invariants[FIXTURE_MAX];
    struct loaded_symbol symbols[FIXTURE_MAX];
    struct loaded_module module;
    char strings[4096];
    uint32_t strings_size, symbol_count;
    struct loaded_patch patch;
};

static inline struct fixture *fixture_create(void)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct patch_file *file = &fixture->patch.file;

    fixture->strings_size = 1;
    fixture->symbol_count = 1;
    fixture->module.module = (struct module){ .bias = 0, .start = 0, .end = UINTPTR_MAX };
    strcpy(fixture->module.module.path, "program");
    fixture->patch.modules = &fixture->module;
    fixture->patch.symbols = fixture->symbols;
    file->strings = fixture->strings;
    file->strings_size = sizeof(fixture->strings);
    file->patch_layouts = fixture->layouts;
    file->patch_fields = fixture->fields;
    file->patch_sites = fixture->sites;
    file->patch_allocators = fixture->allocators;
    file->patch_roots = fixture->roots;
    file->patch_migrations = fixture->migrations;
    file->patch_segments = fixture->segments;
    file->patch_invariants = fixture->invariants;
    file->patch_modules_count = 1;
    fixture->layouts[0] =
        (struct molt_patch_layout){ .size = 1, .alignment = 1, .flags = MOLT_LAYOUT_OPAQUE };
    file->patch_layouts_count = 1;
    return fixture;
}

static inline uint32_t fixture_string(struct fixture *fixture, const char *text)
{
    uint32_t offset = fixture->strings_size;

    strcpy(fixture->strings + offset, text);
    fixture->strings_size += (uint32_t)strlen(text) + 1;
    return offset;
}

static inline uint32_t fixture_symbol(struct fixture *fixture, const void *address)
{
    fixture->symbols[fixture->symbol_count].address = (uintptr_t)address;
    return fixture->symbol_count++;
}

/* A layout of SIZE bytes; fields that are added next belong to it. */
static inline uint32_t fixture_layout(struct fixture *fixture, const char *name, uint32_t size)
{
    struct patch_file *file = &fixture->patch.file;
    uint32_t index = (uint32_t)file->patch_layouts_count++;

    fixture->layouts[index] = (struct molt_patch_layout){ .hash = 1000 + index,
                                                          .name = fixture_string(fixture, name),
                                                          .size = size,
                                                          .alignment = 8,
                                                          .field = (uint32_t)file->patch_fields_count };
    return index;
}

static inline void fixture_field(struct fixture *fixture, const char *name, uint32_t offset, uint32_t kind,
                                 uint32_t layout, uint32_t count, uint32_t stride)
{
    struct patch_file *file = &fixture->patch.file;

    fixture->fields[file->patch_fields_count++] =
        (struct molt_patch_field){ offset, kind, layout, count, stride, fixture_string(fixture, name) };
    fixture->layouts[file->patch_layouts_count - 1].field_count++;
}

/* The call before ADDRESS makes KIND of LAYOUT. */
static inline struct molt_patch_site *fixture_site(struct fixture *fixture, uintptr_t address, uint32_t kind,
                                                   uint32_t layout)
{
    struct molt_patch_site *site = &fixture->sites[fixture->patch.file.patch_sites_count++];

    *site = (struct molt_patch_site){ .address = address, .kind = kind, .layout = layout };
    site->file = fixture_string(fixture, "site.c");
    site->line = (uint32_t)address;
    return site;
}

static inline struct molt_patch_root *fixture_root(struct fixture *fixture, const char *name,
                                                   const void *place, uint32_t kind, uint32_t layout,
                                                   uint32_t count, uint32_t stride)
{
    struct molt_patch_root *root = &fixture->roots[fixture->patch.file.patch_roots_count++];

    *root = (struct molt_patch_root){ .address = (uintptr_t)place,
                                      .layout = layout,
                                      .count = count,
                                      .stride = stride,
                                      .new_layout = layout,
                                      .new_count = count,
                                      .name = fixture_string(fixture, name),
                                      .kind = kind };
    return root;
}

static inline struct molt_patch_migration *fixture_migration(struct fixture *fixture, uint32_t from,
                                                             uint32_t to, const void *migrate, uint32_t flags)
{
    struct patch_file *file = &fixture->patch.file;
    struct molt_patch_migration *migration = &fixture->migrations[file->patch_migrations_count++];

    *migration = (struct molt_patch_migration){ .old_layout = from,
                                                .new_layout = to,
                                                .migrate = migrate ? fixture_symbol(fixture, migrate) : 0,
                                                .flags = flags,
                                                .segment = (uint32_t)file->patch_segments_count };
    fixture->layouts[from].flags |= MOLT_LAYOUT_CHANGED;
    return migration;
}

/* A segment of the migration that was added last. */
static inline void fixture_segment(struct fixture *fixture, uint32_t old_offset, uint32_t size,
                                   uint32_t new_offset)
{
    struct patch_file *file = &fixture->patch.file;

    fixture->segments[file->patch_segments_count++] =
        (struct molt_patch_segment){ old_offset, size, new_offset, 0 };
    fixture->migrations[file->patch_migrations_count - 1].segment_count++;
}

#endif
