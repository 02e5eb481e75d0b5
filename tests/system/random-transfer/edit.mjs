// Random edits: what a programmer does to a function between two saves. Each returns what it did, or null if it could not.

import { isReal, parts } from './values.mjs';
import { statementText } from './write.mjs';

/** All blocks of F with the variables in scope at each place: [{ list, scopes, waits }]. */
function blocks(f, globals) {
    const found = [];
    const walk = (list, scope) => {
        const entry = { list, scopes: [] }, inner = [...scope];
        found.push(entry);
        for (const s of list) {
            entry.scopes.push([...inner]);
            for (const child of [s.then, s.otherwise, s.body, ...(s.cases ?? [])])
                if (child)
                    walk(child, ['for', 'while', 'do'].includes(s.kind) ? [...inner, s.v] : inner);
            if (['declare', 'while', 'do', 'rest'].includes(s.kind))
                inner.push(s.v);
        }
        entry.scopes.push(inner);
    };
    walk(f.body, [...globals, ...f.parameters]);
    return found;
}

/** The expressions of statement S, but for those of statements in it. */
const expressions = (s) => [s.value, s.condition, s.bound, s.n, s.more?.e, s.place?.index, s.to?.index,
    ...(s.values ?? []).map((value) => (value?.op ? value : value?.value)), ...(s.rest ?? [])].filter((e) => e?.op);

const all = (f, globals) => blocks(f, globals).flatMap(({ list }) => list);
const plain = (s) => ['set', 'say', 'point', 'clear'].includes(s.kind) && !s.kept;

/** Where LIST's last statements begin, which nothing may follow. */
function end(list) {
    const first = list.findIndex((s) => s.kept || ['return', 'pass', 'break', 'continue', 'forever'].includes(s.kind));
    return first < 0 ? list.length : first;
}

/** Places that a statement may be put to: not behind the end of a function, nor inside a block of one's own. */
function place(r, found) {
    const { list, scopes } = r.pick(found);
    const at = r.below(end(list) + 1);
    return { list, at, scope: scopes[at] };
}

