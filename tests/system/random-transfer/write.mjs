// A program as C: prog.c, which changes from version to version, and drive.c, which waits for the driver.

import { converted, placeText, placeType, text } from './values.mjs';

/** What stands in front of the Ith value of an object of TYPE: its members may lie in another order. */
const memberName = (type, i) => (type.members ? `.${type.members[i][0]} = ` : '');
const typeText = (type) => (type.kind === 'struct' ? `struct ${type.name}` : type.c);
const declarator = (v) => (v.type.kind === 'pointer' ? `${v.type.c} *${v.name}` : v.type.kind === 'array' ? `${v.type.c} ${v.name}[${v.type.n}]` : `${v.constant ? 'const ' : ''}${typeText(v.type)} ${v.name}`);
const addressText = ({ v, index }) => (v.type.kind === 'array' ? `&${v.name}[${index.value}]` : `&${v.name}`);

export const signature = (f) => `${f.isStatic ? 'static ' : ''}${f.isStatic ? f.hint : f.hint.replace('inline ', '')}` +
    `${f.result ? `${typeText(f.result)} ` : 'void '}${f.name}(${f.parameters.map(declarator).join(', ') + (f.rest ? ', ...' : '') || 'void'})`;

class Writer {
    constructor(program) {
        this.program = program;
        this.lines = [];
    }

    out(depth, line) {
        if (this.joined)
            this.lines[this.lines.length - 1] += ` ${line}`;
        else
            this.lines.push(`${'    '.repeat(depth)}${line}`);
        this.joined = false;
    }

    callText(s) {
        const callee = this.program.functions.find((f) => f.name === s.callee);
        const values = s.values.map(({ value, target, copy }, i) => (target ? addressText(target) : copy ? copy.name : converted(callee.parameters[i].type.c, text(value))));
        if (s.rest)
            values.splice(0, values.length, String(s.rest.length), ...values.slice(1), ...s.rest.map((e) => `(long)(${text(e)})`));
        return `${s.callee}(${values.join(', ')})`;
    }

    call(depth, s) {
        let call = this.callText(s);
        if (s.twice)
            call = `(${call} ^ ${call})`;
        if (s.to?.v.type.kind === 'struct' && !s.to.member)
            this.out(depth, `${s.to.v.name} = ${call};`);
        else if (s.to)
            this.out(depth, `${placeText(s.to)} = ${converted(placeType(s.to), s.more ? `(unsigned long)${call} ${s.more.op} (${text(s.more.e)})` : call)};`);
        else
            this.out(depth, `${call};`);
        this.joined = s.joined;
    }

    block(depth, list) {
        for (const s of list)
            this.statement(depth, s);
        this.joined = false;
    }

    declare(depth, s) {
        const { v } = s, { type } = v;
        if (type.kind === 'pointer')
            this.out(depth, `${declarator(v)} = ${s.heap ? `calloc(1, sizeof(${type.c}))` : addressText(s.target)};`);
        else if (type.kind === 'scalar')
            this.out(depth, `${declarator(v)} = ${converted(type.c, text(s.values[0]))};`);
        else
            this.out(depth, `${declarator(v)} = { ${s.values.map((e, i) => memberName(type, i) + converted(type.c ?? type.members[i][1], text(e))).join(', ')} };`);
    }

