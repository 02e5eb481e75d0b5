/*
 * Whether functions keep addresses that they are given. Those whose code is at hand are asked themselves,
 * through all that they call; those of the C library by a table. Whatever else there is may keep what it
 * likes.
 *
 * Functions that call each other are asked in rounds: in each one every function once, what it asks for in
 * turn being taken for what the round before has found. Answers only grow, so the first round in which none
 * did is right.
 */
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "patch/transfer/escape.h"
#include "patch/types/die_facts.h"

#define ADDRESS 8
#define BUDGET 300 /* functions looked at for one question, all rounds */

struct capture_entry {
    char *key;
    struct function_code code;
    struct capture capture;
    unsigned round; /* in which it was asked last */
    bool settled;
};

struct capture_callee {
    char *key;
    function_codes codes;
    bool own; /* the program's, not a library's */
};

static const struct capture everything = { .kept = ~UINT64_C(0),
                                           .returned = ~UINT64_C(0),
                                           .stack_bytes = 1 << 20 };

#define ALL 0x3f

/* Functions of the C library (POSIX and GNU) that keep none of their arguments. */
static const char keep_nothing[] =
    "__chk_fail __stack_chk_fail _exit abort exit __ctype_b_loc __ctype_tolower_loc __ctype_toupper_loc "
    "__errno_location __fprintf_chk __fread_chk "
    "__isoc23_sscanf __isoc99_fscanf __isoc99_scanf __isoc99_sscanf __poll_chk __printf_chk "
    "__read_chk __recv_chk __snprintf_chk __sprintf_chk __syslog_chk __vfprintf_chk __vsnprintf_chk "
    "__vsprintf_chk abs accept accept4 access alarm atof atoi atol atoll bcmp bind bzero calloc ceil "
    "chdir chmod clock_getres clock_gettime clock_nanosleep close closedir connect dprintf "
    "dup dup2 epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd eventfd_read exp "
    "explicit_bzero fclose fcntl fcntl64 fdatasync feof ferror fflush fgetc fileno floor fmod fopen "
    "fopen64 fork fprintf fputc fputs fread free frexp fscanf fseek fstat fstat64 fstatat fsync ftell "
    "ftruncate ftruncate64 fwrite getaddrinfo getc getdelim getenv geteuid getgid getgrnam "
    "gethostname getitimer getline getnameinfo getpeername getpid getppid getpwnam getrandom "
    "getrlimit getrlimit64 getrusage getsockname getsockopt gettimeofday getuid gmtime inet_aton "
    "inet_pton isatty kill listen localeconv localtime log lseek lseek64 lstat lstat64 madvise "
    "malloc memcmp mkdir mktime mmap modf munmap nanosleep open open64 opendir perror pipe pipe2 poll "
    "posix_memalign pow ppoll pread pread64 printf pselect pthread_attr_destroy "
    "pthread_attr_getstacksize pthread_attr_init pthread_attr_setdetachstate "
    "pthread_attr_setstacksize pthread_cond_broadcast pthread_cond_destroy pthread_cond_init "
    "pthread_cond_signal pthread_cond_timedwait pthread_cond_wait pthread_condattr_init "
    "pthread_condattr_setclock pthread_detach pthread_join pthread_mutex_destroy pthread_mutex_init "
    "pthread_mutexattr_destroy pthread_mutexattr_init pthread_mutexattr_settype pthread_self "
    "pthread_sigmask putc putchar puts pwrite pwrite64 raise rand random read readdir readlink readv "
    "realloc reallocarray recv recvfrom recvmsg rename rewind rmdir scanf sched_yield select send "
    "sendmsg sendto setenv setitimer setlocale setrlimit setrlimit64 setsockopt shutdown sigaction "
    "sigaddset sigdelset sigemptyset sigfillset sigismember sigpending sigprocmask sigsuspend "
    "sigtimedwait sigwait sigwaitinfo sleep snprintf socket socketpair sprintf sqrt srand srandom "
    "sscanf stat stat64 statfs statvfs strcasecmp strcmp strcspn strdup strerror strftime strlen "
    "strncasecmp strncmp strndup strnlen strsignal strspn sysconf sysinfo syslog tcgetattr "
    "tcsetattr time timegm times tolower toupper umask uname ungetc unlink unsetenv usleep vfprintf "
    "vprintf vsnprintf vsprintf wait wait4 waitpid write writev ";

