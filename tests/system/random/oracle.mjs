// What a random program must hold: the same graph in JavaScript, told the same, migrated by the rules of docs/policies.md.

import { isReal } from './generate.mjs';
import { threadsAtMost } from './write.mjs';

/** From 0 to 100, as the program's value(). */
function value(name, salt) {
    let hash = (2166136261 ^ salt) >>> 0;
    for (let i = 0; i < name.length; i++)
        hash = Math.imul(hash ^ name.charCodeAt(i), 16777619) >>> 0;
    return (hash >>> 8) % 101;
}

const idOf = (object) => (object ? object.id : -1);

export class Oracle {
    #nextId = 1000;
    #wholes = [];
    #flexes = [];
    #threads = Array.from({ length: threadsAtMost }, (_, t) => ({ x: (Math.imul(t, 2654435761 | 0) + 1) >>> 0, steps: 0 }));

    constructor(program, number = 1) {
        this.program = program;
        this.version = program.versions[number - 1];
        this.graphs = this.version.types.filter((type) => !type.tail).map(({ index }) => {
            const make = (id) => this.#make(index, id);
            const graph = { index, all: [100, 101, 102, 200, 201, 99].map(make), loose: Array(16).fill(null), vector: [], limit: 0, ring: [], held: [],
                shared: [300, 301, 302, 303].map(make), mine: Array.from({ length: threadsAtMost * 8 }, (_, i) => make(400 + i)), owns: [], first: null };
            return graph;
        });
    }

