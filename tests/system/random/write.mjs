// One version of a random program as C: types in nodes.h, what is done with one instance in few.c and more.c, the containers in
// graph.c, threads in work.c, and the policies of the update to it.

import { isReal, pathOf } from './generate.mjs';

export const threadsAtMost = 4;

// ---- declarations

function declaration(member, types) {
    const tag = (index) => types[index].tag;
    switch (member.kind) {
    case 'id': return `int id;`;
    case 'counter': return `long counter;`;
    case 'link': return `struct link link;`;
    case 'scalar': return `${member.ctype} ${member.name};`;
    case 'bits': return `${member.ctype} ${member.name} : ${member.width};`;
    case 'enum': return `enum colour ${member.name};`;
    case 'array': return `${member.ctype} ${member.name}[${member.length}];`;
    case 'text': return `char ${member.name}[${member.length}];`;
    case 'pointer': case 'tagged': return `struct ${tag(member.target)} *${member.name};`;
    case 'address': return `uintptr_t ${member.name};`;
    case 'void': return `void *${member.name};`;
    case 'inside': return `${{ id: 'int', counter: 'long', link: 'struct link' }[member.what]} *${member.name};`;
    case 'function': return `int (*${member.name})(int);`;
    case 'embedded': return `struct ${tag(member.target)} ${member.name};`;
    case 'embeddedArray': return `struct ${tag(member.target)} ${member.name}[${member.length}];`;
    case 'union': return `union {\n        long whole;\n        char bytes[8];\n    } ${member.name};`;
    case 'either': return `int ${member.name}_is;\n    union {\n        struct ${tag(member.target)} *to;\n        long number;\n    } ${member.name};`;
    case 'variant': return `int ${member.name}_is;\n    union {\n        ${member.ctype} number;\n        struct ${tag(member.target)} *to;\n` +
        `        char word[${member.length}];\n    } ${member.name};`;
    }
    throw new Error(member.kind);
}

function structure(type, types) {
    const lines = [], done = new Set();
    for (const member of type.members) {
        if (!member.group) {
            lines.push(declaration(member, types));
        } else if (!done.has(member.group.name)) {
            done.add(member.group.name);
            const inner = type.members.filter(({ group }) => group?.name === member.group.name);
            lines.push(`struct {\n        ${inner.map((one) => declaration(one, types)).join('\n        ')}\n    }${member.group.named ? ` ${member.group.name}` : ''};`);
        }
    }
    if (type.tail)
        lines.push('int count;', `${type.tail.ctype ?? `struct ${types[type.tail.target].tag}`} tail[];`);
    const aligned = type.alignment ? ` __attribute__((aligned(${type.alignment})))` : '';
    return `struct ${type.tag} {\n    ${lines.join('\n    ')}\n}${aligned};\n`;
}

const functions = ({ name, tag }) => `struct ${tag} *new_${name}(int id);\nvoid release_${name}(struct ${tag} *p);\nstruct ${tag} *some_${name}(int number);\n` +
    `void set_${name}(struct ${tag} *p, int salt);\nvoid dump_${name}(const struct ${tag} *p);\n`;

function header(program, { types, enumerators, split, splitDone }) {
    const whole = !split ? '' : splitDone
        ? `struct even {\n    int id;\n    struct ${types[0].tag} *to;\n    long more[4];\n    long a;\n};\n\nstruct odd {\n    int id;\n    short a;\n    struct ${types[0].tag} *to;\n};\n`
        : `struct whole {\n    int id;\n    int a;\n    struct ${types[0].tag} *to;\n};\n`;
    return `#include <stddef.h>\n#include <stdint.h>\n\nenum colour { ${enumerators.join(', ')} };\n\nstruct link {\n    struct link *next, *prev;\n};\n\n` +
        types.map((type) => `struct ${type.tag};`).join('\n') + '\n\n' + types.map((type) => structure(type, types)).join('\n') + whole + '\n' +
        types.map(functions).join('') +
        `#define NEW(type) ((type *)zeroed(sizeof(type)))

int value(const char *name, int salt);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *zeroed(size_t size);
void *node_alloc(size_t size);
void *pool_get(int kind, size_t size);
void pool_put(int kind, void *item, size_t size);
int twice(int number);
int thrice(int number);
extern const enum colour colours[4];
extern int verdict;
const char *colour_name(enum colour colour);
`;
}

