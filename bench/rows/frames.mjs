// Of how many calls suspended functions could be taken over: all functions of real programs, compiled by gcc and clang at -O2, against themselves,
// against the same source with a buffer more in every function, and against Debian's next release of the program.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { figure, must, work } from '../measure.mjs';
import { run } from '../../tests/system/process.mjs';
import { buildDirectory } from '../../tests/system/molt.mjs';
import { root } from '../../tests/system/story.mjs';

export const title = 'calls with a recipe';

const place = path.join(work, 'frames');
const releases = ['bookworm', 'trixie'];
const compilers = ['gcc', 'clang'];

/** Those of C files below DIRECTORY whose name is not like NOT. */
const files = (not, directory = '.') => (tree) => fs.readdirSync(path.join(tree, directory))
    .filter((name) => name.endsWith('.c') && !not.test(name)).map((name) => path.join(directory, name));

const programs = [
    { name: 'memcached', prepare: './configure', flags: ['-DHAVE_CONFIG_H', '-DNDEBUG', '-I.'],
        sources: files(/^(testapp|timedrun|sizes|tls|proxy.*|mcmc|.*_priv|sasl_.*)\.c$/) },
    { name: 'redis', prepare: 'cd src && sh mkreleasehdr.sh', flags: ['-std=gnu11', '-DREDIS_STATIC=', '-Isrc', '-Ideps/hiredis',
        '-Ideps/linenoise', '-Ideps/lua/src', '-Ideps/hdr_histogram', '-Ideps/fpconv', '-Ideps/fast_float', '-Ideps/xxhash'],
    sources: files(/^(redis-.*|.*_test|tls|chk|lua_.*|cli_.*)\.c$/, 'src') },
    { name: 'lighttpd', prepare: './configure --without-pcre2 --without-zlib --without-bzip2 --without-zstd --without-brotli',
        flags: ['-DHAVE_CONFIG_H', '-DLIBRARY_DIR="/usr/lib/lighttpd"', '-DSBIN_DIR="/usr/sbin"', '-D_GNU_SOURCE', '-I.', '-Isrc'],
        sources: files(/^(mod_(magnet|authn_|vhostdb_|deflate|webdav|wstunnel|maxminddb|geoip|mysql|openssl|mbedtls|gnutls|nss|wolfssl|dirlisting|cml).*|lemon|t.*|xor.*|.*-angel|fdevent_win32)\.c$/, 'src') },
    { name: 'lua5.4', prepare: 'echo "#define DEB_HOST_MULTIARCH \\"x86_64-linux-gnu\\"" >src/lua5.4-deb-multiarch.h',
        flags: ['-DLUA_COMPAT_5_3', '-DLUA_USE_LINUX', '-Isrc'], sources: files(/^luac\.c$/, 'src') },
    { name: 'sqlite3', prepare: './configure && make sqlite3.c shell.c', flags: ['-DSQLITE_THREADSAFE=1', '-I.'],
        sources: () => ['sqlite3.c', 'shell.c'] },
];

/** The source of PROGRAM in RELEASE, configured. */
async function fetchTree(program, release) {
    const tree = path.join(place, program.name, release), done = `${tree}.prepared`;
    if (!fs.existsSync(done)) {
        fs.rmSync(tree, { recursive: true, force: true });
        must('tools/debian-source', await run(path.join(root, 'tools/debian-source'), [program.name, tree, release], { timeout: 600000 }));
        must(program.prepare, await run('sh', ['-c', program.prepare], { cwd: tree, timeout: 600000 }));
        fs.writeFileSync(done, '');
    }
    return tree;
}

