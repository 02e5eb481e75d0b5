// Updates a memcached that serves a steady load: each build of it, new behaviour on the open connections, back
// again, and not one request failed, not one connection dropped. Types change, functions that never return are taken over.

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { everyConfiguration } from '../build.mjs';
import * as molt from '../molt.mjs';
import { check } from './client.mjs';
import { changeConn, changeItem, countTurns } from './edits.mjs';
import { build, editedTree, Load, plainAnswer, Server, until } from './server.mjs';

const usual = ['gcc-O2-pie', 'clang-O2-pie'];
const newAnswer = 'VERSION 1.6.18 as edited';
const connections = 8, rate = 4000;

function must(what, result) {
    if (result.status !== 0)
        throw new Error(`${what}: exit status ${result.status ?? result.signal}: ${result.output.trim()}`);
    return result;
}

/**
 * Runs DURING({ memcached, server, load }) while CONFIGURATION of memcached serves; not one request may fail then. Resolves to
 * the load's report.
 */
async function serving(configuration, during) {
    const memcached = await build(configuration);
    let server, load;
    try {
        server = await Server.start(memcached);
        load = new Load(server, connections, rate);
        await load.everywhere(plainAnswer);
        await during({ memcached, server, load });
        const report = await load.report();
        if (report.failures || report.dropped)
            throw new Error(`${report.failures} requests failed, ${report.dropped} connections dropped`);
        await load.stop();
        const end = await server.stop();
        if (end.status !== 0 && end.signal !== 'SIGTERM')
            throw new Error(`memcached ended with ${JSON.stringify(end)}`);
        return report;
    } finally {
        load?.talker.child.kill('SIGKILL');
        server?.program.child.kill('SIGKILL');
    }
}

/** The patch that EDIT makes of MEMCACHED's sources, beside another answer to `version`. */
async function patchOf(memcached, edit) {
    const edited = editedTree(memcached.tree, path.join(memcached.build, '../edited'), newAnswer);
    const patch = path.join(memcached.build, 'version.molt');
    edit(edited);
    must('molt diff', await molt.diff(memcached.build, memcached.tree, edited, patch));
    return patch;
}

/** Applies PATCH; resolves to the result once every connection has the new answer. */
async function apply(patch, server, load) {
    const applied = must('molt apply', await molt.call(['apply', '--json', patch, String(server.pid)]));
    await load.everywhere(newAnswer);
    return JSON.parse(applied.stdout);
}

async function rollback(server, load) {
    must('molt rollback', await molt.call(['rollback', String(server.pid)]));
    await load.everywhere(plainAnswer);
}

function tell(configuration, what, pauses, report) {
    console.log(`${configuration}${what}: paused ${pauses.join(', ')} ms; ${report.requests} requests, none failed, p50 ` +
        `${report.p50_us} us, p99 ${report.p99_us} us, longest ${report.max_us} us`);
}

async function update(configuration, what, edit, judge) {
    let applied;
    const report = await serving(configuration, async ({ memcached, server, load }) => {
        const patch = await patchOf(memcached, edit);
        await load.reset();
        applied = await apply(patch, server, load);
        judge(applied);
        await rollback(server, load);
    });
    tell(configuration, what, [applied.pause_ms], report);
}

function allMigrated({ instances }) {
    if (instances < connections)
        throw new Error(`${instances} connections were migrated of ${connections}`);
}

/** main and the workers wait in their loops: they are taken over, and main's next turn is one of the new loop. Twice, and back. */
async function takeOver(configuration) {
    const pauses = [];
    const report = await serving(configuration, async ({ memcached, server, load }) => {
        const patch = await patchOf(memcached, countTurns);
        await load.reset();
        for (const round of ['first', 'second']) {
            const { transferred, pause_ms: pause } = await apply(patch, server, load);
            if (!(transferred > 1))
                throw new Error(`${round} update: ${transferred} suspended functions were taken over`);
            const turns = await until(() => server.setting('main_turns'), 'main counts its turns');
            await until(async () => await server.setting('main_turns') > turns, 'main goes on counting');
            await rollback(server, load);
            if (await server.setting('main_turns') !== undefined)
                throw new Error(`${round} rollback: memcached still tells what main has counted`);
            pauses.push(pause);
        }
    });
    tell(configuration, ', main and struct settings', pauses, report);
}

