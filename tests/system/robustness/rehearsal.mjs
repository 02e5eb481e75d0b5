// Policies that would end the program, or ruin it: in the rehearsal they end a copy of it.

import fs from 'node:fs';
import path from 'node:path';
import * as molt from '../molt.mjs';
import { demand, Victim } from './victim.mjs';

const includes = ['err.h', 'malloc.h', 'pthread.h', 'signal.h', 'stdlib.h', 'string.h', 'sys/syscall.h', 'unistd.h', 'molt/policy.h']
    .map((name) => `#include <${name}>\n`).join('') + '#include "room.h"\n';

/** A policy that does BODY to the room that is 3 wide. */
const policy = (body, more = '') =>
    `${includes}${more}MOLT_MIGRATE(struct room, old, new)\n{\n    new->area = (long)old->width * old->length;\n` +
    `    if (old->width == 3) {\n${body}\n    }\n}\n`;

const overflow = 'static int deeper(volatile int *from)\n{\n    volatile int here[1000];\n    here[0] = *from + 1;\n' +
    '    return deeper(here) + here[0];\n}\n';

/* name: [source, words that molt apply names] */
const policies = {
    'exits': [policy('exit(7);'), ['it called exit']],
    'exits at once': [policy('_exit(7);'), ['it called _exit']],
    'exits quickly': [policy('quick_exit(7);'), ['it called quick_exit']],
    'exits by way of libc': [policy('errx(7, "a message of the policy");'), ['it called exit']],
    'exits without libc': [policy('syscall(SYS_exit_group, 5);'), ['it ended the process (exit status 5)']],
    'is killed': [policy('kill(getpid(), SIGKILL);'), ['it ended the process (SIGKILL)']],
    'aborts': [policy('abort();'), ['it aborted (SIGABRT)']],
    'ends its thread': [policy('pthread_exit(0);'), ['it']],
    'overflows the stack': [policy('volatile int start = 0; new->area = deeper(&start);', overflow), ['SIGSEGV']],
    'takes all memory': [policy('for (;;)\n if (!malloc(64 << 20))\n molt_fail("no memory is left");'), ['no memory is left']],
    'ruins the heap': [policy('volatile long *block = malloc(2000);\n block[malloc_usable_size((void *)block) / 8] = -1;\n memset(malloc(60000), 1, 1);'), ['it aborted (SIGABRT)']],
    'writes to shared memory': [policy('*shared = 8;'), ['it crashed (SIGSEGV']],
    'loops': [policy('for (;;)\n ;'), ['it took too long']],
    'loops and is deaf': [policy('unsigned long all = ~0ul;\n syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, 0, 8);\n for (;;)\n ;'),
        ['it took too long']],
};

function children(pid) {
    return fs.readdirSync(`/proc/${pid}/task`)
        .flatMap((tid) => fs.readFileSync(`/proc/${pid}/task/${tid}/children`, 'utf8').trim().split(' ')).filter(Boolean);
}

async function makePatch(victim, source) {
    const file = path.join(victim.directory, 'bad.molt');
    const good = path.join(victim.trees('v2'), 'molt/room.c'), kept = fs.readFileSync(good);
    fs.writeFileSync(good, source);
    const made = await victim.diff(file);
    fs.writeFileSync(good, kept);
    demand(made.status === 0, `molt diff: ${made.output}`);
    return file;
}

async function createRooms() {
    const victim = await Victim.create('state-rehearsal');
    for (const line of ['add 2 5', 'add 3 7', 'add 4 1'])
        victim.program.say(line);
    await victim.ask('rooms');
    return victim;
}

/** The update must fail in the rehearsal, naming policy, line and instance, and the program must not notice. */
async function failsIn(victim, what, source, words, options = []) {
    const file = await makePatch(victim, source);
    const result = await victim.unchangedBy(what, () => victim.apply(file, ...options));
    demand(result.status === 3, `${what}: exit status ${result.status ?? result.signal}, not 3: ${result.output}`);
    for (const word of ['struct room', 'molt/room.c:', 'instance 0x', 'in a copy of the process', ...words])
        demand(result.output.includes(word), `${what}: does not name "${word}": ${result.output}`);
    demand(children(victim.pid).length === 0, `${what}: leaves ${children(victim.pid)} behind`);
    const answer = await victim.ask('rooms');
    demand(answer === '3 rooms, 35', `${what}: the program says "${answer}"`);
    return result;
}

async function deadlyPolicies() {
    const victim = await createRooms();
    for (const [what, [source, words]] of Object.entries(policies))
        await failsIn(victim, `a policy that ${what}`, source, words);
    await victim.demandHealthy('3 rooms, 35', '3 rooms, 35', 'rooms');
}

/** What is known of the instance is told, though nobody is left to tell it. */
async function deadlyValidation() {
    const victim = await createRooms();
    const source = policy('') + 'MOLT_VALIDATE(struct room, old, new)\n{\n    if (new->area == 21)\n        kill(getpid(), SIGKILL);\n    return 1;\n}\n';
    const result = await failsIn(victim, 'a deadly validation', source, ['validation of struct room', '(SIGKILL)']);
    for (const row of [/area +- +21/, /width +3 +3/, /length +7 +7/])
        demand(row.test(result.output), `a deadly validation: does not show ${row}: ${result.output}`);
    await victim.demandHealthy('3 rooms, 35', '3 rooms, 35', 'rooms');
}

async function result(victim, file, ...options) {
    const applied = await victim.apply(file, '--json', ...options);
    return JSON.parse(applied.stdout);
}

/** Which updates are rehearsed, and that a dry run is nothing but a rehearsal then. */
async function whatIsRehearsed() {
    const victim = await createRooms();
    const file = await victim.patch();
    const tried = await victim.unchangedBy('a dry run', () => result(victim, file, '--dry-run'));
    demand(tried.result === 'prepared' && tried.rehearsal?.passed && tried.instances === 3 && tried.moved === 3,
        `a dry run: ${JSON.stringify(tried)}`);
    const twice = await victim.apply(file, '--rehearse', '--no-rehearse');
    demand(twice.status === 1, `both options: ${twice.output}`);
    for (const [options, rehearsed] of [[[], true], [['--no-rehearse'], false]]) {
        const applied = await result(victim, file, ...options);
        demand(applied.result === 'updated' && !!applied.rehearsal === rehearsed, `${options}: ${JSON.stringify(applied)}`);
        await molt.call(['rollback', victim.pid]);
    }
    const plain = await Victim.create('state-members-added');
    for (const [options, rehearsed] of [[[], false], [['--rehearse'], true]]) {
        const applied = await result(plain, await plain.patch(), ...options);
        demand(applied.result === 'updated' && !!applied.rehearsal === rehearsed, `by name, ${options}: ${JSON.stringify(applied)}`);
        await molt.call(['rollback', plain.pid]);
    }
}

export const cases = { 'deadly policies': deadlyPolicies, 'deadly validation': deadlyValidation,
    'what is rehearsed': whatIsRehearsed };
