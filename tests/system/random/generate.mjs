// Random programs: types with members, and how they change from version to version, with the policies that the changes need.
// A member is known by its `key` for ever; its name, place, group and C type may change. What it then holds is
// the oracle's business (oracle.mjs), how all that is written as C is that of write.mjs.

import { random } from './draw.mjs';

const integers = ['signed char', 'unsigned char', 'short', 'unsigned short', 'int', 'unsigned', 'long', 'unsigned long',
    'int16_t', 'uint32_t', 'int64_t', 'size_t', '__int128'];
const floats = ['float', 'double', 'long double'];
const kinds = ['scalar', 'scalar', 'scalar', 'scalar', 'bits', 'enum', 'array', 'text', 'pointer', 'pointer', 'void', 'inside', 'tagged', 'address', 'function',
    'embedded', 'embeddedArray', 'union', 'either', 'variant'];
const groupable = ['scalar', 'bits', 'enum', 'array', 'text', 'pointer', 'void', 'tagged', 'address'];
const heaviest = 60;

export const isReal = (member) => floats.includes(member.ctype);

/** How MEMBER is written after `p->`. */
export const pathOf = (member) => (member.group?.named ? `${member.group.name}.${member.name}` : member.name);

const memberWeight = (member, types) => (member.kind.startsWith('embedded') ? (member.length ?? 1) * weight(types[member.target], types) : 1);
const weight = (type, types) => type.members.reduce((sum, member) => sum + memberWeight(member, types), 0);

class Maker {
    constructor(seed) {
        this.r = random(seed);
        this.apart = random(seed ^ 0x5f3759df); /* for what came later: programs of old seeds stay what they were but for it */
        this.keys = 0;
        this.types = [];
    }

    drawType(member) {
        const { r } = this;
        switch (member.kind) {
        case 'scalar': member.ctype = r.pick(r.chance(0.25) ? floats : integers); break;
        case 'bits': member.ctype = r.pick(['unsigned', 'int', 'unsigned long']); member.width = 8 + r.below(25); break;
        case 'array': member.ctype = r.pick(integers); member.length = 8 + r.below(16); break;
        case 'text': member.length = 8 + r.below(24); break;
        case 'embeddedArray': member.length = (member.length ?? 1) + r.below(3); break;
        case 'variant': member.ctype = r.pick(['long', 'int', 'double', 'short']); member.length = 8 + r.below(24); break;
        }
    }

    member(type) {
        const { r } = this;
        const name = `m${this.keys++}`;
        const member = { key: name, name, kind: r.pick(kinds), target: r.below(this.typeCount), group: null };
        if (member.kind.startsWith('embedded')) {
            member.target = r.below(type.index || 1);
            if (type.index === 0 || weight(type, this.types) + 3 * weight(this.types[member.target], this.types) > heaviest)
                member.kind = 'scalar';
        }
        if (member.kind === 'inside')
            member.what = r.pick(['id', 'counter', 'link']);
        this.drawType(member);
        return member;
    }

    /** What a type is aligned to: BEFORE, or with PROBABILITY anything. 0: as its members are. */
    alignment(probability, before) {
        return this.apart.chance(probability) ? this.apart.pick([0, 16, 32, 64]) : before;
    }

    type(index, flexible) {
        const { r } = this;
        const fixed = ['id', 'counter', ...(flexible ? [] : ['link'])].map((key) => ({ key, name: key, kind: key, fixed: true, group: null }));
        const name = flexible ? 'flex' : `node${index}`;
        const type = { index, name, tag: name, members: fixed, allocate: r.below(6), exported: r.chance(0.5), alignment: this.alignment(0.1, 0) };
        this.types[index] = type;
        for (let i = 2 + r.below(6); i > 0; i--)
            type.members.push(this.member(type));
        r.shuffle(type.members);
        if (flexible)
            type.tail = r.chance(0.5) ? { ctype: r.pick(integers) } : { target: r.below(this.typeCount) };
        return type;
    }

    regroup(type) {
        const { r } = this;
        const free = type.members.filter((member) => groupable.includes(member.kind));
        if (!free.length)
            return;
        const leaving = free.filter((member) => member.group);
        if (leaving.length && r.chance(0.4)) {
            r.pick(leaving).group = null;
            return;
        }
        const group = { name: `g${this.keys++}`, named: r.chance(0.6) };
        r.shuffle(free).slice(0, 1 + r.below(3)).forEach((member) => { member.group = group; });
    }

    /** One change of TYPE. STEP notes what has to be said about it. */
    change(type, step, number) {
        const { r } = this;
        const own = type.members.filter((member) => !member.fixed);
        switch (r.below(7)) {
        case 0: this.add(type, step); break;
        case 1:
            if (own.length > 2)
                this.remove(type, r.pick(own), step);
            break;
        case 2: case 3: this.retype(r.pick(own)); break;
        case 4: r.shuffle(type.members); break;
        case 5:
            r.pick(own).name += `_v${number}`;
            break;
        case 6: this.regroup(type); break;
        }
    }

    /** Members of a structure that goes are found again in one that comes, by their names: what is said of both is the builder's guess. */
    remove(type, member, step) {
        const was = step.before[type.index].members, came = (one) => one.kind === 'embedded' && !was.some(({ key }) => key === one.key);
        if (member.kind !== 'embedded' || !type.members.some(came))
            type.members.splice(type.members.indexOf(member), 1);
    }

