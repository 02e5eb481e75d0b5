/*
 * Migration policies and validations: how what a program holds in memory becomes what its new code expects.
 *
 * A policy file is C, stands in molt/ beside molt.toml, and is compiled like a file of the new program: it
 * includes the program's headers, which declare the new types, and may call the program's functions. Of each
 * type that an update changes, the old version is there under its name with _molt_old at the end: struct
 * vector3d_molt_old.
 *
 *     #include <math.h>
 *     #include <molt/policy.h>
 *     #include "vector3d.h"
 *
 *     MOLT_MIGRATE(struct vector3d, old, new)
 *     {
 *         new->radius = sqrt(old->x * old->x + old->y * old->y + old->z * old->z);
 *     }
 *
 * Whatever a policy file does not mention follows the policy by name, which Molt writes: a member keeps its
 * value if the new type has a member of that name; numbers are converted, and checked to fit; arrays are
 * copied as far as they go, and what would be cut off must be zero; enumerators keep their names; what is new
 * is zero. So a policy states only what is special. docs/policies.md has an example of each.
 *
 * Declarations about members end with a semicolon or with none. A TYPE is written as the program writes it:
 * struct vector3d, or a typedef's name. A MEMBER is written as after "old->" or "new->": size, home.city,
 * home->city, list[0]. A policy about a type that an update does not change is left out of it.
 *
 * While policies run the program stands still and is all old: pointers in old instances lead to old
 * instances, and so do those that were copied into new ones, until the update is committed.
 */
#ifndef MOLT_POLICY_H
#define MOLT_POLICY_H

#pragma GCC system_header

#include <stddef.h>

#ifdef __cplusplus
#error "policies are C"
#endif

/* ---- how an instance becomes a new one ------------------------------------------------------------- */

/* Makes NEW, an instance of TYPE as it will be, of OLD, the same as it was. The policy by name and the
 * declarations below (MOLT_RENAME and so on) have been followed when this runs; it overwrites what it wants
 * otherwise. The function follows as a block; it returns nothing. */
