// How long the program stands still for the commit, while four threads compute.
import { apply, ask, figure, median, quantile, rollback, Subject } from '../measure.mjs';

export const title = 'pause with 4 busy threads';

export async function measure({ rounds = 50 }) {
    const subject = await Subject.build('many-threads');
    const patch = await subject.patch();
    const program = subject.start();
    const pauses = [];

    await ask(program, 'busy 4');
    for (let i = 0; i < rounds; i++) {
        pauses.push((await apply(patch, program)).pause_ms);
        await rollback(program);
    }
    program.child.kill('SIGKILL');
    return [figure('pause, code only, 4 busy threads', median(pauses), 'ms', 0.2,
        { detail: `p90 ${quantile(pauses, 0.9).toFixed(3)} ms` })];
}
