/**
 * Real VS Code (code-server) in headless Chromium: starts both on a project, and offers what the specs do there.
 * Every wait is for something to appear; each case prints a line (they build on each other, so the first failure ends a
 * spec), the last line is "N passed, N failed".
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, realpathSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const repository = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');
export const deps = process.env.MOLT_EDITORS;
export const temporary = process.env.TMPDIR;
export const results = process.env.MOLT_RESULTS;

const { chromium } = createRequire(`${deps}/driver/`)('playwright-core');
const TIMEOUT = 20000;
let passed = 0, failed = 0;

/** A project with FILES ({name: text}) in a directory of its own. */
export function project(files) {
    const directory = realpathSync(mkdtempSync(path.join(temporary, 'project.')));
    for (const [name, text] of Object.entries(files)) {
        mkdirSync(path.dirname(path.join(directory, name)), { recursive: true });
        writeFileSync(path.join(directory, name), text);
    }
    return directory;
}

/** What CHECK returns once it is truthy; fails with WHAT when that takes too long. */
export async function until(what, check, timeout = TIMEOUT) {
    const end = Date.now() + timeout;
    for (;;) {
        const value = await check();
        if (value) {
            return value;
        }
        if (Date.now() > end) {
            throw new Error(`never: ${what}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}

function freePort() {
    return new Promise((resolve) => {
        const server = createServer().listen(0, '127.0.0.1', () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}

function codeServer(...args) {
    return [`${deps}/node/node_modules/node/bin/node`, [`${deps}/code-server/node_modules/code-server/out/node/entry.js`, ...args]];
}

/** One VS Code on DIRECTORY with the packaged extension and SETTINGS. */
export class Code {
    static async start(directory, settings, environment = {}) {
        const code = new Code();
        const home = mkdtempSync(path.join(temporary, 'code.'));
        mkdirSync(`${home}/user/User`, { recursive: true });
        mkdirSync(`${home}/user/Machine`, { recursive: true });
        writeFileSync(`${home}/user/Machine/settings.json`, JSON.stringify(settings));
        writeFileSync(`${home}/user/User/settings.json`, JSON.stringify({
            'files.hotExit': 'off', 'workbench.startupEditor': 'none', 'security.workspace.trust.enabled': false,
            'extensions.autoUpdate': false, 'extensions.autoCheckUpdates': false, 'chat.disableAIFeatures': true,
            'workbench.colorTheme': 'Default Dark Modern', 'git.enabled': false, 'files.autoSave': 'off', 'editor.minimap.enabled': false,
            'window.commandCenter': false, 'telemetry.telemetryLevel': 'off', 'editor.hover.enabled': false,
            'workbench.secondarySideBar.defaultVisibility': 'hidden', 'editor.parameterHints.enabled': false,
            'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' }, 'editor.acceptSuggestionOnEnter': 'off',
            'editor.autoIndent': 'none', 'editor.autoClosingBrackets': 'never',
        }));
        const dirs = ['--user-data-dir', `${home}/user`, '--extensions-dir', `${home}/extensions`];
        const env = { ...process.env, ...environment, HOME: home, XDG_CONFIG_HOME: `${home}/config`, XDG_DATA_HOME: `${home}/data` };
        const [command, args] = codeServer(...dirs, '--install-extension', `${repository}/editor-clients/vscode/dist/molt.vsix`);
        const installed = spawnSync(command, args, { env, encoding: 'utf8' });
        if (installed.status !== 0) {
            throw new Error(`the extension does not install: ${installed.stdout}${installed.stderr}`);
        }
        const port = await freePort();
        code.server = spawn(...codeServer(...dirs, '--bind-addr', `127.0.0.1:${port}`, '--auth', 'none', '--disable-telemetry',
            '--disable-update-check', '--disable-workspace-trust', '--disable-getting-started-override', directory), { env, stdio: ['ignore', 'pipe', 'pipe'] });
        code.output = '';
        for (const stream of [code.server.stdout, code.server.stderr]) {
            stream.on('data', (data) => { code.output += data; });
        }
        await until('code-server listens', () => code.output.includes('HTTP server listening'));
        code.browser = await chromium.launchPersistentContext(`${home}/browser`, {
            executablePath: '/usr/bin/chromium', headless: true, viewport: { width: 1280, height: 760 },
            args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
                '--disable-component-update', '--disable-sync'],
        });
        code.page = code.browser.pages()[0] ?? await code.browser.newPage();
        code.page.setDefaultTimeout(TIMEOUT);
        await code.page.goto(`http://127.0.0.1:${port}/`);
        await code.page.waitForSelector('.monaco-workbench');
        return code;
    }

    async stop() {
        await this.browser?.close();
        if (this.server && this.server.exitCode === null) {
            const ended = new Promise((resolve) => this.server.once('close', resolve));
            this.server.kill('SIGTERM');
            await ended;
        }
    }

    /** Runs a command by its full title in the palette. */
    async command(title) {
        await this.page.keyboard.press('F1');
        const input = this.page.locator('.quick-input-widget input').first();
        await input.waitFor();
        await input.fill(`>${title}`);
        await this.page.locator('.quick-input-list .monaco-list-row').filter({ hasText: title }).first().click();
        await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
    }

    async open(file) {
        await this.page.keyboard.press('Control+P');
        const input = this.page.locator('.quick-input-widget input').first();
        await input.waitFor();
        await input.fill(file);
        await this.page.locator('.quick-input-list .monaco-list-row').filter({ hasText: path.basename(file) }).first().click();
        await this.page.locator(`.tab.active[data-resource-name="${path.basename(file)}"]`).waitFor();
        await this.page.locator('.editor-instance .view-lines').first().waitFor();
    }

    /** Replaces line LINE (from 1) of the active editor. */
    async replaceLine(line, text) {
        await this.page.keyboard.press('Control+G');
        const input = this.page.locator('.quick-input-widget input').first();
        await input.waitFor();
        await input.fill(`:${line}`);
        await this.page.keyboard.press('Enter');
        await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
        await this.page.keyboard.press('Home');
        await this.page.keyboard.press('Home');
        await this.page.keyboard.press('Shift+End');
        await this.page.keyboard.insertText(text);
    }

    async save() {
        await this.page.keyboard.press('Control+S');
        await this.page.locator('.tab.active.dirty').waitFor({ state: 'detached' });
    }

    /** Waits for the status bar to say something that matches, and returns it. */
    async status(pattern, timeout) {
        const item = this.page.locator('.statusbar-item[id*="molt.status"]');
        let text = '';
        try {
            return await until('', async () => {
                text = await item.count() ? await item.first().innerText() : '';
                return pattern.test(text) && text;
            }, timeout);
        } catch {
            throw new Error(`the status bar does not say ${pattern} but "${text}"`);
        }
    }

    async view() {
        await this.command('View: Show Molt');
    }

    /** Waits until the pending tree has exactly these rows. */
    async tree(rows) {
        const view = this.page.locator('.pane-body .monaco-list-row');
        let found = [];
        await until('', async () => {
            found = await view.evaluateAll((all) => all.map((row) => ['.label-name', '.label-description']
                .map((part) => row.querySelector(part)?.innerText ?? '').join(' ').trim()));
            return JSON.stringify(found) === JSON.stringify(rows);
        }).catch(() => { throw new Error(`the tree is ${JSON.stringify(found)}, not ${JSON.stringify(rows)}`); });
    }

    /** Waits for a row of the pending tree. */
    async row(label, description = '') {
        await this.page.locator('.pane-body .monaco-list-row', { hasText: label }).filter({ hasText: description }).first().waitFor();
    }

    /** The text of the active editor, as far as it is to be seen. */
    async text() {
        return this.page.locator('.editor-group-container.active .view-lines').first().evaluate((lines) => [...lines.children]
            .sort((a, b) => parseInt(a.style.top) - parseInt(b.style.top)).map((line) => line.innerText.replace(/\u00a0/g, ' ')).join('\n'));
    }

    /** The text that the review document shows. */
    async review(pattern) {
        const lines = this.page.locator('.editor-instance[data-uri], .editor-instance').locator('.view-lines');
        let texts = [];
        await until('', async () => {
            texts = await lines.evaluateAll((all) => all.map((one) => [...one.children]
                .sort((a, b) => parseInt(a.style.top) - parseInt(b.style.top)).map((line) => line.innerText.replace(/\u00a0/g, ' ')).join('\n')));
            return texts.some((text) => pattern.test(text));
        }).catch(() => { throw new Error(`no editor shows ${pattern}, but ${JSON.stringify(texts)}`); });
    }

    /** The colour that the line with TEXT stands on in an editor; which of several, from 0 or, with -1, the last. */
    async background(text, which) {
        const found = this.page.locator('.view-line', { hasText: text });
        return until(`background of ${text}`, () => (which < 0 ? found.last() : found.first()).evaluate((line) => {
            const overlays = line.closest('.overflow-guard')?.querySelector('.view-overlays');
            const overlay = [...overlays?.children ?? []].find((one) => one.style.top === line.style.top);
            return [...overlay?.children ?? []].map((one) => getComputedStyle(one).backgroundColor)
                .find((color) => color !== 'rgba(0, 0, 0, 0)');
        }));
    }

    /** Takes the light bulb's action TEXT where the cursor is. A menu that comes while the server still looks at the edit closes again. */
    async act(text) {
        const entry = this.page.locator('.action-widget').first().getByText(text);
        await until(`action ${text}`, async () => {
            await this.page.keyboard.press('Escape');
            await this.page.keyboard.press('Control+Period');
            return entry.click({ timeout: TIMEOUT / 5 }).then(() => true, () => false);
        });
    }

    async screenshot(name) {
        if (results && existsSync(results)) {
            await this.page.screenshot({ path: `${results}/${name}.png` });
        }
    }
}

/** Messages that a scripted server noted in its log. */
export function received(log, method) {
    if (!existsSync(log)) {
        return [];
    }
    return readFileSync(log, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line)).filter((message) => message.method === method);
}

export async function test(name, code, action) {
    if (failed) {
        return;
    }
    try {
        await action();
        passed++;
        console.log(`ok VS Code: ${name}`);
    } catch (error) {
        failed++;
        console.log(`not ok VS Code: ${name}\n# ${String(error.stack ?? error).replaceAll('\n', '\n# ')}`);
        await code?.screenshot(`failed-vscode-${failed}`);
    }
}

export function finish() {
    console.log(`${passed} passed, ${failed} failed`);
    process.exitCode = failed ? 1 : 0;
}
