// The memory of a program, seen from outside: what of it is the program's own and writable, as one hash.

import crypto from 'node:crypto';
import fs from 'node:fs';

const page = 4096, redZone = 128;

/** Stack pointers of all threads of PID that are blocked in the kernel. */
function stackPointers(pid) {
    return fs.readdirSync(`/proc/${pid}/task`).flatMap((tid) => {
        const fields = fs.readFileSync(`/proc/${pid}/task/${tid}/syscall`, 'utf8').trim().split(' ');
        return fields.length > 2 ? [parseInt(fields.at(-2), 16)] : [];
    });
}

function mappings(pid) {
    return fs.readFileSync(`/proc/${pid}/maps`, 'utf8').trim().split('\n').map((line) => {
        const [, start, end, mode, , , inode, name] =
            line.match(/^(\w+)-(\w+) (\S+) (\w+) (\S+) (\d+)\s*(.*)$/);
        return { start: parseInt(start, 16), end: parseInt(end, 16), mode, inode: Number(inode), name };
    });
}

/**
 * Writable memory of PID that is not Molt's own: files' data with the zeroed pages behind it, the heap, and the
 * stacks from the red zone up (what is below is no part of the program's state). The dynamic linker counts
 * its look-ups in data of its own, which are left out. Molt's own are its libraries,
 * and mappings without a file that do not continue one of the program's.
 */
function ownRanges(pid) {
    const pointers = stackPointers(pid);
    const ranges = [];
    let before = null;
    for (const one of mappings(pid)) {
        const continues = before && before.end === one.start && before.own;
        const isFile = one.inode !== 0 && !/libmolt|libgcc_s|ld-linux/.test(one.name);
        const own = isFile || one.name === '[heap]' || one.name === '[stack]' || (one.name === '' && continues);
        before = { end: one.end, own };
        if (!own || !one.mode.startsWith('rw'))
            continue;
        const live = pointers.find((pointer) => pointer >= one.start && pointer < one.end);
        ranges.push({ ...one, start: one.name === '[stack]' && live ? live - redZone : one.start });
    }
    return ranges;
}

/** A map from the name of each range to the hash of its bytes. */
export function hashes(pid) {
    const memory = fs.openSync(`/proc/${pid}/mem`, 'r');
    const result = new Map();
    const buffer = Buffer.alloc(256 * page);
    for (const { start, end, name } of ownRanges(pid)) {
        const hash = crypto.createHash('sha256');
        for (let at = start; at < end;) {
            const got = fs.readSync(memory, buffer, 0, Math.min(buffer.length, end - at), at);
            hash.update(buffer.subarray(0, got));
            at += got;
        }
        result.set(`${name || '(zeroed)'} ${start.toString(16)}-${end.toString(16)}`, hash.digest('hex'));
    }
    fs.closeSync(memory);
    return result;
}

/** Names of the ranges that differ between two results of hashes(). */
export function differences(before, after) {
    return [...new Set([...before.keys(), ...after.keys()])].filter((name) => before.get(name) !== after.get(name));
}
