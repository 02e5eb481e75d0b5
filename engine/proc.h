/*
 * What the kernel tells of this process in /proc. Nothing is allocated and no stdio is used, so all of it may
 * be asked in a stopped world.
 */
#ifndef MOLT_ENGINE_PROC_H
#define MOLT_ENGINE_PROC_H

#include <stdbool.h>
#include <stdint.h>

/* One line, without its end; of one with more than 8000 bytes, those. Borrowed for the call, and may be
 * written to. Negative errno ends the reading. */
typedef int proc_line_visitor(void *context, char *line);

/* Visits each line of the file at PATH. 0, what VISIT returned, or why the file cannot be read. */
int proc_lines(const char *path, proc_line_visitor *visit, void *context);

struct proc_mapping {
    uintptr_t start, end;
    bool readable, writable, executable, shared;
    const char *path; /* "" for none; "[heap]" and the like */
};

/* Borrowed for the call, as its path. Negative errno ends the reading. */
typedef int proc_mapping_visitor(void *context, const struct proc_mapping *mapping);

/* Visits this process's mappings, which are in ascending order. As proc_lines; -EIO if a line is not
 * understood. */
int proc_mappings(proc_mapping_visitor *visit, void *context);

/* The decimal number behind KEY ("MemAvailable:") in the file at PATH; -1: there is none. */
int64_t proc_number(const char *path, const char *key);

#endif
