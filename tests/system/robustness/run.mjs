// Runs the cases of robustness: bad patches, wrong builds, clients that die, a debugger.

import { Victim } from './victim.mjs';
import * as allocators from './allocators.mjs';
import * as builds from './builds.mjs';
import * as clients from './clients.mjs';
import * as debuggers from './debuggers.mjs';
import * as patches from './patches.mjs';
import * as processes from './processes.mjs';
import * as rehearsal from './rehearsal.mjs';
import * as soak from './soak.mjs';

const wanted = process.argv.slice(2);
const cases = [patches, builds, clients, debuggers, processes, allocators, rehearsal, soak].flatMap((module) => Object.entries(module.cases))
    .filter(([name]) => !wanted.length || wanted.some((part) => name.includes(part)));
let passed = 0, failed = 0;

for (const [name, play] of cases)
    try {
        const started = Date.now();
        await play();
        passed++;
        console.log(`${name}: ${Date.now() - started} ms`);
    } catch (error) {
        failed++;
        console.log(`FAILED ${name}: ${error.message}`);
    } finally {
        Victim.endAll();
    }
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
