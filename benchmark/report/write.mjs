// Writes docs/performance.md and the plot from saved campaigns.
//
//   npm run bench -- --all --save benchmark/results/node-20.json     first, once for each Node version
//   npm run bench:report                                             the page, the plot, and the plot in the README
//   npm run bench:plot                                               the plot only
//   npm run bench:report -- file.json …                              these files instead of benchmark/results/*.json
//
// The plot shows the campaign of the oldest Node version. The script replaces only the text between
// the marks of these pages.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { page } from './page.mjs';
import { plot } from './plot.mjs';

/** @typedef {import('../run.mjs').Campaign} Campaign */

const root = fileURLToPath(new URL('../../', import.meta.url));
const saved = `${root}benchmark/results/`;

const { values, positionals } = parseArgs({
  options: { plot: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const files =
  positionals.length > 0
    ? positionals
    : (existsSync(saved) ? readdirSync(saved) : [])
        .filter((name) => name.endsWith('.json'))
        .map((name) => saved + name);
if (files.length === 0) {
  console.error(
    'There is nothing to report: npm run bench -- --all --save benchmark/results/node-20.json',
  );
  process.exit(1);
}

/** @type {Campaign[]} */
const campaigns = files.map((file) => JSON.parse(readFileSync(file, 'utf8')));
campaigns.sort((a, b) => a.machine.node.localeCompare(b.machine.node, 'en', { numeric: true }));

const [first] = campaigns;
for (const theme of /** @type {const} */ (['light', 'dark'])) {
  write(`docs/performance-${theme}.svg`, plot(first, theme));
}
replaceBetweenMarks('README.md', 'plot', picture('docs/'));
if (!values.plot) {
  replaceBetweenMarks('docs/performance.md', 'plot', picture(''));
  replaceBetweenMarks('docs/performance.md', 'figures', page(campaigns));
}

/** @param {string} folder of the plots, seen from the page */
function picture(folder) {
  const { node, cores, cpu } = first.machine;
  return `<picture>
  <source media="(prefers-color-scheme: dark)" srcset="${folder}performance-dark.svg">
  <img alt="bulkhead beside other pools: tiny tasks, main-thread time, 1 MB Buffers, a blocked main thread" src="${folder}performance-light.svg">
</picture>

Node ${node}, ${cores} cores (${cpu}), ${first.settings.workers} workers, medians of ${first.settings.rounds} rounds; the thin lines go from the smallest to the largest.`;
}

/**
 * @param {string} file
 * @param {string} mark
 * @param {string} text
 */
function replaceBetweenMarks(file, mark, text) {
  const [open, close] = [`<!-- ${mark} -->`, `<!-- /${mark} -->`];
  const before = readFileSync(root + file, 'utf8');
  const [start, end] = [before.indexOf(open), before.indexOf(close)];
  if (start < 0 || end < start) throw new Error(`${file} has no ${open} … ${close}`);
  write(file, `${before.slice(0, start + open.length)}\n${text}\n${before.slice(end)}`);
}

/**
 * @param {string} file
 * @param {string} text
 */
function write(file, text) {
  writeFileSync(root + file, text);
  console.log(file);
}