    statement(depth, s) {
        const body = (list, last = '}') => {
            this.block(depth + 1, list);
            this.out(depth, last);
        };
        switch (s.kind) {
        case 'declare': this.declare(depth, s); break;
        case 'set': this.out(depth, `${placeText(s.place)} = ${converted(placeType(s.place), text(s.value))};`); break;
        case 'point': this.out(depth, `${s.v.name} = ${addressText(s.target)};`); break;
        case 'clear': this.out(depth, `memset(${s.v.name}, 0, sizeof ${s.v.name});`); break;
        case 'say': this.out(depth, `say(${s.tag}, ${text(s.value)});`); break;
        case 'call': this.call(depth, s); break;
        case 'pass': this.out(depth, `return ${this.callText(s)};`); break;
        case 'break': case 'continue': this.out(depth, `${s.kind};`); break;
        case 'return': this.out(depth, `return ${s.copy ? s.copy.name : converted(this.f.result.c, text(s.value))};`); break;
        case 'if':
            this.out(depth, `if (${text(s.condition)}) {`);
            body(s.then, s.otherwise.length ? '} else {' : '}');
            if (s.otherwise.length)
                body(s.otherwise);
            break;
        case 'for':
            this.out(depth, `for (${declarator(s.v)} = 0; ${s.v.name} < (${s.v.type.c})(${text(s.bound)}); ${s.v.name}++) {`);
            body(s.body);
            break;
        case 'while': case 'do':
            this.out(depth, `${declarator(s.v)} = ${converted(s.v.type.c, text(s.bound))};`);
            this.out(depth, s.kind === 'do' ? 'do {' : `while (${s.v.name}-- > 0) {`);
            body(s.body, s.kind === 'do' ? `} while (${s.v.name}-- > 0);` : '}');
            break;
        case 'switch':
            this.out(depth, `switch ((${text(s.value)}) % ${s.cases.length + 1}) {`);
            s.cases.forEach((list, i) => {
                this.out(depth, `case ${i}: {`);
                this.block(depth + 1, list);
                this.out(depth + 1, 'break;');
                this.out(depth, '}');
            });
            this.out(depth, '}');
            break;
        case 'forever':
            this.out(depth, 'for (;;) {');
            body(s.body);
            break;
        case 'vla':
            this.out(depth, `unsigned char ${s.v.name}[1 + (${text(s.n)}) % 40];`);
            this.out(depth, `memset(${s.v.name}, 1, sizeof ${s.v.name});`);
            this.out(depth, `say(sizeof ${s.v.name}, ${s.v.name}[0]);`);
            break;
        case 'rest':
            this.out(depth, `long ${s.v.name} = 0;`);
            this.out(depth, 'va_list list;');
            this.out(depth, 'va_start(list, ' + this.f.parameters.at(-1).name + ');');
            this.out(depth, `for (int ${s.i.name} = 0; ${s.i.name} < count; ${s.i.name}++) {`);
            this.out(depth + 1, `${s.v.name} = (long)((unsigned long)${s.v.name} * 3 + (unsigned long)va_arg(list, long));`);
            if (s.waits)
                this.out(depth + 1, `${s.v.name} = (long)((unsigned long)${s.v.name} + (unsigned long)ask());`);
            this.out(depth, '}');
            this.out(depth, 'va_end(list);');
            break;
        default: throw new Error(`statement ${s.kind}`);
        }
    }

    write() {
        const { program } = this;
        this.lines.push('#include <stdarg.h>', '#include <stdbool.h>', '#include <stdlib.h>', '#include <string.h>', '', '#include "drive.h"', '',
            'enum shade { S0, S1, S2, S3, S4, S5, S6, S7 };');
        for (const { name, layout } of program.structs)
            this.lines.push(`struct ${name} {`, ...layout.map(([m, c]) => `    ${c} ${m};`), '};');
        for (const v of program.globals)
            this.lines.push(`${declarator(v)};`);
        for (const f of program.functions)
            this.lines.push(`${signature(f)};`);
        for (const f of [...program.functions].reverse()) {
            this.f = f;
            this.lines.push('', signature(f), '{');
            this.block(1, f.body);
            this.lines.push('}');
        }
        return `${this.lines.join('\n')}\n`;
    }
}

const drive = (threads) => `#include "drive.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local int self;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn = -1, waiting;
static long answer;

static int next_line(long *ret)
{
    char line[64];
    int thread;

    if (!fgets(line, sizeof line, stdin) || sscanf(line, "%d %ld", &thread, ret) != 2)
        exit(0);
    return thread;
}

long ask(void)
{
    long value;

    printf("%d ?\\n", self);
    fflush(stdout);
    if (${threads} == 1) {
        next_line(&value);
        return value;
    }
    pthread_mutex_lock(&lock);
    waiting++;
    pthread_cond_broadcast(&changed);
    while (turn != self)
        pthread_cond_wait(&changed, &lock);
    turn = -1;
    value = answer;
    pthread_mutex_unlock(&lock);
    return value;
}

void say(int tag, unsigned long value)
{
    printf("%d %d %lu\\n", self, tag, value);
}

static void *thread(void *argument)
{
    self = (int)(long)argument;
    run();
    return NULL;
}

int main(void)
{
    pthread_t made;

    if (${threads} == 1)
        run();
    pthread_mutex_lock(&lock);
    for (long i = 0; i < ${threads}; i++) {
        pthread_create(&made, NULL, thread, (void *)i);
        while (waiting <= i)
            pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
    for (;;) {
        long value;
        int who = next_line(&value);
        pthread_mutex_lock(&lock);
        answer = value;
        turn = who;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
}
`;

/** The sources of one version: { name: text }. */
/** STATEMENT of function F, as it stands in the source. */
export function statementText(program, f, statement) {
    const writer = Object.assign(new Writer(program), { f });
    writer.statement(0, statement);
    return writer.lines.join('\n');
}

export const sources = (program) => ({ 'prog.c': new Writer(program).write(), 'drive.c': drive(program.threads),
    'drive.h': 'long ask(void);\nvoid say(int tag, unsigned long value);\nvoid run(void);\n' });
