// `molt apply` of a patch of code only, as a whole command: process start, connection, prepare, commit.
import { apply, ask, figure, median, quantile, rollback, Subject } from '../measure.mjs';

export const title = 'molt apply, the whole command';

export async function measure({ rounds = 50 }) {
    const subject = await Subject.build('body');
    const patch = await subject.patch();
    const program = subject.start();
    const times = [], inside = [];

    await ask(program, 'call');
    for (let i = 0; i < rounds; i++) {
        const result = await apply(patch, program);
        times.push(result.command_ms);
        inside.push(result.total_ms);
        await rollback(program);
    }
    await program.close();
    return [figure('molt apply, code only, whole command', median(times), 'ms', 5,
        { detail: `p90 ${quantile(times, 0.9).toFixed(2)} ms, of it in the program ${median(inside).toFixed(2)} ms` })];
}
