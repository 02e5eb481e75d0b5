// Save to running: from the editor's didSave to the running program, through the language server, against the
// time that the user's own compiler takes for the same file.
import fs from 'node:fs';
import path from 'node:path';
import { figure, median, must, quantile, Subject, ask } from '../measure.mjs';
import { LanguageClient } from '../../tests/system/lsp.mjs';
import { run } from '../../tests/system/process.mjs';

export const title = 'save to running';

export async function measure({ rounds = 30 }) {
    const subject = await Subject.build('recursion');
    const file = path.join(subject.trees('v1'), 'main.c');
    const original = fs.readFileSync(file, 'utf8');
    const program = subject.start();
    await ask(program, 'call');
    const client = await LanguageClient.start(subject.trees('v1'), { build: subject.directory, binaries: [subject.file] });
    const [command] = JSON.parse(fs.readFileSync(path.join(subject.directory, 'compile_commands.json'), 'utf8'))
        .filter((one) => one.file === file);
    const arguments_ = command.arguments.slice(1).map((one) => (one === 'main.o' ? 'bench.o' : one));
    const updates = [], compiles = [];

    client.open(file, original);
    await client.ready();
    for (let i = 0; i < rounds; i++) {
        const text = original.replace('n < 2 ? n', `n < 2 ? n + ${i + 1}`);
        client.change(file, text);
        fs.writeFileSync(file, text);
        const started = process.hrtime.bigint();
        const update = await client.save(file);
        updates.push(Number(process.hrtime.bigint() - started) / 1e6);
        if (update.result !== 'updated')
            throw new Error(`the save ended with ${JSON.stringify(update)}`);
        compiles.push(must('the compiler', await run(command.arguments[0], arguments_, { cwd: subject.directory })).ms);
    }
    await client.stop();
    await program.close();
    fs.writeFileSync(file, original);
    const over = updates.map((time, i) => time - compiles[i]);
    return [figure('save to running, beyond the compiler', median(over), 'ms', 15,
        { detail: `save to running ${median(updates).toFixed(1)} ms (p90 ${quantile(updates, 0.9).toFixed(1)}), ` +
            `compiler ${median(compiles).toFixed(1)} ms` })];
}
