// The molt command, as the tests call it.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { begin, run, Talker } from './process.mjs';
import { root } from './story.mjs';

export const buildDirectory = path.resolve(root, process.env.MOLT_BUILD ?? 'build');
const molt = path.join(buildDirectory, 'cli/molt');

// Sockets of the tests' programs stay apart from those of anybody else here. A short path: it is a socket's.
const runtime = fs.mkdtempSync(path.join(os.tmpdir(), 'molt-test-'));
process.on('exit', () => fs.rmSync(runtime, { recursive: true, force: true }));
export const environment = { ...process.env, XDG_RUNTIME_DIR: runtime };

export const isBuilt = () => fs.existsSync(molt);

/** Whether OUTPUT of a rehearsed update tells of words that lead to where instances were before they moved. */
export const tellsOfLeftovers = (output) => /seems? to lead to/.test(output);

/** Runs `molt ARGS...` to its end, see run(). */
export const call = (args, options = {}) => run(molt, args, { env: environment, ...options });

/** Starts `molt ARGS...`, see begin(). */
export const start = (args, options = {}) => begin(molt, args, { env: environment, ...options });

// An engine (MOLT_ENGINE) that was built with the address sanitizer needs its runtime in the process: MOLT_TEST_SANITIZER names it. The
// program itself is not watched, and its faults are the engine's to handle.
const watched = process.env.MOLT_TEST_SANITIZER && {
    LD_PRELOAD: process.env.MOLT_TEST_SANITIZER,
    ASAN_OPTIONS: ['verify_asan_link_order=0', 'detect_leaks=0', 'disable_coredump=0', `log_path=${buildDirectory}/sanitizer`,
        ...['segv', 'sigbus', 'sigfpe', 'sigill', 'abort'].map((name) => `handle_${name}=0`)].join(':'),
};

/** Starts PROGRAM under Molt and talks to it. Its pid is the Talker's: `molt run` becomes the program. */
export const program = (file, args = [], options = {}) =>
    new Talker(molt, ['run', '--', file, ...args], { env: { ...environment, ...watched }, ...options });

/** Makes the patch FILE from tree FROM to tree TO; AFTER lists the patches applied already, VIA the trees in between. */
export const diff = (build, from, to, file, after = [], via = []) =>
    call(['diff', '-p', build, '--from', from, '--to', to, ...after.flatMap((one) => ['--after', one]),
        ...via.flatMap((one) => ['--via', one]), '-o', file]);
