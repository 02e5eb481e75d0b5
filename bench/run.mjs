// Runs the rows of the benchmark, prints a table, and, on demand, writes it into docs/benchmarks.md.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { isBuilt } from '../tests/system/molt.mjs';
import { root } from '../tests/system/story.mjs';

const rows = ['save', 'apply', 'safe_point', 'pause', 'calls', 'many_updates', 'memcached', 'idle', 'heap', 'keystroke', 'instances', 'stacks'];
const longRows = ['frames']; /* of programs that are fetched and built first: only when asked for */
const usage = `usage: bench/run [--write] [--quick] [ROW...]
  --write   put the table into docs/benchmarks.md; of some rows, their lines
  --quick   few rounds: does it work at all?
rows: ${rows.join(' ')}; not by itself: ${longRows.join(' ')}`;

const quick = { rounds: 3, seconds: 1, updates: 200 };
const page = path.join(root, 'docs/benchmarks.md');
const marks = ['<!-- table: written by bench/run --write -->', '<!-- end of table -->'];

const { values: options, positionals } = parseArgs({ allowPositionals: true, options: {
    write: { type: 'boolean' }, quick: { type: 'boolean' }, help: { type: 'boolean' },
} });
if (options.help || positionals.some((row) => ![...rows, ...longRows].includes(row))) {
    console.log(usage);
    process.exit(options.help ? 0 : 1);
}
if (!isBuilt() && positionals.join() !== "keystroke") {
    console.error('Molt is not built: ninja -C build');
    process.exit(1);
}

const shown = (number) => (Number.isInteger(number) ? String(number) : number.toPrecision(number < 100 ? 3 : 4));

function line(figure) {
    const budget = figure.budget === undefined ? '' :
        `${figure.atLeast ? '>=' : '<='} ${figure.budget}${figure.unit && ` ${figure.unit}`}`;
    return [figure.what, `${shown(figure.value)} ${figure.unit}`.trim(), budget, figure.held ? '' : 'MISSED', figure.detail];
}

/** The lines of the page's table, as line() makes them. */
function written() {
    const [, rest] = fs.readFileSync(page, 'utf8').split(marks[0]);
    return rest.split(marks[1])[0].split('\n').filter((text) => text.startsWith('| ')).slice(1)
        .map((text) => text.split('|').slice(1, -1).map((cell) => cell.trim()));
}

/** LINES where they stand in the page's table, new ones at its end. */
function merged(lines) {
    const left = new Map(lines.map((cells) => [cells[0], cells]));
    const all = written().map((cells) => {
        const now = left.get(cells[0]);
        left.delete(cells[0]);
        return now ?? cells;
    });
    return [...all, ...left.values()];
}

function table(lines) {
    const all = [['what', 'measured', 'budget', '', 'beside it'], ...lines];
    const widths = all[0].map((_, column) => Math.max(3, ...all.map((cells) => cells[column].length)));
    const text = all.map((cells) => `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`);
    text.splice(1, 0, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`);
    return text.join('\n');
}

function write(text) {
    const [before, rest] = fs.readFileSync(page, 'utf8').split(marks[0]);
    const after = rest.split(marks[1])[1];
    const machine = `${os.cpus()[0].model.trim()}, ${os.cpus().length} processors, ` +
        `Linux ${os.release().split('-')[0]}, ${new Date().toISOString().slice(0, 10)}`;
    fs.writeFileSync(page, `${before}${marks[0]}\n${machine}\n\n${text}\n${marks[1]}${after}`);
}

const figures = [];
let failed = false;
for (const name of positionals.length ? positionals : rows) {
    const row = await import(`./rows/${name}.mjs`);
    try {
        const measured = await row.measure(options.quick ? quick : {});
        figures.push(...measured);
        console.log(measured.map((one) => line(one).filter(Boolean).join('   ')).join('\n'));
    } catch (error) {
        failed = true;
        console.log(`${row.title}: FAILED: ${error.message}`);
    }
}
console.log(`\n${table(figures.map(line))}`);
if (options.write)
    write(table(positionals.length ? merged(figures.map(line)) : figures.map(line)));
process.exit(failed || figures.some((figure) => !figure.held) ? 1 : 0);
