/* Objects made for a test. */
#include "compiled.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct object *compile_text(const char *compiler, const char *flags, const char *text)
{
    char source[] = "/tmp/molt-types-XXXXXX.c", command[512], path[64];
    struct object *object;
    int fd = mkstemps(source, 2);

    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    snprintf(path, sizeof(path), "%.*s.o", (int)sizeof(source) - 3, source);
    snprintf(command, sizeof(command), "%s -g -w %s -c %s -o %s", compiler, flags, source, path);
    assert_int_equal(system(command), 0);
    assert_null(object_load(path, &object));
    unlink(source);
    unlink(path);
    return object;
}

struct object *compile_named(const char *compiler, const char *flags, const char *text, const char *name)
{
    char directory[] = "/tmp/molt-compiled-XXXXXX", source[96], path[96], command[1024];
    struct object *object;

    assert_non_null(mkdtemp(directory));
    snprintf(source, sizeof(source), "%s/%s", directory, name);
    snprintf(path, sizeof(path), "%s/object.o", directory);
    FILE *file = fopen(source, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    snprintf(command, sizeof(command), "cd %s && %s -g -w -fdebug-prefix-map=%s=/source %s -c %s -o object.o",
             directory, compiler, directory, flags, name);
    assert_int_equal(system(command), 0);
    assert_null(object_load(path, &object));
    unlink(source);
    unlink(path);
    rmdir(directory);
    return object;
}

struct type_model *model_of(struct object *object)
{
    struct type_model *model = type_model_create();

    type_model_add_all(model, object_dwarf(object), "a.c");
    return model;
}
