// A small program under Molt that has to survive what a case does to it.

import fs from 'node:fs';
import path from 'node:path';
import { build } from '../build.mjs';
import * as molt from '../molt.mjs';
import { load, writeTrees } from '../story.mjs';
import { differences, snapshot } from './memory.mjs';

export function demand(condition, message) {
    if (!condition)
        throw new Error(message);
}

/** RESULT must have ended with one of the STATUSES and say so in one line that names WORDS. */
export function demandRefusal(what, result, statuses, words = []) {
    const lines = result.output.trim().split('\n');
    const shown = result.output.trim() || '(no output)';
    demand(statuses.includes(result.status),
        `${what}: exit status ${result.status ?? result.signal}, not ${statuses.join(' or ')}: ${shown}`);
    demand(result.output.trim() !== '', `${what}: says nothing`);
    demand(lines.length === 1, `${what}: more than one line: ${shown}`);
    for (const word of words)
        demand(result.output.includes(word), `${what}: does not name "${word}": ${shown}`);
}

const work = path.join(molt.buildDirectory, 'robustness');

export class Victim {
    static #all = [];

    /** Builds and starts fixture NAME (without starting it: { start: false }). */
    static async create(name, { configuration = 'gcc-O2-pie', start = true } = {}) {
        const victim = new Victim();
        victim.fixture = load(name);
        victim.trees = writeTrees(victim.fixture, path.join(work, name));
        victim.directory = path.join(work, name, configuration);
        fs.rmSync(victim.directory, { recursive: true, force: true });
        victim.file = await build(victim.fixture, victim.trees('v1'), victim.directory, configuration);
        if (start)
            victim.start();
        return victim;
    }

    static endAll() {
        for (const program of Victim.#all.splice(0))
            program.child.kill('SIGKILL');
    }

    /** Starts a process; with several, `program` is the last. */
    start(file = this.file) {
        /* No restartable sequences: memory.mjs says why. */
        this.program = molt.program(file, [], { env: { ...molt.environment, GLIBC_TUNABLES: 'glibc.pthread.rseq=0' } });
        Victim.#all.push(this.program);
        return this.program;
    }

    get pid() {
        return String(this.program.pid);
    }

    async ask(line) {
        this.program.say(line);
        return this.program.line();
    }

    diff(file, { from = 'v1', to = 'v2' } = {}) {
        return molt.diff(this.directory, this.trees(from), this.trees(to), file);
    }

    /** The patch from v1 to v2. */
    async patch() {
        const file = path.join(this.directory, 'v2.molt');
        if (!fs.existsSync(file)) {
            const result = await this.diff(file);
            demand(result.status === 0, `molt diff: ${result.output}`);
        }
        return file;
    }

    apply(file, ...options) {
        return molt.call(['apply', ...options, file, this.pid]);
    }

    /** Plays ATTEMPT; afterwards all of the program's own memory must be as before. */
    async unchangedBy(what, attempt) {
        const before = await snapshot(this.pid);
        const result = await attempt();
        const changed = differences(before, await snapshot(this.pid));
        demand(changed.length === 0, `${what}: memory of the program changed: ${changed.join(', ')}`);
        return result;
    }

    /** The update works, and goes back: the program and its engine are as good as ever. */
    async demandHealthy(oldAnswer, newAnswer, line = 'call') {
        const file = await this.patch();
        const applied = await this.apply(file);
        demand(applied.status === 0, `a good update afterwards: ${applied.output.trim()}`);
        const updated = await this.ask(line);
        demand(updated === newAnswer, `after a good update: "${updated}"`);
        const back = await molt.call(['rollback', this.pid]);
        demand(back.status === 0, `a rollback afterwards: ${back.output.trim()}`);
        const old = await this.ask(line);
        demand(old === oldAnswer, `after the rollback: "${old}"`);
    }
}
