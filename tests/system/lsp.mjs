// An editor in a hundred lines: what tests and benchmarks need of the Language Server Protocol.

import fs from 'node:fs';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { buildDirectory, environment } from './molt.mjs';

const patience = 20000;

export class LanguageClient {
    #buffer = Buffer.alloc(0);
    #next = 1;
    #answers = new Map();
    #watchers = new Set();
    #versions = new Map();
    status = null;      /* the last molt/status */
    diagnostics = new Map();
    edits = [];         /* that the server has asked for */

    /** Starts molt-lsp on ROOT with the given initializationOptions. */
    static async start(root, options = {}) {
        const client = new LanguageClient();
        client.child = spawn(path.join(buildDirectory, 'lsp-server/molt-lsp'), [], {
            env: environment, cwd: root, stdio: ['pipe', 'pipe', 'ignore'] });
        client.child.stdin.on('error', () => {});
        client.child.stdout.on('data', (bytes) => client.#take(bytes));
        await client.request('initialize', { processId: process.pid, rootUri: pathToFileURL(root).href,
            capabilities: { general: { positionEncodings: ['utf-8'] } }, initializationOptions: options });
        client.notify('initialized', {});
        return client;
    }

    #take(bytes) {
        this.#buffer = Buffer.concat([this.#buffer, bytes]);
        for (;;) {
            const end = this.#buffer.indexOf('\r\n\r\n');
            const length = end < 0 ? null : /Content-Length: (\d+)/i.exec(this.#buffer.subarray(0, end))?.[1];
            if (!length || this.#buffer.length < end + 4 + Number(length))
                return;
            const body = this.#buffer.subarray(end + 4, end + 4 + Number(length));
            this.#buffer = this.#buffer.subarray(end + 4 + Number(length));
            this.#receive(JSON.parse(body));
        }
    }

    #receive(message) {
        if (message.method === 'workspace/applyEdit') {
            this.edits.push(message.params.edit);
            this.#send({ id: message.id, result: { applied: true } });
        } else if (message.method && message.id !== undefined)
            this.#send({ id: message.id, result: null });
        else if (message.method === 'molt/status')
            this.status = message.params;
        else if (message.method === 'textDocument/publishDiagnostics')
            this.diagnostics.set(message.params.uri, message.params.diagnostics);
        else if (this.#answers.has(message.id))
            this.#answers.get(message.id)(message);
        for (const watcher of [...this.#watchers])
            watcher();
    }

    #send(message) {
        const body = JSON.stringify({ jsonrpc: '2.0', ...message });
        this.child.stdin.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    }

    notify(method, params) {
        this.#send({ method, params });
    }

    request(method, params) {
        const id = this.#next++;
        this.#send({ id, method, params });
        return new Promise((resolve, reject) => this.#answers.set(id, (message) => {
            this.#answers.delete(id);
            return message.error ? reject(new Error(message.error.message)) : resolve(message.result);
        }));
    }

    /** Resolves to what CONDITION returns as soon as that is true; looks again after every message. */
    until(condition, what) {
        return new Promise((resolve, reject) => {
            const timer = setTimeout(() => {
                this.#watchers.delete(look);
                reject(new Error(`${what}: not within ${patience} ms, status ${JSON.stringify(this.status)}`));
            }, patience);
            const look = () => {
                const value = condition();
                if (!value)
                    return;
                clearTimeout(timer);
                this.#watchers.delete(look);
                resolve(value);
            };
            this.#watchers.add(look);
            look();
        });
    }

    open(file, text = fs.readFileSync(file, 'utf8')) {
        this.#versions.set(file, 1);
        this.notify('textDocument/didOpen', { textDocument: {
            uri: pathToFileURL(file).href, languageId: 'c', version: 1, text } });
    }

    change(file, text) {
        const version = this.#versions.get(file) + 1;
        this.#versions.set(file, version);
        this.notify('textDocument/didChange', { textDocument: { uri: pathToFileURL(file).href, version },
            contentChanges: [{ text }] });
    }

    /** Waits until a program is attached and nothing is under way. */
    ready() {
        return this.until(() => this.status?.quiescent && this.status.engines.some((one) => one.state === 'ready'),
            'the program is attached');
    }

    /** Says that FILE (written by the caller) was saved; resolves to the update that follows. */
    async save(file) {
        const before = JSON.stringify(this.status?.lastUpdate);
        const textDocument = { uri: pathToFileURL(file).href };
        this.notify('textDocument/willSave', { textDocument, reason: 1 });
        this.notify('textDocument/didSave', { textDocument });
        await this.until(() => this.status && JSON.stringify(this.status.lastUpdate) !== before, 'the save updates');
        return this.status.lastUpdate;
    }

    async stop() {
        await this.request('shutdown');
        this.notify('exit');
        this.child.stdin.end();
    }
}
