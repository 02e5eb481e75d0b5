// Many updates in a row on programs that are busy with what makes updates hard.

import * as molt from '../molt.mjs';
import { demand, Victim } from './victim.mjs';

/** Updates fixture NAME there and back ROUNDS times; ASK after each answers OLD or NEW. */
async function soak(name, start, question, [old, updated], rounds = 25) {
    const victim = await Victim.create(name);
    if (start)
        await victim.ask(start);
    const file = await victim.patch();
    for (let round = 0; round < rounds; round++) {
        const applied = await victim.apply(file);
        demand(applied.status === 0, `update ${round}: ${applied.output.trim()}`);
        const now = await victim.ask(question);
        demand(now === updated, `after update ${round}: "${now}"`);
        const back = await molt.call(['rollback', victim.pid]);
        demand(back.status === 0, `rollback ${round}: ${back.output.trim()}`);
        const before = await victim.ask(question);
        demand(before === old, `after rollback ${round}: "${before}"`);
    }
    const { status, signal } = await victim.program.close();
    demand(status === 0, `the program ended with ${signal ?? status}: ${victim.program.stderr}`);
}

export const cases = {
    'soak, 100 threads': () => soak('threads-100', 'start', 'versions', ['only 1', 'only 2']),
    'soak, threads come and go': () => soak('threads-churn', 'start', 'call',
        ['version 1, threads ok', 'version 2, threads ok']),
    'soak, children come and go': () => soak('fork-churn', 'start', 'call',
        ['version 1, children ok', 'version 2, children ok']),
    'soak, storm of signals': () => soak('signals-blocked', 'storm', 'call',
        ['version 1, mask kept', 'version 2, mask kept']),
    'soak, blocking calls': () => soak('blocking-calls', 'start', 'call',
        ['version 1, 0 interrupted, 8 blocked', 'version 2, 0 interrupted, 8 blocked']),
    'soak, recursion': () => soak('recursion', null, 'call', ['fib 832040, even 1', 'fib 2692537, even -1']),
};
