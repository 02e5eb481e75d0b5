/* What can be told from an executable's ELF headers, read with libelf. */
#include "cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

/* NAME as it is if it has a slash, else the first executable of that name on PATH. Owned; NULL: none, or
 * no memory. */
static char *find_on_path(const char *name)
{
    const char *path = getenv("PATH");

    if (strchr(name, '/')) {
        return strdup(name);
    }
    for (const char *at = path ? path : "/usr/local/bin:/usr/bin:/bin"; *at;) {
        size_t length = strcspn(at, ":");
        struct text candidate = { 0 };
        text_append(&candidate, length ? at : ".", length ? length : 1);
        text_printf(&candidate, "/%s", name);
        char *file = text_steal(&candidate);
        if (file && access(file, X_OK) == 0) {
            return file;
        }
        free(file);
        at += length + (at[length] == ':');
    }
    return NULL;
}

/* libasan.so.8 and its like insist on being in front of all other libraries. */
static bool is_sanitizer(const char *library)
{
    static const char *const names[] = { "libasan.so", "libtsan.so", "liblsan.so", "libhwasan.so" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(library, names[i], strlen(names[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void read_needed(Elf *elf, Elf_Scn *section, const GElf_Shdr *header, struct program *program)
{
    Elf_Data *data = elf_getdata(section, NULL);
    GElf_Dyn entry;

    for (int i = 0; data && gelf_getdyn(data, i, &entry) && entry.d_tag != DT_NULL; i++) {
        const char *library =
            entry.d_tag == DT_NEEDED ? elf_strptr(elf, header->sh_link, entry.d_un.d_val) : NULL;
        if (library && !program->sanitizer && is_sanitizer(library)) {
            program->sanitizer = strdup(library);
        }
    }
}

static void read_sections(Elf *elf, struct program *program)
{
    size_t names;

    if (elf_getshdrstrndx(elf, &names) != 0) {
        return;
    }
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        GElf_Shdr header;
        const char *name = gelf_getshdr(section, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;
        if (!name) {
            continue;
        }
        if (header.sh_type == SHT_DYNAMIC) {
            read_needed(elf, section, &header, program);
        }
        program->has_build_id |= strcmp(name, ".note.gnu.build-id") == 0;
        program->has_debug_info |= strcmp(name, ".debug_info") == 0 || strcmp(name, ".zdebug_info") == 0;
        program->has_symbols |= header.sh_type == SHT_SYMTAB;
    }
}

/* Whether the dynamic linker that SEGMENT names is musl's. */
static bool has_musl(int file, const GElf_Phdr *segment)
{
    char path[256] = "";
    size_t size = segment->p_filesz < sizeof(path) ? segment->p_filesz : sizeof(path) - 1;

    return pread(file, path, size, (off_t)segment->p_offset) > 0 && strstr(path, "/ld-musl");
}

static struct molt_error *read_elf(int file, struct program *program)
{
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(file, ELF_C_READ_MMAP, NULL);
    GElf_Ehdr header;
    size_t segments = 0;
    struct molt_error *error = NULL;

    if (!elf || elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header) || header.e_machine != EM_X86_64 ||
        gelf_getclass(elf) != ELFCLASS64) {
        error = molt_error_new(MOLT_ERROR_REFUSED, "%s is not an x86-64 program", program->path);
    } else if (elf_getphdrnum(elf, &segments) == 0) {
        for (size_t i = 0; i < segments; i++) {
            GElf_Phdr segment;
            if (gelf_getphdr(elf, (int)i, &segment) && segment.p_type == PT_INTERP) {
                program->dynamic = true;
                program->is_musl = has_musl(file, &segment);
            }
        }
        read_sections(elf, program);
    }
    elf_end(elf);
    return error;
}

struct molt_error *program_inspect(const char *name, struct program *ret)
{
    struct program program = { .path = find_on_path(name) };
    struct stat info;
    char start[2] = "";

    if (!program.path) {
        return molt_error_new(MOLT_ERROR_NOT_FOUND,
                              "there is no program %s on PATH; name it with its directory", name);
    }
    int file = open(program.path, O_RDONLY | O_CLOEXEC);
    struct molt_error *error = NULL;
    if (file < 0 || fstat(file, &info) < 0 || read(file, start, 2) < 0) {
        error = molt_error_new(errno == ENOENT ? MOLT_ERROR_NOT_FOUND : MOLT_ERROR_REFUSED,
                               "cannot read %s: %s", program.path, strerror(errno));
    } else if (S_ISDIR(info.st_mode) || access(program.path, X_OK) != 0) {
        error = molt_error_new(MOLT_ERROR_REFUSED, "%s is not an executable file", program.path);
    } else {
        program.privileged = info.st_mode & (S_ISUID | S_ISGID);
        program.script = start[0] == '#' && start[1] == '!';
        error = program.script ? NULL : read_elf(file, &program);
    }
    if (file >= 0) {
        close(file);
    }
    if (error) {
        program_deinit(&program);
        return error;
    }
    *ret = program;
    return NULL;
}

void program_deinit(struct program *program)
{
    free(program->path);
    free(program->sanitizer);
    *program = (struct program){ 0 };
}

struct molt_error *program_engine(char **ret_path)
{
    /* relative to this command: the build directory, then an installation */
    static const char *const places[] = { "../engine/libmolt.so", "../lib/molt/libmolt.so",
                                          "../lib/x86_64-linux-gnu/molt/libmolt.so",
                                          "../lib64/molt/libmolt.so" };
    const char *chosen = getenv("MOLT_ENGINE");
    char own[PATH_MAX];

    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
    own[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(own, '/');
    if (slash) {
        *slash = '\0';
    }
    for (size_t i = 0; i < (chosen ? 1 : sizeof(places) / sizeof(places[0])); i++) {
        char *path = path_normalise(own, chosen ? chosen : places[i]);
        if (!path) {
            return molt_error_nomem();
        }
        if (access(path, R_OK) == 0) {
            *ret_path = path;
            return NULL;
        }
        free(path);
    }
    return molt_error_new(
        MOLT_ERROR_INTERNAL,
        "the engine libmolt.so is neither beside this command nor in its lib/molt; set MOLT_ENGINE to it");
}
