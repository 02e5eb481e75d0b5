// What other tools see of a program that was updated.

import { run } from '../process.mjs';
import { demand, Victim } from './victim.mjs';

/** A thread blocks inside a function of the patch: its backtrace must be whole, with names. */
async function backtraceBy(configuration) {
    const victim = await Victim.create('blocking-call', { configuration });
    await victim.ask('call');
    const applied = await victim.apply(await victim.patch());
    demand(applied.status === 0, applied.output);
    const answer = await victim.ask('start');
    demand(answer === 'reading', answer);

    const { stdout } = await run('gdb', ['-nx', '-batch', '-p', victim.pid, '-ex', 'thread apply all backtrace']);
    const stack = stdout.split(/^Thread /m).find((part) => /\btake \(/.test(part));
    demand(stack, `no thread is in take():\n${stdout}`);
    demand(/read \(/.test(stack), `what take() called is not in its backtrace:\n${stack}`);
    demand(/\breader \(/.test(stack), `the caller of take() is not in its backtrace:\n${stack}`);
    demand(/start_thread/.test(stack), `the backtrace stops before the thread's start:\n${stack}`);

    const fed = await victim.ask('feed');
    demand(fed === 'got 1 as version 2', `after gdb the program answers: ${fed}`);
}

export const cases = Object.fromEntries(['gcc-O2-pie', 'clang-O2-pie', 'gcc-O0-fixed'].map((configuration) =>
    [`gdb, ${configuration}`, () => backtraceBy(configuration)]));
