/* Tables of wrappers for a program about to be run, which may lie anywhere: its project is taken to be
 * where the user stands. */
#include "cli/wrapper_tables.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "patch/sites/heap_settings.h"
#include "patch/sites/wrappers.h"

/* Shortens FOLDER to the nearest directory upwards with a molt.toml; "" if there is none. */
static void find_settings(char *folder)
{
    while (*folder) {
        char path[PATH_MAX + 16];
        strcpy(path, folder);
        strcat(path, "/molt.toml");
        if (access(path, F_OK) == 0) {
            return;
        }
        *strrchr(folder, '/') = '\0';
    }
}

struct molt_error *wrapper_tables(const char *program, bool patient, char **ret, char **ret_left_out)
{
    struct heap_settings settings = { 0 };
    LIST(const char *) names = { 0 };
    char folder[PATH_MAX];
    struct molt_error *error = NULL;

    if (getcwd(folder, sizeof(folder)) && folder[0] == '/') {
        find_settings(folder);
        error = *folder ? heap_settings_read(folder, &settings) : NULL;
    }
    if (error) {
        return error;
    }
    for (size_t i = 0; i < settings.wrappers.count; i++) {
        LIST_ADD(&names, settings.wrappers.items[i]);
    }
    for (size_t i = 0; i < settings.allocators.count; i++) {
        LIST_ADD(&names, settings.allocators.items[i].allocate);
    }
    LIST_ADD(&names, NULL);
    error = wrappers_of_program(program, names.items, patient, ret, ret_left_out);
    LIST_FREE(&names);
    heap_settings_deinit(&settings);
    return error;
}
