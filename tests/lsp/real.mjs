// The language server with a real compiler and a real program: save to running and everything around it, in the
// order in which a day goes: edits, a header, an error, an undo, a killed server, a second process, a new build.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { program } from '../system/molt.mjs';
import { LanguageClient } from '../system/lsp.mjs';

const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'molt-real-')));
const at = (name) => path.join(root, name);
const sources = {
    'src/greeting.h': '#define GREETING "hello"\nconst char *greet(void);\nint count(void);\n',
    'src/greet.c': '#include "greeting.h"\n\nconst char *greet(void)\n{\n    return GREETING;\n}\n',
    'src/count.c': '#include "greeting.h"\n\nint count(void)\n{\n    static int calls;\n\n' +
        '    return sizeof GREETING * 0 + ++calls;\n}\n',
    'src/main.c': '#include <stdio.h>\n#include "greeting.h"\n\nint main(void)\n{\n    char line[80];\n\n' +
        '    while (fgets(line, sizeof line, stdin)) {\n        printf("%s %d\\n", greet(), count());\n' +
        '        fflush(stdout);\n    }\n    return 0;\n}\n',
};

function make() {
    const commands = ['greet', 'count', 'main'].map((name) => ({ directory: at('build'), file: at(`src/${name}.c`),
        arguments: ['gcc', '-O2', '-g', '-c', `../src/${name}.c`, '-o', `${name}.o`] }));
    fs.mkdirSync(at('build'), { recursive: true });
    fs.writeFileSync(at('build/compile_commands.json'), JSON.stringify(commands));
    for (const { arguments: [compiler, ...rest] } of commands)
        assert.equal(spawnSync(compiler, rest, { cwd: at('build') }).status, 0);
    assert.equal(spawnSync('gcc', ['greet.o', 'count.o', 'main.o', '-o', 'server.new'], { cwd: at('build') }).status, 0);
    fs.renameSync(at('build/server.new'), at('build/server'));
}

async function ask(talker) {
    talker.say('x');
    return talker.line();
}

let client;
const open = async () => {
    client = await LanguageClient.start(root);
    for (const name of Object.keys(sources))
        client.open(at(name));
    await client.ready();
};

/** Edits, writes and saves; resolves to lastUpdate. */
function save(name, from, to) {
    const text = fs.readFileSync(at(name), 'utf8');
    assert.ok(text.includes(from));
    client.change(at(name), text.replace(from, to));
    fs.writeFileSync(at(name), text.replace(from, to));
    return client.save(at(name));
}
const idle = (condition, what) =>
    client.until(() => client.status?.quiescent && condition(client.status), what);

for (const [name, text] of Object.entries(sources)) {
    fs.mkdirSync(path.dirname(at(name)), { recursive: true });
    fs.writeFileSync(at(name), text);
}
make();
let server = program(at('build/server'));
let last;
assert.equal(await ask(server), 'hello 1');
await open();

// one function
last = await save('src/greet.c', 'return GREETING', 'return "good day"');
assert.equal(last.result, 'updated', last.message);
assert.deepEqual(last.functions, ['greet']);
assert.equal(await ask(server), 'good day 2');

// a header reaches its users; state is kept
last = await save('src/greeting.h', '"hello"', '"hello, world"');
assert.ok(['updated', 'nothing'].includes(last.result), last.message);
last = await save('src/greet.c', 'return "good day"', 'return GREETING');
assert.equal(last.result, 'updated', last.message);
assert.equal(await ask(server), 'hello, world 3');

// half-typed: held, said where, the program untouched
last = await save('src/greet.c', 'return GREETING;', 'return GREETING');
assert.equal(last.result, 'refused');
assert.equal(client.status.held, '1 error in greet.c');
const [diagnostic] = client.diagnostics.get(pathToFileURL(at('src/greet.c')).href);
assert.equal(diagnostic.source, 'molt');
assert.equal(await ask(server), 'hello, world 4');

