// The price of a call, native, in a program under Molt, and after the called function was patched. Native and
// updated program take turns, so that what else the machine does falls on both.
import { apply, ask, figure, median, Subject } from '../measure.mjs';

export const title = 'price of a call';

const calls = async (program) => JSON.parse(await ask(program, 'measure'));

export async function measure({ rounds = 7 }) {
    const subject = await Subject.build('measured-calls');
    const programs = { native: subject.startPlain(), cold: await subject.startCold('v2'), molt: subject.start() };
    const before = [], never = [], patched = [], fib = [];

    for (let i = 0; i < rounds; i++) {
        const native = await calls(programs.native);
        before.push((await calls(programs.molt)).patched / native.patched);
    }
    await apply(await subject.patch(), programs.molt);
    for (let i = 0; i < rounds; i++) {
        const cold = await calls(programs.cold), now = await calls(programs.molt);
        never.push(now.never_patched / cold.never_patched);
        patched.push(now.patched / cold.patched);
        fib.push(now.fib / cold.fib);
    }
    for (const program of Object.values(programs))
        await program.close();
    return [
        figure('call before any update', median(before), 'x native', 1.005),
        figure('call of a function never patched, after an update', median(never), 'x native', 1.005),
        figure('call of a patched function', median(patched), 'x native', 1.02),
        figure('recursive fib, patched', median(fib), 'x native', 1.02),
    ];
}
