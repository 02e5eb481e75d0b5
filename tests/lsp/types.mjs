// A structure changes while instances live, with a real compiler and a real program: what the editor is told before the save, a policy
// that is wrong, the same one mended, and the way back.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { call, program } from '../system/molt.mjs';
import { LanguageClient } from '../system/lsp.mjs';

const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'molt-types-')));
const at = (name) => path.join(root, name);
const uri = (name) => pathToFileURL(at(name)).href;
const count = 100;
const sources = {
    'src/vector.h': 'struct vector3d {\n    double x, y;\n    int kind;\n};\n\ndouble value(const struct vector3d *v);\n',
    'src/value.c': '#include "vector.h"\n\ndouble value(const struct vector3d *v)\n{\n    return v->x + v->y;\n}\n',
    'src/list.c': '#include <stdlib.h>\n#include "vector.h"\n\nstatic struct vector3d *all[100];\n\n' +
        'void fill(void)\n{\n    for (int i = 0; i < 100; i++) {\n        all[i] = malloc(sizeof(struct vector3d));\n' +
        '        all[i]->x = i;\n        all[i]->y = 1;\n        all[i]->kind = i % 3;\n    }\n}\n\n' +
        'double sum(void)\n{\n    double total = 0;\n\n    for (int i = 0; i < 100; i++)\n        total += value(all[i]);\n    return total;\n}\n',
    'src/main.c': '#include <stdio.h>\n\nvoid fill(void);\ndouble sum(void);\n\nint main(void)\n{\n    char line[80];\n\n    fill();\n' +
        '    while (fgets(line, sizeof line, stdin)) {\n        printf("%g\\n", sum());\n        fflush(stdout);\n    }\n    return 0;\n}\n',
};

function make() {
    const commands = ['value', 'list', 'main'].map((name) => ({ directory: at('build'), file: at(`src/${name}.c`),
        arguments: ['gcc', '-O1', '-g', '-c', `../src/${name}.c`, '-o', `${name}.o`] }));
    fs.mkdirSync(at('build'), { recursive: true });
    fs.writeFileSync(at('build/compile_commands.json'), JSON.stringify(commands));
    for (const { arguments: [compiler, ...rest] } of commands)
        assert.equal(spawnSync(compiler, rest, { cwd: at('build') }).status, 0);
    assert.equal(spawnSync('gcc', ['value.o', 'list.o', 'main.o', '-o', 'server'], { cwd: at('build') }).status, 0);
}

async function ask(talker) {
    talker.say('x');
    return Number(await talker.line());
}

/** Writes TEXT to file NAME, in the editor and on disk, and saves; resolves to lastUpdate. */
function save(name, text) {
    client.change(at(name), text);
    fs.mkdirSync(path.dirname(at(name)), { recursive: true });
    fs.writeFileSync(at(name), text);
    return client.save(at(name));
}

for (const [name, text] of Object.entries(sources)) {
    fs.mkdirSync(path.dirname(at(name)), { recursive: true });
    fs.writeFileSync(at(name), text);
}
fs.writeFileSync(at('molt.toml'), 'root = "."\n');
make();
const server = program(at('build/server'));
const before = count * (count - 1) / 2 + count;
assert.equal(await ask(server), before);
const client = await LanguageClient.start(root);
for (const name of Object.keys(sources))
    client.open(at(name));
await client.ready();
await client.until(() => client.status.warm, 'the warm-up');

/** The words of the lens above `struct vector3d`, as its buffer is now. */
async function liveInstances() {
    const lenses = await client.request('textDocument/codeLens', { textDocument: { uri: uri('src/vector.h') } });
    const lens = await client.request('codeLens/resolve', lenses.find(({ data }) => data?.type === 'struct vector3d'));
    return lens.command.title;
}

/** What is shown of the instances. */
async function shownInstances() {
    const { text } = await client.request('workspace/executeCommand', { command: 'molt.instances', arguments: [{ type: 'vector3d' }] });
    return text;
}

// what lives, counted and shown
assert.equal(await liveInstances(), '100 live instances');
assert.match(await shownInstances(), /struct vector3d: 100 instances of 24 bytes\n +100 {2}heap blocks +fill, src\/list\.c:9\n[^]*\n {4}x +0\n {4}y +1\n {4}kind {2}0\n/);

// before the save: the buffer alone tells what becomes of each member
const changed = sources['src/vector.h'].replace('double x, y;', 'double length, x, y;').replace('int kind', 'short kind');
client.change(at('src/vector.h'), changed);
await client.until(() => client.status.plan?.types === 1, 'a plan is made of the buffer');
let review = await client.request('molt/review', {});
assert.equal(review.types[0].name, 'struct vector3d');
do
    review = await client.request('molt/review', {});
