// What the search for stacks that nobody has registered adds to the pause of a program that can switch stacks, by the size of
// its heap; beside it, the same program without the search.
import { ask, figure, median, must, Subject } from '../measure.mjs';
import * as molt from '../../tests/system/molt.mjs';

export const title = 'the search for stacks';

async function pauses(program, patch, rounds, options) {
    const all = [];
    for (let round = 0; round < rounds; round++) {
        const result = must('molt apply', await molt.call(['apply', '--json', ...options, patch, String(program.pid)]));
        all.push(JSON.parse(result.stdout).pause_ms);
        must('molt rollback', await molt.call(['rollback', '--known-stacks', String(program.pid)]));
    }
    return median(all);
}

export async function measure({ rounds = 9 }) {
    const subject = await Subject.build('coroutines-unknown');
    const patch = await subject.patch();
    const program = subject.start();
    const figures = [];

    for (const megabytes of [1, 1023]) {
        await ask(program, `fill ${megabytes}`);
        const searched = await pauses(program, patch, rounds, []);
        const known = await pauses(program, patch, rounds, ['--known-stacks']);
        figures.push(figure(`pause, code only, ${megabytes < 2 ? '1 MB' : '1 GB'} searched for stacks`, searched, 'ms', undefined,
            { detail: `${known.toFixed(2)} ms without the search` }));
    }
    program.child.kill('SIGKILL');
    return figures;
}
