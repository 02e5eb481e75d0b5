// What a random program must print: its tree is run here, frame by frame. A frame that is taken over goes on behind the call with the
// same key in the other version, with the values of the variables that both have; what only the other one has is unknown, and
// so is all that is computed from it. Until control comes back to a frame, it can still go back as if nothing had been.

import { convert, evaluate, parts, unknown } from './values.mjs';

const limit = 30000;

/** A program that would be unfair to run: endless without a question. */
export class Endless extends Error {}

/** A decision depends on what is unknown. */
export class Unknown extends Error {}

/** FUNCTION as a list of steps, and where in it each call is. */
function compile(f) {
    const steps = [], places = new Map(), loops = [];
    const add = (step) => steps.push(step) - 1;
    const block = (list) => list.forEach(statement);
    const call = (s, nth) => {
        places.set(`${s.key}:${nth}`, steps.length);
        add({ kind: 'call', s, nth });
    };
    const loop = (begin, s, end) => {
        const target = { breaks: [], continues: [] };
        loops.push(target);
        begin(target);
        block(s.body);
        loops.pop();
        const next = steps.length;
        end();
        target.continues.forEach((i) => { steps[i].to = next; });
        target.breaks.forEach((i) => { steps[i].to = steps.length; });
    };
    const counted = (v) => (frame) => {
        const cell = frame.cells.get(v.key), held = cell.value;
        cell.value = held === unknown ? unknown : convert(v.type.c, held - 1n);
        return held === unknown ? unknown : held > 0n ? 1n : 0n;
    };
    const statement = (s) => {
        switch (s.kind) {
        case 'call':
            call(s, 0);
            if (s.twice)
                call(s, 1);
            break;
        case 'pass':
            call(s, 0);
            break;
        case 'if': {
            const test = add({ kind: 'unless', test: (frame) => frame.value(s.condition) });
            block(s.then);
            const over = s.otherwise.length ? add({ kind: 'jump' }) : -1;
            steps[test].to = steps.length;
            block(s.otherwise);
            if (over >= 0)
                steps[over].to = steps.length;
            break;
        }
        case 'for': {
            add({ kind: 'do', run: (frame) => frame.declare(s.v, 0n) });
            const top = steps.length;
            loop((target) => target.breaks.push(add({ kind: 'unless', test: (frame) => frame.below(s) })), s, () => {
                add({ kind: 'do', run: (frame) => frame.step(s.v) });
                add({ kind: 'jump', to: top });
            });
            break;
        }
        case 'while': {
            add({ kind: 'do', run: (frame) => frame.declare(s.v, frame.value(s.bound)) });
            const top = steps.length;
            loop((target) => target.breaks.push(add({ kind: 'unless', test: counted(s.v) })), s, () => add({ kind: 'jump', to: top }));
            break;
        }
        case 'do': {
            add({ kind: 'do', run: (frame) => frame.declare(s.v, frame.value(s.bound)) });
            const top = steps.length;
            loop(() => {}, s, () => {
                add({ kind: 'unless', test: counted(s.v), to: steps.length + 2 });
                add({ kind: 'jump', to: top });
            });
            break;
        }
        case 'forever': {
            const top = steps.length;
            loop(() => {}, s, () => add({ kind: 'jump', to: top }));
            break;
        }
        case 'switch': {
            const ends = [], choose = add({ kind: 'choose', value: s.value, count: BigInt(s.cases.length + 1), table: [] });
            for (const list of s.cases) {
                steps[choose].table.push(steps.length);
                block(list);
                ends.push(add({ kind: 'jump' }));
            }
            steps[choose].table.push(steps.length);
            ends.forEach((i) => { steps[i].to = steps.length; });
            break;
        }
        case 'break': case 'continue':
            loops.at(-1)[`${s.kind}s`].push(add({ kind: 'jump' }));
            break;
        case 'rest': {
            add({ kind: 'do', run: (frame) => { frame.declare(s.v, 0n); frame.declare(s.i, 0n); } });
            const top = steps.length, test = add({ kind: 'unless', test: (frame) => (frame.cells.get(s.i.key).value < BigInt(frame.rest.length) ? 1n : 0n) });
            add({ kind: 'do', run: (frame) => frame.takeRest(s) });
            if (s.waits)
                call({ ...s, kind: 'call', callee: 'ask', values: [], to: { v: s.v }, more: { op: '+', e: { op: 'get', place: { v: s.v } } } }, 0);
            add({ kind: 'do', run: (frame) => frame.step(s.i) });
            add({ kind: 'jump', to: top });
            steps[test].to = steps.length;
            break;
        }
        default: add({ kind: 'simple', s });
        }
    };
    block(f.body);
    add({ kind: 'simple', s: { kind: 'return' } });
    return { f, steps, places };
}