const edits = {
    insert(maker, f, program) {
        const { list, at, scope } = place(maker.r, blocks(f, program.globals));
        list.splice(at, 0, maker.simple(scope));
        return 'a statement added';
    },

    remove(maker, f, program) {
        const list = maker.r.pick(blocks(f, program.globals)).list, fit = list.filter((s) => plain(s) || (s.kind === 'if' && list.length > 1));
        if (!fit.length)
            return null;
        list.splice(list.indexOf(maker.r.pick(fit)), 1);
        return 'a statement removed';
    },

    /** Not in what a `const` local or a structure begins with: compilers may take it for the number itself, without a word. */
    constant(maker, f, program) {
        const literal = (s) => s.v?.constant || (s.kind === 'declare' && s.v.type.kind === 'struct');
        const numbers = all(f, program.globals).filter((s) => s.kind !== 'vla' && s.kind !== 'for' && !literal(s)).flatMap(expressions).flatMap((e) => [...parts(e)]).filter((e) => e.op === 'number' && e.value > 3n);
        if (!numbers.length)
            return null;
        maker.r.pick(numbers).value += BigInt(1 + maker.r.below(9));
        return 'a constant changed';
    },

    expression(maker, f, program) {
        const { list, scopes } = maker.r.pick(blocks(f, program.globals)), at = maker.r.below(list.length || 1), s = list[at];
        if (s?.kind !== 'set' && s?.kind !== 'say')
            return null;
        s.value = s.kind === 'say' ? maker.expression(scopes[at]) : maker.value(maker.typeAt(s.place), scopes[at]);
        return 'an expression changed';
    },

    newLocal(maker, f, program) {
        const { list, at, scope } = place(maker.r, blocks(f, program.globals));
        const s = maker.declare(scope, { type: maker.scalar(), name: `w${maker.key()}` });
        list.splice(at, 0, s);
        for (let i = maker.r.below(3); i > 0; i--) {
            list.splice(at + 1 + maker.r.below(end(list) - at), 0, { kind: 'say', key: maker.key(), tag: maker.r.below(1000),
                value: { op: '+', a: { op: 'get', place: { v: s.v } }, b: maker.expression(scope, 1) } });
        }
        return 'a local added';
    },

    removeLocal(maker, f, program) {
        const { list } = maker.r.pick(blocks(f, program.globals)), fit = list.filter((s) => s.kind === 'declare' && s.v.type.kind === 'scalar' && !s.v.taken);
        if (!fit.length)
            return null;
        const gone = maker.r.pick(fit), { v } = gone;
        list.splice(list.indexOf(gone), 1);
        for (const { list: each } of blocks(f, program.globals))
            for (let i = each.length - 1; i >= 0; i--) {
                const s = each[i];
                if (s.kind === 'set' && s.place.v === v) {
                    each.splice(i, 1);
                    continue;
                }
                if (s.to?.v === v)
                    s.to = s.more = null;
                for (const e of expressions(s).flatMap((x) => [...parts(x)])) {
                    if (s.v?.constant && e.place?.v === v) /* see constant() */
                        s.v.constant = false;
                    if (e.op === 'get' && e.place.v === v)
                        Object.assign(e, { op: 'number', value: 7n, place: undefined });
                    else if (e.op === 'mix' && e.place?.v === v)
                        e.place = null;
                }
            }
        return 'a local removed';
    },

    layout(maker, f, program) {
        const { r } = maker, { layout } = r.pick(program.structs);
        if (r.chance(0.5)) {
            layout.splice(r.below(layout.length + 1), 0, [`f${maker.key()}`, r.pick(['char', 'long', 'int', 'double'])]);
            return 'a member added';
        }
        const i = r.below(layout.length), k = r.below(layout.length);
        if (i === k)
            return null;
        [layout[i], layout[k]] = [layout[k], layout[i]];
        return 'members exchanged';
    },

    rename(maker, f, program) {
        const fit = all(f, program.globals).filter((s) => s.kind === 'declare');
        if (!fit.length)
            return null;
        maker.r.pick(fit).v.name = `r${maker.key()}`;
        return 'a local renamed';
    },

    retype(maker, f, program) {
        const fit = all(f, program.globals).filter((s) => s.kind === 'declare' && s.v.type.kind === 'scalar' && !s.v.taken && !s.v.constant && !isReal(s.v.type.c));
        if (!fit.length)
            return null;
        maker.r.pick(fit).v.type = { kind: 'scalar', c: maker.r.pick(['long', 'long', 'int', 'unsigned', 'short', 'unsigned long']) };
        return 'a local retyped';
    },

    wrap(maker, f, program) {
        const { list, scopes } = maker.r.pick(blocks(f, program.globals)), fit = list.filter((s) => plain(s) || ['call', 'if', 'switch'].includes(s.kind));
        if (!fit.length)
            return null;
        const s = maker.r.pick(fit), at = list.indexOf(s);
        list[at] = { kind: 'if', key: maker.key(), condition: maker.condition(scopes[at]), then: [s], otherwise: [] };
        return 'a statement put into a branch';
    },

    exchange(maker, f, program) {
        const { list } = maker.r.pick(blocks(f, program.globals)), fit = list.slice(0, -1).map((_, i) => i)
            .filter((i) => [list[i], list[i + 1]].every((s) => plain(s) || s.kind === 'call'))
            .filter((i) => statementText(program, f, list[i]) !== statementText(program, f, list[i + 1]) &&
                (list[i].kind !== 'call' || list[i].callee !== list[i + 1].callee)); /* else there may be nothing to tell it by */
        if (!fit.length)
            return null;
        const i = maker.r.pick(fit);
        [list[i], list[i + 1]] = [list[i + 1], list[i]];
        return 'two statements exchanged';
    },

    anotherCall(maker, f, program) {
        if (f.role === 'small' && maker.r.chance(0.7))
            return null;
        const { list, at, scope } = place(maker.r, blocks(f, program.globals));
        list.splice(at, 0, maker.call(null, scope));
        return 'a call added';
    },

    removeCall(maker, f, program) {
        const { list } = maker.r.pick(blocks(f, program.globals)), fit = list.filter((s) => s.kind === 'call');
        if (!fit.length || maker.r.chance(0.6))
            return null;
        list.splice(list.indexOf(maker.r.pick(fit)), 1);
        return 'a call removed';
    },
};

/** Changes PROGRAM into its next version; returns what was done. */
export function edit(maker, program) {
    const { r } = maker, next = structuredClone(program), told = [];
    maker.program = next;
    for (let wanted = r.pick([1, 1, 2, 3]), tries = 0; wanted > 0 && tries < 50; tries++) {
        const f = r.chance(0.4) ? next.functions[0] : r.pick(next.functions), what = r.pick(Object.keys(edits));
        const done = edits[what](maker, f, next);
        if (done) {
            told.push(`${f.name}: ${done}`);
            wanted--;
        }
    }
    return { program: next, told };
}