    get #types() {
        return this.version.types;
    }

    #zero(member) {
        switch (member.kind) {
        case 'scalar': case 'bits': case 'union': return 0;
        case 'enum': return this.version.enumerators[0];
        case 'array': return Array(member.length).fill(0);
        case 'text': return '';
        case 'embedded': return this.#make(member.target, 0);
        case 'embeddedArray': return Array.from({ length: member.length }, () => this.#make(member.target, 0));
        case 'either': case 'variant': return { is: 0, held: 0 };
        default: return null;
        }
    }

    #make(index, id) {
        const object = { index, id, counter: 0, holds: {} };
        for (const member of this.#types[index].members)
            if (!member.fixed)
                object.holds[member.key] = this.#zero(member);
        return object;
    }

    // ---- what lines make the program do

    make(count) {
        for (const graph of this.graphs) {
            if (graph.all.length + 2 * count > 512)
                continue;
            for (let i = 0; i < count; i++) {
                const object = this.#make(graph.index, this.#nextId++);
                graph.all.push(object);
                graph.ring.push(object);
                graph.held.push(object);
            }
            graph.first = Array.from({ length: count }, () => this.#make(graph.index, this.#nextId++));
            graph.all.push(...graph.first);
            for (let i = 0; i < count; i++) {
                if (graph.vector.length === graph.limit)
                    graph.limit = graph.limit ? 2 * graph.limit : 3;
                graph.vector.push(this.#make(graph.index, this.#nextId++));
            }
        }
        const flex = this.#types.find((type) => type.tail);
        for (let i = 0; flex && i < count && this.#flexes.length < 64; i++) {
            const object = this.#make(flex.index, this.#nextId++);
            object.tail = Array.from({ length: object.id % 6 + 1 }, () => (flex.tail.ctype ? 0 : this.#make(flex.tail.target, 0)));
            this.#flexes.push(object);
        }
        for (let i = 0; this.program.split && i < count && this.#wholes.length < 64; i++) {
            const id = this.#nextId++;
            this.#wholes.push({ id, a: value('a', id), to: this.#some(0, id) });
        }
    }

    #some(index, number) {
        const { all } = this.graphs[index];
        return all[number * 7 % all.length];
    }

    #set(object, salt) {
        for (const member of this.#types[object.index].members) {
            const chosen = value(member.key, salt), some = () => this.#some(member.target, chosen);
            const { holds } = object, { key } = member;
            switch (member.kind) {
            case 'id': case 'link': break;
            case 'counter': object.counter += chosen; break;
            case 'scalar': holds[key] = isReal(member) ? chosen + 0.5 : chosen; break;
            case 'bits': case 'union': holds[key] = chosen; break;
            case 'enum': holds[key] = ['RED', 'GREEN', 'BLUE', 'BLACK'][chosen % 4]; break;
            case 'array': holds[key] = holds[key].map((old, i) => (i < 8 ? chosen % 50 + i : old)); break;
            case 'text': holds[key] = `t${chosen}`; break;
            case 'pointer': case 'void': holds[key] = chosen % 10 ? some() : null; break;
            case 'inside': case 'address': holds[key] = some(); break;
            case 'tagged': holds[key] = { to: some(), tag: chosen % 4 }; break;
            case 'function': holds[key] = chosen % 2 ? 2 : 3; break;
            case 'embedded': this.#set(holds[key], salt + 1000); break;
            case 'embeddedArray': this.#set(holds[key][0], salt + 2000); break;
            case 'either': holds[key] = { is: chosen % 2, held: chosen % 2 ? some() : chosen }; break;
            case 'variant': {
                const is = chosen % 3;
                holds[key] = { is, held: is === 1 ? some() : is === 2 ? `w${chosen}` : chosen };
                break;
            }
            default: throw new Error(member.kind);
            }
        }
        object.tail?.forEach((element, i) => {
            if (typeof element === 'number')
                object.tail[i] = value('tail', salt + i);
            else
                this.#set(element, salt + 3000 + i);
        });
    }

    mutate(salt) {
        for (const graph of this.graphs) {
            graph.all.forEach((object, i) => this.#set(object, salt + i));
            graph.vector.forEach((object, i) => this.#set(object, salt + 5000 + i));
            graph.loose.forEach((object, i) => object && this.#set(object, salt + 7000 + i));
            graph.shared.forEach((object, i) => this.#set(object, salt + 7500 + i));
            graph.mine.forEach((object, i) => this.#set(object, salt + 8000 + i));
            graph.owns.forEach((object, i) => this.#set(object, salt + 9000 + i));
        }
        this.#flexes.forEach((object, i) => this.#set(object, salt + i));
    }

    churn(salt) {
        for (const graph of this.graphs)
            for (let i = 0; i < 16; i++) {
                if (value('churn', salt + i) % 3)
                    continue;
                if (graph.loose[i]) {
                    graph.ring.splice(graph.ring.indexOf(graph.loose[i]), 1);
                    graph.loose[i] = null;
                } else {
                    graph.loose[i] = this.#make(graph.index, this.#nextId++);
                    graph.ring.push(graph.loose[i]);
                }
            }
    }

    threads(count) {
        for (const graph of this.graphs)
            graph.owns = Array.from({ length: count }, (_, t) => this.#make(graph.index, 80 + t));
    }

    /** Thread T has done STEPS steps by now. */
    ran(t, steps) {
        const thread = this.#threads[t];
        for (; thread.steps < steps; thread.steps++) {
            const x = thread.x = (Math.imul(thread.x, 1664525) + 1013904223) >>> 0;
            const graph = this.graphs[(x >>> 22 & 31) % this.graphs.length], amount = x >>> 8 & 7;
            const slot = 8 * t + (x >>> 16 & 7), other = 8 * t + (x >>> 19 & 7), kept = graph.mine[slot];
            switch (x >>> 28) {
            case 0: case 1:
                if (!this.program.special.has(graph.index))
                    graph.mine[slot] = this.#make(graph.index, kept.id);
                break;
            case 2: graph.mine[slot] = graph.mine[other]; graph.mine[other] = kept; break;
            case 3: graph.shared[x >>> 16 & 3].counter += amount; break;
            case 4: graph.owns[t].counter += amount; break;
            default: kept.counter += amount;
            }
        }
    }

    // ---- updates

    /** The program is VERSION now; STEP tells how instances got there, and is null on the way back. */
    become(version, step) {
        const before = this.version;
        this.version = version;
        const convert = (object) => object && this.#convert(object, before, step);
        for (const graph of this.graphs)
            for (const list of [graph.all, graph.vector, graph.loose, graph.shared, graph.mine, graph.owns])
                list.forEach(convert);
        this.#flexes.forEach((object) => {
            convert(object);
            object.tail.forEach((element) => typeof element === 'object' && convert(element));
        });
    }

    #convert(object, before, step) {
        const old = object.holds, was = before.types[object.index].members;
        object.holds = {};
        for (const member of this.#types[object.index].members) {
            const from = was.find(({ key }) => key === member.key);
            if (!member.fixed)
                object.holds[member.key] = from ? this.#convertMember(member, old[member.key], before, step) : this.#zero(member);
        }
        const here = (list) => (step?.[list] ?? []).filter(({ type }) => type === object.index);
        for (const { key, value: begin } of here('defaults'))
            object.holds[key] = begin;
        for (const { key, from, plus } of here('customs'))
            object.holds[key] = Math.trunc(old[from]) % 7 + plus;
    }

    #convertMember(member, held, before, step) {
        switch (member.kind) {
        case 'scalar': case 'bits': return isReal(member) ? held : Math.trunc(held);
        case 'array': return Array.from({ length: member.length }, (_, i) => held[i] ?? 0);
        case 'embedded': this.#convert(held, before, step); return held;
        case 'embeddedArray':
            held.forEach((element) => this.#convert(element, before, step));
            return Array.from({ length: member.length }, (_, i) => held[i] ?? this.#make(member.target, 0));
        default: return held;
        }
    }

    // ---- what it says

    #dumpMember(member, held) {
        const { key } = member;
        switch (member.kind) {
        case 'id': case 'counter': case 'link': return '';
        case 'array': return held.map((one) => ` ${key}=${one}`).join('');
        case 'pointer': case 'void': case 'inside': case 'address': return ` ${key}=${idOf(held)}`;
        case 'tagged': return ` ${key}=${held ? `${held.to.id}/${held.tag}` : '-1/0'}`;
        case 'function': return ` ${key}=${held ?? -1}`;
        case 'embedded': return this.#dump(held);
        case 'embeddedArray': return held.map((element) => this.#dump(element)).join('');
        case 'either': case 'variant': return ` ${key}=${held.is === 1 ? `&${idOf(held.held)}` : held.held}`;
        default: return ` ${key}=${held}`;
        }
    }

    #dump(object) {
        const members = [...this.#types[object.index].members].sort((a, b) => (a.key < b.key ? -1 : 1));
        const tail = (object.tail ?? []).map((element) => (typeof element === 'number' ? ` tail=${element}` : this.#dump(element))).join('');
        return ` {${object.id} ${object.counter}${members.map((member) => this.#dumpMember(member, object.holds[member.key])).join('')}${tail}}`;
    }

    /** The lines that `dump` is answered with. */
    dump() {
        const lines = [], line = (word, list) => lines.push(word + list.join(''));
        const dumps = (list) => list.filter(Boolean).map((object) => this.#dump(object));
        for (const graph of this.graphs) {
            line('all', dumps(graph.all));
            line(`vector ${graph.vector.length} ${graph.limit}`, dumps(graph.vector));
            line('loose', dumps(graph.loose));
            line('shared', dumps(graph.shared));
            line('mine', dumps(graph.mine));
            line('owns', dumps(graph.owns));
            line('ring', graph.ring.map(({ id }) => ` ${id}`));
            line('held', graph.held.map(() => ' 0'));
            line('table 1 102 99', graph.first ? [` ${graph.first[Math.floor(graph.first.length / 2)].id} ${graph.first.length}`] : []);
        }
        if (this.#types.some((type) => type.tail))
            line('flex', dumps(this.#flexes));
        if (this.program.split)
            line('wholes', this.#wholes.map(({ id, a, to }) => ` {${id} ${a} ${to.id}}`));
        lines.push('end');
        return lines;
    }
}
