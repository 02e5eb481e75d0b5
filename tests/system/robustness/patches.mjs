// Patches that are not what they should be, applied to a program that runs.

import fs from 'node:fs';
import path from 'node:path';
import { run } from '../process.mjs';
import * as molt from '../molt.mjs';
import { withBadConstant, withSymbolRenamed } from './tampering.mjs';
import { demand, demandRefusal, Victim } from './victim.mjs';

const before = 'hello from one', after = 'hello from two, 42';

/** Applies BYTES as a patch: must be refused, the memory of the program unchanged. */
async function refused(victim, what, bytes) {
    const file = path.join(victim.directory, 'bad.molt');
    fs.writeFileSync(file, bytes);
    const result = await victim.unchangedBy(what, () => victim.apply(file));
    demandRefusal(what, result, [2]);
}

async function truncated() {
    const victim = await Victim.create('body');
    await victim.ask('call');
    const good = fs.readFileSync(await victim.patch());
    const sizes = [0, 1, 15, 16, 63, 64, 65, 100, good.length - 1, good.length - 8, good.length - 64];
    for (let i = 1; i < 16; i++)
        sizes.push(Math.floor((good.length * i) / 16));
    for (const size of sizes)
        await refused(victim, `cut to ${size} of ${good.length} bytes`, good.subarray(0, size));
    await refused(victim, 'with bytes behind its end', Buffer.concat([good, Buffer.from('tail')]));
    await victim.demandHealthy(before, after);
}

async function bitFlipped() {
    const victim = await Victim.create('body');
    await victim.ask('call');
    const good = fs.readFileSync(await victim.patch());
    let seed = Number(process.env.MOLT_TEST_SEED ?? 20260101);
    const random = (limit) => {
        seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
        return (seed >>> 8) % limit;
    };
    for (let i = 0; i < 200; i++) {
        const bytes = Buffer.from(good);
        const at = i < 64 ? i : random(good.length), bit = random(8);
        bytes[at] ^= 1 << bit;
        await refused(victim, `bit ${bit} of byte ${at} of ${good.length} flipped`, bytes);
    }
    await victim.demandHealthy(before, after);
}

async function foreign() {
    const victim = await Victim.create('body');
    const other = await Victim.create('recursion', { start: false });
    await victim.ask('call');
    await refused(victim, 'a text', Buffer.from('this is not a patch\n'.repeat(100)));
    await refused(victim, 'zeroes', Buffer.alloc(100000));
    await refused(victim, 'an object file', fs.readFileSync(path.join(victim.directory, 'main.o')));
    await refused(victim, 'a program', fs.readFileSync(victim.file));
    await refused(victim, 'a patch of another program', fs.readFileSync(await other.patch()));
    demandRefusal('a directory', await victim.apply(victim.directory), [1, 2]);
    demandRefusal('no file', await victim.apply(path.join(victim.directory, 'none.molt')), [1, 2]);
    await victim.demandHealthy(before, after);
}

/** The same program built with other flags has other code: its patch must not get in. */
async function otherBuild() {
    const victim = await Victim.create('body');
    const other = await Victim.create('body', { configuration: 'gcc-O0-pie', start: false });
    await victim.ask('call');
    await refused(victim, 'a patch of another build', fs.readFileSync(await other.patch()));
    await victim.demandHealthy(before, after);
}

async function outOfOrder() {
    const victim = await Victim.create('chain');
    await victim.ask('call');
    const first = await victim.patch();
    const second = path.join(victim.directory, 'v3.molt');
    const made = await molt.diff(victim.directory, victim.trees('v2'), victim.trees('v3'), second, [first]);
    demand(made.status === 0, made.output);
    await refused(victim, 'a second patch without the first', fs.readFileSync(second));
    await victim.demandHealthy('one, 1', 'two, helper 10, count 1');
    demand((await victim.apply(first)).status === 0, 'the first patch again');
    demandRefusal('the same patch twice', await victim.apply(first), [2]);
}

/** Found no safe point: given up, and every byte as before. */
async function discarded() {
    const victim = await Victim.create('waits-for-frames');
    await victim.ask('start');
    const file = await victim.patch();
    const given = await victim.unchangedBy('an update given up', () => victim.apply(file, '--strict', '--timeout', '0.5'));
    demand(given.status === 4, `given up with ${given.status}: ${given.output}`);
    const tried = await victim.unchangedBy('a dry run', () => victim.apply(file, '--dry-run', '--strict', '--timeout', '0.5'));
    demand(tried.status !== 0, `a dry run says it would work: ${tried.output}`);
    const answer = await victim.ask('leave');
    demand(answer === 'left, 1000 frames of version 1', `the frames left as "${answer}"`);
    await victim.demandHealthy('version 1', 'version 2');
}

async function dryRun() {
    const victim = await Victim.create('body');
    await victim.ask('call');
    const file = await victim.patch();
    const tried = await victim.unchangedBy('a dry run', () => victim.apply(file, '--dry-run'));
    demand(tried.status === 0, `a dry run: ${tried.output}`);
    const answer = await victim.ask('call');
    demand(answer === before, `after a dry run: ${answer}`);
    await victim.demandHealthy(before, after);
}

/** Refused at the end of planning, with everything loaded: a name that is nowhere. */
async function nameThatIsNowhere() {
    const victim = await Victim.create('first-use-of-libc');
    await victim.ask('call');
    const bytes = withSymbolRenamed(await victim.patch(), 'qsort', 'qsorx');
    await refused(victim, 'a patch that refers to what is nowhere', bytes);
}

