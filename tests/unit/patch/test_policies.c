/* Each kind of change to a type, and each kind of policy, carried out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "patch/file.h"
#include "patch/memory.h"
#include "policy_case.h"

static const char *compiler = "gcc", *flags = "-O0 -fPIC";

/* What stands in the header for the program only. */
#define PROGRAM(...) "\n#ifndef MOLT_HEADER_ONLY\n" #__VA_ARGS__ "\n#endif\n"

static const struct policy_case cases[] = {
    {
        .title = "added, moved and equal members",
        .old = "struct record { int a; char *name; struct record *next; double d[2]; };" PROGRAM(
            struct record before = { 1, "x", &before, { 1.5, 2.5 } };),
        .new = "struct record { double d[2]; long added; char *name; int a; struct record *next; int "
               "more[3]; };" PROGRAM(extern struct record before; int check(const struct record *r) {
                   return r->a != 1                ? 1
                          : r->name[0] != 'x'      ? 2
                          : r->next != &before     ? 3
                          : r->d[1] != 2.5         ? 4
                          : r->added || r->more[2] ? 5
                                                   : 0;
               }),
        .contains = "/* new->added is new: zero */",
    },
    {
        .title = "numbers that fit, widened",
        .old = "struct record { short s; unsigned char u; int i; float f; unsigned w; _Bool b; };" PROGRAM(
            struct record before = { -3, 200, -70000, 1.5f, 4000000000u, 1 };),
        .new = "struct record { long s; int u; double i; double f; long w; int b; };" PROGRAM(
            int check(const struct record *r) {
                return r->s != -3           ? 1
                       : r->u != 200        ? 2
                       : r->i != -70000     ? 3
                       : r->f != 1.5        ? 4
                       : r->w != 4000000000 ? 5
                       : r->b != 1          ? 6
                                            : 0;
            }),
        .contains = "new->s = old->s; /* was short */",
    },
    {
        .title = "numbers that fit, narrowed",
        .old = "struct record { long s; int u; double i; double f; int w; };" PROGRAM(
            struct record before = { -3, 200, -7.75, 1.5, 0 };),
        .new = "struct record { short s; unsigned char u; int i; float f; unsigned w; };" PROGRAM(
            int check(const struct record *r) {
                return r->s != -3 ? 1 : r->u != 200 ? 2 : r->i != -7 ? 3 : r->f != 1.5f ? 4 : r->w ? 5 : 0;
            }),
        .contains = "MOLT_CONVERT(new->s, old->s); /* was long */",
        .no_way_back = POLICY_CASE_LOSSY,
    },
    {
        .title = "a number that does not fit",
        .old = "struct record { long s; };" PROGRAM(struct record before = { 70000 };),
        .new = "struct record { short s; };" PROGRAM(int check(const struct record *r) { return 0; }),
        .fails = "the value 70000 does not fit",
    },
    {
        .title = "a negative number for a wider unsigned member",
        .old = "struct record { int s; };" PROGRAM(struct record before = { -1 };),
        .new = "struct record { unsigned long s; };" PROGRAM(int check(const struct record *r) { return 0; }),
        .fails = "the value -1 does not fit",
    },
    {
        .title = "a huge number for an integer",
        .old = "struct record { double s; };" PROGRAM(struct record before = { 1e30 };),
        .new = "struct record { long s; };" PROGRAM(int check(const struct record *r) { return 0; }),
        .fails = "does not fit",
    },
    {
        .title = "bit-fields",
        .old = "struct record { unsigned a : 3, b : 5; int c : 4; unsigned d : 7; };" PROGRAM(
            struct record before = { 5, 30, -3, 3 };),
        .new = "struct record { unsigned b : 6; int c : 9; unsigned a : 3; unsigned char d : 2; };" PROGRAM(
            int check(const struct record *r) {
                return r->a != 5 ? 1 : r->b != 30 ? 2 : r->c != -3 ? 3 : r->d != 3 ? 4 : 0;
            }),
        .contains = "MOLT_CONVERT(new->d, old->d);",
    },
    {
        .title = "what new instances get",
        .skeleton = 1,
        .old = "struct record { int a; };" PROGRAM(struct record before = { 5 };),
        .new = "struct record { int timeout; int a; };" PROGRAM(
            int check(const struct record *r) { return r->timeout; }),
        .maker = &(const struct initialiser){ "a.c", "struct record", "timeout", "30", "30", "make", 7 },
        .contains = "/* new->timeout is new: zero, where make sets 30 */",
        .stops = "make sets 'timeout' to 30, but instances of struct record that are alive get zero; "
                 "'MOLT_DEFAULT(struct record, timeout, 30);'",
    },
    {
        .title = "what new instances get of their maker's own variables",
        .skeleton = 1,
        .old = "typedef struct { int a; } record; struct record { record r; };" PROGRAM(
            struct record before = { { 5 } };),
        .new = "typedef struct { int a; int b; } record; struct record { record r; };" PROGRAM(
            int check(const struct record *r) { return r->r.b; }),
        .maker = &(const struct initialiser){ "a.c", "record", "b", "size + 1", NULL, "make", 7 },
        .stops = "MOLT_DEFAULT or MOLT_MIGRATE in a file in molt/ says what they get",
    },
    {
        .title = "a bit-field that is too small",
        .old = "struct record { unsigned d : 7; };" PROGRAM(struct record before = { 9 };),
        .new = "struct record { unsigned d : 3; };" PROGRAM(int check(const struct record *r) { return 0; }),
        .fails = "the value 9 does not fit",
    },
    {
        .title = "arrays grow and shrink",
        .skeleton = 1,
        .old = "struct record { int grows[2]; short shrinks[4]; int converts[3]; int table[2][3]; };" PROGRAM(
            struct record before = { { 1, 2 }, { 3, 4 }, { 5, 6, 7 }, { { 1, 2, 3 }, { 4, 5, 6 } } };),
        .new =
            "struct record { int grows[4]; short shrinks[2]; long converts[3]; long table[3][4]; };" PROGRAM(
                int check(const struct record *r) {
                    return r->grows[1] != 2 || r->grows[3]                           ? 1
                           : r->shrinks[1] != 4                                      ? 2
                           : r->converts[2] != 7                                     ? 3
                           : r->table[1][2] != 6 || r->table[1][3] || r->table[2][0] ? 4
                                                                                     : 0;
                }),
        .contains = "MOLT_COPY_ARRAY(new->shrinks, old->shrinks);",
    },
    {
        .title = "an array that would lose an element",
        .old = "struct record { int values[4]; };" PROGRAM(struct record before = { { 1, 2, 3, 4 } };),
        .new = "struct record { int values[2]; };" PROGRAM(int check(const struct record *r) { return 0; }),
        .fails = "old->values: element 2 is not zero",
    },
    {
        .title = "an array of numbers that would lose an element",
        .old = "struct record { int values[4]; };" PROGRAM(struct record before = { { 1, 2, 0, 4 } };),
        .new = "struct record { long values[2]; };" PROGRAM(int check(const struct record *r) { return 0; }),
        .fails = "old->values: element 3 is not zero",
    },
    {
        .title = "an array may lose elements",
        .old = "struct record { int values[4]; int more[4]; };" PROGRAM(
            struct record before = { { 1, 2, 3, 4 }, { 5, 6, 7, 8 } };),
        .new = "struct record { int values[2]; long more[2]; };" PROGRAM(
            int check(const struct record *r) { return r->values[1] != 2 || r->more[1] != 6; }),
        .policy = "MOLT_DROP(struct record, values);\nMOLT_DROP(struct record, more);\n",
        .no_way_back = "may have lost a part",
    },
    {
        .title = "a string that fits",
        .old = "struct record { char name[16]; };" PROGRAM(struct record before = { "short\0rubbish" };),
        .new = "struct record { char name[8]; };" PROGRAM(
            int check(const struct record *r) { return r->name[0] != 's' || r->name[5] || r->name[7]; }),
        .policy = "MOLT_TEXT(struct record, name)\n",
        .no_way_back = POLICY_CASE_LOSSY,
    },
    {
        .title = "a string that does not fit",
        .old = "struct record { char name[16]; };" PROGRAM(struct record before = { "eight888" };),
        .new = "struct record { char name[8]; };" PROGRAM(int check(const struct record *r) { return 0; }),
        .policy = "MOLT_TEXT(struct record, name)\n",
        .fails = "the text has 8 bytes, there is room for 7",
    },
    {
        .title = "enumerators with other numbers",
        .old =
            "enum color { RED, GREEN, BLUE }; struct record { enum color color, other[2]; int x; };" PROGRAM(
                struct record before = { BLUE, { RED, GREEN }, 1 };),
        .new = "enum color { BLACK, RED, BLUE, GREEN }; struct record { enum color color, other[2]; int x; "
               "};" PROGRAM(int check(const struct record *r) {
                   return r->color != BLUE || r->other[0] != RED || r->other[1] != GREEN;
               }),
        .contains = "case 2: /* BLUE */",
    },
    {
        .title = "an enumerator that is gone",
        .old = "enum color { RED, GREEN, BLUE }; struct record { enum color color; };" PROGRAM(
            struct record before = { GREEN };),
        .new = "enum color { RED, BLUE }; struct record { enum color color; };" PROGRAM(
            int check(const struct record *r) { return 0; }),
        .fails = "GREEN (1) is no longer there",
    },
    {
        .title = "an enumerator with another name",
        .old = "enum color { RED, GREEN, BLUE }; struct record { enum color color; };" PROGRAM(
            struct record before = { GREEN };),
        .new = "enum color { RED, BLUE, LIME }; struct record { enum color color; };" PROGRAM(
            int check(const struct record *r) { return r->color != LIME; }),
        .policy = "MOLT_ENUMERATOR(enum color, GREEN, LIME);\n",
    },
    {
        .title = "enumerators that are bits",
        .old = "enum rights { READ = 1, WRITE = 2, RUN = 4 }; struct record { enum rights rights; };" PROGRAM(
            struct record before = { READ | RUN };),
        .new = "enum rights { RUN = 1, WRITE = 2, READ = 8 }; struct record { enum rights rights; };" PROGRAM(
            int check(const struct record *r) { return r->rights != (READ | RUN); }),
    },
    {
        .title = "a number that was no enumerator",
        .old = "enum color { RED = 1, GREEN }; struct record { enum color color, other; };" PROGRAM(
            struct record before = { 0, 7 };),
        .new = "enum color { GREEN = 1, RED, BLUE = 7 }; struct record { enum color color, other; };" PROGRAM(
            int check(const struct record *r) { return 0; }),
        .fails = "7 had no name and would become BLUE",
    },
    {
        .title = "a variable that is an enumeration",
        .type = "color",
        .old = "enum color { RED, GREEN };" PROGRAM(enum color before = GREEN;),
        .new = "enum color { BLUE, RED, GREEN };" PROGRAM(
            enum color unused; int check(const enum color *c) { return *c != GREEN; }),
        .contains = "*new = molt_remap_color(*old); /* by name */",
    },
    {
        .title = "instances inside instances",
        .skeleton = 1,
        .old = "struct point { int x, y; }; struct record { struct point at, list[2]; int n; };" PROGRAM(
            struct record before = { { 1, 2 }, { { 3, 4 }, { 5, 6 } }, 7 };),
        .new = "struct point { long y; int z; int x; }; struct record { int n; struct point at, list[3]; "
               "};" PROGRAM(int check(const struct record *r) {
                   return r->n != 7                                                ? 1
                          : r->at.x != 1 || r->at.y != 2                           ? 2
                          : r->list[1].x != 5 || r->list[1].y != 6 || r->list[2].x ? 3
                                                                                   : 0;
               }),
        .contains = "molt_migrate_point(&old->at, &new->at);",
    },
    {
        .title = "structures without names",
        .old = "struct record { struct { int x; struct { int y; }; } in; struct { short s; } list[2]; "
               "};" PROGRAM(struct record before = { { 1, { 2 } }, { { 3 }, { 4 } } };),
        .new = "struct record { int n; struct { long x; struct { int y; }; } in; struct { int s; } list[2]; "
               "};" PROGRAM(int check(const struct record *r) {
                   return r->in.x != 1 ? 1 : r->in.y != 2 ? 2 : r->list[1].s != 4 ? 3 : 0;
               }),
    },
    {
        .title = "a typedef's name",
        .skeleton = 1,
        .type = "record_t",
        .old = "typedef struct { int x; } record_t; typedef unsigned int word;" PROGRAM(
            record_t before = { 4 };),
        .new = "typedef unsigned int word; typedef struct { word y; int x; } record_t;" PROGRAM(
            int check(const record_t *r) { return r->x != 4 || r->y != 8; }),
        .policy = "MOLT_MIGRATE(record_t, old, new)\n{\n    new->y = 2 * old->x;\n}\n",
    },
    {
        .title = "a member with another name",
        .skeleton = 1,
        .old = "struct record { int count; int kept; };" PROGRAM(struct record before = { 3, 4 };),
        .new = "struct record { int kept; char space[40]; long total; };" PROGRAM(
            int check(const struct record *r) { return r->total != 3 || r->kept != 4; }),
        .policy = "MOLT_RENAME(struct record, count, total);\n",
        .contains = "new->total = old->count; /* molt/p.c:1 */",
    },
    {
        .title = "an embedded structure with another name, and in it a member",
        .old = "struct inner { int kept; long count; }; struct record { int n; struct inner in; };" PROGRAM(
            struct record before = { 1, { 2, 3 } };),
        .new = "struct inner { int kept; int total; int more; }; struct record { struct inner part; int n; "
               "};" PROGRAM(int check(const struct record *r) {
                   return r->n != 1 || r->part.kept != 2 || r->part.total != 3 || r->part.more;
               }),
        .policy = "MOLT_RENAME(struct inner, count, total);\nMOLT_RENAME(struct record, in, part);\n",
        .contains = "molt_invert_record",
    },
    {
        .title = "members move into and out of a structure",
        .old = "struct size { int w, h; }; struct record { int x; struct { int deep; } in; struct size size; "
               "};" PROGRAM(struct record before = { 1, { 2 }, { 3, 4 } };),
        .new = "struct place { int left; int n; }; struct record { struct place place; int flat; int width; "
               "int h; };" PROGRAM(int check(const struct record *r) {
                   return r->place.left != 1 ? 1 : r->flat != 2 ? 2 : r->width != 3 ? 3 : r->h != 4 ? 4 : 0;
               }),
        .policy = "MOLT_RENAME(struct record, x, place.left);\nMOLT_RENAME(struct record, in.deep, flat);\n"
                  "MOLT_RENAME(struct record, size.w, width);\nMOLT_RENAME(struct record, size.h, h);\n",
    },
    {
        .title = "a member comes from behind a pointer",
        .old =
            "struct home { int number; char city[8]; }; struct record { struct home *home, *none; };" PROGRAM(
                static struct home home = { 5, "Ulm" }; struct record before = { &home, 0 };),
        .new = "struct record { int number; char city[8]; int other; };" PROGRAM(
            int check(const struct record *r) {
                return r->number != 5 ? 1 : r->city[0] != 'U' ? 2 : r->other ? 3 : 0;
            }),
        .policy = "MOLT_RENAME(struct record, home->number, number);\n"
                  "MOLT_RENAME(struct record, home->city, city);\nMOLT_RENAME(struct record, none->number, "
                  "other);\n",
        .contains = "if (old->none) {",
        .no_way_back = "came from behind a pointer",
    },
    {
        .title = "a default value and an expression",
        .old = "struct record { int a; };" PROGRAM(struct record before = { 6 };),
        .new = "struct point { int x, y; }; struct record { int a; int limit; struct point at; };" PROGRAM(
            int check(const struct record *r) { return r->limit != 106 || r->at.y != 2 || r->a != 6; }),
        .policy = "MOLT_DEFAULT(struct record, limit, 100 + old->a);\n"
                  "MOLT_DEFAULT(struct record, at, (struct point){ 1, 2 });\n",
    },
    {
        .title = "cartesian to spherical coordinates",
        .skeleton = 1,
        .type = "vector3d",
        .old = "struct vector3d { double x, y, z; };" PROGRAM(struct vector3d before = { 3, 4, 12 };),
        .new = "struct vector3d { double radius, theta, phi; int generation; };" PROGRAM(
            int check(const struct vector3d *v) { return v->radius != 169 || v->generation; }),
        .policy = "static double length(const MOLT_OLD(struct vector3d) *v)\n{\n"
                  "    return v->x * v->x + v->y * v->y + v->z * v->z;\n}\n"
                  "MOLT_MIGRATE(struct vector3d, old, new)\n{\n    new->radius = length(old);\n}\n"
                  "MOLT_VALIDATE(struct vector3d, old, new)\n{\n    return new->radius == length(old);\n}\n"
                  "MOLT_INVERT(struct vector3d, new, old)\n{\n    old->x = 3; old->y = 4; old->z = 12;\n}\n"
                  "MOLT_INVARIANT(struct vector3d, v)\n{\n    return v->radius >= 0;\n}\n",
        .contains = "/* struct vector3d: by name, then molt/p.c:5. */",
    },
    {
        .title = "a validation that says no, for an instance inside another",
        .old = "struct point { int x; }; struct record { struct point list[2]; };" PROGRAM(
            struct record before = { { { 1 }, { 2 } } };),
        .new = "struct point { int x, y; }; struct record { struct point list[2]; };" PROGRAM(
            int check(const struct record *r) { return 0; }),
        .policy = "MOLT_VALIDATE(struct point, old, new)\n{\n    return new->x == 1;\n}\n",
        .invalid = 1,
    },
    {
        .title = "a type with another name",
        .type = "client",
        .old = "struct conn { int fd; struct conn *next, *list[2]; };" PROGRAM(
            struct conn before = { 3, &before, { 0, &before } };),
        .new = "struct client { struct client *next, *list[3]; long fd; };" PROGRAM(
            extern struct client before; int check(const struct client *c) {
                return c->fd != 3 || c->next != &before || c->list[1] != &before || c->list[2];
            }),
        .policy = "MOLT_RENAME_TYPE(struct conn, struct client);\n"
                  "MOLT_MIGRATE_AS(struct conn, struct client, old, new)\n{\n"
                  "    new->next = MOLT_FORWARD(old->next);\n}\n",
        .contains = "/* struct conn to struct client: by name, then molt/p.c:2. */",
    },
    {
        .title = "a member that only MOLT_MIGRATE deals with",
        .old = "struct record { long big; int values[4]; };" PROGRAM(
            struct record before = { 70000, { 1, 2, 3, 4 } };),
        .new = "struct record { short big; int values[2]; };" PROGRAM(
            int check(const struct record *r) { return r->big != 70 || r->values[1] != 7 || r->values[0]; }),
        .policy = "MOLT_CUSTOM(struct record, big);\nMOLT_CUSTOM(struct record, values);\n"
                  "MOLT_MIGRATE(struct record, old, new)\n{\n    new->big = old->big / 1000;\n"
                  "    new->values[1] = old->values[2] + old->values[3];\n}\n",
        .contains = "/* new->values: see molt/p.c:2 */",
        .no_way_back = "is gone",
    },
    {
        .title = "two policies for one type, in order",
        .old = "struct record { int a; };" PROGRAM(struct record before = { 2 };),
        .new =
            "struct record { int a, b; };" PROGRAM(int check(const struct record *r) { return r->b != 9; }),
        .policy = "MOLT_MIGRATE(struct record, old, new)\n{\n    new->b = old->a + 1;\n}\n"
                  "MOLT_MIGRATE(struct record, old, new)\n{\n    new->b *= 3;\n}\n",
    },
    {
        .title = "a member of a union may be lost",
        .old = "struct record { int n; union { int i; char *text; double d; } v; };" PROGRAM(
            struct record before = { 1, { .i = 5 } };),
        .new = "struct record { long n; union { int i; char *text; } v; };" PROGRAM(
            int check(const struct record *r) { return r->v.i != 5; }),
        .policy = "MOLT_DROP(struct record, v.d);\n",
        .no_way_back = "'v.d' is gone",
    },
    {
        .title = "a flexible array is the engine's business",
        .old = "struct entry { int x; }; struct record { int n; struct entry list[]; };" PROGRAM(
            struct record before = { 2 };),
        .new = "struct entry { long x; }; struct record { long n; struct entry list[]; };" PROGRAM(
            int check(const struct record *r) { return r->n != 2; }),
        .contains = "/* new->list: the engine takes the elements one by one */",
    },
    {
        .title = "pointers to what did not change, to what did, to functions, to nothing in particular",
        .old = "struct other { int o; }; struct record { struct other *a; struct record *b; int (*c)(struct "
               "record *); "
               "void *d; const char *const *e; struct record **f; };" PROGRAM(
                   static struct other other; struct record before = { &other, &before, 0, &other, 0, 0 };),
        .new =
            "struct other { int o; }; struct record { int n; int (*c)(struct record *); struct record **f; "
            "const char *const *e; void *d; struct record *b; struct other *a; };" PROGRAM(
                extern struct record before;
                int check(const struct record *r) { return r->b != &before || r->d != r->a || !r->a; }),
    },
    {
        .title = "arrays of unions",
        .old =
            "union value { int i; float f; }; struct record { union value list[3]; int kind[3]; };" PROGRAM(
                struct record before = { { { .i = 1 }, { .f = 2 } }, { 0, 1 } };),
        .new = "union value { int i; float f; double d; }; struct record { int kind[3]; union value list[3]; "
               "};" PROGRAM(
                   int check(const struct record *r) { return r->list[0].i != 1 || r->list[1].f != 2; }),
    },
    {
        .title = "a policy gives up",
        .old = "struct record { int a; };" PROGRAM(struct record before = { 6 };),
        .new = "struct record { int b; };" PROGRAM(int check(const struct record *r) { return 0; }),
        .policy = "MOLT_MIGRATE(struct record, old, new)\n{\n    molt_fail(\"a is %d\", old->a);\n}\n",
        .fails = "a is 6",
    },
    {
        .title = "a union whose members kept their places",
        .old = "union value { int i; char *text; }; struct record { int kind; union value v; };" PROGRAM(
            struct record before = { 1, { .text = "x" } };),
        .new =
            "union value { int i; char *text; double d[2]; }; struct record { long kind; union value v; "
            "};" PROGRAM(int check(const struct record *r) { return r->kind != 1 || r->v.text[0] != 'x'; }),
        .contains = "all members of the union kept their places",
    },
    {
        .title = "a union without a name that kept its members",
        .old = "struct record { int kind; union { int i; char *text; }; };" PROGRAM(
            struct record before = { 1, { .text = "x" } };),
        .new = "struct record { long kind; int n; union { int i; char *text; double d[2]; }; };" PROGRAM(
            int check(const struct record *r) { return r->kind != 1 || r->text[0] != 'x'; }),
    },
    {
        .title = "a union that nobody says anything about",
        .old =
            "union value { int number; char word[4]; }; struct record { int kind; union value v; };" PROGRAM(
                struct record before = { 1, { .number = 3 } };),
        .new = "union value { double number; char word[12]; }; struct record { int kind; union value v; "
               "};" PROGRAM(int check(const struct record *r) { return 0; }),
        .fails = "which member of the union is in use is not known",
        .stops = "an instance of struct record would stop the update: which member of the union",
    },
    {
        .title = "a union and what tells which member is in use",
        .old =
            "union value { int number; char word[4]; }; struct record { int kind; union value v; };" PROGRAM(
                struct record before = { 1, { .word = "abc" } };),
        .new =
            "union value { double number; char word[12]; }; struct record { int kind; union value v; "
            "};" PROGRAM(int check(const struct record *r) { return r->kind != 1 || r->v.word[2] != 'c'; }),
        .policy = "MOLT_UNION(struct record, v, old)\n{\n"
                  "    return old->kind ? MOLT_MEMBER(word) : MOLT_MEMBER(number);\n}\n",
        .no_way_back = "is made by a policy",
    },
    {
        .title = "a union without a name and what tells which member is in use",
        .old = "struct record { int kind; union { int number; struct { short a, b; } pair; }; };" PROGRAM(
            struct record before = { 1, { .pair = { 2, 3 } } };),
        .new = "struct record { int kind; union { double number; struct { int a, b; } pair; }; };" PROGRAM(
            int check(const struct record *r) { return r->pair.a != 2 || r->pair.b != 3; }),
        .policy = "MOLT_UNION(struct record, number, old)\n{\n"
                  "    return old->kind ? MOLT_MEMBER(pair) : MOLT_MEMBER(number);\n}\n",
        .no_way_back = "is in a union that changed",
    },
    {
        .title = "a union that the type's policy knows",
        .old =
            "union value { int number; char word[4]; }; struct record { int kind; union value v; };" PROGRAM(
                struct record before = { 0, { .number = 3 } };),
        .new = "union value { double number; char word[12]; }; struct record { int kind; union value v; "
               "};" PROGRAM(int check(const struct record *r) { return r->v.number != 3; }),
        .policy = "MOLT_MIGRATE(struct record, old, new)\n{\n    new->v.number = old->v.number;\n}\n",
        .no_way_back = "is made by a policy",
    },
    {
        .title = "what cannot be converted",
        .old = "struct a { int x; }; struct record { int n; struct a v; };" PROGRAM(
            struct record before = { 1, { 2 } };),
        .new = "struct record { int n; long v; };" PROGRAM(int check(const struct record *r) { return 0; }),
        .fails = "cannot become",
        .stops = "'v' (struct a) cannot become 'v' (long) by itself",
    },
    {
        .title = "split",
        .type = "user_message",
        .old =
            "struct message { const char *user, *text; };" PROGRAM(struct message before = { "ada", "hi" };),
        .new = "struct message { int kind; const char *text; };\n"
               "struct info_message { struct message base; };\n"
               "struct user_message { struct message base; char user[8]; const char *text; };" PROGRAM(
                   struct info_message info; int check(const struct user_message *m) {
                       return m->base.kind != 1 || m->user[0] != 'a' || m->text[0] != 'h';
                   }),
        .policy =
            "MOLT_SPLIT(struct message, old)\n{\n"
            "    return old->user ? MOLT_TYPE(struct user_message) : MOLT_TYPE(struct info_message);\n}\n"
            "MOLT_MIGRATE_AS(struct message, struct user_message, old, new)\n{\n"
            "    new->base.kind = 1;\n    new->base.text = old->text;\n"
            "    __builtin_strcpy(new->user, old->user);\n}\n",
        .contains = "int molt_select_info_message(const struct message_molt_old *old)",
        .no_way_back = "'user' is made by a policy",
    },
    {
        .title = "what is no longer needed is released",
        .old = "struct record { char *cache; int a; };" PROGRAM(static char text[8] = "x";
                                                                struct record before = { text, 2 };),
        .new = "struct record { int a; };" PROGRAM(
            extern struct record before;
            int check(const struct record *r) { return **(char **)&before != 'r'; }),
        .policy = "static void forget(void *cache)\n{\n    *(char *)cache = 'r';\n}\n"
                  "MOLT_DELETE(struct record, cache, forget);\n",
        .no_way_back = "'cache' is gone",
    },
    {
        .title = "a policy that does not compile",
        .old = "struct record { int a; };" PROGRAM(struct record before = { 6 };),
        .new = "struct record { int b; };" PROGRAM(int check(const struct record *r) { return 0; }),
        .policy = "MOLT_MIGRATE(struct record, old, new)\n{\n    new->c = old->a;\n}\n",
        .refused = "member named",
    },
    {
        .title = "a policy about a type that is not there",
        .old = "struct record { int a; };" PROGRAM(struct record before = { 6 };),
        .new = "struct record { int b; };" PROGRAM(int check(const struct record *r) { return 0; }),
        .policy = "MOLT_DROP(struct recrod, a);\n",
        .refused = "the program has no type 'struct recrod'",
    },
    {
        .title = "a rename of a member that is not there",
        .old = "struct record { int a; };" PROGRAM(struct record before = { 6 };),
        .new = "struct record { int b; };" PROGRAM(int check(const struct record *r) { return 0; }),
        .policy = "\nMOLT_RENAME(struct record, x, b);\n",
        .refused = "struct record has no member 'x'",
    },
    {
        .title = "policies about what does not change are left out",
        .old = "struct other { int x; }; struct record { int a; struct other o; };" PROGRAM(
            struct record before = { 6 };),
        .new = "struct other { int x; }; struct record { long a; struct other o; };" PROGRAM(
            int check(const struct record *r) { return r->a != 6; }),
        .policy = "static int twice(const MOLT_OLD(struct other) *o)\n{\n    return 2 * o->gone;\n}\n"
                  "MOLT_MIGRATE(struct other, old, new)\n{\n    new->x = twice(old);\n}\n",
    },
    {
        .title = "a type that a source file keeps to itself",
        .old = PROGRAM(struct record {
            int a;
            struct {
                int x;
            } in;
        };
                       struct record before = { 6, { 7 } };),
        .new = PROGRAM(
            struct record {
                long b;
                struct {
                    int x;
                } in;
            };
            int check(const struct record *r) { return r->b != 6 || r->in.x != 7; }),
        .policy = "MOLT_RENAME(struct record, a, b);\n",
    },
    {
        .title = "policies for another change are left out",
        .old = "struct record { int a; };" PROGRAM(struct record before = { 6 };),
        .new = "struct record { long a; };" PROGRAM(int check(const struct record *r) { return r->a != 6; }),
        .policy = "MOLT_VERSIONS(struct record, \"0123\", \"4567\");\n"
                  "MOLT_MIGRATE(struct record, old, new)\n{\n    new->x = old->gone;\n}\n",
    },
};

