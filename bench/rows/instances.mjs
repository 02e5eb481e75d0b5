// Live instances of 64 bytes migrated, in place and moved, from one to ten million of them (figure 13 of the gDSU
// paper): how long the program stands still, against a memcpy of the same bytes in the same program; what it takes
// in memory; and the same beside a heap of a gigabyte full of pointers that the update does not concern.
import fs from 'node:fs';
import path from 'node:path';
import * as molt from '../../tests/system/molt.mjs';
import { root } from '../../tests/system/story.mjs';
import { apply, ask, figure, median, memoryOf, must, Subject } from '../measure.mjs';
import { plot } from '../plot.mjs';

export const title = 'instances migrated';

const size = 64;
const kinds = { 'in place': 'v2', moved: 'v3' };
const budgets = { 'in place': { 100_000: 3, 10_000_000: 150 }, moved: { 100_000: 5 } };

async function patches(subject) {
    const made = {};
    for (const [kind, version] of Object.entries(kinds)) {
        made[kind] = path.join(subject.directory, `${version}.molt`);
        must('molt diff', await molt.diff(subject.directory, subject.trees('v1'), subject.trees(version), made[kind]));
    }
    return made;
}

/** One program with COUNT instances, updated once. */
async function once(subject, patch, count, bytes = 0) {
    const program = subject.start();
    try {
        program.say(`fill ${count}`);
        if (bytes)
            program.say(`bytes ${bytes}`);
        const before = await ask(program, 'sum');
        const copy = Number(await ask(program, `copy ${count * size}`));
        const { resident } = memoryOf(program.pid);
        const result = await apply(patch, program);
        const after = await ask(program, 'sum');
        if (before !== after || result.instances !== count)
            throw new Error(`${count} instances summed up to ${before}, now ${result.instances} to ${after}`);
        return { pause: result.pause_ms, total: result.total_ms, copy, moved: result.moved,
            grown: (memoryOf(program.pid).resident - resident) / 1024 };
    } finally {
        program.child.kill('SIGKILL');
    }
}

async function several(subject, patch, count, rounds, bytes) {
    const runs = [];
    for (let i = 0; i < rounds; i++)
        runs.push(await once(subject, patch, count, bytes));
    const of = (name) => median(runs.map((run) => run[name]));
    return { count, pause: of('pause'), total: of('total'), copy: of('copy'), grown: of('grown'),
        ratio: median(runs.map((run) => run.pause / run.copy)) };
}

const word = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ' ');

function figuresOf(kind, at) {
    const detail = `memcpy ${at.copy.toFixed(2)} ms, whole update ${at.total.toFixed(0)} ms, resident +${at.grown.toFixed(0)} MB`;
    const figures = [figure(`pause, ${word(at.count)} instances ${kind}`, at.pause, 'ms', budgets[kind][at.count], { detail })];
    const budget = kind === 'in place' && at.count >= 10_000_000 ? 3 : undefined;
    return [...figures, figure(`pause, ${word(at.count)} instances ${kind}, over a memcpy`, at.ratio, 'x', budget)];
}

export async function measure({ rounds = 5, most = rounds < 5 ? 100_000 : 10_000_000 }) {
    const subject = await Subject.build('measured-instances');
    const patch = await patches(subject);
    const figures = { 'in place': [], moved: [] }, lines = { 'memcpy of the same bytes': [], 'in place': [], moved: [] };
    // The largest last: for some seconds after a program of gigabytes is gone, pauses take longer.
    for (let count = 1; count <= most; count *= 10) {
        for (const kind of Object.keys(kinds)) {
            const at = await several(subject, patch[kind], count, count < 1_000_000 ? rounds : Math.min(rounds, 3));
            lines[kind].push([count, at.pause]);
            if (kind === 'in place')
                lines['memcpy of the same bytes'].push([count, Math.max(at.copy, 0.001)]); // as exact as it is told
            if (count >= 100_000)
                figures[kind].push(...figuresOf(kind, at));
        }
    }
    const others = [];
    if (rounds >= 5) {
        const heap = await several(subject, patch.moved, 1000, 3, 1 << 30);
        others.push(figure('pause, 1000 instances moved, 1 GB of other pointers to look through', heap.pause, 'ms'));
        fs.writeFileSync(path.join(root, 'docs/instances.svg'), plot({ title: 'Pause by number of instances of 64 bytes',
            x: 'instances', y: 'milliseconds', lines }));
    }
    return [...figures['in place'], ...figures.moved, ...others];
}
