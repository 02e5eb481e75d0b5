// Patches changed after they were made, and sealed again, so that they fail where no patch of ours does.

import fs from 'node:fs';

const padding = { start: 9, end: 16 }; // of the ELF header: the sum of all other bytes is kept there

function seal(bytes) {
    const mask = (1n << 64n) - 1n;
    let sum = 0xcbf29ce484222325n ^ BigInt(bytes.length);
    for (let i = 0; i < bytes.length; i++)
        if (i < padding.start || i >= padding.end)
            sum = ((sum ^ BigInt(bytes[i])) * 0x100000001b3n) & mask;
    for (let i = padding.start; i < padding.end; i++, sum >>= 8n)
        bytes[i] = Number(sum & 0xffn);
    return bytes;
}

/** Where section NAME of an ELF file is: { offset, size }. */
function section(bytes, name) {
    const table = Number(bytes.readBigUInt64LE(0x28)), count = bytes.readUInt16LE(0x3c);
    const field = (index, at) => Number(bytes.readBigUInt64LE(table + 64 * index + at));
    const names = field(bytes.readUInt16LE(0x3e), 24);
    for (let i = 1; i < count; i++) {
        const start = names + bytes.readUInt32LE(table + 64 * i);
        if (bytes.toString('latin1', start, bytes.indexOf(0, start)) === name)
            return { offset: field(i, 24), size: field(i, 32) };
    }
    throw new Error(`the patch has no section ${name}`);
}

const dataRecord = 32; // struct molt_patch_data, its address at byte 8

/** PATCH with the last of its constants outside its module: found when all the rest of the commit has been done. */
export function withBadConstant(patch) {
    const bytes = fs.readFileSync(patch);
    const { offset, size } = section(bytes, '.molt.data');
    if (size < 2 * dataRecord)
        throw new Error('the patch changes fewer than two constants');
    bytes.writeBigUInt64LE(1n << 40n, offset + size - dataRecord + 8);
    return seal(bytes);
}

/** PATCH with the symbol NAME called NEW_NAME, which is as long. */
export function withSymbolRenamed(patch, name, newName) {
    const bytes = fs.readFileSync(patch);
    const { offset, size } = section(bytes, '.strtab');
    const at = bytes.indexOf(`\0${name}\0`, offset, 'latin1');
    if (at < 0 || at >= offset + size || newName.length !== name.length)
        throw new Error(`the patch has no symbol ${name}`);
    bytes.write(newName, at + 1, 'latin1');
    return seal(bytes);
}
