/*
 * The small change of the protocol: URIs, positions and the JSON that every feature needs.
 */
#ifndef MOLT_LSP_SERVER_LSP_H
#define MOLT_LSP_SERVER_LSP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "recorder/recorder.h"

/* The path of a file: URI, percent-decoded and normalised, or NULL if it is another kind of URI, names
 * another host, or without memory. Owned by the caller. */
char *uri_to_path(const char *uri);

/* "SCHEME:///PATH" with what must be escaped escaped, as VS Code does it. PATH is absolute. NULL without
 * memory. */
char *uri_from_path(const char *scheme, const char *path);

/* {"start": {LINE, START}, "end": {LINE, END}}; 0-based. */
json_t *lsp_range(unsigned line, unsigned start, unsigned end);

/* Line LINE (1-based) of TEXT, without its end. */
const char *lsp_line(const char *text, size_t length, unsigned line, size_t *ret_length);

/* Where BYTE (at most LENGTH) of LINE is in ENCODING. */
unsigned lsp_position_of_byte(enum position_encoding encoding, const char *line, size_t length, size_t byte);

/* The value at KEY1.KEY2... of nested objects, the list ended by NULL; borrowed, NULL if one is missing. */
json_t *json_at(const json_t *object, ...) __attribute__((sentinel));

/* The string, number or truth at KEY of OBJECT, or OTHERWISE. Strings are borrowed. */
const char *json_text(const json_t *object, const char *key, const char *otherwise);
double json_number(const json_t *object, const char *key, double otherwise);
bool json_flag(const json_t *object, const char *key, bool otherwise);

/* The strings of ARRAY: a new array of borrowed pointers, NULL at its end; NULL without memory. */
const char **json_strings(const json_t *array);

/* The path in params.textDocument.uri, or NULL. Owned by the caller. */
char *lsp_document_path(const json_t *params);

#endif