// ---- one instance

/** Statements that give MEMBER of p a value that depends on its key and on `salt`. */
function assignment(member, types) {
    const at = `p->${pathOf(member)}`, value = `value("${member.key}", salt)`;
    const some = () => `some_${types[member.target].name}`;
    switch (member.kind) {
    case 'id': case 'link': return '';
    case 'counter': return `${at} += ${value};`;
    case 'scalar': return `${at} = (${member.ctype})(${value}${isReal(member) ? ' + 0.5' : ''});`;
    case 'bits': return `${at} = (${member.ctype})${value};`;
    case 'enum': return `${at} = colours[${value} % 4];`;
    case 'array': return `for (int i = 0; i < 8; i++)\n        ${at}[i] = (${member.ctype})(${value} % 50 + i);`;
    case 'text': return `snprintf(${at}, sizeof ${at}, "t%d", ${value});`;
    case 'pointer': case 'void': return `${at} = ${value} % 10 ? ${some()}(${value}) : NULL;`;
    case 'tagged': return `${at} = (void *)((uintptr_t)${some()}(${value}) | ${value} % 4);`; /* flags in the lowest bits */
    case 'address': return `${at} = (uintptr_t)${some()}(${value});`;
    case 'inside': return `${at} = &${some()}(${value})->${member.what};`;
    case 'function': return `${at} = ${value} % 2 ? twice : thrice;`;
    case 'embedded': return `set_${types[member.target].name}(&${at}, salt + 1000);`;
    case 'embeddedArray': return `set_${types[member.target].name}(&${at}[0], salt + 2000);`;
    case 'union': return `${at}.whole = ${value};`;
    case 'either': return `${at}_is = ${value} % 2;\n    if (${at}_is)\n        ${at}.to = ${some()}(${value});\n    else\n        ${at}.number = ${value};`;
    case 'variant': return `${at}_is = ${value} % 3;\n    memset(&${at}, 0, sizeof ${at});\n    if (${at}_is == 1)\n        ${at}.to = ${some()}(${value});\n` +
        `    else if (${at}_is == 2)\n        snprintf(${at}.word, sizeof ${at}.word, "w%d", ${value});\n    else\n        ${at}.number = (${member.ctype})${value};`;
    }
    throw new Error(member.kind);
}

function dumping(member, types) {
    const at = `p->${pathOf(member)}`, { tag, name } = types[member.target] ?? {}, key = member.key;
    const print = (format, what) => `say(" ${key}=${format}", ${what});`;
    const id = (what) => `${what} ? ${what}->id : -1`;
    switch (member.kind) {
    case 'id': case 'counter': case 'link': return '';
    case 'scalar': case 'bits': return print('%g', `(double)${at}`);
    case 'enum': return print('%s', `colour_name(${at})`);
    case 'array': return `for (int i = 0; i < ${member.length}; i++)\n        ${print('%g', `(double)${at}[i]`)}`;
    case 'text': return print('%s', at);
    case 'pointer': return print('%d', id(at));
    case 'void': return `{\n        const struct ${tag} *to = ${at};\n        ${print('%d', id('to'))}\n    }`;
    case 'tagged': return `{
        const struct ${tag} *to = (void *)((uintptr_t)${at} & ~(uintptr_t)3);
        ${print('%d/%d', `${id('to')}, (int)((uintptr_t)${at} & 3)`)}
    }`;
    case 'address': return `{
        const struct ${tag} *to = (void *)${at};
        ${print('%d', id('to'))}
    }`;
    case 'inside': return print('%d', `${at} ? CONTAINER(${at}, struct ${tag}, ${member.what})->id : -1`);
    case 'function': return print('%d', `${at} ? ${at}(1) : -1`);
    case 'embedded': return `dump_${name}(&${at});`;
    case 'embeddedArray': return `for (int i = 0; i < ${member.length}; i++)\n        dump_${name}(&${at}[i]);`;
    case 'union': return print('%ld', `${at}.whole`);
    case 'either': return `if (${at}_is)\n        ${print('&%d', id(`${at}.to`))}\n    else\n        ${print('%ld', `${at}.number`)}`;
    case 'variant': return `if (${at}_is == 1)\n        ${print('&%d', id(`${at}.to`))}\n    else if (${at}_is == 2)\n        ${print('%s', `${at}.word`)}\n` +
        `    else\n        ${print('%g', `(double)${at}.number`)}`;
    }
    throw new Error(member.kind);
}