/* Those of them whose result leads to where the first one does. */
static const char give_first[] =
    "__fgets_chk __getcwd_chk __memcpy_chk __memmove_chk __memset_chk __strcat_chk __strcpy_chk "
    "__strncat_chk __strncpy_chk dirname fgets getcwd memchr memcpy memmem memmove mempcpy memrchr memset "
    "rawmemchr stpcpy strcat strchr strchrnul strcpy strncat strncpy strpbrk strrchr strstr ";

/* Those of both that hand on what lies where their arguments lead. */
static const char copy_addresses[] =
    "memcpy memmove mempcpy __memcpy_chk __memmove_chk epoll_ctl realloc reallocarray ";

/* Others: the arguments that are not kept, as bits; the one that the result leads to, from 1 on, or 0;
 * whether the others are kept only where the second one leads. */
static const struct special {
    const char *name;
    uint8_t safe, result;
    bool stores;
} specials[] = {
    { "localtime_r", ALL, 2, false },
    { "gmtime_r", ALL, 2, false },
    { "realpath", ALL, 2, false },
    { "strerror_r", ALL, 2, false },
    { "inet_ntop", ALL, 3, false },
    { "strtok_r", ALL & ~1, 1 },
    { "strtol", ALL & ~1, 0, true },
    { "strtoul", ALL & ~1, 0, true },
    { "strtoll", ALL & ~1, 0, true },
    { "strtoull", ALL & ~1, 0, true },
    { "strtod", ALL & ~1, 0, true },
    { "strtof", ALL & ~1, 0, true },
    { "strtold", ALL & ~1, 0, true },
    { "__isoc23_strtol", ALL & ~1, 0, true },
    { "__isoc23_strtoul", ALL & ~1, 0, true },
    { "__isoc23_strtoll", ALL & ~1, 0, true },
    { "__isoc23_strtoull", ALL & ~1, 0, true },
    { "pthread_create", 3, 0, false },
    { "pthread_mutex_lock", ALL & ~1, 0, false },
    { "pthread_mutex_unlock", ALL & ~1, 0, false },
    { "pthread_mutex_trylock", ALL & ~1, 0, false },
};

/* Whether WORDS, each with a space behind it, have NAME. */
static bool has_word(const char *words, const char *name)
{
    size_t length = strlen(name);

    for (const char *found = words; (found = strstr(found, name)); found += length) {
        if ((found == words || found[-1] == ' ') && found[length] == ' ') {
            return true;
        }
    }
    return false;
}

static struct capture of_library(const char *name)
{
    struct capture ret = { .blind = !has_word(copy_addresses, name) };

    for (size_t i = 0; i < sizeof(specials) / sizeof(*specials); i++) {
        const struct special *special = &specials[i];
        if (strcmp(special->name, name) == 0) {
            ret.kept = ALL & ~special->safe;
            ret.returned = special->result ? UINT64_C(1) << (special->result - 1) : 0;
            ret.stores = special->stores;
            return ret;
        }
    }
    ret.returned = has_word(give_first, name);
    return *name && (ret.returned || has_word(keep_nothing, name)) ? ret : everything;
}

void captures_init(struct captures *captures, find_function *find, void *context)
{
    *captures = (struct captures){ .find = find, .context = context };
}

void captures_deinit(struct captures *captures)
{
    for (size_t i = 0; i < captures->entries.count; i++) {
        free(captures->entries.items[i]->key);
        free(captures->entries.items[i]);
    }
    LIST_FREE(&captures->entries);
    for (size_t i = 0; i < captures->clobbers.count; i++) {
        clobbers_destroy(captures->clobbers.items[i]);
    }
    LIST_FREE(&captures->clobbers);
    table_deinit(&captures->known);
    for (size_t i = 0; i < captures->callees.count; i++) {
        free(captures->callees.items[i]->key);
        LIST_FREE(&captures->callees.items[i]->codes.list);
        free(captures->callees.items[i]);
    }
    LIST_FREE(&captures->callees);
    table_deinit(&captures->called);
}

static struct capture_entry *entry_of(struct captures *captures, const struct function_code *code)
{
    char *key = must_printf("%p %u", (void *)code->object, code->symbol->index);
    struct capture_entry *entry = table_get(&captures->known, key);

    if (entry) {
        free(key);
        return entry;
    }
    entry = must_calloc(1, sizeof(*entry));
    *entry = (struct capture_entry){ .key = key, .code = *code };
    LIST_ADD(&captures->entries, entry);
    table_put(&captures->known, key, entry);
    return entry;
}

