// Random programs for transfers: functions with locals of all kinds and control flow around calls that wait. A program is a tree
// that write.mjs makes C of and oracle.mjs runs; edit.mjs makes the next version of it. A variable and a statement are
// known by their `key` for ever.

import { random } from '../random/draw.mjs';
import { integers, isReal, reals } from './values.mjs';

const names = Object.keys(integers);

/** What a function may be; `waits` is how likely a call of its own is one of ask(). */
const roles = { middle: { size: 5, waits: 0.35 }, small: { size: 2, waits: 0.2 } };

export class Maker {
    constructor(seed) {
        this.r = random(seed);
        this.keys = 0;
    }

    key() {
        return ++this.keys;
    }

    scalar() {
        const { r } = this;
        return { kind: 'scalar', c: r.chance(0.2) ? r.pick(reals) : r.pick(names) };
    }

    /** Its layout may change: the members in another order, with others between them that nobody uses. */
    struct(name) {
        const members = Array.from({ length: 2 + this.r.below(3) }, (_, k) => [`m${k}`, this.scalar().c]);
        return { kind: 'struct', name, members, layout: [...members] };
    }

    type(scope) {
        const { r } = this;
        switch (r.below(12)) {
        case 0: return { kind: 'array', c: r.pick(['unsigned char', 'short', 'int', 'long']), n: 2 + r.below(5) };
        case 1: case 2: return r.pick(this.program.structs);
        case 3: case 4: return this.targets('int', scope).length ? { kind: 'pointer', c: 'int' } : this.scalar();
        default: return this.scalar();
        }
    }

    // ---- what is in scope

    targets(c, scope) {
        return scope.filter((v) => !v.fixed && ((v.type.kind === 'scalar' && v.type.c === c) || (v.type.kind === 'array' && v.type.c === c)));
    }

    /** A place of one of the variables in SCOPE; NULL if there is none. */
    place(scope, { write = false, real, own = false } = {}) {
        const { r } = this;
        for (let tries = 0; tries < 12 && scope.length; tries++) {
            const v = r.chance(0.75) && scope.length > 4 ? r.pick(scope.slice(4)) : r.pick(scope);
            if ((write && v.fixed) || (own && (v.taken || v.global || v.type.kind === 'pointer')))
                continue;
            const place = { v };
            if (v.type.kind === 'array')
                place.index = r.chance(0.5) ? this.number(v.type.n) : this.expression(scope.filter((w) => w.type.kind === 'scalar' && (!own || (!w.taken && !w.global))), 1);
            if (v.type.kind === 'struct')
                place.member = r.pick(v.type.members)[0];
            const c = place.member ? v.type.members.find(([name]) => name === place.member)[1] : v.type.c;
            if (real === undefined || isReal(c) === real)
                return place;
        }
        return null;
    }

    number(below) {
        return { op: 'number', value: BigInt(this.r.below(below ?? this.r.pick([4, 100, 100000]))) };
    }

    expression(scope, depth = 2, own = false) {
        const { r } = this, sub = () => this.expression(scope, depth - 1, own);
        if (depth <= 0 || r.chance(0.3)) {
            const place = r.chance(0.8) && this.place(scope, { own });
            return place ? { op: 'get', place } : this.number();
        }
        switch (r.below(9)) {
        case 0: return { op: 'u32', a: sub() };
        case 1: return { op: r.pick(['/', '%', 's/']), a: sub(), n: BigInt(2 + r.below(9)) };
        case 2: return { op: r.pick(['>>', '<<']), a: sub(), n: BigInt(1 + r.below(12)) };
        case 3: return { op: 'choose', c: this.condition(scope, own), a: sub(), b: sub() };
        default: return { op: r.pick(['+', '-', '*', '^', '|', '&']), a: sub(), b: sub() };
        }
    }

    condition(scope, own = false) {
        const { r } = this, a = this.expression(scope, 1, own);
        switch (r.below(4)) {
        case 0: return { op: '<', a, b: this.expression(scope, 1, own) };
        case 1: return { op: 's<', a, n: BigInt(r.below(50) - 20) };
        case 2: return { op: '==', a: { op: '%', a, n: 3n }, b: this.number(3) };
        default: return { op: '&', a, b: { op: 'number', value: BigInt(1 << r.below(3)) } };
        }
    }

