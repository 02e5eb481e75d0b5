// Keystroke to change set: a C program types into large files and asks the recorder for the changes.
import fs from 'node:fs';
import path from 'node:path';
import { figure, must, work } from '../measure.mjs';
import { run } from '../../tests/system/process.mjs';
import { buildDirectory } from '../../tests/system/molt.mjs';

export const title = 'keystroke to change set';

/** 10 000 lines of plausible C. */
function writeLargeFile(file) {
    const parts = ['#include <stddef.h>\n'];
    for (let i = 0; i < 769; i++)
        parts.push(`/* Item ${i}: what it holds and what is asked of it. */`, `struct item_${i} {`, '    int count, limit;',
            '    const char *name;', '};', '', `static int item_${i}_room(const struct item_${i} *item)`, '{',
            '    if (item->count >= item->limit)', '        return 0;', `    return item->limit - item->count + ${i};`,
            '}', '');
    fs.writeFileSync(file, parts.join('\n'));
}

/** The amalgamation of sqlite, as npm's better-sqlite3 has it. */
async function fetchSqlite(file) {
    if (fs.existsSync(file))
        return;
    const directory = path.dirname(file);
    must('npm pack', await run('npm', ['pack', '--silent', 'better-sqlite3@12.2.0'], { cwd: directory }));
    must('tar', await run('tar', ['-xzf', 'better-sqlite3-12.2.0.tgz', '--strip-components=3', 'package/deps/sqlite3'],
        { cwd: directory }));
}

async function type(file) {
    const result = must('keystroke', await run(path.join(buildDirectory, 'bench/keystroke'), [file], { timeout: 300000 }));
    return JSON.parse(result.stdout);
}

export async function measure() {
    fs.mkdirSync(work, { recursive: true });
    const large = path.join(work, 'large.c'), sqlite = path.join(work, 'sqlite3.c');
    writeLargeFile(large);
    await fetchSqlite(sqlite);
    const figures = [];
    for (const [what, file, budget] of [['10 000 lines', large, 2], ['sqlite3.c', sqlite, 15]]) {
        const { median_ms: median, p99_ms: p99, lines, keystrokes } = await type(file);
        figures.push(figure(`keystroke to change set, ${what}`, median, 'ms', budget,
            { detail: `p99 ${p99} ms, ${lines} lines, ${keystrokes} keystrokes` }));
    }
    return figures;
}
