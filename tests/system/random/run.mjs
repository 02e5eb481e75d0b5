// Random programs, updated through a random sequence of type changes: after each update, discarded update and rollback, under load
// or at rest, the whole graph of instances is compared with what the oracle says. Compiling is what a program costs, so each
// is told several conversations. A seed tells all of it, but for what its threads do while an update is under way: they say
// how far they came, and the oracle follows.

import fs from 'node:fs';
import path from 'node:path';
import { build, everyConfiguration } from '../build.mjs';
import * as molt from '../molt.mjs';
import { Talker } from '../process.mjs';
import { finish, playSeeds, readOptions } from '../seeds.mjs';
import { root } from '../story.mjs';
import { random } from './draw.mjs';
import { generate } from './generate.mjs';
import { Oracle } from './oracle.mjs';
import { sources, threadsAtMost } from './write.mjs';

const options = readOptions('random', {
    versions: ['4', 'of each program'],
    conversations: ['4', 'with each program, from its first version to its last'],
});
const fixture = { libraries: [], plugins: [], flags: ['-Wno-format-truncation'], link: ['-pthread'] };
const done = { conversations: 0, updates: 0, rollbacks: 0, discards: 0, refusals: 0, ended: 0 };

// What ends a conversation early, and is in order: thread-local variables of updates that were discarded or rolled back keep their room, of
// which there is little; nothing tells what the free blocks of a pool are, unless molt.toml does.
const endings = ['no room for new thread-local variables', 'also hands out what was used before'];
class Ended extends Error {}

function write(program, directory) {
    const trees = program.versions.map((version) => {
        const tree = path.join(directory, `v${version.number}`);
        fs.cpSync(path.join(root, 'fixtures/common'), tree, { recursive: true });
        fs.mkdirSync(path.join(tree, 'molt'), { recursive: true });
        for (const [name, content] of Object.entries(sources(program, version)))
            fs.writeFileSync(path.join(tree, name), content);
        return tree;
    });
    return (number) => trees[number - 1];
}

/** A program and its oracle: what the one is told, the other is, too. */
class Pair {
    constructor(talker, oracle) {
        Object.assign(this, { talker, oracle, load: false });
    }

    say(line) {
        if (options.trace)
            console.log(line);
        this.talker.say(line);
    }

    tell(word, number) {
        this.say(`${word} ${number}`);
        this.oracle[word]?.(number);
    }

    async ask(line) {
        this.say(line);
        return this.talker.line();
    }

    go() {
        this.say('go');
        this.load = true;
    }

    async halt() {
        if (!this.load)
            return;
        this.load = false;
        (await this.ask('halt')).split(' ').forEach((steps, t) => this.oracle.ran(t, Number(steps)));
    }

    async compare(when) {
        await this.halt();
        this.say('dump');
        const wanted = this.oracle.dump();
        for (const must of wanted) {
            const is = await this.talker.line();
            if (is === must)
                continue;
            const a = is.split(' '), b = must.split(' ');
            const at = Math.max(0, b.findIndex((word, i) => word !== a[i])), near = (words) => words.slice(Math.max(0, at - 6), at + 4).join(' ');
            throw new Error(`${when}: in "${must.split(' ')[0]}": "... ${near(a)}" must be "... ${near(b)}"`);
        }
    }
}

class Conversation {
    constructor(program, patches, pair, r) {
        Object.assign(this, { program, patches, pair, r, threads: r.pick([0, 0, 1, 2, 3, threadsAtMost]), number: 1 });
    }

    begin() {
        const { r, pair } = this;
        if (this.threads)
            pair.tell('threads', this.threads);
        pair.tell('make', 2 + r.below(r.chance(0.2) ? 60 : 8));
        this.something();
    }

    something() {
        const { r, pair } = this;
        for (let n = 1 + r.below(3); n > 0; n--)
            switch (r.below(4)) {
            case 0: pair.tell('make', 1 + r.below(4)); break;
            case 1: pair.tell('churn', r.below(10000)); break;
            default: pair.tell('mutate', r.below(10000));
            }
    }

    /** Calls molt, with load on the program or not; must end with STATUS. Returns whether it did anything. */
    async molt(args, status, what) {
        if (this.threads && this.r.chance(0.6))
            this.pair.go();
        const result = await molt.call([...args, String(this.pair.talker.pid)]);
        if (options.trace)
            console.log(`molt ${args.join(' ')}: ${result.output.trim()}`);
        if (endings.some((words) => result.output.includes(words)))
            throw new Ended();
        if (result.status !== status)
            throw new Error(`${what}: status ${result.status}, must be ${status}: ${result.output.trim()}`);
        if (molt.tellsOfLeftovers(result.output))
            throw new Error(`${what}: ${result.output.trim()}`);
        return !result.output.includes('nothing to update');
    }