    /** What a variable of type C may be given. */
    value(c, scope, own = false) {
        const { r } = this;
        if (!isReal(c))
            return r.chance(0.25) ? this.number() : this.expression(scope, 2, own);
        return { op: 'mix', a: this.expression(scope, 1, own), scale: r.pick([0.5, 1, 0.125]), place: r.chance(0.6) ? this.place(scope, { real: true, own }) : null };
    }

    // ---- statements

    variable(scope, type, name) {
        return { key: this.key(), name: name ?? `v${scope.length}`, type };
    }

    target(v, scope) {
        const { r } = this, one = r.pick(this.targets(v.type.c, v.targets ?? scope));
        one.taken = true;
        return { v: one, index: one.type.kind === 'array' ? this.number(one.type.n) : null };
    }

    declare(scope, { type = this.type(scope), name } = {}) {
        const { r } = this, v = this.variable(scope, type, name), s = { kind: 'declare', key: this.key(), v };
        if (type.kind === 'pointer') {
            v.targets = [...scope];
            s.heap = r.chance(0.2);
            s.target = s.heap ? null : this.target(v, scope);
        } else if (type.kind === 'scalar') {
            v.fixed = r.chance(0.1);
            v.constant = v.fixed;
            s.values = [this.value(type.c, scope)];
        } else {
            const types = type.kind === 'array' ? Array(type.n).fill(type.c) : type.members.map(([, c]) => c);
            s.values = types.map((c) => this.value(c, scope));
        }
        return s;
    }

    /** A statement without others in it, and without a call that waits. */
    simple(scope) {
        const { r } = this;
        if (r.chance(0.3))
            return this.say(scope);
        const pointers = scope.filter((v) => v.type.kind === 'pointer' && v.targets);
        if (pointers.length && r.chance(0.1)) {
            const v = r.pick(pointers);
            return { kind: 'point', key: this.key(), v, target: this.target(v) };
        }
        const arrays = scope.filter((v) => v.type.kind === 'array' && !v.global);
        if (arrays.length && r.chance(0.08))
            return { kind: 'clear', key: this.key(), v: r.pick(arrays) };
        const place = this.place(scope, { write: true });
        return place ? { kind: 'set', key: this.key(), place, value: this.value(this.typeAt(place), scope) } : this.say(scope);
    }

    typeAt(place) {
        return place.member ? place.v.type.members.find(([name]) => name === place.member)[1] : place.v.type.c;
    }

    say(scope) {
        return { kind: 'say', key: this.key(), tag: this.r.below(1000), value: this.expression(scope) };
    }

    argument(parameter, scope) {
        if (parameter.type.kind === 'pointer')
            return { target: this.target(parameter, scope) };
        if (parameter.type.kind === 'struct')
            return { copy: this.r.pick(scope.filter((v) => v.type === parameter.type)) };
        return { value: this.value(parameter.type.c, scope) };
    }

    /** A call of CALLEE, NULL for ask(). The result goes into a place that no call can change. */
    call(callee, scope) {
        const { r } = this, s = { kind: 'call', key: this.key(), callee: callee?.name ?? 'ask', to: null };
        if (callee && !callee.parameters.every(({ type }) => type.kind !== 'struct' || scope.some((v) => v.type === type)))
            return null;
        s.values = callee ? callee.parameters.map((parameter) => this.argument(parameter, scope)) : [];
        if (callee?.rest)
            s.rest = Array.from({ length: 1 + r.below(4) }, () => this.expression(scope));
        if (callee?.result.kind === 'struct') {
            const fit = scope.filter((v) => v.type === callee.result && !v.global);
            s.to = fit.length ? { v: r.pick(fit) } : null;
            return s;
        }
        if (callee?.depth) /* the depth comes first, and gets less */
            s.values[0] = { value: this.number(4) };
        const real = callee?.result.c === 'double';
        s.to = this.place(scope, { write: true, own: true, real });
        if (s.to && r.chance(0.35) && !real)
            s.more = { op: r.pick(['+', '^', '*']), e: this.expression(scope, 2, true) };
        s.twice = !callee && r.chance(0.1);
        s.joined = r.chance(0.15);
        return s;
    }