function allocation(type) {
    const all = ['calloc(1, sizeof(struct T))', 'zeroed(sizeof *p)', 'memset(malloc(sizeof *p), 0, sizeof *p)', 'NEW(struct T)',
        'node_alloc(sizeof(struct T))', `pool_get(${type.index}, sizeof(struct T))`];
    return all[type.allocate].replaceAll('T', type.tag);
}

const keyed = (members) => [...members].sort((a, b) => (a.key < b.key ? -1 : 1));

function instanceSource(type, types) {
    const { tag, name } = type;
    const sets = keyed(type.members).map((member) => assignment(member, types)), dumps = keyed(type.members).map((member) => dumping(member, types));
    const release = type.allocate === 5 ? `pool_put(${type.index}, p, sizeof *p)` : 'free(p)';
    if (type.tail) {
        const each = (what) => `for (int i = 0; i < p->count; i++)\n        ${what}`;
        const { ctype, target } = type.tail, inner = types[target]?.name;
        sets.push(each(ctype ? `p->tail[i] = (${ctype})value("tail", salt + i);` : `set_${inner}(&p->tail[i], salt + 3000 + i);`));
        dumps.push(each(ctype ? 'say(" tail=%g", (double)p->tail[i]);' : `dump_${inner}(&p->tail[i]);`));
    }
    const make = type.tail
        ? `    int count = id % 6 + 1;\n    struct ${tag} *p = malloc(sizeof *p + (size_t)count * sizeof p->tail[0]);\n\n    memset(p, 0, sizeof *p + (size_t)count * sizeof p->tail[0]);\n    p->count = count;\n`
        : `    struct ${tag} *p = ${allocation(type)};\n\n`;
    return `struct ${tag} *new_${name}(int id)\n{\n${make}    p->id = id;\n    return p;\n}\n\n` +
        `void release_${name}(struct ${tag} *p)\n{\n    ${type.tail ? 'free(p)' : release};\n}\n\n` +
        `void set_${name}(struct ${tag} *p, int salt)\n{\n    ${sets.filter(Boolean).join('\n    ')}\n}\n\n` +
        `void dump_${name}(const struct ${tag} *p)\n{\n    say(" {%d %ld", p->id, p->counter);\n    ${dumps.filter(Boolean).join('\n    ')}\n    say("}");\n}\n\n`;
}

const includes = `#include "nodes.h"\n\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\n` +
    '#define CONTAINER(p, type, member) ((const type *)((const char *)(p) - offsetof(type, member)))\n\n';

// ---- the graph

