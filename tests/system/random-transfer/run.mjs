// Random functions, suspended in calls and taken over by random edits of themselves: after each step what the program prints is
// compared with what the oracle says. A recipe may be missing, then the update is refused, and the reason counted; it may never be
// wrong. A seed tells a program, its edits and all conversations with it.

import fs from 'node:fs';
import path from 'node:path';
import { build, everyConfiguration } from '../build.mjs';
import * as molt from '../molt.mjs';
import { Talker } from '../process.mjs';
import { random } from '../random/draw.mjs';
import { finish, playSeeds, readOptions } from '../seeds.mjs';
import { edit } from './edit.mjs';
import { Maker } from './generate.mjs';
import { Endless, Oracle, Unknown } from './oracle.mjs';
import { sources } from './write.mjs';

const options = readOptions('random-transfer', {
    conversations: ['3', 'with each program'],
    reasons: [false, 'print each refusal\'s reason with its seed'],
});
const fixture = { libraries: [], plugins: [], flags: ['-w'], link: ['-pthread'] };
const guarded = { ...fixture, flags: [...fixture.flags, '-fstack-protector-strong'] }; /* as distributions build */
const fixtureOf = (seed) => (seed % 3 ? fixture : guarded);
const done = { conversations: 0, updates: 0, rollbacks: 0, frames: 0, pending: 0, refusals: 0, unfair: 0, ambiguous: 0 };
const calls = { all: 0, recipes: 0 }, why = new Map(), refused = new Map();
const trace = (line) => options.trace && console.log(line);