class Frame {
    constructor(program, code, globals) {
        Object.assign(this, { program, code, at: 0, cells: new Map(globals), first: null, before: null });
    }

    read(place) {
        return this.cell(place).value;
    }

    cell({ v, index, member }) {
        const cell = this.cells.get(v.key);
        if (cell === undefined || cell === unknown)
            return { value: unknown };
        if (index) {
            const i = this.value(index);
            return i === unknown ? { value: unknown } : cell[Number(i % BigInt(v.type.n))];
        }
        if (member)
            return cell[member];
        if (v.type.kind === 'pointer')
            return cell.value === unknown ? { value: unknown } : cell.value;
        return cell;
    }

    value(e) {
        return evaluate(e, (place) => this.read(place));
    }

    declare(v, value) {
        this.cells.set(v.key, { value: convert(v.type.c, value) });
    }

    step(v) {
        const cell = this.cells.get(v.key);
        cell.value = cell.value === unknown ? unknown : convert(v.type.c, cell.value + 1n);
    }

    below(s) {
        const held = this.cells.get(s.v.key)?.value ?? unknown, bound = convert(s.v.type.c, this.value(s.bound));
        return held === unknown || bound === unknown ? unknown : held < bound ? 1n : 0n;
    }

    takeRest(s) {
        const all = this.cells.get(s.v.key), i = this.cells.get(s.i.key).value;
        all.value = all.value === unknown ? unknown : convert('long', BigInt.asUintN(64, all.value) * 3n + BigInt.asUintN(64, this.rest[Number(i)]));
    }

    /** The cell that TARGET leads to. */
    address({ v, index }) {
        const cell = this.cells.get(v.key);
        return cell === undefined ? unknown : index ? cell[Number(index.value)] : cell;
    }

    store(place, value) {
        this.cell(place).value = convert(place.member ? place.v.type.members.find(([name]) => name === place.member)[1] : place.v.type.c, value);
    }

    copy(v) {
        const cell = this.cells.get(v.key);
        return Object.fromEntries(v.type.members.map(([name]) => [name, { value: cell ? cell[name].value : unknown }]));
    }
}

function fresh(type, values) {
    if (type.kind === 'array')
        return values.map((value) => ({ value: convert(type.c, value) }));
    return Object.fromEntries(type.members.map(([name, c], i) => [name, { value: convert(c, values[i]) }]));
}

/** A variable that was not there before: it can be written to. */
const blank = (type) => (type.kind === 'array' ? fresh(type, Array(type.n).fill(unknown))
    : type.kind === 'struct' ? fresh(type, type.members.map(() => unknown)) : { value: unknown });

export class Oracle {
    constructor(program) {
        this.become(program);
        this.globals = program.globals.map((v) => [v.key, v.type.kind === 'array' ? Array.from({ length: v.type.n }, () => ({ value: 0n }))
            : { value: convert(v.type.c, 0n) }]);
        this.threads = Array.from({ length: program.threads }, () => [new Frame(program, this.codes.get('run'), this.globals)]);
    }

