// Clients that die, and several at once.

import path from 'node:path';
import * as molt from '../molt.mjs';
import { run } from '../process.mjs';
import { root } from '../story.mjs';
import { demand, Victim } from './victim.mjs';

const before = 'hello from one', after = 'hello from two, 42';
const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The client is killed after a while that grows from nothing to longer than the whole takes. */
async function killed() {
    const victim = await Victim.create('body');
    await victim.ask('call');
    const file = await victim.patch();
    let updated = 0, rounds = 60;
    for (let i = 0; i < rounds; i++) {
        const { child, ended } = molt.start(['apply', file, victim.pid]);
        await delay(i / 6);
        child.kill('SIGKILL');
        await ended;
        const answer = await victim.ask('call');
        demand(answer === before || answer === after, `after kill number ${i} the program answers: ${answer}`);
        /* What it was in the middle of may still be committed; then it is in force, whole. */
        const back = await molt.call(['rollback', victim.pid]);
        demand([0, 2].includes(back.status), `rollback after kill number ${i}: ${back.output}`);
        updated += back.status === 0;
        const now = await victim.ask('call');
        demand(now === before, `after kill number ${i} and a rollback the program answers: ${now}`);
    }
    demand(updated < rounds, 'no kill came in time');
    await victim.demandHealthy(before, after);
}

/** Killed while the update waits for frames to leave: the program must not be updated behind its back later. */
async function killedWhileWaiting() {
    const victim = await Victim.create('waits-for-frames');
    await victim.ask('start');
    const file = await victim.patch();
    const { child, ended } = molt.start(['apply', '--strict', '--timeout', '20', file, victim.pid]);
    await delay(300);
    child.kill('SIGKILL');
    await ended;
    await delay(300);
    const left = await victim.ask('leave');
    demand(left === 'left, 1000 frames of version 1', `the frames left as "${left}"`);
    const answer = await victim.ask('call');
    demand(answer === 'version 1', `an update that nobody waits for was made: ${answer}`);
    await victim.demandHealthy('version 1', 'version 2');
}

/** Several clients with the same patch: one gets through, the others are told. */
async function together() {
    const victim = await Victim.create('body');
    await victim.ask('call');
    const file = await victim.patch();
    for (let round = 0; round < 5; round++) {
        const results = await Promise.all(Array.from({ length: 6 }, () => victim.apply(file)));
        const good = results.filter((result) => result.status === 0).length;
        demand(good === 1, `${good} of 6 clients report an update: ${results.map((one) => one.output.trim()).join('; ')}`);
        const answer = await victim.ask('call');
        demand(answer === after, `after six clients at once: ${answer}`);
        const back = await molt.call(['rollback', victim.pid]);
        demand(back.status === 0, `rollback: ${back.output}`);
    }
    await victim.demandHealthy(before, after);
}

/** The program ends while an update waits: the client says so and ends, too. */
async function programEnds() {
    const victim = await Victim.create('waits-for-frames');
    await victim.ask('start');
    const file = await victim.patch();
    const { ended } = molt.start(['apply', '--strict', '--timeout', '20', file, victim.pid]);
    await delay(300);
    victim.program.child.kill('SIGKILL');
    const result = await ended;
    demand([2, 5].includes(result.status), `exit status ${result.status}: ${result.output}`);
    demand(result.ms < 5000, `the client waits for ${result.ms} ms for a program that is gone`);
}

/** What bash offers behind the words of a command line of molt. */
async function completed(...words) {
    const script = `source ${root}/cli/completion/molt.bash; COMP_WORDS=(molt "$@"); COMP_CWORD=$#; _molt; printf '%s\n' "${'${COMPREPLY[@]}'}"`;
    const result = await run('bash', ['-c', script, 'bash', ...words],
        { env: { ...molt.environment, PATH: `${molt.buildDirectory}/cli:${process.env.PATH}` } });
    demand(result.status === 0, `completion of "${words.join(' ')}": ${result.output}`);
    return result.stdout.trim().split('\n');
}

/** The shell knows the commands, their options, and the programs that run. */
async function completion() {
    const victim = await Victim.create('body');
    const name = path.basename(victim.file);
    await victim.ask('call');
    for (const [words, wanted] of [[['app'], 'apply'], [['rollback', '--js'], '--json'], [['rollback', name.slice(0, -1)], name],
        [['rollback', victim.pid.slice(0, -1)], victim.pid], [['inspect', victim.file.slice(0, -1)], victim.file]]) {
        const offered = await completed(...words);
        demand(offered.includes(wanted), `behind "molt ${words.join(' ')}" is offered: ${offered.join(' ')}`);
    }
}

export const cases = { 'client killed': killed, 'client killed while waiting': killedWhileWaiting,
    'clients together': together, 'program ends': programEnds, 'command line completed': completion };