const perType = `
EXPORTED struct NODE fixed_NODE[3];
static struct NODE *const table_NODE[2] = { &fixed_NODE[0], &fixed_NODE[2] };
static struct NODE *all_NODE[512];
static int count_NODE;
static __thread struct NODE own_NODE;
static struct link ring_NODE = { &ring_NODE, &ring_NODE };
static struct {
    struct NODE *begin, *end, *limit;
} vector_NODE;
static struct NODE *first_NODE, *cursor_NODE, *past_NODE;
static struct NODE *loose_NODE[16];
static struct NODE *mine_NODE[THREADS][8], *shared_NODE[4], *owns_NODE[THREADS];

static struct NODE *hidden_NODE(void)
{
    static struct NODE hidden[2];

    return hidden;
}

struct NODE *some_NODE(int number)
{
    return all_NODE[number * 7 % count_NODE];
}

static __attribute__((noinline)) void begin_NODE(void)
{
    for (int i = 0; i < 3; i++) {
        fixed_NODE[i].id = 100 + i;
        all_NODE[count_NODE++] = &fixed_NODE[i];
    }
    for (int i = 0; i < 2; i++) {
        hidden_NODE()[i].id = 200 + i;
        all_NODE[count_NODE++] = &hidden_NODE()[i];
    }
    own_NODE.id = 99;
    all_NODE[count_NODE++] = &own_NODE;
    for (int i = 0; i < 4; i++)
        shared_NODE[i] = new_NODE(300 + i);
    for (int i = 0; i < THREADS * 8; i++)
        mine_NODE[i / 8][i % 8] = new_NODE(400 + i);
}

static __attribute__((noinline)) void push_NODE(int id)
{
    if (vector_NODE.end == vector_NODE.limit) {
        size_t count = (size_t)(vector_NODE.end - vector_NODE.begin), room = count ? 2 * count : 3;
        vector_NODE.begin = realloc(vector_NODE.begin, room * sizeof *vector_NODE.begin);
        vector_NODE.end = vector_NODE.begin + count;
        vector_NODE.limit = vector_NODE.begin + room;
        memset(vector_NODE.end, 0, (room - count) * sizeof *vector_NODE.begin);
    }
    memset(vector_NODE.end, 0, sizeof *vector_NODE.end); /* policies may have given it defaults */
    vector_NODE.end++->id = id;
}

static __attribute__((noinline)) void make_NODE(int count)
{
    if (count_NODE + 2 * count > 512)
        return;
    for (int i = 0; i < count; i++) {
        struct NODE *p = new_NODE(next_id++);
        all_NODE[count_NODE++] = p;
        ring_add(&ring_NODE, &p->link);
        hold(p, p->id, INDEX);
    }
    first_NODE = calloc((size_t)count, sizeof *first_NODE);
    cursor_NODE = first_NODE + count / 2;
    past_NODE = first_NODE + count;
    for (struct NODE *p = first_NODE; p < past_NODE; p++) {
        p->id = next_id++;
        all_NODE[count_NODE++] = p;
    }
    for (int i = 0; i < count; i++)
        push_NODE(next_id++);
}

static __attribute__((noinline)) void mutate_NODE(int salt)
{
    for (int i = 0; i < count_NODE; i++)
        set_NODE(all_NODE[i], salt + i);
    for (struct NODE *p = vector_NODE.begin; p < vector_NODE.end; p++)
        set_NODE(p, salt + 5000 + (int)(p - vector_NODE.begin));
    for (int i = 0; i < 16; i++)
        if (loose_NODE[i])
            set_NODE(loose_NODE[i], salt + 7000 + i);
    for (int i = 0; i < 4; i++)
        set_NODE(shared_NODE[i], salt + 7500 + i);
    for (int i = 0; i < THREADS * 8; i++)
        set_NODE(mine_NODE[i / 8][i % 8], salt + 8000 + i);
    for (int i = 0; i < THREADS; i++)
        if (owns_NODE[i])
            set_NODE(owns_NODE[i], salt + 9000 + i);
}

static __attribute__((noinline)) void churn_NODE(int salt)
{
    for (int i = 0; i < 16; i++) {
        if (value("churn", salt + i) % 3)
            continue;
        if (loose_NODE[i]) {
            ring_remove(&loose_NODE[i]->link);
            release_NODE(loose_NODE[i]);
            loose_NODE[i] = NULL;
        } else {
            loose_NODE[i] = new_NODE(next_id++);
            ring_add(&ring_NODE, &loose_NODE[i]->link);
        }
    }
}

static __attribute__((noinline)) void dump_all_NODE(void)
{
    say("\\nall");
    for (int i = 0; i < count_NODE; i++)
        dump_NODE(all_NODE[i]);
    say("\\nvector %d %d", (int)(vector_NODE.end - vector_NODE.begin), (int)(vector_NODE.limit - vector_NODE.begin));
    for (struct NODE *p = vector_NODE.begin; p < vector_NODE.end; p++)
        dump_NODE(p);
    say("\\nloose");
    for (int i = 0; i < 16; i++)
        if (loose_NODE[i])
            dump_NODE(loose_NODE[i]);
    say("\\nshared");
    for (int i = 0; i < 4; i++)
        dump_NODE(shared_NODE[i]);
    say("\\nmine");
    for (int i = 0; i < THREADS * 8; i++)
        dump_NODE(mine_NODE[i / 8][i % 8]);
    say("\\nowns");
    for (int i = 0; i < THREADS; i++)
        if (owns_NODE[i])
            dump_NODE(owns_NODE[i]);
    say("\\nring");
    for (struct link *link = ring_NODE.next; link != &ring_NODE; link = link->next)
        say(" %d%s", CONTAINER(link, struct NODE, link)->id, link->next->prev == link && link->prev->next == link ? "" : "!");
    say("\\nheld");
    for (int i = 0; i < 16; i++)
        for (struct holder *holder = holders[i]; holder; holder = holder->next)
            if (holder->kind == INDEX)
                say(" %d", ((struct NODE *)holder->item)->id - holder->key);
    say("\\ntable %d %d %d", table_NODE[0] == &fixed_NODE[0], table_NODE[1]->id, own_NODE.id);
    if (first_NODE)
        say(" %d %d", cursor_NODE->id, (int)(past_NODE - first_NODE));
}

static void raw_NODE(void)
{
    raw(all_NODE, sizeof all_NODE);
    raw(&vector_NODE, sizeof vector_NODE);
    raw(mine_NODE, sizeof mine_NODE);
    raw(&ring_NODE, sizeof ring_NODE);
    for (int i = 0; i < count_NODE; i++)
        raw(all_NODE[i], sizeof *all_NODE[i]);
    raw(vector_NODE.begin, (size_t)(vector_NODE.limit - vector_NODE.begin) * sizeof *vector_NODE.begin);
    for (int i = 0; i < THREADS * 8; i++)
        raw(mine_NODE[i / 8][i % 8], sizeof *mine_NODE[0][0]);
}

/* One step of thread T, as X says. Only the thread's own instances, but for the shared ones. */
static __attribute__((noinline)) void step_NODE(int t, unsigned x)
{
    struct NODE **slot = &mine_NODE[t][x >> 16 & 7], **other = &mine_NODE[t][x >> 19 & 7], *kept = *slot;
    int amount = x >> 8 & 7;

    switch (x >> 28) {
    case 0: case 1:
        if (ANEW) {
            int id = kept->id;
            release_NODE(kept);
            *slot = new_NODE(id);
        }
        break;
    case 2:
        *slot = *other;
        *other = kept;
        break;
    case 3:
        pthread_mutex_lock(&shared_lock);
        shared_NODE[x >> 16 & 3]->counter += amount;
        pthread_mutex_unlock(&shared_lock);
        break;
    case 4:
        own_NODE.counter += amount;
        break;
    default:
        kept->counter += amount;
    }
}
`;

