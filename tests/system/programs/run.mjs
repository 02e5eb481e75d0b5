// Plays what a developer would do to programs of others: see the file of each. docs/programs.md has the whole list of what was tried.

import fs from 'node:fs';
import path from 'node:path';
import * as molt from '../molt.mjs';
import { run } from '../process.mjs';
import { root } from '../story.mjs';
import * as dnsmasq from './dnsmasq.mjs';
import * as lighttpd from './lighttpd.mjs';
import * as lua from './lua.mjs';
import * as redis from './redis.mjs';

const programs = { dnsmasq, lighttpd, lua, redis };

/** A program as its test sees it: where it was built, and updates of it. */
class Program {
    constructor({ source, build = '.' }) {
        this.source = source;
        this.directory = path.join(molt.buildDirectory, 'programs', source);
        this.tree = path.join(this.directory, 'tree');
        this.database = path.join(this.tree, build);
    }

    async build() {
        const result = await run(path.join(root, 'tests/system/programs/build'), [this.source, this.directory],
            { timeout: 300000 });
        if (result.status !== 0)
            throw new Error(result.output);
    }

    /** A tree in which EDITS, { file: [[old, new], ...] }, were made; and the call of molt that makes the patch to it. */
    edit(name, edits) {
        const edited = path.join(this.directory, name), file = `${edited}.molt`;
        fs.rmSync(edited, { recursive: true, force: true });
        fs.cpSync(this.tree, edited, { recursive: true, preserveTimestamps: true,
            filter: (source) => !source.endsWith('.o') && path.basename(source) !== '.molt' });
        for (const [name, replacements] of Object.entries(edits)) {
            let text = fs.readFileSync(path.join(edited, name), 'utf8');
            for (const [before, after] of replacements) {
                if (!text.includes(before))
                    throw new Error(`${name} has no ${JSON.stringify(before)}`);
                text = text.replace(before, () => after);
            }
            fs.writeFileSync(path.join(edited, name), text);
        }
        return { file, args: ['diff', '-p', this.database, '--root', this.tree, '--from', this.tree, '--to', edited, '-o', file] };
    }

    /** Makes the patch to a tree with EDITS. Resolves to its file. */
    async patch(name, edits) {
        const { file, args } = this.edit(name, edits);
        await this.must(args, { timeout: 300000 });
        return file;
    }

    /** No patch can be made to a tree with EDITS, for REASON. */
    async refusePatch(name, edits, reason) {
        const result = await molt.call(this.edit(name, edits).args, { timeout: 300000 });
        if (result.status === 0 || !result.output.includes(reason))
            throw new Error(`no patch should have been made, as "${reason}": ${result.output.trim()}`);
    }

    /** Runs molt; it has to succeed. Resolves to what it prints, parsed if --json was asked for. */
    async must(args, options) {
        const result = await molt.call(args, options);
        if (result.status !== 0)
            throw new Error(`molt ${args[0]}: exit status ${result.status ?? result.signal}: ${result.output.trim()}`);
        return args.includes('--json') ? JSON.parse(result.stdout) : result.stdout;
    }

    apply = (file, pid) => this.must(['apply', '--json', file, String(pid)]);

    async refuse(file, pid, reason) {
        const result = await molt.call(['apply', file, String(pid)]);
        if (result.status === 0 || !result.output.includes(reason))
            throw new Error(`it should have been refused, as "${reason}": ${result.output.trim()}`);
    }

    rollback = (pid) => this.must(['rollback', '--json', String(pid)]);
}

let passed = 0, failed = 0;
for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(programs)) {
    const program = new Program(programs[name]), began = Date.now();
    try {
        await program.build();
        const built = Date.now();
        const said = await programs[name].play(program);
        console.log(`${name}: ${said}; ${Math.round((Date.now() - built) / 1000)} s, built in ` +
            `${Math.round((built - began) / 1000)} s`);
        passed++;
    } catch (error) {
        failed++;
        console.log(`FAILED ${name}: ${error.message}`);
    }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
