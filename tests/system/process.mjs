// Child processes: commands that end, and programs that are talked to.

import { spawn } from 'node:child_process';

const patience = Number(process.env.MOLT_TEST_PATIENCE ?? 20) * 1000;

/** Runs a command to its end. Resolves to { status, signal, stdout, stderr, output, ms }; never rejects. */
export function run(command, args, options = {}) {
    return begin(command, args, options).ended;
}

/** Starts a command. Returns { child, ended }: `ended` resolves as the result of run(). */
export function begin(command, args, options = {}) {
    const started = process.hrtime.bigint();
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    const result = { stdout: '', stderr: '', output: '' };
    for (const name of ['stdout', 'stderr'])
        child[name].setEncoding('utf8').on('data', (text) => {
            result[name] += text;
            result.output += text;
        });
    const ended = new Promise((resolve) => {
        const timer = setTimeout(() => child.kill('SIGKILL'), options.timeout ?? 3 * patience);
        const end = (status, signal) => {
            clearTimeout(timer);
            resolve({ ...result, status, signal, ms: Number(process.hrtime.bigint() - started) / 1e6 });
        };
        child.on('error', (error) => {
            result.output += error.message;
            end(-1, null);
        });
        child.on('close', end);
    });
    return { child, ended };
}

/** A program that answers lines with lines. */
export class Talker {
    #lines = [];
    #rest = '';
    #waiting = null;

    constructor(command, args, options = {}) {
        this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
        this.stderr = '';
        this.child.stdin.on('error', () => {});
        this.child.stdout.setEncoding('utf8').on('data', (text) => this.#take(text));
        this.child.stderr.setEncoding('utf8').on('data', (text) => { this.stderr += text; });
        this.ended = new Promise((resolve) => {
            this.child.on('error', (error) => resolve({ status: -1, signal: error.message }));
            this.child.on('close', (status, signal) => resolve({ status, signal }));
        });
        this.ended.then((end) => {
            this.end = end;
            this.#waiting?.(null);
        });
    }

    get pid() {
        return this.child.pid;
    }

    #take(text) {
        const lines = (this.#rest + text).split('\n');
        this.#rest = lines.pop();
        this.#lines.push(...lines);
        if (this.#lines.length)
            this.#waiting?.(this.#lines.shift());
    }

    say(line) {
        this.child.stdin.write(`${line}\n`);
    }

    /** The next line of output; throws when the program ends or is silent for too long. */
    async line() {
        if (this.#lines.length)
            return this.#lines.shift();
        let timer;
        const line = this.end ? null : await new Promise((resolve) => {
            this.#waiting = resolve;
            timer = setTimeout(() => resolve(undefined), patience);
        });
        clearTimeout(timer);
        this.#waiting = null;
        if (line === undefined)
            throw new Error('the program does not answer');
        if (line === null)
            throw new Error(`the program ended: ${this.end.signal ?? `status ${this.end.status}`} ${this.stderr}`);
        return line;
    }

    /** Ends the input and waits for the end. Resolves to { status, signal }. */
    async close() {
        this.child.stdin.end();
        const timer = setTimeout(() => this.child.kill('SIGKILL'), patience);
        const end = await this.ended;
        clearTimeout(timer);
        return end;
    }
}
