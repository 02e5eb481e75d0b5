// The memory of a program, seen from outside: all that it could read, but for Molt's own, byte by byte.
//
// Left out is, and nothing else:
// - what the engine says it mapped (`molt status --memory`), its library and its thread's stack included;
// - libmolt.so's thread-local variables, which lie in every thread's block: found by the thread control block, whose first
//   and third words are its own address, and the distance that the engine tells;
// - stacks below the red zone, where signal frames come and go: no part of any program's state;
// - the kernel's own pages ([vvar], [vdso], [vsyscall]).
//
// Programs to be compared run without restartable sequences (victim.mjs): the kernel writes the processor's number into
// every thread's control block whenever the thread is moved, with or without Molt.

import fs from 'node:fs';
import * as molt from '../molt.mjs';

const redZone = 128, word = 8;
const kernels = /^\[(vvar|vvar_vclock|vdso|vsyscall)\]$/;
const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** What the engine of PID calls its own. */
async function ownMemory(pid) {
    const result = await molt.call(['status', '--json', '--memory', pid]);
    if (result.status !== 0)
        throw new Error(`molt status --memory: ${result.output}`);
    return JSON.parse(result.stdout)[0].memory;
}

/** Stack pointers of all threads of PID, each blocked in the kernel; null if one is not. */
function stackPointers(pid) {
    const calls = fs.readdirSync(`/proc/${pid}/task`)
        .map((tid) => fs.readFileSync(`/proc/${pid}/task/${tid}/syscall`, 'utf8').trim().split(' '));
    return calls.every((fields) => fields.length > 2) ? calls.map((fields) => parseInt(fields.at(-2), 16)) : null;
}

function mappings(pid) {
    return fs.readFileSync(`/proc/${pid}/maps`, 'utf8').trim().split('\n').map((line) => {
        const [, start, end, mode, name] = line.match(/^(\w+)-(\w+) (\S+) \w+ \S+ \d+\s*(.*)$/);
        return { start: parseInt(start, 16), end: parseInt(end, 16), mode, name };
    });
}

/** RANGE without the parts that lie in one of HOLES, which are in order. */
function without(range, holes) {
    const parts = [];
    let start = range.start;
    for (const hole of holes.filter((one) => one.start < range.end && one.end > range.start)) {
        if (hole.start > start)
            parts.push({ ...range, start, end: hole.start });
        start = Math.max(start, hole.end);
    }
    return start < range.end ? [...parts, { ...range, start }] : parts;
}

/** RANGE from the stack's end on, if it is a stack of one of the threads. */
function withoutDeadStack(range, pointers) {
    const [live, second] = pointers.filter((pointer) => pointer >= range.start && pointer < range.end);
    if (second)
        throw new Error(`two stacks are one mapping, ${range.start.toString(16)}: nobody can tell where one ends`);
    return live ? { ...range, start: Math.max(range.start, live - redZone) } : range;
}

/** Neighbours that differ in nothing are one: the kernel joins and splits mappings as Molt's come and go beside them. */
function joined(ranges) {
    const result = [];
    for (const one of ranges) {
        const last = result.at(-1);
        if (last && last.end === one.start && last.mode === one.mode && last.name === one.name)
            last.end = one.end;
        else
            result.push({ ...one });
    }
    return result;
}

function read(memory, { start, end }) {
    const bytes = Buffer.alloc(end - start);
    for (let at = 0; at < bytes.length;)
        at += fs.readSync(memory, bytes, at, Math.min(bytes.length - at, 1 << 22), start + at);
    return bytes;
}

/** Blanks libmolt.so's thread-local variables in the BYTES at START. Returns how many threads have theirs there. */
function blankThreadLocals(bytes, start, { offset, size }) {
    const words = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.length / word);
    let found = 0;
    for (let i = 0; i + 2 < words.length; i++) {
        const address = start + i * word;
        if (Number(words[i] & 0xffffffffn) !== address % 2 ** 32 ||
            Number(words[i]) !== address || Number(words[i + 2]) !== address)
            continue;
        bytes.fill(0, Math.max(0, i * word + offset), i * word + offset + size);
        found++;
    }
    return found;
}

async function readAll(pid, own) {
    let pointers;
    while (!(pointers = stackPointers(pid)))
        await delay(1);
    const holes = [...own.mappings].sort((one, other) => one.start - other.start);
    const ranges = joined(mappings(pid)
        .filter(({ mode, name }) => mode[0] === 'r' && !kernels.test(name))
        .flatMap((range) => without(range, holes)))
        .map((range) => withoutDeadStack(range, pointers));
    const memory = fs.openSync(`/proc/${pid}/mem`, 'r');
    const result = ranges.map((range) => ({ ...range, bytes: read(memory, range) }));
    fs.closeSync(memory);
    let threads = 0;
    for (const { mode, bytes, start } of result)
        threads += mode[1] === 'w' ? blankThreadLocals(bytes, start, own.thread_local) : 0;
    if (threads < pointers.length - 1)
        throw new Error(`${threads} thread control blocks found, where the program has ${pointers.length - 1} threads`);
    return result;
}

/** All memory of the program PID, whose threads are all waiting for something: an array of { start, end, mode, name, bytes }. */
export async function snapshot(pid) {
    for (let tries = 0; tries < 100; tries++) {
        const own = await ownMemory(pid);
        const result = await readAll(pid, own);
        /* What the engine mapped in between was not on the list. */
        if (JSON.stringify(await ownMemory(pid)) === JSON.stringify(own))
            return result;
    }
    throw new Error('the engine maps and unmaps without end');
}

const title = ({ start, end, mode, name }) => `${name || 'unnamed memory'} ${mode} ${start.toString(16)}-${end.toString(16)}`;

function differenceOf(one, other) {
    const first = one.bytes.findIndex((byte, i) => byte !== other.bytes[i]);
    const last = one.bytes.findLastIndex((byte, i) => byte !== other.bytes[i]);
    return `${title(one)}: bytes ${(one.start + first).toString(16)} to ${(one.start + last).toString(16)}`;
}

/** What differs between two snapshots, in words: nothing if they are equal. */
export function differences(before, after) {
    const old = new Map(before.map((one) => [title(one), one])), now = new Map(after.map((one) => [title(one), one]));
    const gone = before.filter((one) => !now.has(title(one))).map((one) => `${title(one)} is gone`);
    const come = after.filter((one) => !old.has(title(one))).map((one) => `${title(one)} is new`);
    const changed = before.filter((one) => now.has(title(one)) && !one.bytes.equals(now.get(title(one)).bytes))
        .map((one) => differenceOf(one, now.get(title(one))));
    return [...gone, ...come, ...changed];
}
