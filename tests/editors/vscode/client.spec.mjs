// The VS Code client against the scripted server of tests/editors/fake.
import assert from 'node:assert/strict';
import { Code, finish, project, received, repository, temporary, test, until } from './harness.mjs';

const log = `${temporary}/fake-vscode.log`;
const source = 'int answer(void)\n{\n    return 41;\n}\n';
const directory = project({ 'src/a.c': source, 'src/b.c': source,
    'src/point.c': `struct point {\n    int x;\n    int y;\n};\n\n${source}`, 'build/compile_commands.json': '[]' });
const code = await Code.start(directory, {
    'molt.server.path': `${repository}/tests/editors/fake/molt-lsp`, 'molt.timeout': 2.5,
}, { FAKE_LOG: log });

await test('starts where a compile database is, with the settings that were given', code, async () => {
    await code.status(/0 pending changes - fake/);
    const { initializationOptions } = received(log, 'initialize')[0].params;
    assert.deepEqual(initializationOptions, { timeout: 2.5 });
});

await test('an edit is pending in the status bar, the tree and the gutter', code, async () => {
    await code.open('a.c');
    await code.view();
    await code.replaceLine(3, '    return 42;');
    await code.status(/1 pending change - fake/);
    await code.tree(['a.c src', 'answer function modified']);
    await code.page.locator('.dirty-diff-modified').first().waitFor();
});

await test('the review shows the change set and follows it', code, async () => {
    await code.command('Molt: Review Pending Changes');
    await code.review(/1 pending change in[^]*modified {2}function answer, line 1[^]*-\s+return 41;[^]*\+\s+return 42;/);
    const [added, removed] = [await code.background('return 42;', -1), await code.background('return 41;', 0)];
    assert.match(added, /^rgba\(155, 185, 85/);
    assert.match(removed, /^rgba\(255, 0, 0/);
    await code.screenshot('vscode-client-review');
    await code.open('b.c');
    await code.replaceLine(3, '    return 43;');
    await code.status(/2 pending changes/);
    await code.review(/2 pending changes in/);
});

await test('a save by hand is announced as one and updates', code, async () => {
    await code.save();
    await code.status(/updated: 1 function in 41 ms/);
    assert.equal(received(log, 'textDocument/willSave')[0].params.reason, 1);
    await code.tree([]);
});

await test('Roll Back makes the changes pending again', code, async () => {
    await code.command('Molt: Roll the Last Update Back');
    await code.status(/2 pending changes/);
    await code.page.getByText('Held back until the next edit').waitFor();
});

await test('Update Now applies them', code, async () => {
    await code.command('Molt: Update the Program Now');
    await code.status(/updated: 1 function/);
    await code.tree([]);
});

await test('Hold Back keeps a save from updating', code, async () => {
    await code.replaceLine(3, '    return 44;');
    await code.status(/1 pending change/);
    await code.command('Molt: Hold Pending Changes Back');
    await code.page.getByText('Held back until the next edit').waitFor();
    await code.save();
    await code.status(/1 pending change/);
    await code.tree(['b.c src', 'answer function modified']);
});

await test('Compare with the Running Program shows both sides', code, async () => {
    await code.page.locator('.pane-body .monaco-list-row', { hasText: 'b.c' }).hover();
    await code.page.locator('.pane-body .monaco-list-row .action-label[aria-label*="Compare"]').first().click();
    await code.page.locator('.tab.active', { hasText: 'running ↔ edited' }).waitFor();
    await code.review(/return 43;/);
    await code.screenshot('vscode-client-compare');
});

await test('a lens above a structure shows what lives', code, async () => {
    await code.open('point.c');
    await code.page.locator('.codelens-decoration a', { hasText: '2 live instances' }).first().click();
    await code.review(/struct point: 2 instances of 8 bytes/);
    assert.equal(received(log, 'workspace/executeCommand').at(-1).params.arguments[0].type, 'struct point');
});

await test('a structure that changes: its types in the tree and the review, hints at its members', code, async () => {
    await code.command('View: Close All Editors');
    await code.open('point.c');
    await code.replaceLine(3, '    double radius;');
    await code.row('Types of live instances');
    await code.row('struct point', 'by name');
    await code.page.locator('.view-line', { hasText: 'radius' }).getByText('zero').first().waitFor();
    await code.command('Molt: Review Pending Changes');
    await code.review(/Types of live instances\n {2}struct point, migrated by name[^]*radius {2}zero[^]*molt_migrate_point/);
    await code.screenshot('vscode-client-types');
});

await test('a failed validation: values in the tree, the review and the problems, buttons to go on', code, async () => {
    await code.open('point.c');
    await code.replaceLine(8, '    return 9999;');
    await code.save();
    await code.status(/validation failed: validation of struct point \(molt\/point\.c:3\)$/);
    await code.row('Validation failed', 'validation of struct point (molt/point.c:3)');
    await code.row('radius', '- → 3.5');
    await code.row('it returned 0', '0x5581 (2 of 3)');
    const notice = code.page.locator('.notifications-toasts', { hasText: 'struct point (molt/point.c:3) failed: it returned 0' });
    await notice.waitFor();
    await code.review(/Validation failed\n[^]*\* radius {2}- {6}3\.5/);
    await code.screenshot('vscode-client-validation');
    await notice.getByRole('button', { name: 'Retry' }).click();
    await until('retried', () => received(log, 'workspace/executeCommand').at(-1)?.params.command === 'molt.apply');
    await code.row('Validation failed', 'validation of struct point (molt/point.c:3)');
    await code.command('Problems: Focus on Problems View');
    await code.page.locator('.markers-panel', { hasText: 'validation failed, the update was discarded' }).waitFor();
    await code.command('Molt: Hold Pending Changes Back');
    await code.page.getByText('Held back until the next edit').waitFor();
    await code.page.locator('.pane-body .monaco-list-row', { hasText: 'Validation failed' }).waitFor({ state: 'detached' });
    await code.command('View: Toggle Panel Visibility');
});

await test('the light bulb writes a policy and opens it', code, async () => {
    await code.open('point.c');
    await code.replaceLine(3, '    double radius; /* long */');
    await code.act('Molt: write a migration policy for struct point');
    await code.page.locator('.tab.active[data-resource-name="point.c"]').waitFor();
    await code.review(/#include <molt\/policy\.h>\n\nMOLT_MIGRATE\(struct point, old, new\)/);
    assert.equal(received(log, 'workspace/executeCommand').at(-1).params.arguments[0].validation, false);
});

await test('changed settings reach the server', code, async () => {
    const { writeFileSync, mkdirSync } = await import('node:fs');
    mkdirSync(`${directory}/.vscode`);
    writeFileSync(`${directory}/.vscode/settings.json`, JSON.stringify({ 'molt.save': 'all' }));
    await until('message', () => received(log, 'workspace/didChangeConfiguration').some(({ params }) => params.settings?.molt?.save === 'all'));
});

await code.stop();
finish();