/** A reason without the names in it. */
const general = (reason) => reason.replace(/`[^`]*`/g, '...').replace(/\b-?\d+\b/g, 'N').replace(/\br[a-d0-9]\w*\b/g, 'REG');
const count = (map, key, n = 1) => map.set(key, (map.get(key) ?? 0) + n);

/** Programs whose turns do not end are no use. */
function isFair(versions) {
    try {
        for (const { program } of versions) {
            const oracle = new Oracle(program);
            for (let t = 0; t < program.threads; t++)
                oracle.run(t);
            for (let i = 0; i < 24; i++)
                oracle.run(i % program.threads, BigInt(i * i * 7 - 20));
        }
    } catch (error) {
        if (error instanceof Endless)
            return false;
        throw error;
    }
    return true;
}

/** A frame has gone on behind one of several calls that read the same: what the source says of it is not one thing. */
class Ambiguous extends Error {}

class Conversation {
    constructor(versions, patches, talker, r) {
        Object.assign(this, { versions, patches, talker, r, number: 1, history: [] });
        this.oracle = new Oracle(versions[0].program);
    }

    async expect(lines) {
        for (const must of lines) {
            const is = await this.talker.line();
            trace(`  ${is}`);
            if (must.includes('*'))
                throw new Error(`it printed ${is}, which depends on a value that nobody knows (${this.history.join(', ')})`);
            if (is !== must)
                throw new Error(`it printed ${is}, must be ${must} (${this.history.join(', ')})`);
        }
    }

    async start() {
        for (let t = 0; t < this.oracle.program.threads; t++)
            await this.expect(this.oracle.run(t));
    }

    async answer() {
        const { r } = this, t = r.below(this.oracle.program.threads), value = r.below(r.chance(0.5) ? 10 : 100000) - 5;
        trace(`${t} ${value}`);
        this.talker.say(`${t} ${value}`);
        let lines;
        try {
            lines = this.oracle.run(t, BigInt(value));
        } catch (error) {
            if (error instanceof Unknown)
                throw new Error(`what it does next depends on a value that nobody knows (${this.history.join(', ')})`);
            throw error;
        }
        await this.expect(lines);
    }

    async some(most) {
        for (let i = this.r.below(most + 1); i > 0; i--)
            await this.answer();
    }

    /** `molt WHAT...` from the version that is to NUMBER. */
    async go(args, number) {
        const { program } = this.versions[number - 1], back = number < this.number;
        const obstacle = this.oracle.obstacle(program), ambiguous = this.oracle.isAmbiguous(program), what = `${back ? 'back ' : ''}to v${number}`;
        const { status, output } = await molt.call([args[0], '--json', '--timeout', '0.4', ...args.slice(1), String(this.talker.pid)]);
        trace(`molt ${args[0]} ${what}: ${status} ${output.trim()}`);
        if (status === 4) {
            done.refusals++;
            const reason = output.match(/"reason": *"((?:[^"\\]|\\.)*)"/)?.[1] ?? output.trim();
            reason.split('\\n').forEach((line) => count(refused, general(line.replace(/.*?: (?=thread)/, '').replace(/^thread.*?taken over there: /, ''))));
            if (options.reasons)
                console.log(`REFUSED ${this.seed} ${what}: ${reason}${obstacle ? ` (${obstacle})` : ''}`);
            return;
        }
        if (status !== 0)
            throw new Error(`${what}: status ${status}: ${output.trim()}`);
        if (ambiguous)
            throw new Ambiguous();
        if (obstacle)
            throw new Error(`${what} was done, though in ${obstacle}`);
        done[back ? 'rollbacks' : 'updates']++;
        done.frames += Number(output.match(/"transferred": *(\d+)/)?.[1] ?? 0);
        this.history.push(what);
        this.number = number;
        this.oracle.transfer(program, back);
    }

    async play() {
        const { r } = this;
        await this.start();
        for (let steps = 3 + r.below(5); steps > 0; steps--) {
            if (this.number > 1 && (this.number === this.versions.length || r.chance(0.5)))
                await this.go(['rollback'], this.number - 1);
            else
                await this.go(['apply', this.patches[this.number + 1]], this.number + 1);
            if (r.chance(0.25))
                done.pending++;
            else
                await this.some(6);
        }
        await this.some(12);
        done.conversations++;
    }
}

async function cold(fixture, versions, trees, directory, configuration, r) {
    for (const [i, { program }] of versions.entries()) {
        const talker = new Talker(await build(fixture, trees[i], path.join(directory, `cold${i + 1}`), configuration), []);
        const conversation = new Conversation([{ program }], [], talker, r);
        try {
            await conversation.start();
            for (let n = 0; n < 24; n++)
                await conversation.answer();
        } finally {
            talker.child.kill('SIGKILL');
        }
    }
}

async function inspect(patch) {
    const { stdout } = await molt.call(['inspect', '--json', patch]);
    const { functions, transfers = [] } = JSON.parse(stdout);
    for (const { calls: all, transferable, waits } of transfers) {
        calls.all += all;
        calls.recipes += transferable;
        for (const { reason } of waits)
            count(why, general(reason));
    }
    return functions.length > 0;
}

async function makePatches(versions, trees, built, directory) {
    const patches = {}, applied = [];
    for (let number = 2; number <= versions.length; number++) {
        const patch = path.join(directory, `v${number}.molt`), made = await molt.diff(built, trees[number - 2], trees[number - 1], patch, applied);
        if (made.status !== 0)
            throw new Error(`molt diff to v${number}: status ${made.status}: ${made.output.trim()}`);
        if (!await inspect(patch)) { /* a patch that changes nothing is never in force */
            versions.length = number - 1;
            break;
        }
        applied.push(patch);
        patches[number] = patch;
    }
    return patches;
}

async function play(seed, directory) {
    const r = random(seed ^ 0x3c6ef372), configuration = r.pick(everyConfiguration), maker = new Maker(seed);
    const versions = [{ program: maker.make(), told: [] }];
    for (let i = r.chance(0.3) ? 2 : 1; i > 0; i--)
        versions.push(edit(maker, versions.at(-1).program));
    if (!isFair(versions)) {
        done.unfair++;
        return null;
    }
    const trees = versions.map(({ program }, i) => {
        const tree = path.join(directory, `v${i + 1}`);
        fs.mkdirSync(tree, { recursive: true });
        for (const [name, content] of Object.entries(sources(program)))
            fs.writeFileSync(path.join(tree, name), content);
        return tree;
    });
    let at = '';
    try {
        if (options.cold)
            await cold(fixtureOf(seed), versions, trees, directory, configuration, r);
        const built = path.join(directory, 'build'), file = options.cold ? '' : await build(fixtureOf(seed), trees[0], built, configuration);
        const patches = options.cold ? {} : await makePatches(versions, trees, built, directory);
        for (let i = 0; i < (options.cold || versions.length === 1 ? 0 : Number(options.conversations)); i++) {
            const talker = molt.program(file);
            at = ` conversation ${i}`;
            trace(`--- conversation ${i}`);
            try {
                await Object.assign(new Conversation(versions, patches, talker, random(seed * 1000 + i)), { seed }).play();
            } catch (error) {
                if (!(error instanceof Ambiguous))
                    throw error;
                done.ambiguous++;
            } finally {
                talker.child.kill('SIGKILL');
            }
        }
    } catch (error) {
        if (error instanceof Endless) {
            done.unfair++;
            return null;
        }
        return `${configuration}${at}: ${process.env.DEBUG ? error.stack : error.message}\n    ${versions.slice(1).map(({ told }) => told.join(', ')).join(' | ')}`;
    }
    return null;
}

function table(title, map) {
    if (!map.size)
        return;
    console.log(title);
    for (const [reason, n] of [...map].sort((a, b) => b[1] - a[1]))
        console.log(`${String(n).padStart(7)}  ${reason}`);
}

const result = await playSeeds('random-transfer', options, play);
table('calls without a recipe:', why);
table('updates and rollbacks refused:', refused);
console.log(`${calls.recipes} of ${calls.all} calls have a recipe`);
finish(done, result);