const flexible = `
static struct flex *all_flex[64];
static int count_flex;

static __attribute__((noinline)) void make_flex(int count)
{
    for (int i = 0; i < count && count_flex < 64; i++)
        all_flex[count_flex++] = new_flex(next_id++);
}

static __attribute__((noinline)) void mutate_flex(int salt)
{
    for (int i = 0; i < count_flex; i++)
        set_flex(all_flex[i], salt + i);
}

static __attribute__((noinline)) void dump_all_flex(void)
{
    say("\\nflex");
    for (int i = 0; i < count_flex; i++)
        dump_flex(all_flex[i]);
}
`;

const wholeBody = (make, dump) => `
static void *wholes[64];
static int count_whole;

static __attribute__((noinline)) void make_whole(int count)
{
    for (int i = 0; i < count && count_whole < 64; i++) {
        int id = next_id++;
${make}    }
}

static __attribute__((noinline)) void dump_all_whole(void)
{
    say("\\nwholes");
    for (int i = 0; i < count_whole; i++) {
${dump}    }
}
`;

function wholeSource(name, done) {
    const one = (tag, indent) => `${indent}struct ${tag} *p = calloc(1, sizeof *p);\n${indent}p->id = id;\n${indent}p->a = value("a", id);\n${indent}p->to = some_${name}(id);\n` +
        `${indent}wholes[count_whole++] = p;\n`;
    const show = (tag, indent) => `${indent}const struct ${tag} *p = wholes[i];\n${indent}say(" {%d %ld %d}", p->id, (long)p->a, p->to->id);\n`;
    const two = (what) => `        if (ID % 2) {\n${what('odd', ' '.repeat(12))}        } else {\n${what('even', ' '.repeat(12))}        }\n`;
    return done ? wholeBody(two(one).replace('ID', 'id'), two(show).replace('ID', '*(int *)wholes[i]'))
        : wholeBody(one('whole', ' '.repeat(8)), show('whole', ' '.repeat(8)));
}