    retype(member) {
        const { r } = this;
        if (['scalar', 'bits'].includes(member.kind)) {
            member.kind = r.chance(0.2) ? 'bits' : 'scalar';
            delete member.width;
        }
        this.drawType(member);
    }

    add(type, step) {
        const { r } = this;
        const member = this.member(type);
        if (member.kind === 'embedded' && step.before[type.index].members.some((old) => old.kind === 'embedded' && !type.members.some(({ key }) => key === old.key))) {
            member.kind = 'scalar';
            this.drawType(member);
        }
        type.members.splice(r.below(type.members.length + 1), 0, member);
        if (member.kind !== 'scalar' || type.tail)
            return;
        const from = step.before[type.index].members.filter((old) => ['scalar', 'bits'].includes(old.kind));
        if (from.length && r.chance(0.3))
            step.customs.push({ type: type.index, key: member.key, from: r.pick(from).key, plus: r.below(20) });
        else if (r.chance(0.4))
            step.defaults.push({ type: type.index, key: member.key, value: 1 + r.below(90) });
    }

    /** Policies for members speak of types that keep their names. */
    isRenamable(type, step) {
        const was = step.before[type.index], spoken = [...step.defaults, ...step.customs].some((one) => one.type === type.index);
        return !spoken && type.members.every((member) => {
            const old = was.members.find(({ key }) => key === member.key);
            return !old || (pathOf(old) === pathOf(member) && (member.kind !== 'variant' || (old.ctype === member.ctype && old.length === member.length)));
        });
    }

    /** Everything from one version to the next: { before, defaults, customs, changed, split }. */
    step(number, splitAt) {
        const { r, types } = this;
        const step = { before: structuredClone(types), defaults: [], customs: [], changed: [], split: splitAt === number };
        const chosen = r.shuffle([...types]).slice(0, 1 + r.below(types.length));
        chosen.forEach((type, i) => {
            if (i === 0 && !type.tail)
                this.add(type, step);
            for (let n = 1 + r.below(4); n > 0; n--)
                this.change(type, step, number);
            type.alignment = this.alignment(0.1, type.alignment);
            if (type.tail?.ctype && r.chance(0.3))
                type.tail.ctype = r.pick(integers);
            step.changed.push(type.index);
        });
        /* what was added and removed again, or became something else, needs no word */
        const is = ({ type, key }) => types[type].members.find((member) => member.key === key && member.kind === 'scalar' && !member.group?.named);
        step.defaults = step.defaults.filter(is);
        step.customs = step.customs.filter(is);
        step.renamed = types.filter((type) => r.chance(0.2) && !type.tail && this.isRenamable(type, step)).map((type) => {
            const old = type.tag;
            type.tag = `${type.name}_v${number}`;
            return { type: type.index, old };
        });
        /* types whose validation is sure to run, having a member more */
        const grown = types.filter((type) => !type.tail && step.changed.includes(type.index) &&
            type.members.some(({ key }) => !step.before[type.index].members.some((old) => old.key === key)));
        step.verdicts = [...(grown.length ? [1, 2] : []), ...(grown.some(({ index }) => index % 2) ? [3] : [])];
        return step;
    }
}

/** Whether TYPE has a member without a counterpart in AFTER, or a union that changed: then there is no way back. */
function loses(type, after) {
    return type.members.some((member) => {
        const next = after.members.find(({ key }) => key === member.key);
        return !next || (member.kind === 'variant' && (next.ctype !== member.ctype || next.length !== member.length)) ||
            (member.kind === 'embeddedArray' && next.length < member.length);
    });
}

/** Types whose fresh instances differ from migrated ones that were fresh: threads do not make them anew. */
function special(program) {
    const told = new Set(program.versions.flatMap(({ step }) => (step ? [...step.defaults, ...step.customs] : []).map(({ type }) => type)));
    for (let again = true; again;) {
        again = false;
        for (const { types } of program.versions)
            for (const type of types)
                if (!told.has(type.index) && type.members.some((member) => member.kind.startsWith('embedded') && told.has(member.target))) {
                    told.add(type.index);
                    again = true;
                }
    }
    return told;
}

/**
 * A program of COUNT versions: { seed, typeCount, split, versions: [{ number, types, enumerators, step }] }, where `step` is what
 * happened since the version before, and step.back whether it can be rolled back.
 */
export function generate(seed, count) {
    const maker = new Maker(seed), { r } = maker;
    maker.typeCount = 2 + r.below(3);
    const program = { seed, typeCount: maker.typeCount, versions: [] };
    for (let i = 0; i < program.typeCount; i++)
        maker.type(i, false);
    if (r.chance(0.5))
        maker.type(program.typeCount, true);
    const splitAt = r.chance(0.3) ? 2 + r.below(count - 1) : 0;
    let enumerators = ['RED', 'GREEN', 'BLUE', 'BLACK'], step = null;
    for (let number = 1; number <= count; number++) {
        if (number > 1) {
            step = maker.step(number, splitAt);
            if (r.chance(0.3))
                enumerators = [enumerators[0], ...r.shuffle(enumerators.slice(1)), ...(r.chance(0.5) ? [`EXTRA${number}`] : [])];
            step.back = !step.split && step.before.every((type) => !loses(type, maker.types[type.index]));
        }
        program.versions.push(structuredClone({ number, types: maker.types, enumerators, step, split: splitAt > 0, splitDone: splitAt > 0 && number >= splitAt }));
    }
    program.split = splitAt > 0;
    program.special = special(program);
    return program;
}