/* ---- the examples of the documentation ---- */

/* The fenced block that starts with "```c NAME" behind *AT, which is moved on. NULL: there is none. Owned
 * by the caller. */
static char *take_block(const char **at, const char *name)
{
    char *fence = must_printf("```c %s", name);
    const char *start = strstr(*at, fence), *text = start ? strchr(start, '\n') : NULL;
    const char *end = text ? strstr(text, "\n```") : NULL;
    char *result = end ? must_strndup(text + 1, end - text) : NULL;

    *at = end ? end + 4 : *at + strlen(*at);
    free(fence);
    return result;
}

static void run_examples(void **state)
{
    const char *path = *state;
    char *bytes;
    size_t size;
    unsigned count = 0;

    assert_null(file_read(path, &bytes, &size));
    for (const char *at = bytes; (at = strstr(at, "```c old"));) {
        char *old = take_block(&at, "old"), *new = take_block(&at, "new"), *policy = take_block(&at, "molt/");
        char *title = must_printf("example %u", ++count);
        assert_true(old && new &&policy);
        policy_case_compile(&(struct policy_case){ .title = title, .old = old, .new = new, .policy = policy },
                            compiler, "-O0 -fno-eliminate-unused-debug-types");
        free(old);
        free(new);
        free(policy);
        free(title);
    }
    assert_true(count > 8);
    free(bytes);
}

static void run_case(void **state)
{
    policy_case_run(*state, compiler, flags);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[sizeof(cases) / sizeof(*cases) + 1];
    size_t count = 0;

    compiler = argc > 1 ? argv[1] : compiler;
    flags = argc > 2 ? argv[2] : flags;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (argc < 4 || strstr(cases[i].title, argv[3])) {
            tests[count++] = (struct CMUnitTest){ cases[i].title, run_case, NULL, NULL, (void *)&cases[i] };
        }
    }
    if (argc == 4 && strstr(argv[3], ".md")) {
        tests[count++] = (struct CMUnitTest){ "documentation", run_examples, NULL, NULL, argv[3] };
    }
    return _cmocka_run_group_tests(compiler, tests, count, NULL, NULL);
}
