// A memcached that serves, and the client that loads it and keeps count.

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { buildDirectory, environment, program } from '../molt.mjs';
import { run, Talker } from '../process.mjs';
import { root } from '../story.mjs';

export const answerFile = 'proto_text.c';
const answerCode = '"VERSION " VERSION';
export const plainAnswer = 'VERSION 1.6.18';
export const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Builds memcached in CONFIGURATION (kept from run to run). Returns { tree, build, file }. */
export async function build(configuration) {
    const directory = path.join(buildDirectory, 'memcached', configuration);
    const result = await run(path.join(root, 'fixtures/memcached/build'), [configuration, directory],
        { timeout: 300000 });
    if (result.status !== 0)
        throw new Error(result.output);
    return { tree: path.join(directory, 'src'), build: path.join(directory, 'build'),
        file: path.join(directory, 'build/memcached') };
}

/** A copy of TREE in which `version` is answered with ANSWER. Returns its path. */
export function editedTree(tree, directory, answer) {
    fs.rmSync(directory, { recursive: true, force: true });
    fs.cpSync(tree, directory, { recursive: true, preserveTimestamps: true });
    const file = path.join(directory, answerFile);
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace(answerCode, JSON.stringify(answer)));
    return directory;
}

/** Waits until CONDITION() holds; resolves to its value. */
export async function until(condition, what, ms = 10000) {
    const deadline = Date.now() + ms;
    for (;;) {
        const value = await condition();
        if (value)
            return value;
        if (Date.now() > deadline)
            throw new Error(`${what}: not within ${ms} ms`);
        await delay(5);
    }
}

/** A running memcached on a port of its own choice; under Molt or, with { plain: true }, alone. */
export class Server {
    static async start({ file, build: directory }, { plain = false, threads = 4, memory = 64 } = {}) {
        const server = new Server();
        const ports = path.join(directory, `port-${process.pid}`);
        const args = ['-l', '127.0.0.1', '-p', '-1', '-U', '0', '-t', String(threads), '-m', String(memory),
            ...(process.getuid() === 0 ? ['-u', 'root'] : [])];
        const options = { env: { ...environment, MEMCACHED_PORT_FILENAME: ports } };
        fs.rmSync(ports, { force: true });
        server.program = plain ? new Talker(file, args, options) : program(file, args, options);
        server.port = await until(() => {
            if (server.program.end)
                throw new Error(`memcached ended: ${JSON.stringify(server.program.end)} ${server.program.stderr}`);
            return fs.existsSync(ports) && fs.readFileSync(ports, 'utf8').match(/INET: (\d+)/)?.[1];
        }, 'memcached listens');
        return server;
    }

    get pid() {
        return this.program.pid;
    }

    /** Sends COMMAND on a connection of its own, which main accepts; resolves to all lines up to END. */
    ask(command) {
        return new Promise((resolve, reject) => {
            const socket = net.connect(this.port, '127.0.0.1').setEncoding('utf8');
            let text = '';
            socket.on('error', reject).on('close', () => reject(new Error(`${command}: memcached hung up`)));
            socket.on('data', (part) => {
                text += part;
                if (text.endsWith('END\r\n')) {
                    resolve(text.split('\r\n'));
                    socket.destroy();
                }
            });
            socket.write(`${command}\r\n`);
        });
    }

    /** A number that `stats settings` tells; undefined: it does not. */
    async setting(name) {
        const line = (await this.ask('stats settings')).find((one) => one.startsWith(`STAT ${name} `));
        return line && Number(line.split(' ')[2]);
    }

    /** Ends it; resolves to its { status, signal }. */
    async stop() {
        this.program.child.kill('SIGTERM');
        return this.program.ended;
    }
}

/** Load on SERVER: CONNECTIONS persistent ones, RATE requests per second in all (0: all that goes). */
export class Load {
    constructor(server, connections, rate) {
        this.talker = new Talker(path.join(buildDirectory, 'fixtures/memcached/load'),
            [server.port, connections, rate].map(String));
    }

    async report() {
        this.talker.say('report');
        return JSON.parse(await this.talker.line());
    }

    async reset() {
        this.talker.say('reset');
        await this.talker.line();
    }

    /** Waits until every connection has had ANSWER to `version`. Resolves to the report that says so. */
    everywhere(answer, ms = 5000) {
        return until(async () => {
            const report = await this.report();
            return report.version === answer && report.agree === report.connections && report;
        }, `every connection gets "${answer}"`, ms);
    }

    stop() {
        return this.talker.close();
    }
}
