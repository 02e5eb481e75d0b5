// Makes programs of random types, containers and instances, and random changes of those types: one program in several
// versions. What each version must say is what it says when it is started cold and told the same, so the compiler is the
// oracle: a member keeps its value as long as it has its name, whatever happens to its type and place; a new one is
// zero in the instances that are there already, and is only written by `mutate VERSION` for a version that has it. What is zero in
// an enumeration keeps its name: untouched memory says so, cold or migrated.

/** Numbers that look random and depend on SEED alone (mulberry32). */
export function random(seed) {
    let state = seed >>> 0;
    const next = () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let t = Math.imul(state ^ (state >>> 15), 1 | state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };
    const below = (n) => Math.floor(next() * n);
    return { below, chance: (p) => next() < p, pick: (list) => list[below(list.length)],
        shuffle: (list) => {
            for (let i = list.length - 1; i > 0; i--) {
                const k = below(i + 1);
                [list[i], list[k]] = [list[k], list[i]];
            }
            return list;
        } };
}

const integers = ['signed char', 'unsigned char', 'short', 'unsigned short', 'int', 'unsigned', 'long', 'unsigned long',
    'int16_t', 'uint32_t', 'int64_t', 'size_t'];
const floats = ['float', 'double', 'long double'];
const kinds = ['number', 'number', 'number', 'real', 'enum', 'bits', 'array', 'text', 'pointer', 'pointer', 'void', 'inside',
    'function', 'embedded', 'nested', 'union', 'embeddedArray'];

let names = 0;

function makeMember(r, type, program, born) {
    const member = { name: `m${names++}`, kind: r.pick(kinds), born, type: r.pick(integers) };
    const of = r.below(program.typeCount);
    switch (member.kind) {
    case 'real': member.type = r.pick(floats); break;
    case 'bits': member.type = r.pick(['unsigned', 'int', 'unsigned long']); member.width = 8 + r.below(20); break;
    case 'array': case 'text': member.length = 8 + r.below(12); break;
    case 'pointer': case 'void': case 'inside': member.target = of; break;
    case 'embedded': case 'embeddedArray': member.target = r.below(type.index || 1); member.length = 1 + r.below(3); break;
    case 'nested': member.inner = [r.pick(integers), r.pick(floats)]; break;
    }
    if (member.kind.startsWith('embedded') && type.index === 0)
        member.kind = 'number';
    return member;
}

/** A number keeps its value in every type it may get: all values are from 0 to 100. */
function retype(r, member) {
    switch (member.kind) {
    case 'number': member.type = r.pick(integers); break;
    case 'real': member.type = r.pick(floats); break;
    case 'bits': member.width = 8 + r.below(20); break;
    case 'array': case 'text': member.length = 8 + r.below(24); member.type = r.pick(integers); break;
    case 'nested': member.inner = [r.pick(integers), r.pick(floats)]; break;
    case 'embeddedArray': member.length += r.below(3); break;
    }
}

function changeType(r, type, program, version) {
    for (let i = 1 + r.below(3); i > 0; i--) {
        switch (r.below(4)) {
        case 0: type.members.splice(r.below(type.members.length + 1), 0, makeMember(r, type, program, version)); break;
        case 1:
            if (type.members.length > 2)
                type.members.splice(r.below(type.members.length), 1);
            break;
        case 2: retype(r, r.pick(type.members)); break;
        case 3: r.shuffle(type.members); break;
        }
    }
}

/** A program of VERSIONS versions, the first being the one to start: [{ types, enumerators }], changed step by step. */
export function generate(seed, versions) {
    const r = random(seed);
    const program = { seed, typeCount: 2 + r.below(4), nodes: 5 + r.below(30), versions: [] };
    names = 0;
    const types = Array.from({ length: program.typeCount }, (_, index) => ({ index, members: [], idAt: 0 }));
    for (const type of types) {
        type.allocate = r.pick(['calloc(1, sizeof(struct T))', 'zeroed(sizeof *p)', 'memset(malloc(sizeof *p), 0, sizeof *p)',
            'zeroed(sizeof(struct T))']);
        for (let i = 2 + r.below(6); i > 0; i--)
            type.members.push(makeMember(r, type, program, 1));
        type.idAt = r.below(type.members.length + 1);
    }
    let enumerators = ['RED', 'GREEN', 'BLUE', 'BLACK'];
    for (let version = 1; version <= versions; version++) {
        program.versions.push(structuredClone({ version, types, enumerators }));
        const changed = r.shuffle([...types]).slice(0, 1 + r.below(types.length));
        changed.forEach((type) => {
            changeType(r, type, program, version + 1);
            type.idAt = r.below(type.members.length + 1);
        });
        if (r.chance(0.3))
            enumerators = [enumerators[0], ...r.shuffle(enumerators.slice(1)), ...(r.chance(0.5) ? [`EXTRA${version}`] : [])];
    }
    return program;
}

// ---- C

const tag = (index) => `node${index}`;

