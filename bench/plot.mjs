// A plot of lines over two logarithmic axes, as SVG.

const width = 720, height = 440, margin = { left: 70, right: 190, top: 40, bottom: 50 };
const colours = ['#777777', '#0b6fb8', '#c2410c', '#15803d'];
const font = 'font-family="sans-serif" font-size="12"';

const escape = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
const decade = (power) => (power >= 0 && power < 9 ? String(10 ** power).replace(/\B(?=(\d{3})+$)/g, ' ') : String(10 ** power));

function axis(values, low, high) {
    const from = Math.floor(Math.log10(Math.min(...values))), to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(...values))));
    return {
        at: (value) => low + (Math.log10(value) - from) / (to - from) * (high - low),
        decades: Array.from({ length: to - from + 1 }, (_, i) => from + i),
    };
}

/** LINES: { name: [[x, y], ...] }, all values positive. Returns the text of an SVG file. */
export function plot({ title, x, y, lines }) {
    const points = Object.values(lines).flat();
    const right = width - margin.right, bottom = height - margin.bottom;
    const across = axis(points.map(([value]) => value), margin.left, right);
    const up = axis(points.map(([, value]) => value), bottom, margin.top);
    const parts = [`<rect width="${width}" height="${height}" fill="white"/>`,
        `<text x="${margin.left}" y="22" ${font} font-weight="bold">${escape(title)}</text>`,
        `<text x="${(margin.left + right) / 2}" y="${height - 12}" ${font} text-anchor="middle">${escape(x)}</text>`,
        `<text x="16" y="${(margin.top + bottom) / 2}" ${font} text-anchor="middle" ` +
            `transform="rotate(-90 16 ${(margin.top + bottom) / 2})">${escape(y)}</text>`];
    for (const power of across.decades) {
        const at = across.at(10 ** power).toFixed(1);
        parts.push(`<path d="M${at} ${margin.top}V${bottom}" stroke="#dddddd"/>`,
            `<text x="${at}" y="${bottom + 18}" ${font} text-anchor="middle">${decade(power)}</text>`);
    }
    for (const power of up.decades) {
        const at = up.at(10 ** power).toFixed(1);
        parts.push(`<path d="M${margin.left} ${at}H${right}" stroke="#dddddd"/>`,
            `<text x="${margin.left - 8}" y="${Number(at) + 4}" ${font} text-anchor="end">${decade(power)}</text>`);
    }
    Object.entries(lines).forEach(([name, line], i) => {
        const path = line.map(([a, b]) => `${across.at(a).toFixed(1)} ${up.at(b).toFixed(1)}`).join('L');
        const [, last] = line.at(-1);
        parts.push(`<path d="M${path}" fill="none" stroke="${colours[i % colours.length]}" stroke-width="2"/>`,
            `<text x="${right + 8}" y="${(up.at(last) + 4).toFixed(1)}" ${font} fill="${colours[i % colours.length]}">${escape(name)}</text>`);
    });
    return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">\n` +
        `${parts.join('\n')}\n</svg>\n`;
}