while (review.types[0].instances === null);
assert.equal(review.types[0].instances, count);
const sourceOf = (name) => review.types[0].members.find((member) => member.name === name)?.source;
assert.deepEqual(['length', 'x', 'kind'].map(sourceOf), ['zero', 'as it was', 'converted: it must fit']);
assert.match(review.text, /struct vector3d, migrated by name(, 100 live instances)?\n[^]*void molt_migrate_\w+\([^]*new->x = old->x;/);
const hints = await client.request('textDocument/inlayHint', { textDocument: { uri: uri('src/vector.h') },
    range: { start: { line: 0, character: 0 }, end: { line: 9, character: 0 } } });
assert.deepEqual(hints.map(({ position, label }) => [position.line, label]), [[1, 'length zero'], [2, 'converted: it must fit']]);
assert.equal(await ask(server), before);

// the code action's command writes a policy file to start from, which says what happens without it
const place = await client.request('workspace/executeCommand', { command: 'molt.writePolicy', arguments: [{ type: 'struct vector3d' }] });
await client.until(() => client.edits.length === 1, 'an edit');
const [creation, { edits: [{ newText: skeleton }] }] = client.edits[0].documentChanges;
assert.deepEqual([creation.kind, creation.uri, place.uri], ['create', uri('molt/vector3d.c'), uri('molt/vector3d.c')]);
assert.equal(skeleton.split('\n')[place.line], 'MOLT_MIGRATE(struct vector3d, old, new)');
assert.match(skeleton, /#include "[^"]*vector\.h"[^]*new->x = old->x;[^]*MOLT_VALIDATE\(struct vector3d, old, new\)/);

// a wrong one fails its validation, at its line and with the instance's values
const policy = (body) => skeleton.replace('}\n\nMOLT_VALIDATE', `    ${body}\n}\n\nMOLT_VALIDATE`)
    .replace('return 1;', 'return new->length == old->x + old->y;');
fs.mkdirSync(at('molt'), { recursive: true });
fs.writeFileSync(at('molt/vector3d.c'), policy('new->length = old->x;'));
client.open(at('molt/vector3d.c'));
let last = await save('src/vector.h', changed);
assert.equal(last.result, 'validation', last.message);
assert.equal(client.status.phase, 'validation-failed');
const failed = client.status.validation;
const line = policy('').split('\n').findIndex((text) => text.startsWith('MOLT_VALIDATE'));
assert.deepEqual([failed.kind, failed.file, failed.uri, failed.row], ['validation', 'molt/vector3d.c', uri('molt/vector3d.c'), line]);
assert.deepEqual(failed.values.map(({ member, old, new: now }) => [member, old, now]),
    [['length', null, '0'], ['x', '0', '0'], ['y', '1', '1'], ['kind', '0', '0']]);
await client.until(() => client.diagnostics.get(uri('molt/vector3d.c'))?.[0]?.code === 'validation-failed', 'a diagnostic');
assert.equal(client.status.pending.count > 0, true);
assert.equal(await ask(server), before);

// mended in the buffer alone: the next preview is made with it
client.change(at('molt/vector3d.c'), `\n\n${policy('new->length = old->x + old->y;')}`);
const moved = policy('').split('\n').findIndex((text) => text.startsWith('MOLT_MIGRATE')) + 2;
do
    review = await client.request('molt/review', {});
while (review.types[0]?.policy?.line !== moved);
assert.equal(review.types[0].policy.uri, uri('molt/vector3d.c'));

// mended and saved: in the program, with all instances
last = await save('molt/vector3d.c', policy('new->length = old->x + old->y;'));
assert.equal(last.result, 'updated', last.message);
assert.equal(last.instances, count, last.message);
assert.equal(await liveInstances(), '100 live instances');
const told = await call(['instances', '--json', '-p', at('build'), 'vector3d', String(server.pid)]); // it finds the record of the update
assert.equal(told.status, 0, told.output);
assert.deepEqual(JSON.parse(told.stdout).types.map((type) => [type.count, type.size]), [[count, 32]]);
assert.match(await shownInstances(), /100 instances of 32 bytes[^]*\n {4}length {2}1\n {4}x +0\n/);
assert.deepEqual(client.diagnostics.get(uri('molt/vector3d.c')), []);
await client.until(() => client.status.quiescent && client.status.pending.count === 0 && client.status.plan === null && !client.status.validation,
    'nothing is pending');
assert.equal(await ask(server), before);
last = await save('src/value.c', sources['src/value.c'].replace('v->x + v->y', 'v->length'));
assert.equal(last.result, 'updated', last.message);
assert.equal(await ask(server), before);

// undone: the program goes back
last = await save('src/value.c', sources['src/value.c']);
assert.equal(last.result, 'rolled-back', last.message);
assert.equal(await ask(server), before);
last = await save('src/vector.h', sources['src/vector.h']);
assert.ok(['rolled-back', 'updated'].includes(last.result), last.message);
assert.equal(last.instances, count, last.message);
assert.equal(await ask(server), before);
await client.until(() => client.status.quiescent && client.status.pending.count === 0, 'nothing is pending');

await client.stop();
await server.close();
fs.rmSync(root, { recursive: true });
