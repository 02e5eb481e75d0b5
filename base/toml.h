/*
 * The part of TOML 1.0 that a settings file needs, read into JSON: comments, bare and quoted keys, [tables],
 * basic and literal strings on one line with \-escapes, integers, floats, booleans, and arrays (over several
 * lines, nested, with a trailing comma), inline tables. Not in it, and refused with a line number: dates,
 * multi-line strings, dotted keys, [[arrays of tables]]. Debian has no TOML library for C.
 */
#ifndef MOLT_BASE_TOML_H
#define MOLT_BASE_TOML_H

#include <jansson.h>
#include <stddef.h>

/*
 * Parses LENGTH bytes into a JSON object, tables being objects in it. Returns 0, or -EBADMSG with the 1-based
 * line and what is wrong there (a static string) in RET_LINE and RET_REASON, or -ENOMEM.
 */
int toml_parse(const char *bytes, size_t length, json_t **ret, unsigned *ret_line, const char **ret_reason);

#endif
