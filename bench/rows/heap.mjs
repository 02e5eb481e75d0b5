// What it costs that the engine stands in front of malloc: time of allocations, native and under Molt in turns, and memory of
// a heap of small blocks. And a real program that does little else: python without its own allocator.
import { ask, figure, median, memoryOf, must, Subject } from '../measure.mjs';
import * as molt from '../../tests/system/molt.mjs';
import { run } from '../../tests/system/process.mjs';

export const title = 'the price of an allocation';

const megabytes = 200; // two bytes of shadow for 32 are 6.25 %: the most that a heap can cost
const script = `
import collections
class Node:
    def __init__(self, value, next): self.value, self.next = value, next
for round in range(6):
    head, words = None, collections.defaultdict(list)
    for i in range(60000):
        head = Node(str(i * 7919 % 10007), head)
        words[head.value].append((i, head))
    total = sum(len(each) for each in words.values())
`;

const times = async (program) => JSON.parse(await ask(program, 'measure'));

async function memory(program) {
    const before = memoryOf(program.pid).resident;
    await ask(program, `fill ${megabytes}`);
    return { all: memoryOf(program.pid).resident, grown: memoryOf(program.pid).resident - before };
}

async function python(plain) {
    const args = ['-c', script];
    const options = { env: { ...molt.environment, PYTHONMALLOC: 'malloc' }, timeout: 300000 };
    const result = plain ? await run('python3', args, options) : await molt.call(['run', '--', 'python3', ...args], options);
    return must('python3', result).ms;
}

export async function measure({ rounds = 9 }) {
    const subject = await Subject.build('measured-heap');
    const native = subject.startPlain(), loaded = subject.start();
    const ratios = { pairs: [], few: [], scattered: [], python: [] };
    const added = { pairs: [], few: [], scattered: [] };

    for (let round = 0; round < rounds; round++) {
        const [one, two] = round % 2 ? [loaded, native] : [native, loaded];
        const first = await times(one), second = await times(two);
        const [without, withMolt] = one === native ? [first, second] : [second, first];
        for (const what of Object.keys(added)) {
            ratios[what].push(withMolt[what] / without[what]);
            added[what].push(withMolt[what] - without[what]);
        }
        const order = round % 2 ? [true, false] : [false, true];
        const taken = {};
        for (const plain of order)
            taken[plain] = await python(plain);
        ratios.python.push(taken.false / taken.true);
    }
    const memories = { native: await memory(native), loaded: await memory(loaded) };
    await native.close();
    await loaded.close();
    const detail = (what) => `${median(added[what]).toFixed(1)} ns more`;
    return [
        figure('malloc and free, in the caches', median(ratios.pairs), 'x native', undefined, { detail: detail('pairs') }),
        figure('the same, 8 blocks of 8 sizes', median(ratios.few), 'x native', undefined, { detail: detail('few') }),
        figure('the same, 400 000 blocks at random', median(ratios.scattered), 'x native', undefined,
            { detail: detail('scattered') }),
        figure('python that allocates all it has by malloc', median(ratios.python), 'x native'),
        figure(`memory with ${megabytes} MB of small blocks`, memories.loaded.all / memories.native.all, 'x native', 1.065,
            { detail: `the shadow: ${(100 * (memories.loaded.grown / memories.native.grown - 1)).toFixed(2)} %` }),
    ];
}
