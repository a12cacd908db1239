// Draws the main results as bars: one SVG for each of GitHub's two themes.

import { thousands } from '../measures/support.mjs';
import { pools } from '../pools/catalogue.mjs';
import { median } from '../statistics.mjs';

/**
 * @typedef {import('../run.mjs').Campaign} Campaign
 * @typedef {{ title: string, note: string, test: string, value: (figures: Record<string, any>) =>
 *   number, format: (value: number) => string }} Panel
 * @typedef {{ pool: string, values: number[] }} Bar one value for each round; no values: the pool
 *   failed
 */

/** @type {Panel[]} */
const panels = [
  {
    title: 'Tiny tasks a second',
    note: '1 000 in flight; more is better',
    test: 'tiny',
    value: ({ perSecond }) => perSecond,
    format: thousands,
  },
  {
    title: 'Main-thread CPU for each, µs',
    note: 'less is better',
    test: 'tiny',
    value: ({ mainUs }) => mainUs,
    format: (value) => value.toFixed(1),
  },
  {
    title: '1 MB Buffers, round trips a second',
    note: 'one at a time; more is better',
    test: 'payload',
    value: ({ bufferPerSecond }) => bufferPerSecond,
    format: (value) => thousands(value),
  },
  {
    title: 'Work while the main thread is blocked',
    note: 'of what the workers do otherwise; more is better',
    test: 'blocked',
    value: ({ loss }) => Math.min(1, Math.max(0, 1 - loss)),
    format: (value) => `${Math.round(value * 100)} %`,
  },
];

const shown = [
  'bulkhead',
  'fork-json',
  'fork-advanced',
  'poolifier-process',
  'tinypool-process',
  'workerpool-process',
  'jest-process',
  'piscina-threads',
];

const colors = {
  light: {
    text: '#1f2328',
    quiet: '#59636e',
    bar: '#b6bfc9',
    threads: '#dde1e6',
    ours: '#0969da',
    line: '#59636e',
  },
  dark: {
    text: '#f0f6fc',
    quiet: '#9198a1',
    bar: '#545d68',
    threads: '#353c44',
    ours: '#4493f8',
    line: '#c0c7cf',
  },
};

// Sizes (px). A panel is a column of names, the bars, and room for a number after the longest bar.
const panelWidth = 420;
const names = 130;
const barsWidth = 200;
const rowHeight = 22;
const barHeight = 13;
const headHeight = 46;

/**
 * @param {Campaign} campaign
 * @param {keyof typeof colors} theme
 */
export function plot(campaign, theme) {
  const drawn = panels
    .map((panel) => ({ panel, bars: barsOf(campaign, panel) }))
    .filter(({ bars }) => bars.length > 0);
  const panelHeight =
    Math.max(0, ...drawn.map(({ bars }) => headHeight + bars.length * rowHeight)) + 18;
  const [width, height] = [2 * panelWidth, Math.ceil(drawn.length / 2) * panelHeight];
  const parts = drawn.map(({ panel, bars }, index) => {
    const [x, y] = [(index % 2) * panelWidth, Math.floor(index / 2) * panelHeight];
    return `<g transform="translate(${x} ${y})">\n${drawPanel(panel, bars, theme)}\n</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif" font-size="12">
<title>bulkhead beside other pools, Node ${campaign.machine.node}</title>
${parts.join('\n')}
</svg>
`;
}

/**
 * @param {Campaign} campaign
 * @param {Panel} panel
 * @returns {Bar[]}
 */
function barsOf(campaign, { test, value }) {
  const rows = campaign.tests.find((found) => found.test === test)?.rows ?? [];
  return shown.flatMap((pool) => {
    const row = rows.find((found) => found.pool === pool);
    if (row === undefined) return [];
    return {
      pool,
      values: row.runs
        .flatMap((run) => (run.figures ? value(run.figures) : []))
        .filter(Number.isFinite),
    };
  });
}

/**
 * @param {Panel} panel
 * @param {Bar[]} bars
 * @param {keyof typeof colors} theme
 */
function drawPanel({ title, note, format }, bars, theme) {
  const { text, quiet } = colors[theme];
  const longest = Math.max(...bars.flatMap(({ values }) => values), Number.MIN_VALUE);
  const lines = bars.map((bar, row) =>
    drawBar(bar, headHeight + row * rowHeight, longest, format, theme),
  );
  return [
    `<text x="${names}" y="18" fill="${text}" font-size="13" font-weight="600">${title}</text>`,
    `<text x="${names}" y="34" fill="${quiet}" font-size="11">${note}</text>`,
    ...lines,
  ].join('\n');
}

/**
 * @param {Bar} bar
 * @param {number} y
 * @param {number} longest
 * @param {(value: number) => string} format
 * @param {keyof typeof colors} theme
 */
function drawBar({ pool, values }, y, longest, format, theme) {
  const { text, quiet, bar, threads, ours, line } = colors[theme];
  const isOurs = pools[pool].kind === 'bulkhead';
  const weight = isOurs ? ' font-weight="600"' : '';
  const baseline = y + barHeight - 2;
  const name = `<text x="${names - 8}" y="${baseline}" fill="${isOurs ? text : quiet}" text-anchor="end"${weight}>${pool}</text>`;
  if (values.length === 0)
    return `${name}<text x="${names}" y="${baseline}" fill="${quiet}">failed</text>`;

  /** @param {number} value */
  const long = (value) => Number(((value / longest) * barsWidth).toFixed(1));
  const typical = median(values);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const fill = isOurs ? ours : pools[pool].kind === 'threads' ? threads : bar;
  const middle = y + barHeight / 2;
  const parts = [
    name,
    `<rect x="${names}" y="${y}" width="${Math.max(1, long(typical))}" height="${barHeight}" rx="2" fill="${fill}"/>`,
  ];
  if (long(most) - long(least) >= 1) {
    const [from, to] = [names + long(least), names + long(most)];
    parts.push(`<path d="M${from} ${middle}H${to}" stroke="${line}" stroke-width="1"/>`);
  }
  const behind = names + Math.max(long(typical), long(most)) + 6;
  parts.push(
    `<text x="${behind}" y="${baseline}" fill="${isOurs ? text : quiet}"${weight}>${format(typical)}</text>`,
  );
  return parts.join('');
}