    become(program) {
        this.program = program;
        this.codes = new Map(program.functions.map((f) => [f.name, compile(f)]));
    }

    /** Why the suspended frames cannot go on in PROGRAM; null if they can, as far as the source tells. */
    obstacle(program) {
        const codes = new Map(program.functions.map((f) => [f.name, compile(f)]));
        for (const [t, stack] of this.threads.entries())
            for (const frame of stack) {
                const { s, nth } = frame.code.steps[frame.at];
                if (s.kind !== 'pass' && !codes.get(frame.code.f.name)?.places.has(`${s.key}:${nth}`))
                    return `thread ${t}: the call of ${s.callee} in ${frame.code.f.name} is gone`;
            }
        return null;
    }

    /** Whether a suspended frame waits in a call that reads like another one in only one of the versions: no line tells which is which. */
    isAmbiguous(program) {
        const keys = (f, s) => all(f).filter((other) => other.callee === s.callee && shape(other) === shape(s)).map(({ key }) => key).join();
        return this.threads.flat().some(({ code, at }) => {
            const { s } = code.steps[at], f = program.functions.find(({ name }) => name === code.f.name);
            return f && s.kind !== 'pass' && keys(f, s) !== keys(code.f, s);
        });
    }

    /** All frames go on in PROGRAM; BACK: to what they were before, if they have not been returned to. */
    transfer(program, back) {
        this.become(program);
        for (const stack of this.threads)
            stack.forEach((frame, i) => { stack[i] = this.other(frame, back); });
    }

    other(frame, back) {
        for (let before = back && frame.before; before; before = before.before)
            if (before.program === this.program)
                return before;
        const { s, nth } = frame.code.steps[frame.at], code = this.codes.get(frame.code.f.name);
        const at = code?.places.get(`${s.key}:${nth}`);
        if (at === undefined)
            return Object.assign(Object.create(Frame.prototype), frame, { program: this.program, before: frame });
        const made = Object.assign(new Frame(this.program, code, this.globals), { at, first: frame.first, rest: frame.rest, before: frame });
        const types = variables(code.f), old = variables(frame.code.f);
        for (const [key, cell] of frame.cells)
            if (types.has(key))
                made.cells.set(key, types.get(key).type.kind === 'scalar' && old.get(key).type.c !== types.get(key).type.c
                    ? { value: convert(types.get(key).type.c, cell.value) } : cell);
        const known = settled(code.f).map(({ v, values: [value] }) => ({ v, value })).concat(before(this.program, code.f, s.key));
        for (const { v, value } of known)
            if (!made.cells.has(v.key))
                made.declare(v, made.value(value));
        for (const [key, { type }] of types)
            if (!made.cells.has(key))
                made.cells.set(key, blank(type));
        return made;
    }

    /** Runs thread T until it asks; ANSWER is what it was told. Returns the lines that it prints. */
    run(t, answer) {
        const stack = this.threads[t], lines = [];
        if (answer !== undefined)
            this.returned(stack, convert('long', answer));
        for (let i = 0; ; i++) {
            if (i > limit || lines.length > 400)
                throw new Endless();
            const frame = stack.at(-1), step = frame.code.steps[frame.at];
            switch (step.kind) {
            case 'do': step.run(frame); frame.at++; break;
            case 'jump': frame.at = step.to; break;
            case 'unless': frame.at = this.known(step.test(frame)) ? frame.at + 1 : step.to; break;
            case 'choose': frame.at = step.table[Number(this.known(frame.value(step.value)) % step.count)]; break;
            case 'call':
                if (step.s.callee === 'ask') {
                    lines.push(`${t} ?`);
                    return lines;
                }
                stack.push(this.enter(frame, step.s));
                break;
            default: this.simple(t, stack, frame, step.s, lines);
            }
        }
    }

    known(value) {
        if (value === unknown)
            throw new Unknown();
        return value;
    }