    anyCall(scope, context) {
        const { r } = this, callees = context.callees;
        if (context.recursive && r.chance(0.25)) {
            const s = this.call(context.self, scope);
            s.values[0] = { value: { op: '-', a: { op: 'get', place: { v: context.self.parameters[0] } }, b: { op: 'number', value: 1n } } };
            const deeper = { op: '<', a: { op: 'number', value: 0n }, b: { op: 'get', place: { v: context.self.parameters[0] } } };
            return { kind: 'if', key: this.key(), condition: deeper, then: [s], otherwise: [] };
        }
        const callee = !callees.length || r.chance(context.waits) ? null : r.pick(callees);
        return this.call(callee, scope) ?? this.call(null, scope);
    }

    loop(scope, depth, context) {
        const { r } = this, kind = r.pick(['for', 'for', 'while', 'do']);
        const v = this.variable(scope, { kind: 'scalar', c: kind === 'for' ? r.pick(['int', 'unsigned', 'long']) : 'unsigned' });
        v.fixed = v.counter = true;
        const bound = r.chance(0.5) ? this.number(4) : { op: '%', a: this.expression(scope, 1), n: BigInt(2 + r.below(3)) };
        const s = { kind, key: this.key(), v, bound, body: this.block([...scope, v], depth - 1, { ...context, loop: true }) };
        if (r.chance(0.15))
            s.body.push({ kind: 'if', key: this.key(), condition: this.condition([...scope, v]), then: [{ kind: r.pick(['break', 'continue']), key: this.key() }], otherwise: [] });
        return s;
    }

    statement(scope, depth, context) {
        const { r } = this;
        if (r.chance(0.22))
            return this.declare(scope);
        if (r.chance(0.3))
            return this.anyCall(scope, context);
        if (depth <= 0 || r.chance(0.55))
            return this.simple(scope);
        switch (r.below(5)) {
        case 0: case 1: return { kind: 'if', key: this.key(), condition: this.condition(scope), then: this.block(scope, depth - 1, context),
            otherwise: r.chance(0.5) ? this.block(scope, depth - 1, context) : [] };
        case 2: {
            const cases = Array.from({ length: 5 + r.below(3) }, () => (r.chance(0.3) ? this.block(scope, depth - 1, { ...context, size: 1 }) : [this.simple(scope)]));
            return { kind: 'switch', key: this.key(), value: this.expression(scope, 1), cases };
        }
        default: return this.loop(scope, depth, context);
        }
    }

    block(scope, depth, context) {
        const list = [], inner = [...scope];
        for (let i = 1 + this.r.below(context.size); i > 0; i--) {
            const s = this.statement(inner, depth, context);
            list.push(s);
            if (s.v && ['declare', 'while', 'do'].includes(s.kind))
                inner.push(s.v);
        }
        return list;
    }

    // ---- functions

    signature(name, role) {
        const { r } = this;
        const f = { name, role, parameters: [], isStatic: r.chance(0.7), hint: role === 'small' ? r.pick(['inline ', 'inline ', '']) : r.pick(['', '__attribute__((noinline)) ', '']) };
        f.depth = role === 'middle' && r.chance(0.25);
        f.result = r.chance(0.2) ? r.pick(this.program.structs) : { kind: 'scalar', c: r.pick(['unsigned long', 'long', 'int', 'double', 'short']) };
        f.rest = role === 'middle' && r.chance(0.12);
        for (let i = r.chance(0.15) ? 7 + r.below(3) : f.rest ? 1 : r.below(4); i > 0; i--) {
            const type = r.chance(0.12) ? r.pick(this.program.structs) : r.chance(0.2) ? { kind: 'pointer', c: 'int' } : this.scalar();
            f.parameters.push({ key: this.key(), name: `p${i}`, type });
        }
        if (f.rest || f.depth)
            f.parameters.unshift({ key: this.key(), name: f.rest ? 'count' : 'depth', type: { kind: 'scalar', c: f.rest ? 'int' : 'unsigned' }, fixed: true });
        f.depth = f.depth && !f.rest;
        return f;
    }

