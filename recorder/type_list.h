/* The structures and unions that a file defines, with the lines of their members. */
#ifndef MOLT_RECORDER_TYPE_LIST_H
#define MOLT_RECORDER_TYPE_LIST_H

#include <jansson.h>

#include "recorder/file.h"

/* As recorder_types has it, of FILE. NULL without memory. */
json_t *file_types(const struct file *file);

#endif