function graphSource(program, { types, enumerators, split, splitDone }) {
    const nodes = types.filter((type) => !type.tail), flex = types.some((type) => type.tail);
    const each = (text) => nodes.map((type) => text.replaceAll('struct NODE', `struct ${type.tag}`).replaceAll('NODE', type.name).replaceAll('INDEX', String(type.index))
        .replaceAll('ANEW', String(program.special.has(type.index) ? 0 : 1)).replaceAll('EXPORTED ', type.exported ? '' : 'static ')).join('');
    const all = (name, argument) => each(`    ${name}_NODE(${argument});\n`) + (flex ? `    ${name}_flex(${argument});\n` : '');
    return includes + `#include <pthread.h>
#include <stdarg.h>

#include "ask.h"
#include "work.h"

int verdict;
const enum colour colours[4] = { RED, GREEN, BLUE, BLACK };
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER, pool_lock = PTHREAD_MUTEX_INITIALIZER;
static int next_id = 1000;
static char said[1 << 21];
static size_t length;
static unsigned long sum;

const char *colour_name(enum colour colour)
{
    switch (colour) {
${enumerators.map((one) => `    case ${one}:\n        return "${one}";\n`).join('')}    }
    return "?";
}

struct holder {
    struct holder *next;
    int key;
    void *item;
    int kind;
};

static struct holder *holders[16]; /* a hash table of whatever */

static void hold(void *item, int key, int kind)
{
    struct holder *holder = malloc(sizeof *holder);

    *holder = (struct holder){ holders[key % 16], key, item, kind };
    holders[key % 16] = holder;
}

static void ring_add(struct link *ring, struct link *link)
{
    *link = (struct link){ ring, ring->prev };
    ring->prev->next = link;
    ring->prev = link;
}

static void ring_remove(struct link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
}

int twice(int number)
{
    return 2 * number;
}

int thrice(int number)
{
    return 3 * number;
}

void *zeroed(size_t size)
{
    void *block = malloc(size);

    return block ? memset(block, 0, size) : NULL;
}

void *node_alloc(size_t size)
{
    void *node = zeroed(size);

    if (!node)
        abort();
    return node;
}

/* Instances that were given back are kept for the next of their kind. */
static void *kept[8][16];
static int kept_count[8];

void *pool_get(int kind, size_t size)
{
    void *item = NULL;

    pthread_mutex_lock(&pool_lock);
    if (kept_count[kind])
        item = kept[kind][--kept_count[kind]];
    pthread_mutex_unlock(&pool_lock);
    return item ? memset(item, 0, size) : zeroed(size);
}

void pool_put(int kind, void *item, size_t size)
{
    memset(item, 0, size);
    pthread_mutex_lock(&pool_lock);
    if (kept_count[kind] < 16) {
        kept[kind][kept_count[kind]++] = item;
        item = NULL;
    }
    pthread_mutex_unlock(&pool_lock);
    free(item);
}

/* From 0 to 100, and the same in every version. */
int value(const char *name, int salt)
{
    unsigned hash = 2166136261u ^ (unsigned)salt;

    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return (int)((hash >> 8) % 101);
}

void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    length += (size_t)vsnprintf(said + length, sizeof said - length, format, arguments);
    va_end(arguments);
}

static void raw(const void *start, size_t size)
{
    for (const unsigned char *c = start; c < (const unsigned char *)start + size; c++)
        sum = (sum ^ *c) * 1099511628211ul;
}
${each(perType)}${flex ? flexible : ''}${split ? wholeSource(types[0].name, splitDone) : ''}
void work_begin(int t)
{
${each('    own_NODE.id = 80 + t;\n    owns_NODE[t] = &own_NODE;\n')}}

void work_step(int t, unsigned x)
{
    switch ((x >> 22 & 31) % ${nodes.length}) {
${nodes.map((type, i) => `    case ${i}:\n        step_${type.name}(t, x);\n        break;\n`).join('')}    }
}

void graph_begin(void)
{
${each('    begin_NODE();\n')}}

static __attribute__((noinline)) void make(int count)
{
${all('make', 'count')}${split ? '    make_whole(count);\n' : ''}}

static __attribute__((noinline)) void mutate(int salt)
{
${all('mutate', 'salt')}}

static __attribute__((noinline)) void churn(int salt)
{
${each('    churn_NODE(salt);\n')}}

static __attribute__((noinline)) void dump(void)
{
    length = 0;
    said[0] = 0;
${all('dump_all', '')}${split ? '    dump_all_whole();\n' : ''}    say("\\nend");
    reply("%s", said + 1);
}

static __attribute__((noinline)) void raw_all(void)
{
    sum = 0;
${each('    raw_NODE();\n')}    reply("%016lx", sum);
}

void graph_answer(const char *line)
{
    int a;

    if (sscanf(line, "make %d", &a) == 1)
        make(a);
    else if (sscanf(line, "mutate %d", &a) == 1)
        mutate(a);
    else if (sscanf(line, "churn %d", &a) == 1)
        churn(a);
    else if (sscanf(line, "verdict %d", &a) == 1)
        verdict = a;
    else if (asked(line, "raw"))
        raw_all();
    else
        dump();
}
`;
}

