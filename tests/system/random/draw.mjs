// Numbers that look random and depend on a seed alone (mulberry32), so that a run is told by its seed.

export function random(seed) {
    let state = seed >>> 0;
    const next = () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let t = Math.imul(state ^ (state >>> 15), 1 | state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };
    const below = (n) => Math.floor(next() * n);
    return { below, chance: (p) => next() < p, pick: (list) => list[below(list.length)],
        shuffle: (list) => {
            for (let i = list.length - 1; i > 0; i--) {
                const k = below(i + 1);
                [list[i], list[k]] = [list[k], list[i]];
            }
            return list;
        } };
}
