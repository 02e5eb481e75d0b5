// Builds a fixture as a user would: his compiler, his flags, a compile database beside the objects.

import fs from 'node:fs';
import path from 'node:path';
import { run } from './process.mjs';

const compilers = ['gcc', 'clang'];
const levels = ['O0', 'O1', 'O2', 'O3'];

/** All configurations: position independent or not, every compiler, every level, and small functions without padding. */
export const everyConfiguration = ['pie', 'fixed'].flatMap((kind) =>
    compilers.flatMap((compiler) => levels.map((level) => `${compiler}-${level}-${kind}`)))
    .concat('gcc-Os-pie', 'clang-Os-fixed');

/** What CI runs, in the time that it has: fixed addresses at two levels, clang's -O1 not, the rest in full. */
export const usualConfigurations = everyConfiguration.filter((name) =>
    (name.endsWith('-pie') && name !== 'clang-O1-pie') || name === 'gcc-O2-fixed' || name === 'clang-O0-fixed');

function flagsOf(configuration) {
    const [compiler, level, kind] = configuration.split('-');
    return { compiler, compile: [`-${level}`, '-g', kind === 'pie' ? '-fPIE' : '-fno-pie'],
        link: [kind === 'pie' ? '-pie' : '-no-pie'] };
}

async function must(command, args, directory) {
    const result = await run(command, args, { cwd: directory });
    if (result.status !== 0)
        throw new Error(`${command} ${args.join(' ')}\n${result.output}`);
}

/**
 * Builds the sources in TREE into DIRECTORY, with compile_commands.json there. Returns the program's path.
 */
export async function build(fixture, tree, directory, configuration) {
    const { compiler, compile, link } = flagsOf(configuration);
    const shared = [...fixture.libraries, ...fixture.plugins], foreign = fixture.foreign ?? [];
    const commands = [], objects = [];
    fs.mkdirSync(directory, { recursive: true });

    for (const file of fs.readdirSync(tree).filter((name) => /\.[cs]$/.test(name)).sort()) {
        const name = file.slice(0, -2);
        if (foreign.includes(name)) {
            await must(compiler, [...compile.filter((flag) => flag !== '-g'), '-c', path.join(tree, file), '-o', `${name}.o`], directory);
            objects.push(`${name}.o`);
            continue;
        }
        const flags = shared.includes(name) ? [...compile.slice(0, -1), '-fPIC'] : compile;
        const own = fixture.flags.map((flag) => flag.replaceAll('TREE', tree));
        const args = [...flags, ...own, '-c', path.join(tree, file), '-o', `${name}.o`];
        commands.push({ directory, file: path.join(tree, file), output: `${name}.o`, arguments: [compiler, ...args] });
        if (!shared.includes(name))
            objects.push(`${name}.o`);
    }
    fs.writeFileSync(path.join(directory, 'compile_commands.json'), JSON.stringify(commands, null, 1));
    await Promise.all(commands.map((command) => must(compiler, command.arguments.slice(1), directory)));
    for (const name of shared)
        await must(compiler, ['-shared', `${name}.o`, '-o', `lib${name}.so`], directory);
    for (const name of ['program', ...(fixture.twins ?? [])])
        await must(compiler, [...link, ...objects, '-o', name, '-L.', '-Wl,-rpath,$ORIGIN',
            ...fixture.libraries.map((library) => `-l${library}`), ...fixture.link,
            ...(name === 'program' ? [] : [`-Wl,--defsym=molt_twin_${name}=0`])], directory); // or the build-ids are the same
    return path.join(directory, 'program');
}