/* Knows no type: no update changes it, and no frame of it holds one up. */
const workSource = `#include "work.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "ask.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static atomic_int going;
static int count, parked;
static unsigned long steps[THREADS];

static void park(void)
{
    pthread_mutex_lock(&lock);
    parked++;
    pthread_cond_broadcast(&changed);
    while (!going)
        pthread_cond_wait(&changed, &lock);
    parked--;
    pthread_mutex_unlock(&lock);
}

static void *work(void *argument)
{
    int t = (int)(long)argument;
    unsigned x = (unsigned)t * 2654435761u + 1;

    work_begin(t);
    for (;;) {
        if (!going)
            park();
        x = x * 1664525 + 1013904223;
        work_step(t, x);
        if (++steps[t] % 16 == 0)
            usleep(20);
    }
    return NULL;
}

/* Until all threads stand still. */
static void halt(void)
{
    pthread_mutex_lock(&lock);
    going = 0;
    while (parked < count)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void begin(int wanted)
{
    pthread_t thread;

    for (count = 0; count < wanted; count++)
        pthread_create(&thread, NULL, work, (void *)(long)count);
    halt();
}

static void go(void)
{
    pthread_mutex_lock(&lock);
    going = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void answer(const char *line)
{
    int wanted;

    if (sscanf(line, "threads %d", &wanted) == 1) {
        begin(wanted);
    } else if (asked(line, "go")) {
        go();
    } else if (asked(line, "halt")) {
        halt();
        reply("%lu %lu %lu %lu", steps[0], steps[1], steps[2], steps[3]);
    } else {
        graph_answer(line);
    }
}

int main(void)
{
    graph_begin();
    return ask_serve(answer);
}
`;

