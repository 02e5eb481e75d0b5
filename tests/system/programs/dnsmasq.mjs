// dnsmasq: built with Debian's hardening flags, all sources in src/. Its main never returns and jumps through a table; a member is
// added in the middle of the structure that holds all of its settings, which nearly every function uses.

import dgram from 'node:dgram';
import path from 'node:path';
import * as molt from '../molt.mjs';

export const source = 'dnsmasq';

// What it answers says in its time to live how often it was asked since, and whether main's loop is the new one.
const edits = {
    'src/dnsmasq.h': [['  char *servers_file;\n', '  unsigned long molt_asked;\n  char *servers_file;\n']],
    'src/dnsmasq.c': [
        ['int main (int argc, char **argv)\n',
            'unsigned long molt_turns;\nstatic void molt_turn(void) { molt_turns = 1000; }\nint main (int argc, char **argv)\n'],
        ['      now = dnsmasq_time();\n\n      check_log_writer(0);', '      now = dnsmasq_time();\n      molt_turn();\n\n      check_log_writer(0);'],
    ],
    'src/domain-match.c': [
        ['#include "dnsmasq.h"\n', '#include "dnsmasq.h"\nextern unsigned long molt_turns;\n'],
        ['daemon->local_ttl, NULL, T_A,', 'molt_turns + ++daemon->molt_asked, NULL, T_A,'],
    ],
};

const name = Buffer.from('\x04molt\x04test\x00', 'latin1');
const query = Buffer.concat([Buffer.from([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), name, Buffer.from([0, 1, 0, 1])]);

/** A port that nobody has; what is bound to it next is likely to get it. */
async function freePort() {
    const socket = dgram.createSocket('udp4');
    await new Promise((resolve) => socket.bind(0, '127.0.0.1', resolve));
    const { port } = socket.address();
    await new Promise((resolve) => socket.close(resolve));
    return port;
}

/** Asks until there is an answer; resolves to its address and time to live. */
async function ask(socket, port, ms = 10000) {
    for (const deadline = Date.now() + ms; Date.now() < deadline;) {
        const answer = await new Promise((resolve) => {
            const timer = setTimeout(resolve, 500);
            socket.removeAllListeners('message').once('message', (message) => { clearTimeout(timer); resolve(message); });
            socket.send(query, port, '127.0.0.1');
        });
        if (answer) {
            const record = answer.subarray(query.length);
            return { ttl: record.readUInt32BE(6), address: [...record.subarray(12, 16)].join('.') };
        }
    }
    throw new Error(`no answer within ${ms} ms`);
}

export async function play(program) {
    const port = await freePort();
    const dnsmasq = molt.program(path.join(program.tree, 'src/dnsmasq'), ['-k', '-C', '/dev/null', '-p', String(port), '--no-resolv', '--no-hosts',
        '--listen-address=127.0.0.1', '--bind-interfaces', '--address=/molt.test/1.2.3.4', '--log-facility=-', ...(process.getuid() === 0 ? ['--user=root'] : []),
        `--pid-file=${path.join(program.directory, 'pid')}`]);
    const socket = dgram.createSocket('udp4');
    const expect = async (ttl) => {
        const answer = await ask(socket, port);
        if (answer.ttl !== ttl || answer.address !== '1.2.3.4')
            throw new Error(`it answers ${answer.address} for ${answer.ttl} s, not for ${ttl}; ${dnsmasq.stderr}`);
    };
    try {
        await expect(0);
        const patch = await program.patch('settings', edits);
        const { transferred } = await program.apply(patch, dnsmasq.pid);
        if (transferred !== 1)
            throw new Error('main was not taken over');
        await expect(1001);
        await expect(1002);
        await program.rollback(dnsmasq.pid);
        await expect(0);
        await program.apply(patch, dnsmasq.pid);
        await expect(1001);
    } finally {
        socket.close();
        dnsmasq.child.kill('SIGKILL');
    }
    return 'all settings, and main in its loop; there, back, and there again';
}