// Which of memcached's numbers hold the size of an item.
const itemSizes = '[heap]\nnumbers = ["slabclass_t.size", "struct _obj_io.len", "struct iovec.iov_len"]\n';

/**
 * Items lie in pages of memcached's own, cut by a size that it keeps: no patch is made. If that is said to do no harm, the update is
 * refused, with the place where such a page comes from, and nothing is lost.
 */
async function refuse(configuration) {
    await serving(configuration, async ({ memcached, server, load }) => {
        const settings = path.join(memcached.tree, 'molt.toml');
        fs.rmSync(settings, { force: true });
        const reason = await patchOf(memcached, changeItem).then(() => 'a patch was made', (error) => error.message);
        if (!/slabs\.c:\d+\) keeps in member 'size' of slabclass_t the size of struct _stritem/.test(reason))
            throw new Error(`struct _stritem: ${reason}`);
        fs.writeFileSync(settings, itemSizes);
        const patch = await patchOf(memcached, changeItem).finally(() => fs.rmSync(settings));
        const result = await molt.call(['apply', patch, String(server.pid)]);
        if (result.status !== 2 || !/pointer to struct _stritem .*leads into .*slabs\.c:\d+/.test(result.output))
            throw new Error(`struct _stritem: exit status ${result.status}: ${result.output.trim()}`);
        await load.everywhere(plainAnswer);
    });
}

/** What memcached says of its own connections, on one that is open as long as DURING runs. */
async function connectionsBySelf(server, during) {
    const socket = net.connect(server.port, '127.0.0.1').setEncoding('utf8');
    let text = '';
    socket.on('data', (part) => { text += part; });
    socket.write('stats conns\r\n');
    while (!text.endsWith('END\r\n'))
        await new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject));
    const result = await during();
    socket.destroy();
    return { own: text.split('\n').filter((line) => line.includes(':state ')).length, result };
}

/** Under load, as many struct conn are counted as memcached has connections; one that was closed it would keep for the next. */
async function count(configuration) {
    await serving(configuration, async ({ memcached, server }) => {
        const { own, result } = await connectionsBySelf(server, () => molt.call(['instances', '--json', '--values',
            '-p', memcached.build, '--root', memcached.tree, 'conn', String(server.pid)]));
        const answer = JSON.parse(must('molt instances', result).stdout);
        if (answer.types[0].count !== own)
            throw new Error(`${answer.types[0].count} struct conn counted, memcached says ${own}`);
        if (!answer.instances.some((one) => one.values.some(({ member, value }) => member === 'state' && value === 'conn_listening')))
            throw new Error(`none of them listens: ${result.stdout}`);
        console.log(`${configuration}: ${own} struct conn, paused ${answer.pause_ms} ms`);
    });
}

const args = process.argv.slice(2);
const configurations = args[0] === '--all' ? everyConfiguration.filter((name) => !name.includes('O1'))
    : args.length ? args : usual;
let passed = 0, failed = 0;

async function attempt(what, play) {
    try {
        await play();
        passed++;
    } catch (error) {
        failed++;
        console.log(`FAILED memcached, ${what}: ${error.message}`);
    }
}

await attempt('the client that counts failures', check);
for (const configuration of configurations) {
    await attempt(configuration, () => update(configuration, '', () => {}, () => {}));
    await attempt(`${configuration}, struct conn`, () => update(configuration, ', struct conn', changeConn, allMigrated));
    await attempt(`${configuration}, main and struct settings`, () => takeOver(configuration));
    await attempt(`${configuration}, struct _stritem`, () => refuse(configuration));
    await attempt(`${configuration}, instances`, () => count(configuration));
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
