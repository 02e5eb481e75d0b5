// The whole way: real VS Code, the real language server, a program that serves meanwhile (MOLT_PROJECT, MOLT_PORT).
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { Code, finish, test, until } from './harness.mjs';

/** One connection, open from the first case to the last. */
class Connection {
    constructor(port) {
        this.heard = '';
        this.requests = 0;
        this.socket = connect(port, '127.0.0.1').setEncoding('utf8').on('data', (text) => { this.heard += text; });
    }

    async ask() {
        this.heard = '';
        this.requests++;
        this.socket.write('?\n');
        await until('answer', () => this.heard.endsWith('\n'));
        const [, text, number] = /^(.*) (\d+)\n$/.exec(this.heard);
        assert.equal(Number(number), this.requests, 'requests served on this connection');
        return text;
    }
}

const server = new Connection(Number(process.env.MOLT_PORT));
const code = await Code.start(process.env.MOLT_PROJECT, { 'molt.server.path': `${process.env.MOLT_BUILD}/lsp-server/molt-lsp` });
const heldBack = code.page.getByText('Held back until the next edit');
const line = 5;

await test('live: the server finds the program', code, async () => {
    await code.status(/server \(pid \d+\)/);
    assert.equal(await server.ask(), 'hello from version one');
    await code.open('answer.c');
    await code.view();
});

await test('live: an edit is pending in the tree, the gutter and the review', code, async () => {
    await code.replaceLine(line, '    return "hello from version two";');
    await code.status(/1 pending change/);
    await code.tree(['answer.c src', 'answer function modified']);
    await code.page.locator('.dirty-diff-modified').first().waitFor();
    await code.command('Molt: Review Pending Changes');
    await code.review(/1 pending change in[^]*modified\s+function answer[^]*-\s+return "hello from version one"[^]*\+\s+return "hello from version two"/);
    await code.screenshot('vscode-pending');
    assert.equal(await server.ask(), 'hello from version one');
});

await test('live: a save changes the running program', code, async () => {
    await code.save();
    await code.status(/updated: 1 function/);
    assert.equal(await server.ask(), 'hello from version two');
    await code.tree([]);
    await code.review(/^0 pending changes/);
    await code.page.locator('.dirty-diff-modified').first().waitFor({ state: 'detached' });
    await code.screenshot('vscode-updated');
});

await test('live: rollback takes it back, the edit stays and is pending', code, async () => {
    await code.command('Molt: Roll the Last Update Back');
    await until('the old answer', async () => await server.ask() === 'hello from version one');
    await code.tree(['answer.c src', 'answer function modified']);
    await heldBack.waitFor();
    await code.review(/hello from version two/);
    await code.screenshot('vscode-rolled-back');
});

await test('live: Update Now applies what was held back', code, async () => {
    await code.command('Molt: Update the Program Now');
    await until('the new answer', async () => await server.ask() === 'hello from version two');
    await code.tree([]);
});

await test('live: discarded changes wait', code, async () => {
    await code.replaceLine(line, '    return "hello from version three";');
    await code.status(/1 pending change/);
    await code.command('Molt: Hold Pending Changes Back');
    await heldBack.waitFor();
    await code.save();
    assert.equal(await server.ask(), 'hello from version two');
    await code.status(/1 pending change/);
});

await test('live: an error is a problem in the file, the program runs on', code, async () => {
    await code.replaceLine(line, '    return nonsense;');
    await code.save();
    await code.page.locator('.squiggly-error').first().waitFor();
    await code.status(/error/i);
    await code.review(/^1 pending change in[^]*Held: 1 error in answer.c/);
    await code.screenshot('vscode-refused');
    assert.equal(await server.ask(), 'hello from version two');
});

await test('live: the edit undone and saved leaves nothing pending', code, async () => {
    await code.replaceLine(line, '    return "hello from version one";');
    await code.save();
    await until('the first answer', async () => await server.ask() === 'hello from version one');
    await code.tree([]);
});

await test('live: the body of an endless loop is made a function', code, async () => {
    await code.open('server.c');
    await code.replaceLine(69, '    for (;;) {');
    await code.act('extract the loop\'s body into main_turn');
    await code.page.locator('.view-line', { hasText: 'if (main_turn(&server))' }).first().waitFor();
    await code.command('File: Revert File');
    await code.page.locator('.view-line', { hasText: 'main_turn' }).first().waitFor({ state: 'detached' });
    await code.tree([]);
});

await test('live: what becomes of a structure is told before the save', code, async () => {
    await code.open('guest.h');
    await code.replaceLine(7, '    long number, visits;');
    await code.row('struct guest', 'by name');
    await code.page.locator('.view-line', { hasText: 'visits' }).getByText('number converted; visits zero').first().waitFor();
    await code.review(/Types of live instances\n {2}struct guest, migrated by name[^]*visits {2}zero/);
    await code.screenshot('vscode-types');
});

await test('live: a wrong policy fails its validation, and the program runs on', code, async () => {
    await code.act('Molt: write a validation for struct guest');
    await code.page.locator('.tab.active[data-resource-name="guest.c"]').waitFor();
    const text = await code.text();
    const line = text.split('\n').findIndex((one) => one.includes('return 1;')) + 1;
    await code.replaceLine(line, '    return new->visits == 7;');
    await code.command('File: Save All');
    await code.status(/validation failed: validation of struct guest \(molt\/guest\.c:\d+\)$/);
    await code.row('visits', '- → 0');
    await code.page.locator('.notifications-toasts', { hasText: 'struct guest (molt/guest.c' }).waitFor();
    await code.page.locator('.squiggly-error').first().waitFor();
    await code.screenshot('vscode-validation');
    assert.equal(await server.ask(), 'hello from version one');
    await code.replaceLine(line, '    return new->visits == 0;');
    await code.save();
    await code.status(/updated: .* instances/);
    await code.tree([]);
    assert.equal(await server.ask(), 'hello from version one');
});

server.socket.destroy();
await code.stop();
finish();
