// Programs with allocators of all kinds: the engine stands in front of each, or leaves it alone, and says so.

import fs from 'node:fs';
import path from 'node:path';
import * as molt from '../molt.mjs';
import { run } from '../process.mjs';
import { demand, Victim } from './victim.mjs';

async function heapOf(fixture) {
    const victim = await Victim.create(fixture);
    await victim.ask('call');
    const result = await molt.call(['status', '--json', victim.pid]);
    demand(result.status === 0, `molt status: ${result.output}`);
    return JSON.parse(result.stdout)[0].heap;
}

async function named() {
    for (const [fixture, expected] of [['body', 'libc.so.6'], ['jemalloc', 'libjemalloc.so.2'],
        ['mimalloc', 'libmimalloc.so.2'], ['interposed-malloc', 'own allocator: untracked']]) {
        const heap = await heapOf(fixture);
        demand(heap === expected, `${fixture}: heap ${heap}, not ${expected}`);
    }
}

const source = `
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void *work(void *size) { char *block = calloc(1, (size_t)size); free(block); return strdup("text"); }
int main(void)
{
    pthread_t thread;
    void *text;
    pthread_create(&thread, NULL, work, (void *)1000);
    pthread_join(thread, &text);
    text = realloc(text, 5000);
    puts(text);
    free(text);
    return 0;
}
`;

/** Sanitizers' runtimes replace malloc, and refuse to run behind another library, or crash if they are asked too soon. */
async function sanitized() {
    const directory = fs.mkdtempSync(path.join(molt.buildDirectory, 'sanitized-'));
    try {
        fs.writeFileSync(path.join(directory, 'main.c'), source);
        for (const compiler of ['gcc', 'clang'])
            for (const sanitizer of ['address', 'thread', 'undefined', 'leak']) {
                const file = path.join(directory, `${compiler}-${sanitizer}`);
                const built = await run(compiler, ['-g', '-pthread', `-fsanitize=${sanitizer}`, 'main.c', '-o', file],
                    { cwd: directory });
                demand(built.status === 0, built.output);
                const result = await molt.call(['run', '--', file]);
                demand(result.status === 0 && result.output === 'text\n',
                    `${compiler} -fsanitize=${sanitizer}: ${result.status ?? result.signal}: ${result.output}`);
            }
    } finally {
        fs.rmSync(directory, { recursive: true, force: true });
    }
}

/** What people set to look for mistakes. */
async function debugging() {
    const victim = await Victim.create('heap-habits', { start: false });
    const debug = ['/lib/x86_64-linux-gnu/libc_malloc_debug.so.0', '/lib64/libc_malloc_debug.so.0'].find(fs.existsSync);
    const settings = [{ MALLOC_PERTURB_: '85' }, { GLIBC_TUNABLES: 'glibc.malloc.tcache_count=0' },
        { GLIBC_TUNABLES: 'glibc.malloc.arena_max=1' }, { LD_BIND_NOW: '1' },
        ...(debug ? [{ LD_PRELOAD: debug }, { LD_PRELOAD: debug, MALLOC_CHECK_: '3' },
            { LD_PRELOAD: debug, MALLOC_TRACE: '/dev/null' }] : [])];
    for (const setting of settings) {
        const program = molt.program(victim.file, [], { env: { ...molt.environment, ...setting } });
        for (const question of ['early', 'signals', 'threads', 'children']) {
            program.say(question);
            const answer = await program.line();
            demand(answer === 'fine', `${JSON.stringify(setting)}: ${question}: ${answer}`);
        }
        await program.close();
    }
}

export const cases = { 'allocators are named': named, 'programs with sanitizers': sanitized,
    'settings for debugging malloc': debugging };
