// How long it takes to stop all threads and to find that none is in the way.
import { apply, ask, figure, median, quantile, rollback, Subject } from '../measure.mjs';

export const title = 'time to a safe point';

async function withThreads(subject, threads, rounds) {
    const patch = await subject.patch();
    const program = subject.start();
    const waits = [];

    if (threads > 1)
        await ask(program, `idle ${threads - 1}`);
    await ask(program, 'call');
    for (let i = 0; i < rounds; i++) {
        waits.push((await apply(patch, program)).waited_ms);
        await rollback(program);
    }
    await program.close();
    return figure(`safe point, ${threads} thread${threads > 1 ? 's' : ''}`, median(waits), 'ms', 2,
        { detail: `p90 ${quantile(waits, 0.9).toFixed(3)} ms` });
}

export async function measure({ rounds = 30 }) {
    const subject = await Subject.build('many-threads');
    const figures = [];
    for (const threads of [1, 10, 100])
        figures.push(await withThreads(subject, threads, rounds));
    return figures;
}