    async discarded(verdict) {
        const { pair, number } = this, what = `v${number + 1} discarded (verdict ${verdict})`;
        await pair.halt();
        pair.tell('verdict', verdict);
        const before = await pair.ask('raw');
        await this.molt(['apply', this.patches[number + 1]], 3, what);
        if (!pair.load && await pair.ask('raw') !== before)
            throw new Error(`${what}: memory is not as it was`);
        pair.tell('verdict', 0);
        await pair.compare(what);
        done.discards++;
    }

    async update(what = `v${this.number + 1}`) {
        const next = this.program.versions[this.number];
        // A rehearsal looks for addresses of old blocks by rules of its own.
        const rehearse = this.number % 2 ? ['--rehearse'] : [];
        const changed = await this.molt(['apply', ...rehearse, this.patches[next.number]], 0, what);
        this.pair.oracle.become(next, next.step);
        this.number++;
        await this.pair.compare(what);
        done.updates++;
        return changed;
    }

    async rollback() {
        const { pair, program, number } = this, { step } = program.versions[number - 1];
        if (!step.back) {
            await this.molt(['rollback'], 2, `v${number} rolled back, which must be refused`);
            await pair.compare(`v${number}, rollback refused`);
            done.refusals++;
            return;
        }
        await this.molt(['rollback'], 0, `v${number} rolled back`);
        pair.oracle.become(program.versions[number - 2], null);
        this.number--;
        await pair.compare(`v${number} rolled back`);
        done.rollbacks++;
        this.something();
        await pair.compare(`v${number} rolled back, later`);
        await this.update(`v${number} again`);
    }

    async play() {
        const { r, pair, program } = this;
        this.begin();
        await pair.compare('v1');
        while (this.number < program.versions.length) {
            for (const verdict of program.versions[this.number].step.verdicts)
                if (r.chance(0.35))
                    await this.discarded(verdict);
            const changed = await this.update();
            this.something();
            await pair.compare(`v${this.number}, later`);
            if (r.chance(0.5) && changed)
                await this.rollback(); /* of what changed nothing there is none */
        }
        done.conversations++;
    }
}

async function cold(program, trees, directory, configuration, flags) {
    for (const { number } of program.versions) {
        const file = await build({ ...fixture, flags }, trees(number), path.join(directory, `cold${number}`), configuration);
        const talker = new Talker(file, []), pair = new Pair(talker, new Oracle(program, number));
        const conversation = new Conversation(program, [], pair, random(program.seed));
        try {
            conversation.begin();
            pair.go();
            await pair.halt();
            conversation.something();
            await pair.compare(`v${number} cold`);
        } finally {
            talker.child.kill('SIGKILL');
        }
    }
}

async function makePatches(program, trees, built, directory) {
    const patches = {}, applied = [];
    for (const { number } of program.versions.slice(1)) {
        const patch = path.join(directory, `v${number}.molt`);
        const made = await molt.diff(built, trees(number - 1), trees(number), patch, applied);
        if (made.status !== 0)
            throw new Error(`molt diff to v${number}: status ${made.status}: ${made.output.trim()}`);
        applied.push(patch);
        patches[number] = patch;
    }
    return patches;
}

async function play(seed, directory) {
    const r = random(seed ^ 0x5bd1e995);
    const configuration = r.pick(everyConfiguration), flags = [...fixture.flags, ...(r.chance(0.3) ? ['-fno-omit-frame-pointer'] : [])];
    const program = generate(seed, Number(options.versions)), trees = write(program, directory);
    let at = '';
    try {
        if (options.cold)
            return await cold(program, trees, directory, configuration, flags);
        const built = path.join(directory, 'build'), file = await build({ ...fixture, flags }, trees(1), built, configuration);
        const patches = await makePatches(program, trees, built, directory);
        for (let i = 0; i < Number(options.conversations); i++) {
            const talker = molt.program(file);
            at = ` conversation ${i}`;
            const pair = new Pair(talker, new Oracle(program));
            try {
                await new Conversation(program, patches, pair, random(seed * 1000 + i)).play();
            } catch (error) {
                if (!(error instanceof Ended))
                    throw error;
                done.ended++;
            } finally {
                talker.child.kill('SIGKILL');
            }
        }
    } catch (error) {
        return `${configuration}${at}: ${error.stack && process.env.DEBUG ? error.stack : error.message}`;
    }
    return null;
}

finish(done, await playSeeds('random', options, play));
