// lighttpd: built by meson as a program, the libraries that it opens, and programs that test parts of it. Connections that are kept alive,
// each of them with a request in it, which gets a member in its middle; their list ends with its own address.

import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import * as molt from '../molt.mjs';

export const source = 'lighttpd';
export const build = 'b'; // where the compile database is, below the tree
const connections = 4;

const edits = {
    'src/request.h': [['    http_method_t http_method;\n    http_version_t http_version;\n',
        '    uint64_t molt_asked;\n    http_method_t http_method;\n    http_version_t http_version;\n']],
    'src/response.c': [['\tif (!light_btst(r->resp_htags, HTTP_HEADER_SERVER) && r->conf.server_tag)',
        '\tbuffer_append_str2(b, CONST_STR_LEN("\\r\\nX-Asked: "), CONST_STR_LEN(""));\n\tbuffer_append_int(b, ++r->molt_asked);\n' +
        '\tif (!light_btst(r->resp_htags, HTTP_HEADER_SERVER) && r->conf.server_tag)']],
};

/** A connection that asks without a pause; `asked` is what the last answer said, undefined if it said nothing. */
class Client {
    constructor(port) {
        this.failures = this.answers = 0;
        this.agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
        this.talk(port);
    }

    async talk(port) {
        while (!this.ended) {
            try {
                await this.get(port);
            } catch {
                this.failures += this.ended ? 0 : 1;
                return;
            }
        }
    }

    get(port) {
        return new Promise((resolve, reject) => {
            http.get({ port, host: '127.0.0.1', agent: this.agent, path: '/page.txt' }, (response) => {
                let text = '';
                response.on('data', (part) => { text += part; }).on('end', () => {
                    this.failures += response.statusCode === 200 && text === 'hello\n' ? 0 : 1;
                    this.asked = response.headers['x-asked'];
                    this.answers++;
                    setTimeout(resolve, 1);
                });
            }).on('error', reject);
        });
    }

    end() {
        this.ended = true;
        this.agent.destroy();
    }
}

async function until(condition, what, ms = 10000) {
    for (const deadline = Date.now() + ms; !(await condition());) {
        if (Date.now() > deadline)
            throw new Error(`${what}: not within ${ms} ms`);
        await new Promise((resolve) => setTimeout(resolve, 5));
    }
}

async function freePort() {
    const server = net.createServer();
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    return port;
}

const listens = (port) => new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
    socket.on('error', () => resolve(false));
});

export async function play(program) {
    const port = await freePort(), root = path.join(program.directory, 'www'), settings = path.join(program.directory, 'settings');
    fs.mkdirSync(root, { recursive: true });
    fs.writeFileSync(path.join(root, 'page.txt'), 'hello\n');
    fs.writeFileSync(settings, `server.document-root = "${root}"\nserver.bind = "127.0.0.1"\nserver.port = ${port}\n` +
        'server.max-keep-alive-requests = 65535\n');
    const lighttpd = molt.program(path.join(program.tree, 'b/src/lighttpd'), ['-D', '-f', settings, '-m', path.join(program.tree, 'b/src')]);
    const clients = [];
    const each = (holds) => () => clients.every(holds);
    try {
        const patch = await program.patch('requests', edits);
        await until(() => listens(port), 'lighttpd listens');
        for (let i = 0; i < connections; i++)
            clients.push(new Client(port));
        await until(each((client) => client.answers > 2), 'every connection is answered');
        const { instances } = await program.apply(patch, lighttpd.pid);
        if (instances < connections)
            throw new Error(`${instances} instances were migrated, there are ${connections} connections`);
        await until(each((client) => client.asked > 2), 'every connection counts');
        await program.rollback(lighttpd.pid);
        await until(each((client) => client.asked === undefined), 'every connection is as before');
        await program.apply(patch, lighttpd.pid);
        await until(each((client) => client.asked > 2), 'every connection counts again');
        const failures = clients.reduce((sum, client) => sum + client.failures, 0);
        if (failures)
            throw new Error(`${failures} requests failed; ${lighttpd.stderr}`);
    } finally {
        clients.forEach((client) => client.end());
        lighttpd.child.kill('SIGKILL');
    }
    return 'connections under load, in the program and its plugins; there, back, and there again';
}
