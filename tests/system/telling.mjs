// Plays a fixture's story with the real program, and says what went otherwise.

import fs from 'node:fs';
import path from 'node:path';
import { build } from './build.mjs';
import * as molt from './molt.mjs';
import { Talker } from './process.mjs';

class Difference extends Error {}

function demand(condition, message) {
    if (!condition)
        throw new Difference(message);
}

function demandResult(what, result, status, words = []) {
    const shown = result.output.trim() || '(no output)';
    demand(result.status === status, `${what}: exit status ${result.status ?? result.signal}, not ${status}: ${shown}`);
    demand(!result.output.includes('\x1b'), `${what}: escape sequences, and nobody looks at a terminal: ${JSON.stringify(shown)}`);
    for (const word of words)
        demand(result.output.includes(word), `${what}: does not name "${word}": ${shown}`);
}

/** One program under Molt, with its chain of patches. */
class Telling {
    constructor(fixture, trees, directory, configuration) {
        Object.assign(this, { fixture, trees, directory, configuration });
        this.applied = []; /* { version, file } */
    }

    get version() {
        return this.applied.at(-1)?.version ?? 'v1';
    }

    async start() {
        const file = await build(this.fixture, this.trees('v1'), this.directory, this.configuration);
        this.program = molt.program(file);
    }

    /** Makes the patch from where the program is to VERSION, over the versions VIA. Returns the file and the result of `molt diff`. */
    async diff(version, via = []) {
        const file = path.join(this.directory, `${this.version}-${version}.molt`);
        fs.rmSync(file, { force: true });
        const result = await molt.diff(this.directory, this.trees(this.version), this.trees(version), file,
            this.applied.map((one) => one.file), via.map((one) => this.trees(one)));
        return { file, result };
    }

    async patch(version, via = []) {
        const { file, result } = await this.diff(version, via);
        demandResult('molt diff', result, 0);
        this.made = result.output;
        return file;
    }

    /** That OUTPUT has a warning with the words of STEP, or none if it begins with "un". */
    demandWarning(step, output) {
        const lines = output.split('\n').filter((line) => line.includes('warning'));
        const found = lines.some((line) => step.words.every((word) => line.includes(word)));
        demand(found !== step.kind.startsWith('un'), `${step.kind} of "${step.words.join(' ')}": ${output}`);
    }

    /** Programs of clang are rehearsed with: a rehearsal looks for addresses of old blocks by rules of its own. */
    rehearsed() {
        return this.configuration.startsWith('clang') ? ['--rehearse'] : [];
    }

