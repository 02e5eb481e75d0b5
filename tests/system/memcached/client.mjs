// Does the client notice? A server that lies now and then, and one that hangs up.

import net from 'node:net';
import { delay, Load } from './server.mjs';

/** A memcached in miniature. WRONG(n) says whether the n-th get is answered with other bytes; HANG_UP(n): not at all. */
function serve(wrong, hangUp) {
    const values = new Map();
    let gets = 0;
    const answer = (socket, line, data) => {
        const [verb, key] = line.split(' ');
        if (verb === 'version')
            return socket.write('VERSION 1.6.18\r\n');
        if (verb === 'set') {
            values.set(key, data);
            return socket.write('STORED\r\n');
        }
        gets++;
        if (hangUp(gets))
            return socket.destroy();
        const value = wrong(gets) ? values.get(key).replace(/./, '~') : values.get(key);
        return socket.write(`VALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`);
    };
    const server = net.createServer((socket) => {
        let text = '';
        socket.on('error', () => {});
        socket.setEncoding('latin1').on('data', (more) => {
            text += more;
            for (let end; (end = text.indexOf('\r\n')) >= 0;) {
                const line = text.slice(0, end);
                const size = line.startsWith('set ') ? Number(line.split(' ')[4]) + 2 : 0;
                if (text.length < end + 2 + size)
                    return;
                const data = text.slice(end + 2, end + 2 + size - 2);
                text = text.slice(end + 2 + size);
                answer(socket, line, data);
            }
        });
    });
    return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

async function counted(wrong, hangUp) {
    const server = await serve(wrong, hangUp);
    const load = new Load({ port: server.address().port }, 4, 2000);
    await delay(500);
    const report = await load.report();
    await load.stop();
    server.close();
    return report;
}

/** Throws if the client misses a wrong answer or a lost connection, or sees one that is none. */
export async function check() {
    const never = () => false;
    const good = await counted(never, never);
    if (good.requests < 200 || good.failures || good.dropped)
        throw new Error(`a good server: ${JSON.stringify(good)}`);
    const lying = await counted((n) => n % 50 === 0, never);
    if (lying.failures === 0 || lying.dropped)
        throw new Error(`a server that lies: ${JSON.stringify(lying)}`);
    const leaving = await counted(never, (n) => n === 50);
    if (leaving.dropped !== 1)
        throw new Error(`a server that hangs up once: ${JSON.stringify(leaving)}`);
}
