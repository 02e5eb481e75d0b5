/* The tables of allocation wrappers that the engine is told of. */
#ifndef MOLT_CLI_WRAPPER_TABLES_H
#define MOLT_CLI_WRAPPER_TABLES_H

#include <stdbool.h>

#include "base/error.h"

/* The tables for the executable at PROGRAM, with what the nearest molt.toml from the working directory
 * upwards says about wrappers; results and PATIENT as of wrappers_of_program. */
struct molt_error *wrapper_tables(const char *program, bool patient, char **ret, char **ret_left_out);

#endif
