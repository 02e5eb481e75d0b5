// Replays a conversation with molt-lsp: run.mjs SERVER CONVERSATION. Lines of a conversation:
//
//   # comment
//   file NAME TEXT      writes a file below the root; in TEXT, \n is a line's end
//   remove NAME         removes it
//   has NAME TEXT       the file's content is TEXT
//   until NAME TEXT     waits until it is
//   engine PID JSON     a program for the fake engine (tests/unit/lsp-server/fake_link.c)
//   end PID             it ends
//   > MESSAGE           sends a message; one with "request" in place of "method" gets an id
//   < MESSAGE           waits for a message that contains all of this; others are skipped
//   <~ MESSAGE          as <, but it may have come already while the last < or << waited
//   << MESSAGE          waits for the answer to the last request, which must contain all of this
//   ! MESSAGE           no message that the last < or << went through contained this
//   restart             kills the server without a goodbye and starts another
//   server N            from here on the talk is with the N-th server (the first is 1), started if need be
//   exit STATUS         closes the server's input and waits for its end
//
// $ROOT stands for the root's URI and $DIR for its path. An expected object is contained in a larger one; a string
// that begins with ~ is a regular expression.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { pathToFileURL } from 'node:url';

const patience = 10000;
const [server, conversation] = process.argv.slice(2).map((name) => path.resolve(name));
const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'molt-lsp-')));
const runtime = path.join(root, 'run');
const work = path.join(root, 'work');
fs.mkdirSync(path.join(runtime, 'molt'), { recursive: true, mode: 0o700 });
fs.mkdirSync(work);

const talks = new Map();
let talk, id = 0, seen = [];

function start(number) {
    let buffer = Buffer.alloc(0);
    const received = [];
    const child = spawn(server, ['--stdio'], { env: { ...process.env, XDG_RUNTIME_DIR: runtime }, cwd: work,
        stdio: ['pipe', 'pipe', 'inherit'] });
    const mine = { number, child, received, wake: null,
        ended: new Promise((resolve) => child.on('exit', (code, signal) => resolve(signal ?? code))) };
    talks.set(number, mine);
    talk = mine;
    child.stdin.on('error', () => {});
    child.stdout.on('data', (bytes) => {
        buffer = Buffer.concat([buffer, bytes]);
        for (;;) {
            const end = buffer.indexOf('\r\n\r\n');
            const length = end < 0 ? 0 : Number(/Content-Length: (\d+)/.exec(buffer.subarray(0, end))[1]);
            if (end < 0 || buffer.length < end + 4 + length)
                break;
            const message = JSON.parse(buffer.subarray(end + 4, end + 4 + length));
            buffer = buffer.subarray(end + 4 + length);
            if (message.method && message.id !== undefined)
                send({ id: message.id, result: message.method === 'workspace/applyEdit' ? { applied: true } : null }, mine);
            received.push(message);
        }
        mine.wake?.();
    });
}

function send(message, to = talk) {
    const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }));
    to.child.stdin.write(Buffer.concat([Buffer.from(`Content-Length: ${body.length}\r\n\r\n`), body]));
}

function contains(actual, expected) {
    if (typeof expected === 'string' && expected.startsWith('~'))
        return typeof actual === 'string' && new RegExp(expected.slice(1)).test(actual);
    if (Array.isArray(expected))
        return Array.isArray(actual) && actual.length === expected.length &&
            expected.every((item, i) => contains(actual[i], item));
    if (expected && typeof expected === 'object')
        return !!actual && typeof actual === 'object' &&
            Object.entries(expected).every(([key, value]) => contains(actual[key], value));
    return actual === expected;
}

async function expect(expected) {
    const deadline = Date.now() + patience;
    seen = [];
    for (;;) {
        while (talk.received.length) {
            const message = talk.received.shift();
            seen.push(message);
            if (contains(message, expected))
                return;
        }
        if (Date.now() > deadline)
            throw new Error(`did not come: ${JSON.stringify(expected)}\ncame: ` +
                seen.map((message) => JSON.stringify(message)).join('\n      '));
        await new Promise((resolve) => {
            const timer = setTimeout(resolve, deadline - Date.now() + 1);
            talk.wake = () => { clearTimeout(timer); resolve(); };
        });
    }
}

const engineFile = (pid) => path.join(runtime, 'molt', `${pid}.sock`);
const textOf = (words) => words.join(' ').replaceAll('\\n', '\n');

const steps = {
    file([name, ...words]) {
        const file = path.join(work, name);
        fs.mkdirSync(path.dirname(file), { recursive: true });
        fs.writeFileSync(file, textOf(words));
    },
    remove([name]) { fs.rmSync(path.join(work, name)); },
    has([name, ...words]) {
        const text = fs.readFileSync(path.join(work, name), 'utf8');
        if (text !== textOf(words))
            throw new Error(`${name} holds ${JSON.stringify(text)}`);
    },
    async until([name, ...words]) {
        const file = path.join(work, name), deadline = Date.now() + patience;
        while (!fs.existsSync(file) || fs.readFileSync(file, 'utf8') !== textOf(words)) {
            if (Date.now() > deadline)
                throw new Error(`${name} never held ${JSON.stringify(textOf(words))}`);
            await new Promise((resolve) => setTimeout(resolve, 5));
        }
    },
    engine([pid, ...words]) {
        fs.writeFileSync(engineFile(pid) + '.tmp', words.join(' '));
        fs.renameSync(engineFile(pid) + '.tmp', engineFile(pid));
    },
    end([pid]) { fs.rmSync(engineFile(pid)); },
    '>'(words) {
        const message = JSON.parse(words.join(' '));
        if (message.request)
            send({ id: ++id, method: message.request, params: message.params });
        else
            send(message);
    },
    async '<'(words) { await expect(JSON.parse(words.join(' '))); },
    async '<~'(words) {
        const expected = JSON.parse(words.join(' '));
        if (!seen.some((message) => contains(message, expected)))
            await expect(expected);
    },
    async '<<'(words) { await expect({ id, ...JSON.parse(words.join(' ')) }); },
    '!'(words) {
        const message = seen.find((one) => contains(one, JSON.parse(words.join(' '))));
        if (message)
            throw new Error(`came: ${JSON.stringify(message)}`);
    },
    async restart() {
        talk.child.kill('SIGKILL');
        await talk.ended;
        start(talk.number);
    },
    server([number]) {
        talk = talks.get(number);
        if (!talk)
            start(number);
    },
    async exit([status]) {
        talk.child.stdin.end();
        const code = await talk.ended;
        if (String(code) !== status)
            throw new Error(`the server ended with ${code}`);
    },
};

start('1');
let number = 0, failed = false;
for (const line of fs.readFileSync(conversation, 'utf8').split('\n')) {
    number++;
    if (!line.trim() || line.startsWith('#'))
        continue;
    const [step, ...words] = line.replaceAll('$ROOT', pathToFileURL(work).href).replaceAll('$DIR', work).split(' ');
    try {
        await steps[step](words);
    } catch (error) {
        console.error(`${conversation}:${number}: ${error.message}`);
        failed = true;
        break;
    }
}
for (const { child } of talks.values())
    child.kill('SIGKILL');
fs.rmSync(root, { recursive: true });
process.exit(failed ? 1 : 0);