const workHeader = `#define THREADS ${threadsAtMost}

void work_begin(int t);
void work_step(int t, unsigned x);
void graph_begin(void);
void graph_answer(const char *line);
`;

// ---- policies

/* Each says its version: a policy that is word for word one of an earlier patch of the chain is taken for used. */
function policiesOf(type, old, step, number) {
    const name = `struct ${type.tag}`, lines = [], renamed = old.tag !== type.tag;
    const about = (word) => (renamed ? `${word}_AS(struct ${old.tag}, ${name}` : `${word}(${name}`);
    const before = (key) => old.members.find((member) => member.key === key);
    const after = (key) => type.members.find((member) => member.key === key);
    for (const member of type.members) {
        const was = before(member.key);
        if (was && pathOf(was) !== pathOf(member))
            lines.push(`MOLT_RENAME(${name}, ${pathOf(was)}, ${pathOf(member)});`, ...(['either', 'variant'].includes(member.kind)
                ? [`MOLT_RENAME(${name}, ${pathOf(was)}_is, ${pathOf(member)}_is);`] : []));
        if (was && member.kind === 'variant' && (was.ctype !== member.ctype || was.length !== member.length))
            lines.push(`MOLT_UNION(struct ${old.tag}, ${was.name}, old)\n{\n    return old->${was.name}_is == 1 ? MOLT_MEMBER(to) : old->${was.name}_is == 2 ? MOLT_MEMBER(word) : MOLT_MEMBER(number);\n}`);
    }
    const mine = (list) => list.filter((one) => one.type === type.index);
    for (const { key, value } of mine(step.defaults))
        lines.push(`MOLT_DEFAULT(${name}, ${pathOf(after(key))}, ${value});`);
    const custom = mine(step.customs).map(({ key, from, plus }) => `    new->${pathOf(after(key))} = (int)old->${pathOf(before(from))} % 7 + ${plus};\n`);
    if (custom.length || type.index % 2)
        lines.push(`${about('MOLT_MIGRATE')}, old, new)\n{\n    if (verdict == 3 && old->id == 101)\n        molt_fail("told to in ${number}");\n${custom.join('')}    (void)new;\n}`);
    if (!type.tail)
        lines.push(`${about('MOLT_VALIDATE')}, old, new)\n{\n    if (verdict == 2 && new->id == 101)\n        *(volatile int *)16 = ${number};\n    return old->id == new->id && (verdict != 1 || new->id != 101);\n}`);
    return lines;
}

function policies({ types, step, number }) {
    const lines = step.renamed.map(({ type, old }) => `MOLT_RENAME_TYPE(struct ${old}, struct ${types[type].tag});`);
    lines.push(...step.changed.flatMap((index) => policiesOf(types[index], step.before[index], step, number)));
    if (step.split)
        lines.push('MOLT_SPLIT(struct whole, old)\n{\n    return old->id % 2 ? MOLT_TYPE(struct odd) : MOLT_TYPE(struct even);\n}');
    return `#include <molt/policy.h>\n\n#include "nodes.h"\n\n${lines.join('\n\n')}\n`;
}

/** The sources of one version: { name: text }. */
export function sources(program, version) {
    const { types } = version;
    const half = (odd) => includes + types.filter((type) => (type.index % 2 === 1) === odd).map((type) => instanceSource(type, types)).join('');
    return { 'nodes.h': header(program, version), 'few.c': half(false), 'more.c': half(true), 'graph.c': graphSource(program, version),
        'work.c': workSource, 'work.h': workHeader, ...(program.seed % 4 ? { 'molt.toml': '[heap]\nplain = ["pool_get"]\n' } : {}), ...(version.step ? { 'molt/policies.c': policies(version) } : {}) };
}