    enter(frame, s) {
        const code = this.codes.get(s.callee), made = new Frame(this.program, code, this.globals);
        code.f.parameters.forEach((parameter, i) => {
            const { value, target, copy } = s.values[i];
            const cell = target ? { value: frame.address(target) } : copy ? frame.copy(copy) : { value: convert(parameter.type.c, frame.value(value)) };
            made.cells.set(parameter.key, cell);
        });
        if (s.rest) {
            made.rest = s.rest.map((e) => frame.value(e)).map((value) => (value === unknown ? unknown : convert('long', value)));
            made.cells.set(code.f.parameters[0].key, { value: BigInt(s.rest.length) });
        }
        return made;
    }

    /** The call at the top of STACK gives VALUE. */
    returned(stack, value) {
        const frame = stack.at(-1), { s, nth } = frame.code.steps[frame.at];
        frame.before = null;
        if (s.kind === 'pass') {
            stack.pop();
            this.returned(stack, value === unknown || typeof value === 'object' ? value : convert(frame.code.f.result.c, value));
            return;
        }
        frame.at++;
        if (s.twice && nth === 0) {
            frame.first = value;
            return;
        }
        if (s.twice)
            value = frame.first === unknown ? unknown : frame.first ^ value;
        if (!s.to)
            return;
        if (s.to.v.type.kind === 'struct' && !s.to.member) {
            const cell = frame.cells.get(s.to.v.key);
            for (const [name] of s.to.v.type.members)
                cell[name].value = value[name].value;
            return;
        }
        if (s.more && value !== unknown)
            value = evaluate({ op: s.more.op, a: { op: 'number', value: BigInt.asUintN(64, value) }, b: s.more.e }, (place) => frame.read(place));
        frame.store(s.to, value);
    }

    simple(t, stack, frame, s, lines) {
        frame.at++;
        switch (s.kind) {
        case 'declare':
            if (s.v.type.kind === 'pointer')
                frame.cells.set(s.v.key, { value: s.heap ? { value: 0n } : frame.address(s.target) });
            else if (s.v.type.kind === 'scalar')
                frame.declare(s.v, frame.value(s.values[0]));
            else
                frame.cells.set(s.v.key, fresh(s.v.type, s.values.map((e) => frame.value(e))));
            break;
        case 'set': frame.store(s.place, frame.value(s.value)); break;
        case 'point': (frame.cells.get(s.v.key) ?? {}).value = frame.address(s.target); break;
        case 'clear': for (const cell of frame.cells.get(s.v.key) ?? []) cell.value = 0n; break;
        case 'say': {
            const value = frame.value(s.value);
            lines.push(`${t} ${s.tag} ${value === unknown ? '*' : value}`);
            break;
        }
        case 'vla': {
            const n = frame.value(s.n);
            lines.push(`${t} ${n === unknown ? '*' : 1n + n % 40n} 1`);
            break;
        }
        case 'return': {
            const { result } = frame.code.f;
            const value = s.copy ? frame.copy(s.copy) : convert(result.c, frame.value(s.value));
            stack.pop();
            this.returned(stack, value);
            break;
        }
        }
    }
}

/** Declarations of variables that are never changed, and that only depend on such: what a compiler does not keep, but works out again. */
function settled(f) {
    const found = [], changed = new Set();
    const walk = (list) => list.forEach((s) => {
        for (const place of [s.place, s.to])
            changed.add(place?.v.key);
        if (s.kind === 'declare' && s.v.type.kind === 'scalar')
            found.push(s);
        else if (s.v)
            changed.add(s.v.key);
        [s.body, s.then, s.otherwise, ...(s.cases ?? [])].forEach((inner) => inner && walk(inner));
    });
    walk(f.body);
    const stays = ({ v }) => isOwn(v) && !changed.has(v.key);
    return found.filter((s) => stays(s) && (isConstant(s.values[0]) || [...parts(s.values[0])].every(({ place }) => !place || stays(place))));
}

/** Whether only the function itself can change V. */
const isOwn = (v) => !v.global && !v.taken && v.type.kind === 'scalar';