/* How far above its frame the function reads. */
static uint32_t stack_arguments(const struct code *code)
{
    uint32_t bytes = 0;

    for (size_t i = 0; i < code->touches.count; i++) {
        int64_t end = (int64_t)code->touches.items[i].place - PLACE_CFA + code->touches.items[i].size;
        bytes = place_in_frame(code->touches.items[i].place) && end > (int64_t)bytes ? (uint32_t)end : bytes;
    }
    for (size_t i = 0; i < code->taken.count; i++) {
        bytes = code->taken.items[i].offset >= 0 ? everything.stack_bytes : bytes;
    }
    return bytes;
}

/* How many registers the parameters of FUNCTION take at most: the others hold what happens to be in them. */
static unsigned count_registers(Dwarf_Die *function)
{
    Dwarf_Die child, type;
    unsigned count = 0;

    if (dwarf_hasattr_integrate(function, DW_AT_type)) {
        int tag = die_plain_type(function, &type) ? dwarf_tag(&type) : 0;
        bool plain = tag == DW_TAG_base_type || tag == DW_TAG_pointer_type || tag == DW_TAG_enumeration_type;
        count += !plain; /* its result may be written where the first argument says */
    }
    for (int more = dwarf_child(function, &child); more == 0; more = dwarf_siblingof(&child, &child)) {
        Dwarf_Word size;
        if (dwarf_tag(&child) == DW_TAG_unspecified_parameters) {
            return FLOW_ARGUMENTS;
        }
        if (dwarf_tag(&child) == DW_TAG_formal_parameter) {
            bool known = die_type(&child, &type) && dwarf_aggregate_size(&type, &size) == 0;
            count += !known               ? FLOW_ARGUMENTS
                     : size > 2 * ADDRESS ? 0
                                          : (unsigned)((size + ADDRESS - 1) / ADDRESS);
        }
    }
    return count < FLOW_ARGUMENTS ? count : FLOW_ARGUMENTS;
}

/* The same for CODE's, as its source has declared it; what the compiler has made another function of may
 * take anything. */
static unsigned count_arguments(const struct function_code *code)
{
    bool made = strchr(code->symbol->name, '.');
    Dwarf_Die declared = code->declared;

    if (!made && declared.addr && dwarf_hasattr_integrate(&declared, DW_AT_prototyped)) {
        return count_registers(&declared);
    }
    Dwarf *dwarf = made ? NULL : object_dwarf(code->object);
    Dwarf_CU *unit = NULL;
    Dwarf_Die top, die;

    while (dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &top, NULL) == 0) {
        for (int more = dwarf_child(&top, &die); more == 0; more = dwarf_siblingof(&die, &die)) {
            const char *name = dwarf_tag(&die) == DW_TAG_subprogram ? dwarf_diename(&die) : NULL;
            if (name && strcmp(name, code->symbol->name) == 0 &&
                dwarf_hasattr_integrate(&die, DW_AT_prototyped) && !dwarf_hasattr(&die, DW_AT_declaration)) {
                return count_registers(&die);
            }
        }
    }
    return FLOW_ARGUMENTS;
}

static struct clobbers *clobbers_of(struct captures *captures, struct object *object)
{
    for (size_t i = 0; i < captures->clobbers.count; i++) {
        if (clobbers_object(captures->clobbers.items[i]) == object) {
            return captures->clobbers.items[i];
        }
    }
    LIST_ADD(&captures->clobbers, clobbers_create(object));
    return captures->clobbers.items[captures->clobbers.count - 1];
}

/* What the code of ENTRY's function says, given what is known of others in this round. */
static void look(struct captures *captures, struct capture_entry *entry)
{
    struct capture found = { 0 };
    struct address_flow flow;
    struct code code;

    entry->round = captures->round;
    if (!captures->budget) {
        found = everything;
    } else {
        captures->budget--;
        code_init(&code, entry->code.object, entry->code.symbol, NULL);
        if (code.problem) {
            found = captures->alone ? found : everything;
        } else {
            clobbers_apply(clobbers_of(captures, entry->code.object), &code);
            address_flow_init_arguments(&flow, &code, count_arguments(&entry->code), captures);
            found =
                (struct capture){ .returned = flow.returned & ALL, .stack_bytes = stack_arguments(&code) };
            for (size_t i = 0; i < flow.escapes.count; i++) {
                found.kept |= flow.escapes.items[i].what & ALL;
            }
            address_flow_deinit(&flow);
        }
        code_deinit(&code);
    }
    captures->changed = captures->changed || (entry->capture.kept | found.kept) != entry->capture.kept ||
                        (entry->capture.returned | found.returned) != entry->capture.returned ||
                        found.stack_bytes > entry->capture.stack_bytes;
    entry->capture.kept |= found.kept;
    entry->capture.returned |= found.returned;
    if (found.stack_bytes > entry->capture.stack_bytes) {
        entry->capture.stack_bytes = found.stack_bytes;
    }
}

