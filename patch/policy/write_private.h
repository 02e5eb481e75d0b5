/* The generated source, as policy/write.c and its parts see it. */
#ifndef MOLT_PATCH_POLICY_WRITE_PRIVATE_H
#define MOLT_PATCH_POLICY_WRITE_PRIVATE_H

#include "patch/policy/write.h"
#include "patch/policy/write_value.h"

#define POLICY_OLD_SUFFIX "_molt_old"

/* What a set of declarations need not declare; the context of the rules below. */
struct policy_knowledge {
    const struct policy_plans *plans;
    const struct table *names;               /* NULL: none */
    const struct declarations *declarations; /* NULL: none */
};

/* policy/write_types.c: rules of declarations. Whether TYPE, of the old model, gets the suffix; whether NAME
 * is declared elsewhere. */
bool policy_is_suffixed(void *context, const struct type *type);
bool policy_is_known(void *context, const char *name);

/* No type gets a suffix. */
bool policy_is_plain(void *context, const struct type *type);

/* Declares the old types that PLAN speaks of. */
void policy_declare_old(const struct policy_plan *plan, struct declarations *declarations);

/* How PLAN's instances are passed: "const struct conn_molt_old *old" to read and "struct conn_molt_old *old"
 * to write. */
struct policy_signature {
    char *old_in, *old_out, *new_in, *new_out;
};

void policy_signature_init(struct policy_signature *signature, const struct policy_writer *writer,
                           const struct policy_plan *plan);
void policy_signature_deinit(struct policy_signature *signature);

/* "molt/conn.c:12". Owned by the caller. */
char *policy_place_text(const struct policy_statement *statement);

/* policy/write_function.c: molt_migrate_NAME and molt_invert_NAME. */
void policy_write_migrate(struct policy_writer *writer, const struct policy_plan *plan);
void policy_write_inverse(struct policy_writer *writer, const struct policy_plan *plan);

/* Whether no step before INDEX of PLAN has the same union and, if OF_ALTERNATIVE, the same member of it. */
bool policy_is_first_choice(const struct policy_plan *plan, size_t index, bool of_alternative);

/* policy/write_check.c: molt_validate_NAME and molt_select_NAME. */
void policy_write_validate(struct policy_writer *writer, const struct policy_plan *plan);
void policy_write_select(struct policy_writer *writer, const struct policy_plan *plan);

#endif