/** Whether E has one value, whatever the variables in it are. */
const isConstant = (e) => evaluate(e, () => unknown) !== unknown;

/** The blocks inside statement S. */
const blocks = (s) => [s.body, s.then, s.otherwise, ...(s.cases ?? [])].filter(Boolean);

/** All statements of F. */
const all = (f) => {
    const within = (list) => list.flatMap((s) => [s, ...blocks(s).flatMap(within)]);
    return within(f.body);
};

/** How statement S reads. */
const shape = (s) => JSON.stringify(s, (name, value) => (name === 'key' && value === s.key ? undefined : name === 'joined' ? undefined
    : typeof value === 'bigint' ? String(value) : value));

/** The keys of all variables that statement S, or one inside it, gives a value. */
const changedBy = (s) => [s.place, s.to, s.i && { v: s.i }, s.kind !== 'declare' && s.v && { v: s.v }].filter(Boolean).map(({ v }) => v.key)
    .concat(...blocks(s).flat().map(changedBy));

/** What every call in PROGRAM gives parameter number I of F, or unknown. */
function alwaysGiven(program, f, i) {
    const given = [], { c } = f.parameters[i].type;
    const walk = (s) => {
        if (s.callee === f.name)
            given.push(s.rest && i === 0 ? BigInt(s.rest.length) : s.values[i].value ? evaluate(s.values[i].value, () => unknown) : unknown);
        blocks(s).flat().forEach(walk);
    };
    program.functions.forEach((other) => other.body.forEach(walk));
    return given.length && given.every((value) => value === given[0]) ? convert(c, given[0]) : unknown;
}

/**
 * Declarations in front of the call KEY of F, a function of PROGRAM, whose variables have not changed on the way to it, with what they are: what they
 * begin with, as long as that has not changed either, or a number. A compiler may keep that instead of them. Within a block that
 * holds the call only what is in front of it counts, if it is not repeated.
 */
function before(program, f, key) {
    const holds = (s) => s.key === key || blocks(s).flat().some(holds), changed = new Set();
    const given = ({ v, member, index }) => {
        const i = member || index || changed.has(v.key) || !isOwn(v) ? -1 : f.parameters.indexOf(v);
        return i < 0 ? unknown : alwaysGiven(program, f, i);
    };
    const stay = (found, s) => {
        const now = changedBy(s), kept = ({ v }) => isOwn(v) && !now.includes(v.key);
        now.forEach((each) => changed.add(each));
        return found.filter(({ v, value }) => kept({ v }) && [...parts(value)].every(({ place }) => !place || kept(place)));
    };
    const declared = ({ v, values: [value] }) => {
        const number = evaluate(value, given);
        return number === unknown ? { v, value } : { v, value: { op: 'number', value: number } };
    };
    const walk = (list, found) => {
        for (const s of list) {
            if (s.key === key)
                return found;
            const inner = holds(s) && ['if', 'switch'].includes(s.kind) && blocks(s).find((block) => block.some(holds));
            if (inner)
                return walk(inner, found);
            found = stay(found, s);
            if (holds(s))
                return s.body ? walk(s.body, found) : found;
            if (s.kind === 'declare' && isOwn(s.v))
                found = stay([...found, declared(s)], {});
        }
        return found;
    };
    return walk(f.body, []);
}

/** All variables of F by their keys. */
export function variables(f) {
    if (f.variables)
        return f.variables;
    const found = new Map(f.parameters.map((v) => [v.key, v]));
    const walk = (list) => list.forEach((s) => {
        for (const v of [s.kind === 'point' || s.kind === 'clear' ? null : s.v, s.i])
            if (v)
                found.set(v.key, v);
        [s.body, s.then, s.otherwise, ...(s.cases ?? [])].forEach((inner) => inner && walk(inner));
    });
    walk(f.body);
    Object.defineProperty(f, 'variables', { value: found, enumerable: false });
    return found;
}