// mended: as it was, nothing to update
last = await save('src/greet.c', 'return GREETING\n', 'return GREETING;\n');
assert.equal(last.result, 'nothing', last.message);
assert.equal(client.status.held, null);

// undone: the program goes back, the change set is empty
last = await save('src/greet.c', 'return GREETING', 'return "good day"');
assert.equal(last.result, 'rolled-back', last.message);
assert.equal(await ask(server), 'good day 5');
await idle((status) => status.pending.count === 0, 'the change set is empty');

// the server is killed right after a save: whatever happened, the next one knows
client.change(at('src/greet.c'), fs.readFileSync(at('src/greet.c'), 'utf8').replace('good day', 'good night'));
fs.writeFileSync(at('src/greet.c'), fs.readFileSync(at('src/greet.c'), 'utf8').replace('good day', 'good night'));
client.notify('textDocument/didSave', { textDocument: { uri: pathToFileURL(at('src/greet.c')).href } });
await client.until(() => client.status && client.status.phase !== 'idle', 'an update begins');
client.child.kill('SIGKILL');
await open();
await client.request('workspace/executeCommand', { command: 'molt.apply', arguments: [] });
assert.match(await ask(server), /^good night /);
await idle((status) => status.pending.count === 0, 'nothing is pending after the restart');

// rolled back by hand: pending again and held back
await client.request('workspace/executeCommand', { command: 'molt.rollback', arguments: [] });
assert.match(await ask(server), /^good day /);
await idle((status) => status.pending.count === 1 && status.pending.heldBack, 'the edit is pending again');

// the program ends and is started anew: all edits since its build are pending, and one update brings them
await server.close();
await idle((status) => status.engines.length === 0, 'the end of the program is noticed');
server = program(at('build/server'));
assert.equal(await ask(server), 'hello 1');
await client.ready();
await client.request('workspace/executeCommand', { command: 'molt.apply', arguments: [] });
assert.equal(await ask(server), 'good night 2');

// a new build, and a program started from it: a new baseline, nothing pending
await server.close();
make();
server = program(at('build/server'));
assert.equal(await ask(server), 'good night 1');
await idle((status) => status.engines[0]?.state === 'ready' && status.pending.count === 0, 'the new build is taken up');
last = await save('src/greet.c', '"good night"', '"goodbye"');
assert.equal(last.result, 'updated', last.message);
assert.equal(await ask(server), 'goodbye 2');

// two processes of it: together
const other = program(at('build/server'));
assert.equal(await ask(other), 'good night 1');
await idle((status) => status.engines.length === 2, 'the second process is noticed');
last = await save('src/greet.c', '"goodbye"', '"farewell"');
assert.equal(last.result, 'updated', last.message);
assert.equal(await ask(server), 'farewell 3');
assert.equal(await ask(other), 'farewell 2');

// main, which waits for a line in both of them while it is edited: said beforehand, taken over where it waits, and what it goes on with is new
client.change(at('src/main.c'), fs.readFileSync(at('src/main.c'), 'utf8').replace('%s %d', '%s! %d'));
let waits;
while (!waits)
    waits = (await client.request('molt/review', {})).suspended.find((one) => one.function === 'main');
assert.deepEqual([waits.unit, waits.line, waits.callee, waits.transferable], ['main.c', 7, 'fgets', true], waits.reason);
last = await save('src/main.c', '%s %d', '%s! %d');
assert.equal(last.result, 'updated', last.message);
assert.equal(last.transferred, 2, last.message);
assert.match(last.message, /, 2 suspended functions taken over in /);
assert.match(last.transfers[0], / in main, line 8$/);
assert.equal(await ask(server), 'farewell! 4');
assert.equal(await ask(other), 'farewell! 3');

await client.stop();
await server.close();
await other.close();
fs.rmSync(root, { recursive: true });