static struct capture of_function(struct captures *captures, const struct function_code *code)
{
    struct capture_entry *entry = entry_of(captures, code);
    bool outermost = !captures->round;

    if (entry->settled) {
        return entry->capture;
    }
    if (!outermost) { /* a question within a question */
        if (entry->round != captures->round) {
            look(captures, entry);
        }
        return entry->capture;
    }
    captures->budget = BUDGET;
    for (size_t i = 0; i < captures->entries.count; i++) {
        captures->entries.items[i]->round = 0;
    }
    do {
        captures->changed = false;
        captures->round++;
        look(captures, entry);
    } while (captures->changed);
    captures->round = 0;
    for (size_t i = 0; i < captures->entries.count; i++) {
        struct capture_entry *each = captures->entries.items[i];
        each->settled = each->settled || each->round;
    }
    return entry->capture;
}

/* The function that a call names directly, or by way of the global offset table; NULL: only the running
 * program knows. */
static const struct object_symbol *function_called(const struct code *code, uint32_t at)
{
    const struct code_instruction *instruction = &code->instructions.items[at];
    const struct code_operand *operand = &code->operands.items[instruction->operand];
    struct object_place place;
    bool by_table = operand->relocation && (operand->relocation->type == R_X86_64_GOTPCREL ||
                                            operand->relocation->type == R_X86_64_GOTPCRELX ||
                                            operand->relocation->type == R_X86_64_REX_GOTPCRELX);

    if (!instruction->visible_count ||
        (operand->kind != OPERAND_NUMBER && !(operand->kind == OPERAND_MEMORY && by_table))) {
        return NULL;
    }
    if (code_named(code, operand, &place)) {
        bool start = !place.section || by_table || !place.symbol || place.offset == 0;
        return start ? place.symbol : NULL;
    }
    uint64_t target = instruction->address + instruction->length + (uint64_t)operand->value;
    return target == object_address(code->object, code->symbol) ? code->symbol : NULL;
}

/* Whichever of CODES is called. */
static struct capture of_codes(struct captures *captures, const function_codes *codes)
{
    struct capture all = { 0 };

    for (size_t i = 0; i < codes->list.count; i++) {
        const struct function_code *code = &codes->list.items[i];
        if (code->symbol->type == STT_GNU_IFUNC || code->symbol->bind == STB_WEAK ||
            !symbol_is_function(code->object, code->symbol)) {
            return everything;
        }
        struct capture one = of_function(captures, code);
        all.kept |= one.kept;
        all.returned |= one.returned;
        all.stack_bytes = one.stack_bytes > all.stack_bytes ? one.stack_bytes : all.stack_bytes;
    }
    if (codes->differ) { /* what is the first for one of them may be another's second */
        all.kept |= all.kept ? ALL : 0;
        all.returned |= all.returned ? ALL : 0;
    }
    return codes->list.count ? all : everything;
}

static struct capture_callee *callee_of(struct captures *captures, struct object *object,
                                        const struct object_symbol *symbol)
{
    char *key = must_printf("%p %u", (void *)object, symbol->index);
    struct capture_callee *callee = table_get(&captures->called, key);

    if (callee) {
        free(key);
        return callee;
    }
    callee = must_calloc(1, sizeof(*callee));
    callee->key = key;
    if (captures->find) {
        callee->own = captures->find(captures->context, object, symbol, &callee->codes);
    } else if (symbol->section) {
        LIST_ADD(&callee->codes.list, (struct function_code){ .object = object, .symbol = symbol });
        callee->own = true;
    }
    LIST_ADD(&captures->callees, callee);
    table_put(&captures->called, key, callee);
    return callee;
}

struct capture captures_of_call(struct captures *captures, const struct code *code, uint32_t at)
{
    const struct object_symbol *symbol = function_called(code, at);

    if (captures->alone) {
        return (struct capture){ .blind = true };
    }
    if (!symbol || symbol->bind == STB_WEAK) {
        return everything;
    }
    const struct capture_callee *callee = callee_of(captures, code->object, symbol);
    return callee->own ? of_codes(captures, &callee->codes) : of_library(symbol->name);
}

struct capture captures_of_function(struct captures *captures, struct object *object,
                                    const struct object_symbol *symbol)
{
    return of_function(captures, &(struct function_code){ .object = object, .symbol = symbol });
}