    async step(step) {
        const pid = String(this.program.pid);
        switch (step.kind) {
        case 'say':
            this.program.say(step.text);
            break;
        case 'expect': {
            const line = await this.program.line();
            demand(line === step.text, `${this.version} answers "${line}", not "${step.text}"`);
            break;
        }
        case 'update': {
            const file = await this.patch(step.version, step.via);
            this.last = await molt.call(['apply', ...this.rehearsed(), file, pid]);
            demandResult('molt apply', this.last, 0, ['updated', ...step.words ?? []]);
            demand(!molt.tellsOfLeftovers(this.last.output) || this.fixture.steps.some((one) => one.kind === 'warned' && one.words.includes('lead')),
                `old blocks are led to: ${this.last.output}`);
            this.applied.push({ version: step.version, file });
            break;
        }
        case 'update or refused': {
            const { file, result: made } = await this.diff(step.version);
            const result = made.status === 0 ? await molt.call(['apply', file, pid]) : made;
            if (result.status === 2) {
                demandResult(made.status === 0 ? 'molt apply' : 'molt diff', result, 2, step.words);
                this.over = true;
            } else {
                demandResult('molt apply', result, 0, ['updated']);
                this.applied.push({ version: step.version, file });
            }
            break;
        }
        case 'update begin': {
            const file = await this.patch(step.version);
            this.pending = { version: step.version, file, ...molt.start(['apply', '--strict', '--timeout', '15', file, pid]) };
            await new Promise((resolve) => {
                const timer = setTimeout(resolve, 500);
                this.pending.child.stderr.once('data', () => {
                    clearTimeout(timer);
                    resolve();
                });
            });
            break;
        }
        case 'update end': {
            const { version, file, ended } = this.pending;
            demandResult('molt apply', await ended, 0, ['updated']);
            this.applied.push({ version, file });
            break;
        }
        case 'update fails': {
            const file = await this.patch(step.version);
            demandResult('molt apply', await molt.call(['apply', '--timeout', '1', file, pid]), step.status, step.words);
            break;
        }
        case 'diff fails': {
            const { file, result } = await this.diff(step.version, step.via);
            demandResult('molt diff', result, step.status, step.words);
            demand(!fs.existsSync(file), 'molt diff: leaves a patch behind though it failed');
            break;
        }
        case 'nothing': {
            const file = await this.patch(step.version);
            demandResult('molt apply', await molt.call(['apply', file, pid]), 0, ['nothing to update']);
            this.applied.push({ version: step.version, file, nothing: true }); /* the next patch may be made after it */
            break;
        }
        case 'rollback':
            this.last = await molt.call(['rollback', pid]);
            demandResult('molt rollback', this.last, 0);
            while (this.applied.pop()?.nothing);
            break;
        case 'instances': {
            const result = await molt.call(['instances', '--json', '--values', '--limit', '1000', '-p', this.directory, '--root', this.trees('v1'),
                '--from', this.trees(this.version), ...this.applied.flatMap((one) => ['--after', one.file]),
                step.type, pid]);
            demandResult('molt instances', result, 0);
            const count = JSON.parse(result.stdout).types.reduce((sum, type) => sum + type.count, 0);
            const shown = JSON.parse(result.stdout).instances;
            demand(shown.length === count && shown.every((one) => one.values.length), `${count} counted, ${shown.length} shown: ${result.stdout}`);
            demand(count === step.count, `${this.version} has ${count} instances of ${step.type}, not ${step.count}: ${result.stdout}`);
            break;
        }
        case 'transferred': {
            const found = Number(this.last.output.match(/(\d+) suspended functions? taken over/)?.[1] ?? 0);
            demand(found === step.count, `${found} functions taken over, not ${step.count}: ${this.last.output}`);
            break;
        }
        case 'doctor': {
            const result = await molt.call(['doctor', '-p', this.directory, '--root', this.trees('v1'), pid]);
            demandResult('molt doctor', result, 0);
            demand(result.output.split('\n').some((line) => step.words.every((word) => line.includes(word))),
                `doctor does not say "${step.words.join(' ')}": ${result.output}`);
            break;
        }
        case 'warned':
        case 'unwarned':
            this.demandWarning(step, this.last.output);
            break;
        case 'made':
        case 'unmade':
            this.demandWarning(step, this.made);
            break;
        }
    }

    async end() {
        const { status, signal } = await this.program.close();
        demand(status === 0, `the program ended with ${signal ?? `status ${status}`}: ${this.program.stderr}`);
        demand(!this.program.stderr, `the program's stderr has: ${this.program.stderr}`);
    }
}

/** Returns null if the story of FIXTURE goes as it should, or a message. */
export async function tell(fixture, trees, directory, configuration) {
    const telling = new Telling(fixture, trees, directory, configuration);
    try {
        await telling.start();
        for (const step of fixture.steps)
            if (!telling.over)
                await telling.step(step);
        await telling.end();
        return null;
    } catch (error) {
        return error instanceof Difference ? error.message : String(error.message ?? error);
    } finally {
        telling.pending?.child.kill('SIGKILL');
        telling.program?.child.kill('SIGKILL');
    }
}

const changesVersion = { 'update': true, 'update or refused': true, 'update end': true, 'rollback': true };

/**
 * Checks the story against programs that were built from their version and started cold, without Molt: what
 * stands before the first update is what v1 says; what stands after it is what the next version says, where state does not matter
 * or that is fed the same.
 */
export async function tellCold(fixture, trees, directory, configuration) {
    const first = fixture.steps.findIndex((step) => changesVersion[step.kind]);
    const next = fixture.steps.findIndex((step, i) => i > first && changesVersion[step.kind]);
    const parts = { v1: fixture.steps.slice(0, first < 0 ? undefined : first) };
    if (fixture.cold !== 'no' && first >= 0)
        parts[fixture.steps[first].version ?? 'v2'] = fixture.steps.slice(fixture.cold === 'fed' ? 0 : first + 1, next < 0 ? undefined : next);

    for (const version of fixture.versions.filter((one) => one !== fixture.broken)) {
        let program;
        try {
            const file = await build(fixture, trees(version), path.join(directory, version), configuration);
            program = new Talker(file, []);
            for (const step of parts[version] ?? []) {
                if (step.kind === 'say')
                    program.say(step.text);
                if (step.kind !== 'expect')
                    continue;
                const line = await program.line();
                demand(line === step.text, `${version} started cold answers "${line}", not "${step.text}"`);
            }
        } catch (error) {
            return error.message;
        } finally {
            program?.child.kill('SIGKILL');
        }
    }
    return null;
}
