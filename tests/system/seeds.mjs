// What the tests with random programs have in common: their options, and a queue of seeds for several jobs. A seed that fails is
// named, and its files are left.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { buildDirectory } from './molt.mjs';

const shared = {
    count: ['20', 'how many programs'],
    seed: ['1', 'the first one\'s seed; the others follow'],
    jobs: [String(os.availableParallelism?.() ?? os.cpus().length), 'at a time'],
    seconds: ['0', 'begin no other program after this time; 0: never stop'],
    keep: [false, 'leave the files of those that passed, too, in build/TEST/SEED'],
    trace: [false, 'print what programs are told, and what molt is called with and says'],
    cold: [false, 'only build all versions and compare them with the oracle: no Molt'],
};

/** The options of tests/system/NAME/run: those that all have, and OWN, each [default, explanation]; false stands for a flag. */
export function readOptions(name, own) {
    const all = Object.entries({ ...shared, ...own });
    const { values } = parseArgs({ options: Object.fromEntries([['help', { type: 'boolean' }],
        ...all.map(([option, [value]]) => [option, value === false ? { type: 'boolean' } : { type: 'string', default: value }])]) });
    if (values.help) {
        console.log(`usage: tests/system/${name}/run ${all.map(([option, [value]]) => `[--${option}${value === false ? '' : ' N'}]`).join(' ')}`);
        for (const [option, [value, what]] of all)
            console.log(`  --${option.padEnd(15)}${what}${value === false ? '' : ` (${value})`}`);
        process.exit(0);
    }
    return values;
}

/** Calls `play(seed, directory)` for each seed that the options of test NAME want; it answers with what is wrong, or null. */
export async function playSeeds(name, options, play) {
    const started = Date.now(), seeds = Array.from({ length: Number(options.count) }, (_, i) => Number(options.seed) + i);
    const result = { passed: 0, failed: 0 };

    async function job() {
        for (let seed; (seed = seeds.shift()) !== undefined;) {
            if (Number(options.seconds) && Date.now() - started > 1000 * Number(options.seconds))
                return;
            const directory = path.join(buildDirectory, name, String(seed));
            fs.rmSync(directory, { recursive: true, force: true });
            const message = await play(seed, directory);
            result[message ? 'failed' : 'passed']++;
            if (message)
                console.log(`FAILED seed ${seed} ${message}`);
            else if (!options.keep)
                fs.rmSync(directory, { recursive: true, force: true });
        }
    }

    await Promise.all(Array.from({ length: Number(options.jobs) }, job));
    return result;
}

/** Prints what was DONE, by kind, and the result; ends the process with it. */
export function finish(done, { passed, failed }) {
    console.log(Object.entries(done).map(([what, n]) => `${n} ${what}`).join(', '));
    console.log(`${passed} passed, ${failed} failed`);
    process.exit(failed ? 1 : 0);
}
