// Builds and sources that do not belong to the program, and files that are missing.

import fs from 'node:fs';
import path from 'node:path';
import * as molt from '../molt.mjs';
import { run } from '../process.mjs';
import { root } from '../story.mjs';
import { demand, demandRefusal, Victim } from './victim.mjs';

const out = (victim) => path.join(victim.directory, 'out.molt');

/** The sources given as the running ones are not those that the program was built from. */
async function wrongSources() {
    const victim = await Victim.create('body', { start: false });
    const result = await victim.diff(out(victim), { from: 'v2', to: 'v1' });
    demandRefusal('molt diff', result, [2], ['main.c']);
    demand(!fs.existsSync(out(victim)), 'a patch was written');

    fs.writeFileSync(out(victim), 'an earlier one');
    const again = await victim.diff(out(victim), { from: 'v2', to: 'v1' });
    demand(again.status === 2 && again.output.includes('out.molt is still the one that was there before'), again.output);
    demand(fs.readFileSync(out(victim), 'utf8') === 'an earlier one', 'the earlier patch is another');
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

/** Builds the fixture body again, all of it with FLAGS. */
async function builtWith(...flags) {
    const victim = await Victim.create('body', { start: false });
    const database = path.join(victim.directory, 'compile_commands.json');
    const commands = JSON.parse(fs.readFileSync(database, 'utf8'));
    for (const command of commands) {
        command.arguments.push(...flags);
        await run(command.arguments[0], command.arguments.slice(1), { cwd: victim.directory });
    }
    fs.writeFileSync(database, JSON.stringify(commands));
    await run('gcc', [...flags, '-pie', ...commands.map((command) => command.output), '-o', 'program', '-Wl,--build-id'],
        { cwd: victim.directory });
    return victim;
}

/** What cannot be updated, since the files' objects are not what was linked, or their debug information is not there: by its name. */
async function otherWaysToBuild() {
    for (const flag of ['-flto', '-gsplit-dwarf']) {
        const victim = await builtWith(flag);
        const result = await victim.diff(out(victim));
        demand(result.status === 2 && result.output.includes(`built with ${flag}`), `${flag}: ${result.output}`);
        const doctor = await molt.call(['doctor', '-p', victim.directory, victim.file]);
        demand(/^warning {2}not so: /m.test(doctor.output) && doctor.output.includes(`build without ${flag}`), `doctor, ${flag}: ${doctor.output}`);
        const elsewhere = await molt.call(['doctor', victim.file], { cwd: '/' });
        demand(/not so: there is a compile database in build\/ or here\n.*compile_commands\.json/.test(elsewhere.output), `doctor: ${elsewhere.output}`);
    }
    const victim = await builtWith('-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1');
    demandRefusal('molt run', await molt.call(['run', '--', victim.file]), [2], ['musl']);
}

/** Debug information in a file of its own, while the symbols are still in the program. */
async function separateDebugFile() {
    const victim = await Victim.create('body', { start: false });
    for (const [command, ...args] of [['objcopy', '--only-keep-debug', 'program', 'program.debug'], ['strip', '-g', 'program'],
        ['objcopy', '--add-gnu-debuglink=program.debug', 'program']])
        await run(command, args, { cwd: victim.directory });
    victim.start();
    await victim.ask('call');
    const doctor = await molt.call(['doctor', '-p', victim.directory, victim.file]);
    demand(!doctor.output.includes('compile with -g'), `doctor: ${doctor.output}`);
    await victim.demandHealthy('hello from one', 'hello from two, 42');
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

/** gDSU, section 5.4: the updater is updated as anything else is. A patch for libmolt.so, brought into a program by the engine that it changes. */
async function engineItself() {
    const directory = path.join(molt.buildDirectory, 'robustness/engine'), build = path.join(directory, 'build');
    const trees = ['from', 'to'].map((name) => path.join(directory, name)), patch = path.join(directory, 'engine.molt');
    const rooms = ['base', 'engine', 'include', 'link'];
    fs.rmSync(directory, { recursive: true, force: true });
    for (const tree of trees)
        for (const room of rooms)
            fs.cpSync(path.join(root, room), path.join(tree, room), { recursive: true });
    const edited = path.join(trees[1], 'engine/status.c'), source = fs.readFileSync(edited, 'utf8');
    fs.writeFileSync(edited, source.replace('"version", MOLT_VERSION', '"version", MOLT_VERSION " of the patch"'));

    const commands = JSON.parse(fs.readFileSync(path.join(molt.buildDirectory, 'compile_commands.json'), 'utf8'));
    const own = (command) => rooms.includes(path.relative(root, path.resolve(command.directory, command.file)).split('/')[0]);
    fs.mkdirSync(build);
    fs.writeFileSync(path.join(build, 'compile_commands.json'), JSON.stringify(commands.filter(own)));
    const made = await molt.call(['diff', '-p', build, '--root', root, '--binary', path.join(molt.buildDirectory, 'engine/libmolt.so'),
        '--from', trees[0], '--to', trees[1], '-o', patch]);
    demand(made.status === 0, `molt diff: ${made.output}`);

    const victim = await Victim.create('body');
    await victim.ask('call');
    const version = async () => JSON.parse((await molt.call(['status', '--json', victim.pid])).stdout)[0].version;
    const before = await version();
    for (const [args, expected] of [[['apply', patch], `${before} of the patch`], [['rollback'], before]]) {
        const result = await molt.call([...args, victim.pid]);
        demand(result.status === 0, `molt ${args[0]}: ${result.output}`);
        demand(await version() === expected, `after molt ${args[0]} the engine says version ${await version()}`);
    }
    await victim.demandHealthy('hello from one', 'hello from two, 42');
}

export const cases = { 'wrong sources': wrongSources, 'wrong flags': wrongFlags, 'stripped binary': strippedBinary,
    'no build': noBuild, 'no compiler': noCompiler,
    'other ways to build': otherWaysToBuild, 'separate debug file': separateDebugFile, 'the engine itself': engineItself, 'no space': noSpace, 'no permission': noPermission,
    'no such program': noSuchProgram };
