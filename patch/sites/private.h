/* Working out sites, as sites/sites.c and its helpers see it. */
#ifndef MOLT_PATCH_SITES_PRIVATE_H
#define MOLT_PATCH_SITES_PRIVATE_H

#include "patch/sites/allocators.h"
#include "patch/code/calls.h"
#include "patch/code/code_index.h"
#include "patch/sites/heap_settings.h"
#include "patch/probe/probe.h"
#include "patch/sites/sites.h"
#include "patch/sites/wrappers.h"

/* What the code of a binary says, whatever its sources: kept by the session. */
struct site_code {
    const struct image *image;
    char *settings; /* text of molt.toml, "" without */
    struct call_targets targets;
    struct code_index index;
    struct wrappers wrappers;
};

/* Where a function takes memory that it returns from, if it is not always an allocator's. */
struct carving {
    const char *function; /* NULL: it always is */
    const char *directory, *file;
    unsigned line;
    bool pieces; /* of larger blocks; else whole ones that were used before */
};

/* How the arguments of an allocation function say how much. Bit I: argument I + 1. */
struct allocation_form {
    bool known;       /* it is one, and this is how */
    bool text;        /* only makes text */
    bool out;         /* fills in a pointer whose address it takes */
    bool product;     /* the sizes are multiplied with each other */
    uint32_t size;    /* which arguments are sizes or counts; all bits: any may be */
    uint32_t pointer; /* which may be a block to be resized */
    bool shifted;     /* what it returns is not where the block starts */
    bool bytes;       /* if callers do not say otherwise, it makes bytes */
    bool typed;       /* if callers do not say otherwise, it makes `type` */
    Dwarf_Die type;
    struct carving carving; /* known or not */
};

/* A call that may allocate, on its way to becoming a site. */
struct site_call {
    struct call call;
    const struct object_symbol *symbol; /* in an object */
    uint64_t start;                     /* of the function that makes it */
    const char *function;
    code_frames frames;
    const struct probe *probe; /* of its unit; NULL: there is none */
    const char *no_probe;      /* why */
    size_t request;            /* 1 + index of what its unit is asked; 0: none */
    Dwarf_Die unit_die;
    bool stale;   /* its unit's source is not what it was built from */
    bool aliased; /* the function that makes it has another name, too */
    bool taken;   /* counted among the jumps */
};

struct site_work {
    const struct heap_settings *settings; /* borrowed */
    const char *const *names;             /* that count as wrappers, NULL-terminated */
    LIST(struct site_call) all;           /* while those that matter are being selected */
    LIST(struct site_call) calls;
    LIST(struct site_call) jumps; /* at the end of functions */
    LIST(struct probe *) probes;
    size_t own_probes; /* the first ones; the others are the whole program's, and say only how its functions
                          are called */
    const struct wrappers *wrappers;
    const struct code_index *index;
    Dwarf *dwarf;            /* of the image or object */
    struct table forms;      /* function -> struct allocation_form */
    struct table allocators; /* function -> 1 + its number in the sites, see site_allocator_of */
    LIST(void *) owned;
    bool any_shifted; /* a function that may be called through a pointer is such */
    unsigned depth;   /* of functions whose form is being worked out */
};

/* What a site is worked out for: a binary, or functions of an object. */
struct site_subject {
    struct code_source code;
    const struct image *image; /* the binary, or that which the object's code will belong to */
    Dwarf *dwarf;
    const char *const *names; /* that count as wrappers, NULL-terminated */
    const struct site_code *image_code;
    const char *const *stale; /* units that the sources are not those of, NULL-terminated; may be NULL */
    const bool *wanted;       /* of the object's symbols */
    const struct unit *unit;  /* of the object */
};

struct site_verdict {
    enum molt_site_kind kind;
    Dwarf_Die type;
    bool typed;  /* there is a type, even if the caller is to be asked first */
    bool bytes;  /* the same: there is text */
    bool merged; /* functions that make different types are one in the code */
    const struct candidate *candidate;
    const struct candidate
        *innermost; /* the call itself, if its source was found: CANDIDATE may be further out */
    const struct code_frame *frame; /* where that is; NULL: only the candidate tells */
    const struct probe *probe;      /* that has the candidate; set if there is no frame */
    const char *hint;               /* the type is one that molt.toml names */
    char reason[256];
};

/* sites/select.c: fills in `calls` and `jumps` from the code of SUBJECT. */
void site_select_calls(struct site_work *work, const struct site_subject *subject);

bool site_is_named(const char *const *names, const char *name); /* NAMES: NULL-terminated, or NULL */

/* sites/ask.c: finds the frames of all calls and asks the sources of their units. */
struct molt_error *site_ask_sources(struct patch_session *session, const struct patch_request *request,
                                    struct tree *tree, const struct site_subject *subject,
                                    struct site_work *work);

/* sites/make.c: adds what CALL makes to SITES, if it makes anything. */
void site_add(struct sites *sites, struct site_work *work, const struct site_subject *subject,
              const struct tree *tree, const struct site_call *call);

/* sites/judge.c: what the surroundings of CANDIDATE, a call of something of FORM, say. */
void site_judge(const struct candidate *candidate, const struct allocation_form *form, bool may_be_wrapper,
                struct site_verdict *ret);

bool site_escapes(const struct candidate *candidate, bool *ret_stored);

/* What kind of thing a type is, seen from an allocation. */
enum type_sort { SORT_NONE, SORT_BYTE, SORT_SCALAR, SORT_POINTER, SORT_STRUCT };
enum type_sort site_type_sort(Dwarf_Die type, Dwarf_Die *ret_plain);
bool site_same_type(Dwarf_Die one, Dwarf_Die other);

/* sites/allocator_sites.c: 1 + the index in SITES of the pair that the program's function NAME belongs to; 0:
 * none. HEADER: NAME keeps something in front of its blocks, so that only what molt.toml says will do. */
unsigned site_allocator_of(struct site_work *work, const struct site_subject *subject, struct sites *sites,
                           const char *name, bool header);

/* sites/resolve.c: the verdict on CALL, through all frames. */
void site_resolve(struct site_work *work, const struct site_call *call, struct site_verdict *ret);

/* What the source of the function NAME says about calls like CALL, if they agree; false if it has none.
 * For functions without debug information: gcc makes such ones when it finds that two functions do the
 * same. */
bool site_judge_by_name(struct site_work *work, const struct site_call *call, const char *name,
                        struct site_verdict *ret);

bool site_same_verdict(const struct site_verdict *one, const struct site_verdict *other);

/* Sets any_shifted, before the first call is resolved. */
void site_find_shifted(struct site_work *work, const struct image *image);

/* The form of what NAME is. */
const struct allocation_form *site_form(struct site_work *work, const char *name);

/* sites/carving.c: where the program's function NAME, TOLD a size or not, takes memory from. */
void site_find_carving(struct site_work *work, const char *name, bool told, struct carving *ret);

/* The same of what CANDIDATE (may be NULL), a call of CALLEE, makes: of other objects of its type, that is.
 */
struct carving site_carving(struct site_work *work, const struct candidate *candidate, const char *callee);

/* NAME up to the suffix that a compiler adds to clones and parts, "zmalloc.part.0". Owned by the caller. */
char *site_base_name(const char *name);

#endif