/** A copy of TREE in which every function begins with a block with a buffer whose address it gives away: frames grow. */
function editTree(tree, directory, sources) {
    const start = /^((?![#\s]|struct |union |enum |typedef |extern |else|case|default|.*[;=]).*\)\s*\{?[ \t]*\n?(?:\{[ \t]*\n)?)$/;
    fs.rmSync(directory, { recursive: true, force: true });
    fs.cpSync(tree, directory, { recursive: true });
    for (const source of sources) {
        const file = path.join(directory, source), lines = fs.readFileSync(file, 'latin1').split('\n');
        const out = lines.map((line, i) => {
            const begins = /^\{\s*$/.test(line) ? start.test(lines[i - 1] ?? '') : /\)\s*\{\s*$/.test(line) && start.test(line);
            return begins ? `${line} { char molt_added[24]; molt_use(molt_added); }` : line;
        });
        fs.writeFileSync(file, out.join('\n'), 'latin1');
    }
}

/** Compiles SOURCES of TREE with COMPILER into OBJECTS. What cannot be compiled (for want of a library) is left out, and listed there. */
async function compile(program, tree, sources, compiler, objects) {
    const queue = [...sources];
    fs.mkdirSync(objects, { recursive: true });
    fs.writeFileSync(path.join(objects, 'use.h'), 'extern void molt_use(char *);\n');
    await Promise.all(Array.from({ length: os.cpus().length }, async () => {
        for (let source; (source = queue.shift()) !== undefined;) {
            const object = path.join(objects, `${path.basename(source)}.o`);
            const args = ['-O2', '-g', '-w', '-fPIE', '-ffunction-sections', '-fdata-sections', `-ffile-prefix-map=${tree}=/src`,
                '-include', path.join(objects, 'use.h'), ...program.flags, '-c', path.join(tree, source), '-o', object];
            if (!fs.existsSync(object)) {
                const result = await run(compiler, args, { cwd: tree, timeout: 600000 });
                if (result.status !== 0)
                    fs.appendFileSync(path.join(objects, 'failed'), `${source}\n${result.output}\n`);
            }
        }
    }));
}

const general = (reason) => reason.replace(/`[^`]*`/g, '...').replace(/[+-]?\b\d+\b/g, 'N').replace(/\br[a-d0-9]\w*\b/g, 'REG');

/** What there is to say of the objects in directories OBJECTS, one or two, made of TREES. */
async function judge(what, objects, trees) {
    const result = must('bench-recipes', await run(path.join(buildDirectory, 'bench/bench-recipes'), [...objects, ...trees], { timeout: 3600000 }));
    const all = JSON.parse(result.stdout), reasons = new Map();
    for (const { reason } of all.waits)
        reasons.set(general(reason), (reasons.get(general(reason)) ?? 0) + 1);
    const lines = all.waits.map(({ file, line, function: name, callee, reason }) => `${file}:${line} ${name}, ${callee}: ${reason}\n`);
    fs.writeFileSync(path.join(place, `${what}.txt`), lines.join(''));
    return { ...all, reasons };
}

function tell(what, { functions, same, calls, recipes, ms, slowest_ms: slowestMs, slowest, reasons }, totals) {
    console.log(`${what}: ${recipes} of ${calls} calls of ${functions} functions (${same} others did not change), ${(ms / Math.max(functions, 1)).toFixed(2)} ms a function, ` +
        `${slowest} ${slowestMs.toFixed(0)} ms`);
    for (const [reason, n] of reasons)
        totals.reasons.set(reason, (totals.reasons.get(reason) ?? 0) + n);
    totals.calls += calls;
    totals.recipes += recipes;
    totals.functions += functions;
    totals.ms += ms;
}

export async function measure({ programs: names = process.env.MOLT_FRAMES?.split(',') }) {
    const kinds = ['itself', 'edited', 'next'], figures = [];
    const totals = Object.fromEntries(kinds.map((kind) => [kind, { calls: 0, recipes: 0, functions: 0, ms: 0, reasons: new Map() }]));
    fs.mkdirSync(place, { recursive: true });
    for (const program of programs.filter(({ name }) => !names || names.includes(name))) {
        const trees = [];
        for (const release of releases)
            trees.push(await fetchTree(program, release));
        const sources = program.sources(trees[0]), edited = path.join(place, program.name, 'edited');
        if (!fs.existsSync(edited))
            editTree(trees[0], edited, sources);
        trees.push(edited);
        for (const compiler of compilers) {
            const objects = [...releases, 'edited'].map((name) => path.join(place, program.name, `${name}-${compiler}`));
            for (const [i, tree] of trees.entries())
                await compile(program, tree, sources.filter((source) => fs.existsSync(path.join(tree, source))), compiler, objects[i]);
            const name = `${program.name}-${compiler}`;
            tell(`${name} itself`, await judge(`${name}-itself`, [objects[0]], []), totals.itself);
            tell(`${name} edited`, await judge(`${name}-edited`, [objects[0], objects[2]], [trees[0], trees[2]]), totals.edited);
            tell(`${name} next release`, await judge(`${name}-next`, [objects[0], objects[1]], [trees[0], trees[1]]), totals.next);
        }
    }
    for (const [kind, what] of [['itself', 'itself'], ['edited', 'with a buffer more in each function'], ['next', "Debian's next release"]]) {
        const { calls, recipes, functions, ms, reasons } = totals[kind];
        console.log(`--- ${what}`);
        for (const [reason, n] of [...reasons].sort((a, b) => b[1] - a[1]))
            console.log(`${String(n).padStart(7)}  ${reason}`);
        figures.push(figure(`calls with a recipe, ${what}`, 100 * recipes / Math.max(calls, 1), '%', undefined,
            { detail: `${recipes} of ${calls} calls, ${(ms / Math.max(functions, 1)).toFixed(2)} ms a function` }));
    }
    return figures;
}