#define MOLT_MIGRATE(type, old, new)                                                                         \
    MOLT_POLICY_("migrate", #type, #type, "", "")                                                            \
    MOLT_FUNCTION_(void, (const type##_molt_old *old, type *new))

/* The same from one type to another: OLD_TYPE is replaced by NEW_TYPE, or is split (MOLT_SPLIT). */
#define MOLT_MIGRATE_AS(old_type, new_type, old, new)                                                        \
    MOLT_POLICY_("migrate", #old_type, #new_type, "", "")                                                    \
    MOLT_FUNCTION_(void, (const old_type##_molt_old *old, new_type *new))

/* The way back, for a rollback: makes OLD, an instance as it was before the update, of NEW. Where Molt can
 * derive the way back by name this is not needed; it runs after that, as MOLT_MIGRATE does. */
#define MOLT_INVERT(type, new, old)                                                                          \
    MOLT_POLICY_("invert", #type, #type, "", "")                                                             \
    MOLT_FUNCTION_(void, (const type *new, type##_molt_old *old))

/* Each instance of TYPE chooses the type that it becomes: the function that follows returns MOLT_TYPE(...).
 * How it becomes that follows names, and MOLT_MIGRATE_AS. */
#define MOLT_SPLIT(type, old)                                                                                \
    MOLT_POLICY_("split", #type, "", "", "")                                                                 \
    MOLT_FUNCTION_(const char *, (const type##_molt_old *old))
#define MOLT_TYPE(type)                                                                                      \
    (__extension__({                                                                                         \
        _Static_assert(sizeof(type) > 0, "molt:type" #type);                                                 \
        (const char *)#type;                                                                                 \
    }))

/* OLD_TYPE has another name now. */
#define MOLT_RENAME_TYPE(old_type, new_type)                                                                 \
    MOLT_POLICY_("rename-type", #old_type, #new_type, "", "")                                                \
    MOLT_CHECK_((const old_type##_molt_old *molt_old, const new_type *molt_new), (void)molt_old)

/* ---- declarations about single members ------------------------------------------------------------- */

/* NEW_MEMBER has the value of OLD_MEMBER: it was renamed, or moved into or out of a structure. If a pointer
 * on the way to OLD_MEMBER (home->city) is NULL, NEW_MEMBER is zero. */
#define MOLT_RENAME(type, old_member, new_member)                                                            \
    MOLT_POLICY_("rename", #type, #type, #old_member, #new_member)                                           \
    MOLT_CHECK_((const type##_molt_old *molt_old, const type *molt_new), (void)molt_old->old_member,         \
                (void)molt_new->new_member)

/* MEMBER begins with the value of an expression, which may use `old` and `new`. Arrays cannot be assigned in
 * C: use MOLT_MIGRATE for them. */
#define MOLT_DEFAULT(type, member, ...)                                                                      \
    MOLT_POLICY_("default", #type, #type, "", #member)                                                       \
    MOLT_FUNCTION_(void, (const type##_molt_old *old __attribute__((unused)), type *new))                    \
    {                                                                                                        \
        new->member = __VA_ARGS__;                                                                           \
    }

/* OLD_MEMBER, or what of it does not fit, may be lost. */
#define MOLT_DROP(type, old_member)                                                                          \
    MOLT_POLICY_("drop", #type, "", #old_member, "")                                                         \
    MOLT_CHECK_((const type##_molt_old *molt_old), (void)molt_old->old_member)

/* What OLD_MEMBER points to is given to RELEASE (a function such as free) once the update is committed. */
#define MOLT_DELETE(type, old_member, release)                                                               \
    MOLT_POLICY_("delete", #type, "", #old_member, "")                                                       \
    MOLT_FUNCTION_(void, (const type##_molt_old *molt_old))                                                  \
    {                                                                                                        \
        molt_release((release), (void *)molt_old->old_member);                                               \
    }

/* MEMBER is an array of characters that holds a string: what follows its end does not count, so it fits a
 * shorter array if the string does. */
#define MOLT_TEXT(type, member)                                                                              \
    MOLT_POLICY_("text", #type, #type, #member, #member)                                                     \
    MOLT_CHECK_((const type##_molt_old *molt_old, const type *molt_new), (void)(molt_old->member[0] + 0),    \
                (void)(molt_new->member[0] + 0))

/* MEMBER of the new type is the business of MOLT_MIGRATE alone: the policy by name leaves it, and checks
 * nothing about it. */
#define MOLT_CUSTOM(type, member)                                                                            \
    MOLT_POLICY_("custom", #type, #type, "", #member)                                                        \
    MOLT_CHECK_((const type *molt_new), (void)molt_new->member)

/* What was OLD_NAME in the enumeration TYPE is NEW_NAME. */
#define MOLT_ENUMERATOR(type, old_name, new_name)                                                            \
    MOLT_POLICY_("enumerator", #type, #type, #old_name, #new_name)                                           \
    MOLT_CHECK_((type molt_new), (void)(molt_new == new_name))

/* Which member of the union MEMBER is in use: the function that follows looks at OLD, the structure that
 * holds the union, and returns MOLT_MEMBER(name), with the old name. Of a union without a name, MEMBER is any
 * of what it holds. Only needed if the union's members have changed. */
#define MOLT_UNION(type, member, old)                                                                        \
    MOLT_POLICY_("union", #type, "", #member, "")                                                            \
    MOLT_FUNCTION_(const char *, (const type##_molt_old *old))
#define MOLT_MEMBER(name) ((const char *)#name)

/* ---- validations ----------------------------------------------------------------------------------- */

/* Whether NEW is a right successor of OLD: runs for each pair once all instances have been migrated, before
 * the commit. The function that follows returns 0 if not; the update is discarded then. */
#define MOLT_VALIDATE(type, old, new)                                                                        \
    MOLT_POLICY_("validate", #type, #type, "", "")                                                           \
    MOLT_FUNCTION_(int, (const type##_molt_old *old, const type *new))
#define MOLT_VALIDATE_AS(old_type, new_type, old, new)                                                       \
    MOLT_POLICY_("validate", #old_type, #new_type, "", "")                                                   \
    MOLT_FUNCTION_(int, (const old_type##_molt_old *old, const new_type *new))

/* What holds for each instance of TYPE whatever the update, before and after: runs for all of them in every
 * update that migrates anything. The function that follows returns 0 if it does not hold. */
#define MOLT_INVARIANT(type, instance)                                                                       \
    MOLT_POLICY_("invariant", #type, #type, "", "")                                                          \
    MOLT_FUNCTION_(int, (const type *instance))

/* ---- functions that are suspended ------------------------------------------------------------------ */

/*
 * How an activation of FUNCTION that waits in a call goes on in the new version where Molt cannot tell by
 * itself what one of its locals is (a new one, one of another type, one that the running code does not keep):
 * the function that follows gives NEW->LOCAL a value for each that it is to decide. OLD has the locals of the
 * running version, NEW those of the new one; parameters are locals, static variables are not. Both may only
 * be used as old->LOCAL and new->LOCAL: that tells Molt what it reads and gives. A local of the same type
 * that Molt derives keeps its value, whatever this says of it. NEW is zero at first.
 *
 * It runs once for each activation, when the program stands still and all else is new already: pointers lead
 * to new instances. What it gives is what the local has when the call returns, even if that is much later.
 *
 * Where several variables of FUNCTION have one name, old->name is the innermost one around the call; if they
 * are of different types, old->name is the one that is declared first, old->name_2 the next.
 */
#define MOLT_TRANSFER(function, old, new)                                                                    \
    MOLT_POLICY_("transfer", #function, "", "", "")                                                          \
    MOLT_FUNCTION_(void, (const struct molt_frame_##function##_molt_old *old,                                \
                          struct molt_frame_##function##_molt_new *new))

/* The same for activations that wait in a call of CALLEE; it goes before MOLT_TRANSFER. */
#define MOLT_TRANSFER_AT(function, callee, old, new)                                                         \
    MOLT_POLICY_("transfer", #function, "", #callee, "")                                                     \
    MOLT_FUNCTION_(void, (const struct molt_frame_##function##_molt_old *old,                                \
                          struct molt_frame_##function##_molt_new *new))

/* The way back, for a rollback: gives locals of OLD, the version before the update. */
#define MOLT_TRANSFER_BACK(function, new, old)                                                               \
    MOLT_POLICY_("transfer-back", #function, "", "", "")                                                     \
    MOLT_FUNCTION_(void, (const struct molt_frame_##function##_molt_new *new,                                \
                          struct molt_frame_##function##_molt_old *old))

/* ---- which update ---------------------------------------------------------------------------------- */

/* This file's policies about TYPE are for the change between these two versions of it alone (`molt inspect`
 * tells their names); in other updates they are left out. FROM and TO are strings. */
#define MOLT_VERSIONS(type, from, to) MOLT_POLICY_("versions", #type, #type, from, to)

/* TYPE is the one that the source file UNIT (a string: its path from the root) means, where another file
 * means something else by the same name. The function of a MOLT_TRANSFER likewise. */
#define MOLT_UNIT(type, unit) MOLT_POLICY_("unit", #type, "", unit, "")

/* ---- for the bodies -------------------------------------------------------------------------------- */

/* The old version of TYPE: MOLT_OLD(struct vector3d) is struct vector3d_molt_old. */
#define MOLT_OLD(type) type##_molt_old

/* The policy, or the validation, cannot go on: the update is discarded, with this message. */
extern void molt_fail(const char *format, ...)
    __attribute__((noreturn, cold, format(printf, 1, 2), visibility("default")));

/* Calls RELEASE(POINTER) once the update is committed, and not at all if it is discarded. NULL is passed
 * over. */
extern void molt_release(void (*release)(void *), void *pointer) __attribute__((visibility("default")));

/* A pointer of the old instance as one of the new: Molt leads it to the instance's successor. */
#define MOLT_FORWARD(pointer) ((void *)(pointer))

/* Assigns the number FROM to TO and fails if its value does not fit. Fractions are cut off where TO has none.
 */
#define MOLT_CONVERT(to, from)                                                                               \
    do {                                                                                                     \
        (to) = (from);                                                                                       \
        if (!(MOLT_IS_FLOATING_(from) || MOLT_IS_FLOATING_(to)                                               \
                  ? molt_same_value_((to), (from), MOLT_IS_FLOATING_(to))                                    \
                  : (to) == (from) && ((to) < 0) == ((from) < 0))) {                                         \
            molt_fail("%s: the value %.20Lg does not fit", #to, (long double)(from));                        \
        }                                                                                                    \
    } while (0)

/* Copies the array FROM to the array TO, of elements of the same type, and fails if it is the longer one and
 * what does not fit is not all zero. */
#define MOLT_COPY_ARRAY(to, from)                                                                            \
    molt_copy_array_((to), sizeof(to), (from), sizeof(from), sizeof((from)[0]), #from)

/* Fails if not all elements of ARRAY from FIRST on are zero: nothing else of it is kept. */
#define MOLT_EXPECT_ZERO(array, first)                                                                       \
    molt_expect_zero_((array), sizeof(array), (first) * sizeof((array)[0]), sizeof((array)[0]), #array)

/* Copies the string in the array FROM to the array TO and fails if it does not end within it. */
#define MOLT_COPY_TEXT(to, from) molt_copy_text_((to), sizeof(to), (from), sizeof(from), #from)

/* ---- not for use ----------------------------------------------------------------------------------- */

#ifndef MOLT_POLICY_FILE /* set by Molt: it makes the functions' names unique within an update */
#define MOLT_POLICY_FILE policy
#endif

/* What Molt reads, after preprocessing: kind, types, two words and the line. */
#define MOLT_POLICY_(kind, old_type, new_type, from, to)                                                     \
    MOLT_POLICY_AT_(kind, old_type, new_type, from, to, __LINE__)
#define MOLT_POLICY_AT_(kind, old_type, new_type, from, to, line)                                            \
    MOLT_POLICY_LINE_(kind, old_type, new_type, from, to, line)
#define MOLT_POLICY_LINE_(kind, old_type, new_type, from, to, line)                                          \
    __extension__ _Static_assert(1, "molt:policy" kind old_type new_type from to #line);

#define MOLT_FUNCTION_(result, parameters)                                                                   \
    MOLT_FUNCTION_AT_(result, parameters, MOLT_POLICY_FILE, __COUNTER__)
#define MOLT_FUNCTION_AT_(result, parameters, file, counter)                                                 \
    MOLT_FUNCTION_NAMED_(result, parameters, file, counter)
#define MOLT_FUNCTION_NAMED_(result, parameters, file, counter)                                              \
    result molt_policy_##file##_##counter parameters __attribute__((used));                                  \
    result molt_policy_##file##_##counter parameters

/* A function that is there for the compiler to check names. */
#define MOLT_CHECK_(parameters, ...) MOLT_CHECK_AT_(parameters, (__VA_ARGS__), __COUNTER__)
#define MOLT_CHECK_AT_(parameters, expressions, counter) MOLT_CHECK_NAMED_(parameters, expressions, counter)
#define MOLT_CHECK_NAMED_(parameters, expressions, counter)                                                  \
    static inline __attribute__((unused)) void molt_check_##counter parameters                               \
    {                                                                                                        \
        expressions;                                                                                         \
    }

#define MOLT_IS_FLOATING_(number)                                                                            \
    (__builtin_types_compatible_p(__typeof__((number) + 0), float) ||                                        \
     __builtin_types_compatible_p(__typeof__((number) + 0), double) ||                                       \
     __builtin_types_compatible_p(__typeof__((number) + 0), long double))

/* Every integer of 64 bits is exact in a long double. */
static inline __attribute__((unused)) int molt_same_value_(long double to, long double from, int floating)
{
    if (floating) {
        return !__builtin_isinf(to) || __builtin_isinf(from);
    }
    return to - from > -1 && to - from < 1;
}

static inline __attribute__((unused)) void molt_expect_zero_(const void *array, size_t size, size_t from,
                                                             size_t element, const char *name)
{
    const unsigned char *bytes = (const unsigned char *)array;

    for (; from < size; from++) {
        if (bytes[from]) {
            molt_fail("%s: element %zu is not zero and would be lost (MOLT_DROP says that it may be)", name,
                      from / element);
        }
    }
}

static inline __attribute__((unused)) void molt_copy_array_(void *to, size_t to_size, const void *from,
                                                            size_t from_size, size_t element,
                                                            const char *name)
{
    __builtin_memcpy(to, from, to_size < from_size ? to_size : from_size);
    molt_expect_zero_(from, from_size, to_size, element, name);
}

static inline __attribute__((unused)) void molt_copy_text_(char *to, size_t to_size, const char *from,
                                                           size_t from_size, const char *name)
{
    size_t length = 0;

    while (length < from_size && from[length]) {
        length++;
    }
    if (length >= to_size) {
        molt_fail("%s: the text has %zu bytes, there is room for %zu", name, length, to_size - 1);
    }
    __builtin_memcpy(to, from, length);
}

/* Fails if a word of the instance leads into PLACE, which is there only while its policies run. */
static inline __attribute__((unused)) void molt_expect_none_within_(const void *instance, size_t size,
                                                                    const char *place, size_t room)
{
    for (size_t at = 0; at + sizeof(char *) <= size; at += sizeof(char *)) {
        const char *word;
        __builtin_memcpy(&word, (const char *)instance + at, sizeof(word));
        if ((__UINTPTR_TYPE__)word - (__UINTPTR_TYPE__)place < room) {
            molt_fail(
                "a policy leaves a pointer to the version of the instance between two steps at byte %zu", at);
        }
    }
}

#endif
