// Random programs, updated through a random sequence of type changes: after each update the whole graph of instances is
// compared with that of the new version, started cold and told the same. A run is told by its seed.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { build, everyConfiguration } from '../build.mjs';
import * as molt from '../molt.mjs';
import { Talker } from '../process.mjs';
import { root } from '../story.mjs';
import { generate, random, sources } from './generate.mjs';

const usage = `usage: tests/system/random/run [--count N] [--seed S] [--versions N] [--keep] [--cold]
  --count     how many programs (20)
  --seed      the first one's seed (1); the others follow
  --versions  of each program (3)
  --keep      leave the files of those that passed, too
  --cold      only build the versions and let the cold ones talk: no Molt`;

const { values: options } = parseArgs({ options: {
    count: { type: 'string', default: '20' }, seed: { type: 'string', default: '1' },
    versions: { type: 'string', default: '3' }, keep: { type: 'boolean' }, cold: { type: 'boolean' }, help: { type: 'boolean' },
} });
if (options.help) {
    console.log(usage);
    process.exit(0);
}

const versionCount = Number(options.versions);
const ask = async (program, line) => {
    program.say(line);
    return program.line();
};
const fixture = { libraries: [], plugins: [], flags: ['-Wno-format-truncation'], link: [] };

/** What is said while version NUMBER runs; the lines that are answered are compared. */
function conversation(program, number) {
    const lines = number === 1 ? [`make ${program.nodes}`, 'mutate 1 1'] : [`make ${1 + program.nodes % 5}`, `mutate ${number} ${number * 17}`];
    return { first: number === 1 ? [] : ['dump'], lines };
}

function write(program, directory) {
    const trees = program.versions.map((version) => {
        const tree = path.join(directory, `v${version.version}`);
        fs.cpSync(path.join(root, 'fixtures/common'), tree, { recursive: true });
        for (const [name, text] of Object.entries(sources(program, version)))
            fs.writeFileSync(path.join(tree, name), text);
        return tree;
    });
    return (number) => trees[number - 1];
}

/** The version started cold, told all that was said up to it. */
async function coldStart(program, trees, directory, configuration, number) {
    const talker = new Talker(await build(fixture, trees(number), path.join(directory, `cold${number}`), configuration), []);
    for (let version = 1; version < number; version++)
        conversation(program, version).lines.forEach((line) => talker.say(line));
    return talker;
}

async function compare(talker, cold, when) {
    const [is, must] = [await ask(talker, 'dump'), await ask(cold, 'dump')];
    if (is === must)
        return;
    const [shown, wanted] = [await ask(talker, 'show'), await ask(cold, 'show')];
    const a = shown.split(' '), b = wanted.split(' ');
    const at = b.findIndex((word, i) => i > 0 && word !== a[i]);
    throw new Error(`${when}: "... ${a.slice(Math.max(0, at - 4), at + 3).join(' ')}" must be "... ${b.slice(Math.max(0, at - 4), at + 3).join(' ')}"`);
}

async function play(seed, directory) {
    const r = random(seed ^ 0x5bd1e995);
    const configuration = r.pick(everyConfiguration);
    const program = generate(seed, versionCount);
    const trees = write(program, directory);
    const built = path.join(directory, 'build'), applied = [];
    const file = await build(fixture, trees(1), built, configuration);
    const talker = options.cold ? null : molt.program(file);
    let cold;
    try {
        for (let number = 1; number <= versionCount; number++) {
            if (number > 1 && talker) {
                const patch = path.join(directory, `v${number}.molt`);
                const made = await molt.diff(built, trees(number - 1), trees(number), patch, applied);
                if (made.status !== 0)
                    throw new Error(`molt diff to v${number}: ${made.status}: ${made.output.trim()}`);
                const result = await molt.call(['apply', patch, String(talker.pid)]);
                if (result.status !== 0)
                    throw new Error(`molt apply of v${number}: ${result.status}: ${result.output.trim()}`);
                applied.push(patch);
            }
            cold = await coldStart(program, trees, directory, configuration, number);
            for (const line of conversation(program, number).first)
                await compare(talker ?? cold, cold, `v${number}, right after the update`, line);
            for (const line of conversation(program, number).lines) {
                talker?.say(line);
                cold.say(line);
                await compare(talker ?? cold, cold, `v${number}, after "${line}"`);
            }
            cold.child.kill('SIGKILL');
        }
    } catch (error) {
        return `${configuration}: ${error.message}`;
    } finally {
        talker?.child.kill('SIGKILL');
        cold?.child.kill('SIGKILL');
    }
    return null;
}

const work = path.join(molt.buildDirectory, 'random');
const queue = Array.from({ length: Number(options.count) }, (_, i) => Number(options.seed) + i);
let passed = 0, failed = 0;

async function worker() {
    for (let seed; (seed = queue.shift()) !== undefined;) {
        const directory = path.join(work, String(seed));
        fs.rmSync(directory, { recursive: true, force: true });
        const message = await play(seed, directory).catch((error) => error.message);
        if (message) {
            failed++;
            console.log(`FAILED seed ${seed} ${message}`);
            continue;
        }
        passed++;
        if (!options.keep)
            fs.rmSync(directory, { recursive: true, force: true });
    }
}

await Promise.all(Array.from({ length: os.availableParallelism?.() ?? os.cpus().length }, worker));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
