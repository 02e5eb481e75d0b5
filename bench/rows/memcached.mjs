// memcached at full load: without Molt, with the engine loaded, and after ten updates. The three take turns.
import path from 'node:path';
import { apply, delay, figure, median, must, work } from '../measure.mjs';
import * as molt from '../../tests/system/molt.mjs';
import { build, editedTree, Load, plainAnswer, Server } from '../../tests/system/memcached/server.mjs';

export const title = 'memcached at full load';

/** A chain of COUNT patches, each changing what `version` answers. */
async function chain(memcached, count) {
    const patches = [];
    let from = memcached.tree;
    for (let i = 1; i <= count; i++) {
        const to = editedTree(memcached.tree, path.join(work, 'memcached', `v${i}`), `VERSION 1.6.18 number ${i}`);
        const file = path.join(work, 'memcached', `${i}.molt`);
        must('molt diff', await molt.diff(memcached.build, from, to, file, patches));
        patches.push(file);
        from = to;
    }
    return patches;
}

async function sample(server, seconds) {
    const load = new Load(server, 8, 0);
    await delay(300);
    await load.reset();
    await delay(seconds * 1000);
    const report = await load.report();
    await load.stop();
    if (report.failures || report.dropped)
        throw new Error(`${report.failures} requests failed, ${report.dropped} connections dropped`);
    return report;
}

export async function measure({ rounds = 7, seconds = 3, updates = 10 }) {
    const memcached = await build('gcc-O2-pie');
    const patches = await chain(memcached, updates);
    const servers = { plain: await Server.start(memcached, { plain: true }), loaded: await Server.start(memcached),
        updated: await Server.start(memcached) };
    const samples = { plain: [], loaded: [], updated: [] };

    const load = new Load(servers.updated, 2, 1000);
    await load.everywhere(plainAnswer);
    for (const patch of patches)
        await apply(patch, servers.updated.program);
    await load.everywhere(`VERSION 1.6.18 number ${updates}`);
    await load.stop();

    for (let round = 0; round < rounds; round++) {
        const order = Object.keys(servers);
        for (const name of round % 2 ? order.reverse() : order)
            samples[name].push(await sample(servers[name], seconds));
    }
    for (const server of Object.values(servers))
        await server.stop();

    const rates = (name) => samples[name].map((one) => one.rate);
    const ratio = (name, key) => median(samples[name].map((one, i) => one[key] / samples.plain[i][key]));
    const detail = (name) => `${Math.round(median(rates(name)))} against ${Math.round(median(rates('plain')))} requests/s`;
    return [
        figure('throughput, engine loaded', 100 * ratio('loaded', 'rate'), '%', 99, { atLeast: true, detail: detail('loaded') }),
        figure(`throughput, after ${updates} updates`, 100 * ratio('updated', 'rate'), '%', 99,
            { atLeast: true, detail: detail('updated') }),
        figure('p99 latency, engine loaded', ratio('loaded', 'p99_us'), 'x native'),
        figure(`p99 latency, after ${updates} updates`, ratio('updated', 'p99_us'), 'x native'),
    ];
}