function declaration(member) {
    switch (member.kind) {
    case 'number': case 'real': return `${member.type} ${member.name};`;
    case 'enum': return `enum colour ${member.name};`;
    case 'bits': return `${member.type} ${member.name} : ${member.width};`;
    case 'array': return `${member.type} ${member.name}[${member.length}];`;
    case 'text': return `char ${member.name}[${member.length}];`;
    case 'pointer': return `struct ${tag(member.target)} *${member.name};`;
    case 'void': return `void *${member.name};`;
    case 'inside': return `int *${member.name};`;
    case 'function': return `int (*${member.name})(int);`;
    case 'embedded': return `struct ${tag(member.target)} ${member.name};`;
    case 'embeddedArray': return `struct ${tag(member.target)} ${member.name}[${member.length}];`;
    case 'nested': return `struct {\n        ${member.inner[0]} a;\n        ${member.inner[1]} b;\n    } ${member.name};`;
    case 'union': return `union {\n        long whole;\n        char bytes[8];\n    } ${member.name};`;
    }
    throw new Error(member.kind);
}

/** Statements that give MEMBER of P a value that depends on its name and SALT (a C expression). */
function assignment(member, salt) {
    const at = `p->${member.name}`, value = `value("${member.name}", ${salt})`;
    switch (member.kind) {
    case 'number': return `${at} = (${member.type})${value};`;
    case 'real': return `${at} = (${member.type})(${value} + 0.5);`;
    case 'enum': return `${at} = colours[${value} % 4];`;
    case 'bits': return `${at} = (${member.type})${value};`;
    case 'array': return `for (int i = 0; i < 8; i++)\n        ${at}[i] = (${member.type})(${value} % 50 + i);`;
    case 'text': return `snprintf(${at}, sizeof ${at}, "t%d", ${value});`;
    case 'pointer': return `${at} = some_${tag(member.target)}(${value});`;
    case 'void': return `${at} = some_${tag(member.target)}(${value});`;
    case 'inside': return `${at} = &some_${tag(member.target)}(${value})->id;`;
    case 'function': return `${at} = ${value} % 2 ? twice : thrice;`;
    case 'embedded': return `set_${tag(member.target)}(&${at}, ${salt} + 1000, version);`;
    case 'embeddedArray': return `set_${tag(member.target)}(&${at}[0], ${salt} + 2000, version);`;
    case 'nested': return `${at}.a = (${member.inner[0]})${value};\n    ${at}.b = (${member.inner[1]})(${value} + 0.5);`;
    case 'union': return `${at}.whole = ${value};`;
    }
    throw new Error(member.kind);
}

function dumping(member) {
    const at = `p->${member.name}`, print = (format, what) => `say(" ${member.name}=${format}", ${what});`;
    switch (member.kind) {
    case 'number': return print('%ld', `(long)${at}`);
    case 'bits': return print('%ld', `(long)${at}`);
    case 'real': return print('%g', `(double)${at}`);
    case 'enum': return print('%s', `colour_name(${at})`);
    case 'array': return `for (int i = 0; i < ${member.length}; i++)\n        ${print('%ld', `(long)${at}[i]`)}`;
    case 'text': return print('%s', at);
    case 'pointer': return print('%d', `${at} ? ${at}->id : -1`);
    case 'void': return print('%d', `${at} ? ((struct ${tag(member.target)} *)${at})->id : -1`);
    case 'inside': return print('%d', `${at} ? *${at} : -1`);
    case 'function': return print('%d', `${at} ? ${at}(1) : -1`);
    case 'embedded': return `dump_${tag(member.target)}(&${at});`;
    case 'embeddedArray': return `for (int i = 0; i < ${member.length}; i++)\n        dump_${tag(member.target)}(&${at}[i]);`;
    case 'nested': return `${print('%ld', `(long)${at}.a`)}\n    ${print('%g', `(double)${at}.b`)}`;
    case 'union': return print('%ld', `${at}.whole`);
    }
    throw new Error(member.kind);
}

function header({ types, enumerators }) {
    const structs = types.map((type) => {
        const members = type.members.map(declaration);
        members.splice(type.idAt, 0, 'int id;');
        return `struct ${tag(type.index)} {\n    ${members.join('\n    ')}\n};\n`;
    });
    return `#include <stddef.h>\n#include <stdint.h>\n\nenum colour { ${enumerators.join(', ')} };\n\n` +
        types.map((type) => `struct ${tag(type.index)};`).join('\n') + '\n\n' + structs.join('\n') + '\n' +
        types.map(({ index }) => `struct ${tag(index)} *new_${tag(index)}(int id);\nstruct ${tag(index)} *some_${tag(index)}(int number);\n` +
            `void set_${tag(index)}(struct ${tag(index)} *p, int salt, int version);\nvoid dump_${tag(index)}(const struct ${tag(index)} *p);\n`).join('') +
        'int value(const char *name, int salt);\nvoid say(const char *format, ...) __attribute__((format(printf, 1, 2)));\n' +
        'void *zeroed(size_t size);\nint twice(int number);\nint thrice(int number);\nextern const enum colour colours[4];\n' +
        'const char *colour_name(enum colour colour);\n';
}