    body(f, callees) {
        const { r } = this, role = roles[f.role], scope = [...this.program.globals, ...f.parameters];
        const context = { callees, self: f, recursive: f.depth, waits: role.waits, size: role.size };
        const body = [this.declare(scope, { type: f.result.kind === 'struct' ? f.result : this.scalar() })];
        const inner = [...scope, body[0].v];
        for (let i = 1 + r.below(role.size); i > 0; i--) {
            const s = this.statement(inner, f.role === 'small' ? 1 : 2, context);
            body.push(s);
            if (s.v && ['declare', 'while', 'do'].includes(s.kind))
                inner.push(s.v);
        }
        if (f.role === 'middle' || r.chance(0.3))
            body.splice(1 + r.below(body.length), 0, this.anyCall([...scope, body[0].v], context));
        if (f.rest)
            body.push({ kind: 'rest', key: this.key(), v: this.variable(inner, { kind: 'scalar', c: 'long' }, 'all'),
                i: this.variable(inner, { kind: 'scalar', c: 'int' }, 'nth'), waits: r.chance(0.5) });
        if (r.chance(0.1) && f.role === 'middle')
            body.splice(1, 0, { kind: 'vla', key: this.key(), v: this.variable(inner, { kind: 'array', c: 'unsigned char' }, 'room'), n: this.expression([...this.program.globals.filter((v) => v.type.kind === 'scalar'), ...f.parameters.filter((v) => v.type.kind === 'scalar')], 1) });
        const all = f.rest ? [...inner, body.at(-1).kind === 'rest' ? body.at(-1).v : inner[0]] : inner;
        const tail = callees.filter((g) => g.result.kind === f.result.kind && g.result.c === f.result.c && g.result.name === f.result.name);
        const passed = tail.length && r.chance(0.3) ? this.call(r.pick(tail), inner.filter((v) => v.global || !v.taken)) : null;
        if (passed && !passed.values.some(({ target }) => target && !target.v.global))
            body.push({ ...passed, kind: 'pass', to: null, more: null, twice: false, joined: false });
        else /* what is said last keeps compilers from making a jump of the last call: then the function would have returned before it */
            body.push({ ...this.say(all), kept: true }, f.result.kind === 'struct' ? { kind: 'return', key: this.key(), copy: body[0].v }
                : { kind: 'return', key: this.key(), value: this.value(f.result.c, all) });
        f.body = body;
    }

    run() {
        const { r, program } = this, middle = program.functions.filter((f) => f.role === 'middle');
        const f = { name: 'run', role: 'run', parameters: [], isStatic: false, hint: '', result: null };
        const scope = [...program.globals], before = [];
        for (let i = 1 + r.below(5); i > 0; i--) {
            const s = this.declare(scope);
            before.push(s);
            scope.push(s.v);
        }
        const context = { callees: program.functions, self: f, waits: 0.3, size: 4 };
        const turn = this.block(scope, 2, context), place = scope.length > program.globals.length ? scope : program.globals;
        turn.splice(r.below(turn.length + 1), 0, this.call(r.chance(0.6) && middle.length ? middle[0] : null, place) ?? this.call(null, place));
        turn.splice(r.below(turn.length + 1), 0, this.call(null, place));
        f.body = [...before, { kind: 'forever', key: this.key(), body: turn }];
        program.functions.unshift(f);
    }

    make() {
        const { r } = this;
        this.program = { structs: [], globals: [], functions: [], threads: r.chance(0.25) ? 2 + r.below(2) : 1 };
        for (let i = 0; i < 2; i++)
            this.program.structs.push(this.struct(`pair${i}`));
        [['int', 4], ['long', 3]].forEach(([c, n], i) => this.program.globals.push({ key: this.key(), name: `row${i}`, type: { kind: 'array', c, n }, global: true }));
        for (let i = 0; i < 2; i++)
            this.program.globals.push({ key: this.key(), name: `total${i}`, type: this.scalar(), global: true });
        const count = 2 + r.below(4), made = [];
        for (let i = count; i > 0; i--) {
            const f = this.signature(i > count / 2 ? `small${i}` : `middle${i}`, i > count / 2 ? 'small' : 'middle');
            this.body(f, [...made]);
            made.push(f);
        }
        this.program.functions = made.reverse();
        this.run();
        return this.program;
    }
}