/** A commit that fails when functions and constants have been changed is undone. */
async function commitFails() {
    const victim = await Victim.create('const-table');
    const [old, updated] = ['2 4 6, sum 10, north east', '2 40 6, total 110, north west'];
    const main = path.join(victim.trees('v2'), 'main.c');
    fs.writeFileSync(main, fs.readFileSync(main, 'utf8').replace('sum %d', 'total %d')); // a function, too
    await victim.ask('call');
    const file = path.join(victim.directory, 'bad.molt');
    fs.writeFileSync(file, withBadConstant(await victim.patch()));
    const result = await victim.unchangedBy('a commit that fails', () => victim.apply(file));
    demandRefusal('a commit that fails', result, [3]);
    const answer = await victim.ask('call');
    demand(answer === old, `after a commit that failed: ${answer}`);
    await victim.demandHealthy(old, updated);
}

/** The program does nothing between an update and its rollback: then every byte is as before, on the stacks of ten threads, too. */
async function rolledBack() {
    for (const [name, start] of [['many-threads', 'idle 10'], ['const-table', 'call'], ['string-literals', 'call'],
        ['tls-new', 'call'], ['deep-stack', 'call'], ['moved-operands', 'foreign 5']]) {
        const victim = await Victim.create(name);
        await victim.ask(start);
        const file = await victim.patch();
        await victim.unchangedBy(`${name}, update and rollback`, async () => {
            const applied = await victim.apply(file);
            demand(applied.status === 0, `${name}: ${applied.output}`);
            const back = await molt.call(['rollback', victim.pid]);
            demand(back.status === 0, `${name}: ${back.output}`);
        });
        const tried = await victim.unchangedBy(`${name}, a dry run`, () => victim.apply(file, '--dry-run'));
        demand(tried.status === 0, `${name}, a dry run: ${tried.output}`);
    }
}

/** Programs that other tools can read: the patch is an ELF object. */
async function readable() {
    const victim = await Victim.create('body');
    const file = await victim.patch();
    for (const [tool, ...args] of [['readelf', '-aW'], ['objdump', '-dr']]) {
        const result = await run(tool, [...args, file]);
        demand(result.status === 0 && !/(warning|error):/i.test(result.stderr), `${tool}: ${result.stderr}`);
        demand(result.stdout.includes('answer'), `${tool} does not show the changed function`);
    }
}

/** Looking at what a program holds changes no byte of it. */
async function lookedAt() {
    const victim = await Victim.create('state-array-grows');
    for (const line of ['add 1', 'add 2', 'show'])
        victim.program.say(line);
    for (let i = 0; i < 3; i++)
        await victim.program.line();
    const look = (...args) => molt.call(['instances', '-p', victim.directory, '--root', victim.trees('v1'), ...args, victim.pid]);
    await look('struct record'); /* the first one asks for memory of the engine's own */
    const result = await victim.unchangedBy('molt instances', () => look('--values', 'struct record'));
    demand(result.status === 0 && result.output.startsWith('struct record: 2 instances'), result.output);
    demand((await victim.unchangedBy('a table', () => look())).status === 0, 'a table of all types');
    demandRefusal('an unknown type', await look('struct recor'), [5], ['struct record']);
}

/** A patch that changes the program is no question about it: whether of code or of types, none of it is done. */
async function noQuery() {
    for (const name of ['body', 'state-array-grows', 'state-initialisers-only']) {
        const victim = await Victim.create(name);
        const file = await victim.patch();
        const ask = () => run(path.join(molt.buildDirectory, 'cli/ask-instances'),
            [path.join(molt.environment.XDG_RUNTIME_DIR, 'molt', `${victim.pid}.sock`), file]);
        const result = await victim.unchangedBy('a patch as a query', ask);
        const answer = JSON.parse(result.stdout);
        demand(answer.result === 'refused' && answer.reason.includes('no query'), `${name}: ${result.stdout}`);
        const applied = await victim.apply(file);
        demand(applied.status === 0, `${name}: ${applied.output}`);
    }
}

/** What a program is made of after an update is found, if the files on disk are that: the patch where molt diff has kept it. */
async function countedAfterwards() {
    const victim = await Victim.create('instances-counted');
    for (const line of ['item 1', 'item 2', 'array 5', 'tail 7'])
        victim.program.say(line);
    await victim.ask('show');
    const instances = () => molt.call(['instances', '-p', victim.directory, '--root', victim.trees('v1'), victim.pid]);
    const applied = await victim.apply(await victim.patch());
    demand(applied.status === 0, applied.output);
    demandRefusal('instances with the sources before', await instances(), [2], ['is as it was before', '--from DIR']);
    fs.cpSync(victim.trees('v2'), victim.trees('v1'), { recursive: true });
    const result = await instances();
    demand(result.status === 0 && result.stdout.includes('in all'), `instances: ${result.output}`);
}

export const cases = {
    'instances are looked at': lookedAt, 'no query': noQuery, truncated, 'bit flipped': bitFlipped, foreign, 'other build': otherBuild,
    'out of order': outOfOrder, 'name that is nowhere': nameThatIsNowhere, discarded, 'dry run': dryRun,
    'commit fails': commitFails, 'rolled back': rolledBack, readable, 'counted afterwards': countedAfterwards };
