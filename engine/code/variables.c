/*
 * Where the variables and constants are that a patch speaks of: where their module defines them, unless
 * another module stands in for them (preempted.c). All of them are looked at before anything is done, so that
 * whoever asks later for such a place gets one.
 */
#include "engine/code/load.h"

int load_refuse_copy(struct loaded_patch *patch, const char *name, const struct loaded_module *module)
{
    return load_refuse(patch,
                       "the program has a copy of %s besides the one in %s, and nothing tells which of them "
                       "is in use: compile the files of the program that name it with -fPIC "
                       "-mno-direct-extern-access, and restart it",
                       name, module->module.path);
}

static bool begins_otherwise(const struct patch_file *file, size_t root)
{
    for (size_t i = 0; i < file->patch_initials_count; i++) {
        if (file->patch_initials[i].root == root) {
            return true;
        }
    }
    return false;
}

static uintptr_t own_place(const struct loaded_patch *patch, const struct molt_patch_root *root)
{
    return patch->modules[root->module].module.bias + root->address;
}

static uintptr_t place_of_root(const struct loaded_patch *patch, const struct molt_patch_root *root)
{
    return preempted_place(&patch->modules[root->module].preempted, own_place(patch, root),
                           (size_t)root->count * root->stride, root->flags & MOLT_ROOT_BY_NAME);
}

static int check_root(struct loaded_patch *patch, size_t index)
{
    const struct patch_file *file = &patch->file;
    const struct molt_patch_root *root = &file->patch_roots[index];
    const struct loaded_module *module = &patch->modules[root->module];
    bool changes = root->layout != root->new_layout || root->count != root->new_count || root->symbol ||
                   root->flags & MOLT_ROOT_FOLDED || begins_otherwise(file, index);
    const char *name = patch_file_string(file, root->name);

    if (module->absent || !changes || root->flags & (MOLT_ROOT_TLS | MOLT_ROOT_EARLIER)) {
        return 0;
    }
    uintptr_t place = place_of_root(patch, root);
    if (place && place != own_place(patch, root) && root->symbol) {
        return load_refuse(
            patch,
            "%s gets another size and so another place, and the program has a copy of it, which "
            "all use instead of the one in %s: compile the files of the program that name it "
            "with -fPIC -mno-direct-extern-access, or leave its size as it is",
            name, module->module.path);
    }
    return place ? 0 : load_refuse_copy(patch, name, module);
}

static uintptr_t place_of_data(const struct loaded_module *module, const struct molt_patch_data *data)
{
    return preempted_place(&module->preempted, module->module.bias + data->address, data->size,
                           data->flags & MOLT_DATA_BY_NAME);
}

int load_check_variables(struct loaded_patch *patch)
{
    const struct patch_file *file = &patch->file;
    int status = 0;

    for (size_t i = 0; i < file->patch_roots_count && status == 0; i++) {
        status = check_root(patch, i);
    }
    for (size_t i = 0; i < file->patch_data_count && status == 0; i++) {
        const struct molt_patch_data *data = &file->patch_data[i];
        const struct loaded_module *module = &patch->modules[data->module];
        bool passed_over = module->absent || data->flags & MOLT_DATA_TLS;
        status = passed_over || place_of_data(module, data)
                     ? 0
                     : load_refuse_copy(patch, patch_file_string(file, data->name), module);
    }
    return status;
}

uintptr_t load_root_place(const struct loaded_patch *patch, const struct molt_patch_root *root)
{
    uintptr_t place = place_of_root(patch, root);

    return place ? place : own_place(patch, root); /* it does not change, or the patch had been refused */
}

uintptr_t load_data_place(const struct loaded_patch *patch, const struct molt_patch_data *data)
{
    const struct module *module = &patch->modules[data->module].module;
    bool tls = data->flags & MOLT_DATA_TLS;
    uintptr_t start = tls ? module->tls_template : module->start;
    uintptr_t end = tls ? start + module->tls_template_size : module->end;
    uintptr_t place = data->address + (tls ? start : module->bias);
    bool inside = place >= start && place <= end && data->size <= end - place;

    return !inside ? 0 : tls ? place : place_of_data(&patch->modules[data->module], data);
}
