// What the rows of the benchmark share: statistics, and small programs under Molt.

import fs from 'node:fs';
import path from 'node:path';
import { build } from '../tests/system/build.mjs';
import * as molt from '../tests/system/molt.mjs';
import { Talker } from '../tests/system/process.mjs';
import { load, writeTrees } from '../tests/system/story.mjs';

export const work = path.join(molt.buildDirectory, 'bench-work');
export const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export function quantile(values, q) {
    const sorted = [...values].sort((a, b) => a - b);
    const at = (sorted.length - 1) * q, below = Math.floor(at);
    return sorted[below] + (sorted[Math.ceil(at)] - sorted[below]) * (at - below);
}

export const median = (values) => quantile(values, 0.5);

export function must(what, result) {
    if (result.status !== 0)
        throw new Error(`${what}: exit status ${result.status ?? result.signal}: ${result.output.trim()}`);
    return result;
}

/** A program from fixtures/, built as a release is: gcc -O2, position independent. */
export class Subject {
    static async build(name, configuration = 'gcc-O2-pie') {
        const subject = new Subject();
        const fixture = load(name);
        subject.directory = path.join(work, name, configuration);
        subject.trees = writeTrees(fixture, path.join(work, name));
        fs.rmSync(subject.directory, { recursive: true, force: true });
        subject.file = await build(fixture, subject.trees('v1'), subject.directory, configuration);
        subject.fixture = fixture;
        subject.configuration = configuration;
        return subject;
    }

    /** The patch from v1 to v2, made once. Resolves to its path. */
    async patch() {
        const file = path.join(this.directory, 'v2.molt');
        if (!fs.existsSync(file))
            must('molt diff', await molt.diff(this.directory, this.trees('v1'), this.trees('v2'), file));
        return file;
    }

    start() {
        return molt.program(this.file);
    }

    startPlain() {
        return new Talker(this.file, []);
    }

    /** The program of another version, started without Molt. */
    async startCold(version) {
        const directory = `${this.directory}-${version}`;
        return new Talker(await build(this.fixture, this.trees(version), directory, this.configuration), []);
    }
}

/** Says LINE to a program and resolves to its answer. */
export async function ask(program, line) {
    program.say(line);
    return program.line();
}

/** Applies FILE; resolves to the result object with `command_ms`, the time of the whole command, added. */
export async function apply(file, program) {
    const result = must('molt apply', await molt.call(['apply', '--json', file, String(program.pid)]));
    return { ...JSON.parse(result.stdout), command_ms: result.ms };
}

export async function rollback(program) {
    const result = must('molt rollback', await molt.call(['rollback', '--json', String(program.pid)]));
    return { ...JSON.parse(result.stdout), command_ms: result.ms };
}

/** Resident kB of process PID, and its number of mappings. */
export function memoryOf(pid) {
    const rollup = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return {
        resident: Number(rollup.match(/^Rss:\s+(\d+)/m)[1]),
        private: Number(rollup.match(/^Private_Dirty:\s+(\d+)/m)[1]),
        mappings: fs.readFileSync(`/proc/${pid}/maps`, 'utf8').trim().split('\n').length,
    };
}

/** One line of the result: VALUE must be at most BUDGET (or at least, with { atLeast: true }). */
export function figure(what, value, unit, budget, { atLeast = false, detail = '' } = {}) {
    const held = budget === undefined || (atLeast ? value >= budget : value <= budget);
    return { what, value, unit, budget, atLeast, held, detail };
}
