// Plays the stories of all fixtures in all configurations, several at a time, and closes with the counts.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { everyConfiguration, usualConfigurations } from './build.mjs';
import { isBuilt, buildDirectory } from './molt.mjs';
import { load, names, writeTrees } from './story.mjs';
import { tell, tellCold } from './telling.mjs';

const usage = `usage: tests/system/run [--all] [--cold] [--keep] [--jobs N] [--configurations A,B] [FIXTURE...]
  --all             every compiler, level and kind of program, not only the usual ones
  --cold            only check the fixtures themselves: each version built and started without Molt
  --keep            leave sources, builds and patches of the fixtures that passed, too
  --configurations  only these, such as gcc-O2-pie,clang-O0-fixed`;

function parse() {
    try {
        return parseArgs({ allowPositionals: true, options: {
            all: { type: 'boolean' }, cold: { type: 'boolean' }, keep: { type: 'boolean' },
            jobs: { type: 'string' }, configurations: { type: 'string' }, help: { type: 'boolean' },
        } });
    } catch (error) {
        console.error(`${error.message}\n${usage}`);
        process.exit(1);
    }
}

const { values: options, positionals } = parse();
if (options.help) {
    console.log(usage);
    process.exit(0);
}
if (!options.cold && !isBuilt()) {
    console.error(`${buildDirectory} has no molt: build it first`);
    process.exit(1);
}

const work = path.join(buildDirectory, 'system');
const configurations = options.configurations?.split(',') ?? (options.all ? everyConfiguration : usualConfigurations);
const chosen = positionals.length ? positionals : names();
const queue = chosen.flatMap((name) => {
    const fixture = load(name);
    const trees = writeTrees(fixture, path.join(work, name));
    const [play, suffix] = options.cold ? [tellCold, '-cold'] : [tell, ''];
    return configurations.map((configuration) =>
        ({ fixture, trees, configuration, play, directory: path.join(work, name, configuration + suffix) }));
});

let passed = 0, failed = 0;
async function worker() {
    for (let task; (task = queue.shift());) {
        const { fixture, trees, configuration, play, directory } = task;
        fs.rmSync(directory, { recursive: true, force: true });
        const message = await play(fixture, trees, directory, configuration);
        if (message) {
            failed++;
            console.log(`FAILED ${fixture.name} ${configuration}: ${message}`);
            continue;
        }
        passed++;
        if (!options.keep)
            fs.rmSync(directory, { recursive: true, force: true });
    }
}

await Promise.all(Array.from({ length: Number(options.jobs ?? os.availableParallelism?.() ?? os.cpus().length) }, worker));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
