// redis: connections that ask without a pause, each of them a struct client on the heap, which gets a member near its start.

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import * as molt from '../molt.mjs';

export const source = 'redis';
const connections = 8;

const edits = {
    'src/server.h': [
        ['    uint64_t flags;         /* Client flags', '    uint64_t pings;\n    uint64_t flags;         /* Client flags'],
    ],
    'src/networking.c': [['    c->resp = 2;', '    c->resp = 2;\n    c->pings = 0;']],
    'src/server.c': [
        ['addReply(c,shared.pong);', 'addReplyStatusFormat(c, "PONG %llu", (unsigned long long)++c->pings);'],
    ],
};

/** A connection that writes, reads and pings for ever; `failures` and `pong`, the last answer to a ping, tell how it goes. */
class Client {
    constructor(file, number) {
        this.failures = 0;
        this.pong = '';
        this.socket = net.connect(file);
        this.socket.on('error', () => {});
        this.socket.on('close', () => { this.failures += this.ended ? 0 : 1; });
        this.talk(number);
    }

    async talk(number) {
        const answers = this.lines();
        const next = async () => (await answers.next()).value;
        for (let i = 0; !this.socket.destroyed; i++) {
            const value = `value-${i}`;
            this.socket.write(`SET key:${number} ${value}\r\nGET key:${number}\r\nPING\r\n`);
            const set = await next(), length = await next(), got = await next();
            this.pong = await next();
            if (this.pong !== undefined && (set !== '+OK' || length !== `$${value.length}` || got !== value))
                this.failures++;
            await new Promise((resolve) => setTimeout(resolve, 1));
        }
    }

    async *lines() {
        let rest = '';
        for await (const bytes of this.socket) {
            const lines = (rest + bytes).split('\r\n');
            rest = lines.pop();
            yield* lines;
        }
    }

    end() {
        this.ended = true;
        this.socket.destroy();
    }
}

async function until(condition, what, ms = 10000) {
    for (const deadline = Date.now() + ms; !condition();) {
        if (Date.now() > deadline)
            throw new Error(`${what}: not within ${ms} ms`);
        await new Promise((resolve) => setTimeout(resolve, 5));
    }
}

export async function play(program) {
    const socket = path.join(molt.environment.XDG_RUNTIME_DIR, 'redis.sock');
    const redis = molt.program(path.join(program.tree, 'src/redis-server'),
        ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', program.directory]);
    const clients = [];
    const every = (pattern) => () => clients.every((client) => pattern.test(client.pong));
    try {
        const patch = await program.patch('clients', edits);
        await until(() => fs.existsSync(socket), 'redis listens');
        for (let i = 0; i < connections; i++)
            clients.push(new Client(socket, i));
        await until(every(/^\+PONG$/), 'every connection is answered');
        const { instances } = await program.apply(patch, redis.pid);
        if (instances < connections)
            throw new Error(`${instances} instances were migrated, there are ${connections} connections`);
        await until(every(/^\+PONG [1-9]/), 'every connection counts its pings');
        await program.rollback(redis.pid);
        await until(every(/^\+PONG$/), 'every connection is as before');
        await program.apply(patch, redis.pid);
        await until(every(/^\+PONG [1-9]/), 'every connection counts again');
        const failures = clients.reduce((sum, client) => sum + client.failures, 0);
        if (failures)
            throw new Error(`${failures} requests failed`);
    } finally {
        clients.forEach((client) => client.end());
        redis.child.kill('SIGKILL');
    }
    return 'struct client under load, there, back, and there again';
}
