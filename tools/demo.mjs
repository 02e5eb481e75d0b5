// What tools/demo shows, once all is installed and built.

import fs from 'node:fs';
import path from 'node:path';
import { everyConfiguration } from '../tests/system/build.mjs';
import * as molt from '../tests/system/molt.mjs';
import { run } from '../tests/system/process.mjs';
import { root } from '../tests/system/story.mjs';
import { answerFile, build, delay, Load, plainAnswer, Server } from '../tests/system/memcached/server.mjs';

const connections = 8, rate = 5000;
const newAnswer = 'VERSION 1.6.18, edited while it serves';
const withinMs = 1000, busyMs = 700;

const started = Date.now();
const say = (text) => console.log(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${text}`);

function demand(condition, message) {
    if (!condition)
        throw new Error(message);
}

/** Neovim in a terminal of its own, typed into as a person would; its screen can be looked at. */
class Editor {
    #session = ['-L', `molt-demo-${process.pid}`];

    async open(file, directory) {
        this.address = path.join(molt.environment.XDG_RUNTIME_DIR, 'nvim.sock');
        this.nvim = path.join(root, '.deps/editors/nvim-trixie/bin/nvim');
        const command = [this.nvim, '--clean', '--listen', this.address,
            '--cmd', `set runtimepath^=${path.join(root, 'editor-clients/neovim')}`,
            '--cmd', `lua vim.g.molt = { cmd = { '${path.join(molt.buildDirectory, 'lsp-server/molt-lsp')}' } }`,
            '--cmd', 'set number laststatus=2 noswapfile',
            '--cmd', "set statusline=%f\\ %m%=%{%v:lua.require'molt'.statusline()%}\\ ",
            file];
        const quoted = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
        const result = await run('tmux', [...this.#session, '-f', '/dev/null', 'new-session', '-d', '-x', '110', '-y', '16', quoted],
            { cwd: directory, env: { ...molt.environment, TERM: 'xterm-256color' } });
        demand(result.status === 0, `tmux: ${result.output}`);
    }

    type(...keys) {
        return run('tmux', [...this.#session, 'send-keys', ...keys]);
    }

    async evaluate(lua) {
        const result = await run(this.nvim, ['--server', this.address, '--remote-expr', `luaeval('${lua.replaceAll("'", "''")}')`]);
        return result.status === 0 ? result.output.trim() : '';
    }

    /** The status that the language server last told the editor, or null. */
    async status() {
        try {
            return JSON.parse(await this.evaluate('vim.json.encode(require("molt.status").of() or vim.NIL)'));
        } catch {
            return null;
        }
    }

    async until(condition, what, ms = 20000) {
        const deadline = Date.now() + ms;
        for (;;) {
            const status = await this.status();
            if (status && condition(status))
                return status;
            demand(Date.now() < deadline, `${what}: not within ${ms} ms; the editor knows ${JSON.stringify(status)}\n${await this.screen()}`);
            await delay(50);
        }
    }

    async screen() {
        const { stdout } = await run('tmux', [...this.#session, 'capture-pane', '-p']);
        return stdout.trimEnd().split('\n').map((line) => `          | ${line}`).join('\n');
    }

    close() {
        return run('tmux', [...this.#session, 'kill-server']);
    }
}

/** Nanoseconds of the clock that the client uses (monotonic), for a time of day in nanoseconds. */
const monotonic = (realtime) => realtime - BigInt(Date.now()) * 1000000n + process.hrtime.bigint();

/** What the user's own compiler takes for FILE here and now: on a machine that is busy with other things, more than a
 * second, and then a save cannot be quicker. */
async function compilerMs(memcached, file) {
    const commands = JSON.parse(fs.readFileSync(path.join(memcached.build, 'compile_commands.json'), 'utf8'));
    const command = commands.find((one) => one.file === file);
    const args = command.arguments.slice(1).map((word, i, all) => (all[i - 1] === '-o' ? '/dev/null' : word));
    const result = await run(command.arguments[0], args, { cwd: command.directory });
    demand(result.status === 0, `the compiler: ${result.output}`);
    return result.ms;
}

/** Saves in the editor and waits until every connection has ANSWER. Says how long it took, and the pause. */
async function saveAndSee(editor, load, memcached, file, answer) {
    const before = (await editor.status())?.lastUpdate?.time ?? 0;
    await editor.type(':w', 'Enter');
    const report = await load.everywhere(answer, 30000);
    const saved = monotonic(fs.statSync(file, { bigint: true }).mtimeNs);
    const first = Number(BigInt(report.first_seen) - saved) / 1e6, last = Number(BigInt(report.last_seen) - saved) / 1e6;
    const status = await editor.until((one) => one.quiescent && one.lastUpdate && (one.lastUpdate.time >= before),
        'the editor hears of the update');
    const update = status.lastUpdate;

    say(`client:  "${report.version}" on all ${report.connections} open connections`);
    say(`         the first got it ${first.toFixed(0)} ms after the save, the last ${last.toFixed(0)} ms after it`);
    say(`molt:    ${update.message}; the program stood still for ${update.pauseMs} ms`);
    console.log(`\n${await editor.screen()}\n`);
    demand(update.result === 'updated' || update.result === 'rolled-back', `the editor says: ${JSON.stringify(update)}`);
    if (first > withinMs) {
        const compiler = await compilerMs(memcached, file);
        say(`machine: the compiler alone takes ${compiler.toFixed(0)} ms for ${answerFile} at the moment`);
        demand(compiler > busyMs && first < withinMs + 2 * compiler,
            `the save took effect only after ${first.toFixed(0)} ms`);
    }
    return { first, pause: update.pauseMs };
}

async function show(configuration) {
    say(`memcached 1.6.18, built with ${configuration.split('-').join(' ')}`);
    const memcached = await build(configuration);
    const file = path.join(memcached.tree, answerFile);
    const original = fs.readFileSync(file);
    const editor = new Editor();
    let server, load;

    fs.writeFileSync(path.join(memcached.tree, 'molt.toml'), 'build = "../build"\nbinaries = ["../build/memcached"]\n');
    fs.rmSync(path.join(memcached.tree, '.molt'), { recursive: true, force: true });
    try {
        server = await Server.start(memcached);
        load = new Load(server, connections, rate);
        await load.everywhere(plainAnswer);
        say(`server:  pid ${server.pid}, started by molt run, port ${server.port}`);
        say(`client:  ${connections} connections, ${rate} requests a second, each answer verified; version is "${plainAnswer}"`);
        await editor.open(file, memcached.tree);
        await editor.until((one) => one.quiescent && one.warm && one.engines?.some((engine) => engine.state === 'ready'),
            'the editor finds the program, and the baseline is built ahead', 120000);
        await load.reset();

        say('editor:  Neovim edits what version answers, and saves');
        await editor.type(`:%s/"VERSION " VERSION/${JSON.stringify(newAnswer)}/`, 'Enter');
        const there = await saveAndSee(editor, load, memcached, file, newAnswer);
        await delay(1000);

        say('editor:  undo, and save');
        await editor.type('u');
        const back = await saveAndSee(editor, load, memcached, file, plainAnswer);
        await editor.until((one) => one.pending.count === 0, 'the change set is empty again');
        say('molt:    the change set is empty');
        await delay(500);

        const report = await load.report();
        say(`client:  ${report.requests} requests, ${report.failures} failed, ${report.dropped} connections dropped; ` +
            `p50 ${report.p50_us} us, p99 ${report.p99_us} us, longest ${(report.max_us / 1000).toFixed(1)} ms`);
        demand(report.failures === 0, `${report.failures} requests failed`);
        demand(report.dropped === 0, `${report.dropped} connections were dropped`);
        demand(report.requests > rate, 'the load was not steady');
        demand(fs.readFileSync(file).equals(original), 'the undone file is not what it was');
        return `${configuration}: save to running ${there.first.toFixed(0)} and ${back.first.toFixed(0)} ms, ` +
            `pause ${there.pause} and ${back.pause} ms, no request failed`;
    } finally {
        await editor.close();
        await load?.stop();
        await server?.stop();
        fs.writeFileSync(file, original);
    }
}

const args = process.argv.slice(2);
const configurations = args[0] === '--all' ? everyConfiguration.filter((name) => !name.includes('O1'))
    : args.length ? args : ['gcc-O2-pie'];
let failed = false;
for (const configuration of configurations)
    try {
        say(`done:    ${await show(configuration)}\n`);
    } catch (error) {
        failed = true;
        say(`FAILED:  ${configuration}: ${error.message}\n`);
    }
process.exit(failed ? 1 : 0);
