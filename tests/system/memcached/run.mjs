// Updates a memcached that serves a steady load: each build of it, new behaviour on the open connections, back
// again, and not one request failed, not one connection dropped.

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { everyConfiguration } from '../build.mjs';
import * as molt from '../molt.mjs';
import { check } from './client.mjs';
import { build, editedTree, Load, plainAnswer, Server } from './server.mjs';

const usual = ['gcc-O2-pie', 'clang-O2-pie'];
const newAnswer = 'VERSION 1.6.18 as edited';
const connections = 8, rate = 4000;

function must(what, result) {
    if (result.status !== 0)
        throw new Error(`${what}: exit status ${result.status ?? result.signal}: ${result.output.trim()}`);
    return result;
}

/** A member at the start of struct conn, which most of memcached's functions know, and every connection is one of. */
function changeType(tree) {
    const header = path.join(tree, 'memcached.h');
    fs.writeFileSync(header, fs.readFileSync(header, 'utf8').replace(/\nstruct conn \{/, '$&\n    uint64_t turns;'));
}

async function play(configuration, type) {
    const memcached = await build(configuration);
    const edited = editedTree(memcached.tree, path.join(memcached.build, '../edited'), newAnswer);
    const patch = path.join(memcached.build, 'version.molt');
    let server, load;

    if (type)
        changeType(edited);
    try {
        server = await Server.start(memcached);
        load = new Load(server, connections, rate);
        await load.everywhere(plainAnswer);

        must('molt diff', await molt.diff(memcached.build, memcached.tree, edited, patch));
        await load.reset();
        const applied = must('molt apply', await molt.call(['apply', '--json', patch, String(server.pid)]));
        await load.everywhere(newAnswer);
        if (type && JSON.parse(applied.stdout).instances < connections)
            throw new Error(`not every connection was migrated: ${applied.stdout}`);
        must('molt rollback', await molt.call(['rollback', String(server.pid)]));
        await load.everywhere(plainAnswer);

        const report = await load.report();
        if (report.failures || report.dropped)
            throw new Error(`${report.failures} requests failed, ${report.dropped} connections dropped`);
        const { pause_ms: pause } = JSON.parse(applied.stdout);
        console.log(`${configuration}${type ? ', struct conn' : ''}: paused ${pause} ms; ${report.requests} requests, none failed, p50 ` +
            `${report.p50_us} us, p99 ${report.p99_us} us, longest ${report.max_us} us`);
        await load.stop();
        const end = await server.stop();
        if (end.status !== 0 && end.signal !== 'SIGTERM')
            throw new Error(`memcached ended with ${JSON.stringify(end)}`);
        fs.rmSync(patch);
    } finally {
        load?.talker.child.kill('SIGKILL');
        server?.program.child.kill('SIGKILL');
    }
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
    const memcached = await build(configuration);
    let server, load;
    try {
        server = await Server.start(memcached);
        load = new Load(server, connections, rate);
        await load.everywhere(plainAnswer);
        const { own, result } = await connectionsBySelf(server, () => molt.call(['instances', '--json', '--values',
            '-p', memcached.build, '--root', memcached.tree, 'conn', String(server.pid)]));
        const answer = JSON.parse(must('molt instances', result).stdout);
        if (answer.types[0].count !== own)
            throw new Error(`${answer.types[0].count} struct conn counted, memcached says ${own}`);
        if (!answer.instances.some((one) => one.values.some(({ member, value }) => member === 'state' && value === 'conn_listening')))
            throw new Error(`none of them listens: ${result.stdout}`);
        await load.reset();
        const report = await load.report();
        if (report.failures || report.dropped)
            throw new Error(`${report.failures} requests failed, ${report.dropped} connections dropped`);
        console.log(`${configuration}: ${own} struct conn, paused ${answer.pause_ms} ms`);
        await load.stop();
        await server.stop();
    } finally {
        load?.talker.child.kill('SIGKILL');
        server?.program.child.kill('SIGKILL');
    }
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
for (const configuration of configurations)
    await attempt(configuration, () => play(configuration, false));
for (const configuration of configurations)
    await attempt(`${configuration}, struct conn`, () => play(configuration, true));
for (const configuration of configurations)
    await attempt(`${configuration}, instances`, () => count(configuration));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
