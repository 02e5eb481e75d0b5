// Several processes, what `molt status` tells of them, and programs that cannot have an engine.

import fs from 'node:fs';
import path from 'node:path';
import * as molt from '../molt.mjs';
import { run } from '../process.mjs';
import { demand, demandRefusal, Victim } from './victim.mjs';

async function statusOf(...who) {
    const result = await molt.call(['status', '--json', ...who]);
    demand(result.status === 0, `molt status: ${result.output}`);
    return JSON.parse(result.stdout);
}

async function status() {
    const victim = await Victim.create('many-threads');
    await victim.ask('idle 10');
    const [before] = await statusOf(victim.pid);
    demand(String(before.pid) === victim.pid, `pid ${before.pid}`);
    demand(before.name === 'program', `name ${before.name}`);
    demand(before.exe === victim.file, `exe ${before.exe}`);
    demand(before.threads === 11, `${before.threads} threads, where the program has 11`);
    demand(before.updates.length === 0, 'updates before any');

    demand((await victim.apply(await victim.patch())).status === 0, 'the update');
    const [after] = await statusOf('program');
    demand(after.updates.length === 1, `updates: ${JSON.stringify(after.updates)}`);
    demand(after.last?.result === 'updated', `last: ${JSON.stringify(after.last)}`);
    const people = await molt.call(['status']);
    demand(people.stdout.includes(victim.pid), `for people: ${people.stdout}`);
    const words = fs.readFileSync(`/proc/${victim.pid}/cmdline`, 'utf8').split('\0').join(' ').trim();
    demand(people.stdout.includes(`command: ${words.slice(0, 150)}`), `no command line: ${people.stdout}`);
}

/** A program and its child bear one name: they are updated together. */
async function byName() {
    const victim = await Victim.create('fork');
    await victim.ask('fork');
    const engines = await statusOf('program');
    demand(engines.length === 2, `${engines.length} engines, where program and child are two`);
    const patch = await victim.patch();
    const applied = await molt.call(['apply', patch, 'program']);
    demand(applied.status === 0, `molt apply: ${applied.output}`);
    demand(await victim.ask('call') === 'version 2', 'the program is not updated');
    const child = await victim.ask('ask');
    demand(child === 'child says version 2', child);
    const back = await molt.call(['rollback', 'program']);
    demand(back.status === 0, `molt rollback: ${back.output}`);
    demand(await victim.ask('ask') === 'child says version 1', 'the child is not back');
    demand(await victim.ask('call') === 'version 1', 'the program is not back');
}

/** A program that ends leaves no socket behind, nor does its child, which ends by _exit. */
async function noSocketsLeft() {
    const victim = await Victim.create('fork');
    await victim.ask('fork');
    const sockets = () => fs.readdirSync(path.join(molt.environment.XDG_RUNTIME_DIR, 'molt'))
        .filter((name) => engines.some(({ pid }) => name === `${pid}.sock`));
    const engines = await statusOf('program');
    demand(engines.length === 2 && sockets().length === 2, `${engines.length} engines, ${sockets().length} sockets`);
    await victim.program.close(); // its output is the child's, too: both have ended
    demand(sockets().length === 0, `left behind: ${sockets().join(', ')}`);
}

/**
 * Three processes of one name are rolled back together or not at all, whichever of them cannot: it stays in a function of the
 * update, the others are as they were.
 */
async function rollbackTogether() {
    const victim = await Victim.create('waits-for-frames');
    const programs = [victim.program, victim.start(), victim.start()];
    const ask = (program, line) => (program.say(line), program.line());
    const demandAll = async (answer, when) => {
        for (const program of programs) {
            const got = await ask(program, 'call');
            demand(got === answer, `${when}: ${program.pid} answers "${got}"`);
        }
    };
    const applied = await molt.call(['apply', await victim.patch(), 'program']);
    demand(applied.status === 0, `molt apply: ${applied.output}`);
    for (const stuck of programs) {
        demand(await ask(stuck, 'start') === 'inside', 'the function was not entered');
        const refused = await molt.call(['rollback', '--strict', '--quiet', '--timeout', '0.3', 'program']);
        demand(refused.status === 4, `one cannot be rolled back: exit status ${refused.status}: ${refused.output}`);
        demand(refused.output.includes(`${stuck.pid}: no safe point`), `does not name the process: ${refused.output}`);
        for (const one of await statusOf('program'))
            demand(one.updates.length === 1, `${one.pid} has ${one.updates.length} updates after a refused rollback`);
        await demandAll('version 2', 'after a rollback that one process refused');
        demand(await ask(stuck, 'leave') === 'left, 5000 frames of version 1', 'frames of the old version were left');
    }
    const back = await molt.call(['rollback', 'program']);
    demand(back.status === 0, `molt rollback: ${back.output}`);
    await demandAll('version 1', 'after the rollback');
    for (const one of await statusOf('program'))
        demand(one.updates.length === 0, `${one.pid} still has updates`);
    const again = await molt.call(['apply', await victim.patch(), 'program']);
    demand(again.status === 0, `molt apply again: ${again.output}`);
    await demandAll('version 2', 'after another update');
}

async function withoutEngine() {
    const victim = await Victim.create('body', { start: false });
    const source = path.join(victim.directory, 'static.c'), program = path.join(victim.directory, 'static');
    fs.writeFileSync(source, 'int main(void) { return 0; }\n');
    await run('gcc', ['-static', source, '-o', program]);
    demandRefusal('a static program', await molt.call(['run', '--', program]), [2], ['static']);
    demandRefusal('no program', await molt.call(['run', '--', path.join(victim.directory, 'none')]), [1, 2, 5], ['none']);
    demandRefusal('no executable', await molt.call(['run', '--', source]), [1, 2, 5], ['static.c']);
}

/** `molt run` hands on arguments, streams and the exit status. */
async function handsOn() {
    const result = await molt.call(['run', '--', '/bin/sh', '-c', 'echo "$0 $1"; echo aside >&2; exit 7', 'a b', 'c']);
    demand(result.status === 7, `exit status ${result.status}`);
    demand(result.stdout === 'a b c\n' && result.stderr === 'aside\n', `output: ${result.output}`);
}

export const cases = { status, 'program and child by name': byName, 'no sockets left': noSocketsLeft,
    'rollback together': rollbackTogether, 'without engine': withoutEngine,
    'run hands on': handsOn };