function nodeSource({ types }, index) {
    const type = types[index], name = tag(index);
    const born = (statement, member) => (member.born > 1 ? `if (version >= ${member.born}) {\n    ${statement}\n    }` : statement);
    return `#include "nodes.h"\n\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\n` +
        `struct ${name} *new_${name}(int id)\n{\n    struct ${name} *p = ${type.allocate.replaceAll('T', name)};\n\n    p->id = id;\n    return p;\n}\n\n` +
        `void set_${name}(struct ${name} *p, int salt, int version)\n{\n    ` +
        type.members.map((member) => born(assignment(member, 'salt'), member)).join('\n    ') + '\n    (void)version;\n}\n\n' +
        `void dump_${name}(const struct ${name} *p)\n{\n    say(" {%d", p->id);\n    ` +
        [...type.members].sort((a, b) => a.name.localeCompare(b.name)).map(dumping).join('\n    ') + '\n    say("}");\n}\n';
}

/** Each type's instances are single blocks, an array from the heap, an array in static storage and a thread's own. */
function graphSource(program, { types, enumerators }) {
    const each = (text) => types.map(({ index }) => text.replaceAll('NODE', tag(index)).replaceAll('INDEX', String(index))).join('');
    return `#include "nodes.h"\n#include "ask.h"\n\n#include <stdarg.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\n` +
        'static unsigned long sum;\nstatic int aloud;\nstatic char said[1 << 20];\nstatic size_t length;\n\n' +
        `const enum colour colours[4] = { RED, GREEN, BLUE, BLACK };\n\nconst char *colour_name(enum colour colour)\n{\n    switch (colour) {\n` +
        enumerators.map((one) => `    case ${one}:\n        return "${one}";\n`).join('') + '    }\n    return "?";\n}\n\n' +
        each(`static struct NODE *all_NODE[4096];\nstatic int count_NODE;\nstatic struct NODE fixed_NODE[3];\nstatic __thread struct NODE own_NODE;\n`) +
        `
struct holder {
    struct holder *next;
    void *item;
    int kind;
};

static struct holder *holders;

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
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (const char *c = text; *c; c++)
        sum = (sum ^ (unsigned char)*c) * 1099511628211ul;
    if (aloud)
        length += (size_t)snprintf(said + length, sizeof said - length, "%s", text);
}

static void hold(void *item, int kind)
{
    struct holder *holder = malloc(sizeof *holder);

    *holder = (struct holder){ holders, item, kind };
    holders = holder;
}
` + each(`
struct NODE *some_NODE(int number)
{
    return all_NODE[number * 7 % count_NODE];
}

static __attribute__((noinline)) void make_NODE(int count)
{
    if (count_NODE + 2 * count + 4 > 4096)
        return;
    if (!count_NODE) {
        for (int i = 0; i < 3; i++) {
            fixed_NODE[i].id = 100 + i;
            all_NODE[count_NODE++] = &fixed_NODE[i];
        }
        own_NODE.id = 99;
        all_NODE[count_NODE++] = &own_NODE;
    }
    for (int i = 0; i < count; i++) {
        all_NODE[count_NODE] = new_NODE(1000 + count_NODE);
        hold(all_NODE[count_NODE++], INDEX);
    }
    struct NODE *array = calloc((size_t)count, sizeof *array);
    for (int i = 0; i < count; i++) {
        array[i].id = 5000 + count_NODE;
        all_NODE[count_NODE++] = &array[i];
    }
}

static __attribute__((noinline)) void mutate_NODE(int version, int salt)
{
    for (int i = 0; i < count_NODE; i++)
        set_NODE(all_NODE[i], salt + i, version);
}

static __attribute__((noinline)) void dump_all_NODE(void)
{
    for (int i = 0; i < count_NODE; i++)
        dump_NODE(all_NODE[i]);
    for (struct holder *holder = holders; holder; holder = holder->next)
        if (holder->kind == INDEX)
            say("%d ", ((struct NODE *)holder->item)->id);
}
`) + `
static void dump(void)
{
    sum = length = 0;
    said[0] = '\\0';
${each('    dump_all_NODE();\n')}}

static void answer(const char *line)
{
    int a, b;

    if (sscanf(line, "make %d", &a) == 1) {
${each('        make_NODE(a);\n')}    } else if (sscanf(line, "mutate %d %d", &a, &b) == 2) {
${each('        mutate_NODE(a, b);\n')}    } else {
        aloud = asked(line, "show");
        dump();
        reply("%016lx%s", sum, aloud ? said : "");
    }
}

int main(void)
{
    return ask_serve(answer);
}
`;
}

/** The sources of one version: { name: text }. */
export function sources(program, version) {
    const files = { 'nodes.h': header(version), 'main.c': graphSource(program, version) };
    for (let i = 0; i < program.typeCount; i++)
        files[`${tag(i)}.c`] = nodeSource(version, i);
    return files;
}
