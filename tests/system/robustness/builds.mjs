// Builds and sources that do not belong to the program, and files that are missing.

import fs from 'node:fs';
import path from 'node:path';
import * as molt from '../molt.mjs';
import { run } from '../process.mjs';
import { demand, demandRefusal, Victim } from './victim.mjs';

const out = (victim) => path.join(victim.directory, 'out.molt');

/** The sources given as the running ones are not those that the program was built from. */
async function wrongSources() {
    const victim = await Victim.create('body', { start: false });
    const result = await victim.diff(out(victim), { from: 'v2', to: 'v1' });
    demandRefusal('molt diff', result, [2], ['main.c']);
    demand(!fs.existsSync(out(victim)), 'a patch was written');
}

/** The compile database has other flags than the program was built with. */
async function wrongFlags() {
    const victim = await Victim.create('clones', { start: false });
    const database = path.join(victim.directory, 'compile_commands.json');
    fs.writeFileSync(database, fs.readFileSync(database, 'utf8').replaceAll('-O2', '-O0'));
    demandRefusal('molt diff', await victim.diff(out(victim)), [2]);
}

async function strippedBinary() {
    const victim = await Victim.create('body', { start: false });
    const patch = await victim.patch();
    const stripped = path.join(victim.directory, 'stripped');
    await run('strip', ['-o', stripped, victim.file]);

    /* Where the program runs there need be no symbols: the patch names offsets. */
    victim.start(stripped);
    await victim.ask('call');
    await victim.demandHealthy('hello from one', 'hello from two, 42');

    /* Where the patch is made there must be. */
    fs.renameSync(stripped, victim.file);
    fs.rmSync(patch);
    demandRefusal('molt diff', await victim.diff(patch), [2]);
}

async function noBuild() {
    const victim = await Victim.create('body', { start: false });
    fs.rmSync(path.join(victim.directory, 'compile_commands.json'));
    demandRefusal('no compile database', await victim.diff(out(victim)), [1, 2], ['compile_commands.json']);
    fs.writeFileSync(path.join(victim.directory, 'compile_commands.json'), '[{"file": 3');
    demandRefusal('a broken compile database', await victim.diff(out(victim)), [1, 2], ['compile_commands.json']);
}

async function noCompiler() {
    const victim = await Victim.create('body', { start: false });
    const database = path.join(victim.directory, 'compile_commands.json');
    fs.writeFileSync(database, fs.readFileSync(database, 'utf8').replaceAll('"gcc"', '"no-such-compiler"'));
    demandRefusal('molt diff', await victim.diff(out(victim)), [1, 2], ['no-such-compiler']);
}

/** No space for the patch: a file system of its own that is full. */
async function noSpace() {
    const victim = await Victim.create('body', { start: false });
    const small = path.join(victim.directory, 'small');
    fs.mkdirSync(small);
    const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', small]);
    if (mounted.status !== 0) {
        console.log(`no space: not tried, this machine does not mount: ${mounted.output.trim()}`);
        return;
    }
    try {
        const file = path.join(small, 'out.molt');
        const result = await victim.diff(file);
        demandRefusal('molt diff', result, [1, 2], ['No space left']);
        demand(!fs.existsSync(file), 'half a patch was left');
    } finally {
        await run('umount', [small]);
    }
}

async function noPermission() {
    const victim = await Victim.create('body');
    await victim.ask('call');
    const patch = await victim.patch();
    if (process.getuid() === 0) {
        // Neither the patch nor the repository need lie where others may go.
        const shared = fs.mkdtempSync('/tmp/molt-patch-');
        const [readable, command] = ['v2.molt', 'molt'].map((name) => path.join(shared, name));
        fs.chmodSync(shared, 0o755);
        fs.copyFileSync(patch, readable);
        fs.copyFileSync(path.join(molt.buildDirectory, 'cli/molt'), command);
        const nobody = { env: molt.environment, uid: 65534, gid: 65534, cwd: '/' };
        const status = await run(command, ['apply', readable, String(victim.pid)], nobody);
        fs.rmSync(shared, { recursive: true });
        demandRefusal('another user', status, [2, 5]);
    }
    const answer = await victim.ask('call');
    demand(answer === 'hello from one', `afterwards: ${answer}`);
    await victim.demandHealthy('hello from one', 'hello from two, 42');
}

async function noSuchProgram() {
    const victim = await Victim.create('body', { start: false });
    const patch = await victim.patch();
    for (const who of [String(process.pid), '4194303', 'nobody-has-this-name'])
        demandRefusal(`apply to ${who}`, await molt.call(['apply', patch, who]), [5], [who]);
    demandRefusal('rollback', await molt.call(['rollback', '4194303']), [5]);
    demand((await molt.call(['apply'])).status === 1, 'apply without arguments is a usage error');
    demand((await molt.call(['nonsense'])).status === 1, 'an unknown command is a usage error');
}

export const cases = { 'wrong sources': wrongSources, 'wrong flags': wrongFlags, 'stripped binary': strippedBinary,
    'no build': noBuild, 'no compiler': noCompiler, 'no space': noSpace, 'no permission': noPermission,
    'no such program': noSuchProgram };
