// What the programs compute with: numbers as C has them, and expressions. Integers are computed as unsigned long, so that
// nothing overflows, and stored with a conversion; reals stay small.

/** Bits and sign of each integer type; an enumeration holds 0 to 7, a bool whether it is not zero. */
export const integers = { 'signed char': [8, true], 'unsigned char': [8, false], short: [16, true], 'unsigned short': [16, false],
    int: [32, true], unsigned: [32, false], long: [64, true], 'unsigned long': [64, false], bool: [1, false], 'enum shade': [3, false] };
export const reals = ['float', 'double'];
export const isReal = (c) => reals.includes(c);

/** What nobody can know: a variable that the version before did not have. */
export const unknown = Symbol('unknown');

const u64 = (n) => BigInt.asUintN(64, n);

/** VALUE, as a variable of type C holds it. */
export function convert(c, value) {
    if (value === unknown)
        return unknown;
    if (c === 'float')
        return Math.fround(Number(value));
    if (c === 'double')
        return Number(value);
    if (c === 'bool')
        return value ? 1n : 0n;
    if (typeof value === 'number')
        value = BigInt(Math.trunc(value));
    const [bits, signed] = integers[c];
    return signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
}

/** How C converts TEXT, an expression, to type C. */
export const converted = (c, text) => (c === 'bool' ? `(${text}) != 0` : c === 'enum shade' ? `(enum shade)((${text}) & 7)` : `(${c})(${text})`);

const binary = {
    '+': (a, b) => a + b, '-': (a, b) => a - b, '*': (a, b) => a * b, '^': (a, b) => a ^ b, '|': (a, b) => a | b, '&': (a, b) => a & b,
    '<': (a, b) => (a < b ? 1n : 0n), '==': (a, b) => (a === b ? 1n : 0n),
};
const byNumber = { '/': (a, n) => a / n, '%': (a, n) => a % n, '>>': (a, n) => a >> n, '<<': (a, n) => a << n,
    's/': (a, n) => BigInt.asIntN(64, a) / n, 's<': (a, n) => (BigInt.asIntN(64, a) < n ? 1n : 0n) };

/** What an operation makes of equal operands, whatever they are; and of zero, whatever the other operand is. */
const ofEquals = { '-': 0n, '^': 0n, '<': 0n, '==': 1n }, ofZero = { '*': 0n, '&': 0n };

/** Whether E and OTHER are the same expression. */
const isSame = (e, other) => e.op === other.op && e.value === other.value && e.n === other.n && e.scale === other.scale &&
    e.place?.v === other.place?.v && e.place?.member === other.place?.member &&
    [[e.a, other.a], [e.b, other.b], [e.c, other.c], [e.place?.index, other.place?.index]].every(([x, y]) => (x && y ? isSame(x, y) : x === y));

/** The value of a binary expression E whose operands have the values A and B, one of which is unknown. */
const whatever = (e, a, b) => (isSame(e.a, e.b) ? ofEquals[e.op] : [a, b].includes(0n) ? ofZero[e.op] : undefined) ?? unknown;

/** The value of expression E; READ gives that of a place. What compilers know of an expression is known here, too: that x ^ x is zero. */
export function evaluate(e, read) {
    const sub = (x) => evaluate(x, read);
    const on = (values, f) => (values.includes(unknown) ? unknown : f(...values));
    switch (e.op) {
    case 'number': return e.value;
    case 'get': return on([read(e.place)], (v) => (typeof v === 'number' ? u64(BigInt(Math.trunc(v * 16))) : u64(v)));
    case 'u32': return on([sub(e.a)], (a) => BigInt.asUintN(32, a));
    case 'choose': return on([sub(e.c)], (c) => sub(c ? e.a : e.b));
    case 'mix': return on([sub(e.a), ...(e.place ? [read(e.place)] : [])], (a, held = 0) => Number(a & 1023n) * e.scale + Number(held) * 0.25);
    default: {
        if (e.n !== undefined)
            return on([sub(e.a)], (a) => u64(byNumber[e.op](a, e.n)));
        const a = sub(e.a), b = sub(e.b);
        return a === unknown || b === unknown ? whatever(e, a, b) : u64(binary[e.op](a, b));
    }
    }
}

/** All expressions in E, itself included. */
export function* parts(e) {
    yield e;
    for (const x of [e.a, e.b, e.c, e.place?.index])
        if (x)
            yield* parts(x);
}

/** How a PLACE is written: a variable, an element, a member, or what a pointer leads to. */
export function placeText(place) {
    const { v } = place;
    if (place.index)
        return `${v.name}[(${text(place.index)}) % ${v.type.n}]`;
    return place.member ? `${v.name}.${place.member}` : v.type.kind === 'pointer' ? `*${v.name}` : v.name;
}

/** The type of what is at PLACE. */
export const placeType = (place) => (place.member ? place.v.type.members.find(([name]) => name === place.member)[1] : place.v.type.c);

/** E in C. */
export function text(e) {
    switch (e.op) {
    case 'number': return `${e.value}ul`;
    case 'get': return isReal(placeType(e.place)) ? `(unsigned long)(long)((double)${placeText(e.place)} * 16)` : `(unsigned long)${placeText(e.place)}`;
    case 'u32': return `(unsigned long)(unsigned)(${text(e.a)})`;
    case 'choose': return `((${text(e.c)}) ? (${text(e.a)}) : (${text(e.b)}))`;
    case 'mix': return `(double)(int)((${text(e.a)}) & 1023) * ${e.scale}${e.place ? ` + (double)${placeText(e.place)} * 0.25` : ''}`;
    case 's/': case 's<': return `(unsigned long)((long)(${text(e.a)}) ${e.op[1]} ${e.n}l)`;
    case '<': case '==': return `(unsigned long)((${text(e.a)}) ${e.op} (${text(e.b)}))`;
    default: return `((${text(e.a)}) ${e.op} ${e.n !== undefined ? e.n : `(${text(e.b)})`})`;
    }
}
