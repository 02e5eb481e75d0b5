// Reads a fixture: its story, and the trees of sources that its versions stand for. Version v1 is a directory; each
// later one says how it differs from the one before: vN.diff is the edit, a directory vN holds whole files.
//
// A story is a conversation with the program, line by line:
//
//   about TEXT            what the fixture is for
//   sources FIXTURE       the versions are those of another fixture
//   flags FLAG...         more flags for the compiler; INCLUDE stands for the directory of Molt's headers, TREE for that of the sources
//   link FLAG...          more flags for the linker
//   library NAME          NAME.c becomes libNAME.so, which the program is linked with
//   plugin NAME           the same, opened by the program itself
//   foreign NAME          NAME.s or NAME.c is part of the program, without debug information and in no compile database
//   twin NAME             the same sources are linked as NAME, too: another program of the build, which does not run
//   cold no               the lines after an update depend on state: a cold start of v2 says something else
//   cold fed              it says the same if it is told everything from the beginning
//   broken VERSION        this version does not compile, on purpose
//   > LINE                is sent to the program
//   < LINE                is what it must answer, next and exactly
//   update [VERSION]      the program becomes VERSION (v2 if not said); must succeed
//   update VERSION via VERSION...   the same in one patch that leads over what the versions in between change
//   update says WORD...   the same, and molt apply names these words
//   update begin, end     the same, with lines in between while the update waits; suspended functions are not taken over
//   update fails [VERSION] STATUS WORD...   must end with this exit status and name these words
//   update or refused [VERSION] WORD...     succeeds, or is refused (the patch or its update) naming these words, and then the story ends
//   warned WORD...        the last update or rollback printed a warning with all these words; unwarned: it did not
//   made WORD...          the last patch was made with a warning with all these words; unmade: it was not
//   diff fails [VERSION] STATUS WORD...     no patch can be made
//   diff fails VERSION via VERSION STATUS WORD...   nor one that leads over the version in between
//   nothing [VERSION]     there is nothing to update, and saying so is a success
//   rollback              back to the version before
//   transferred COUNT     the last update or rollback took so many suspended functions over
//   doctor WORD...        molt doctor says a line with all these words
//   instances COUNT TYPE  as many live instances of TYPE are counted, and can be shown

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const fixtures = path.join(root, 'fixtures');

/** Names of all fixtures that have a story. */
export function names() {
    return fs.readdirSync(fixtures).filter((name) => fs.existsSync(path.join(fixtures, name, 'story'))).sort();
}

const settings = {
    about: (fixture, words) => { fixture.about = words.join(' '); },
    sources: (fixture, words) => { fixture.sources = words[0]; },
    flags: (fixture, words) => {
        fixture.flags = words.map((word) => (word === 'INCLUDE' ? path.join(root, 'include') : word));
    },
    link: (fixture, words) => { fixture.link = words; },
    library: (fixture, words) => { fixture.libraries.push(...words); },
    plugin: (fixture, words) => { fixture.plugins.push(...words); },
    foreign: (fixture, words) => { fixture.foreign.push(...words); },
    twin: (fixture, words) => { fixture.twins.push(...words); },
    broken: (fixture, words) => { fixture.broken = words[0]; },
    cold: (fixture, words) => { fixture.cold = words[0]; },
};

function parseUpdate(words) {
    switch (words[0]) {
    case 'begin':
        return { kind: 'update begin', version: words[1] ?? 'v2' };
    case 'end':
        return { kind: 'update end' };
    case 'says':
        return { kind: 'update', version: 'v2', words: words.slice(1) };
    case 'or':
        return /^v\d/.test(words[2])
            ? { kind: 'update or refused', version: words[2], words: words.slice(3) }
            : { kind: 'update or refused', version: 'v2', words: words.slice(2) };
    case 'fails':
        return /^v/.test(words[1])
            ? { kind: 'update fails', version: words[1], status: Number(words[2]), words: words.slice(3) }
            : { kind: 'update fails', version: 'v2', status: Number(words[1]), words: words.slice(2) };
    default:
        return { kind: 'update', version: words[0] ?? 'v2', via: words.slice(2) };
    }
}

function parseStep(line) {
    if (line.startsWith('> '))
        return { kind: 'say', text: line.slice(2) };
    if (line.startsWith('< '))
        return { kind: 'expect', text: line.slice(2) };
    const [verb, ...words] = line.split(/\s+/);
    switch (verb) {
    case 'update':
        return parseUpdate(words);
    case 'diff':
        if (words[2] === 'via')
            return { kind: 'diff fails', version: words[1], via: [words[3]], status: Number(words[4]), words: words.slice(5) };
        return /^v/.test(words[1])
            ? { kind: 'diff fails', version: words[1], status: Number(words[2]), words: words.slice(3) }
            : { kind: 'diff fails', version: 'v2', status: Number(words[1]), words: words.slice(2) };
    case 'warned':
    case 'unwarned':
    case 'made':
    case 'unmade':
    case 'doctor':
        return { kind: verb, words };
    case 'nothing':
        return { kind: 'nothing', version: words[0] ?? 'v2' };
    case 'rollback':
        return { kind: 'rollback' };
    case 'transferred':
        return { kind: 'transferred', count: Number(words[0]) };
    case 'instances':
        return { kind: 'instances', count: Number(words[0]), type: words.slice(1).join(' ') };
    default:
        throw new Error(`a story does not know: ${line}`);
    }
}

/** Returns { name, about, flags, link, libraries, plugins, cold, steps, versions }. */
export function load(name) {
    const fixture = { name, sources: name, about: '', flags: [], link: [], libraries: [], plugins: [], twins: [], foreign: [],
        cold: 'yes', steps: [] };
    for (const line of fs.readFileSync(path.join(fixtures, name, 'story'), 'utf8').split('\n')) {
        const [verb, ...words] = line.split(/\s+/);
        if (settings[verb])
            settings[verb](fixture, words);
        else if (line.trim())
            fixture.steps.push(parseStep(line));
    }
    fixture.versions = [...new Set(fs.readdirSync(path.join(fixtures, fixture.sources))
        .map((entry) => /^(v\d+)(\.diff)?$/.exec(entry)?.[1]).filter(Boolean))].sort();
    return fixture;
}

/** Turns TREE, a copy of the version before, into VERSION of FIXTURE. */
function edit(tree, fixture, version) {
    const files = path.join(fixtures, fixture.sources, version), diff = `${files}.diff`;
    if (fs.existsSync(files))
        fs.cpSync(files, tree, { recursive: true });
    if (fs.existsSync(diff))
        execFileSync('patch', ['--batch', '--quiet', '--fuzz=0', '--strip=1', '--directory', tree, '--input', diff]);
}

/**
 * Writes the source trees of FIXTURE below DIRECTORY: one per version, each the version before as edited, with the shared
 * sources. Returns the function from version to directory.
 */
export function writeTrees(fixture, directory) {
    let previous = path.join(fixtures, 'common');
    for (const version of fixture.versions) {
        const tree = path.join(directory, version);
        fs.rmSync(tree, { recursive: true, force: true });
        fs.cpSync(previous, tree, { recursive: true });
        edit(tree, fixture, version);
        previous = tree;
    }
    return (version) => path.join(directory, version);
}
