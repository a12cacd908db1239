// Checks by id that docs/reliability.md, docs/features.md and the tests agree. Every row has a
// test, or a reason why there is none; every id of a test has a row; the column of tests names the
// files.
//
//   node scripts/check-test-ids.mjs            checks
//   node scripts/check-test-ids.mjs --write    brings the columns of tests up to date first

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, rowOf, testsById, withFiles } from './test-ids.mjs';

/** Rows of the catalogue of faults, by letter, and how many of them have a test at the least. */
const FAULTS = { A: 22, B: 15, C: 12, D: 17, E: 22, F: 16, G: 26, H: 11 };
const TESTED = 112;

const PAGES = ['docs/reliability.md', 'docs/features.md'];
const UNTESTED = /not tested: \S|^(?:P|–): \S/;

const tests = testsById();
/** @type {string[]} */
const problems = [];
/** @type {Map<string, string>} */
const rows = new Map();

for (const page of PAGES) {
  const lines = readFileSync(join(root, page), 'utf8').split('\n');
  const written = lines.map((line) => {
    const cells = rowOf(line);
    if (cells === undefined) return line;
    const [id] = cells;
    const cell = cells.at(-1) ?? '';
    if (rows.has(id)) problems.push(`${page}: ${id} is there twice`);
    rows.set(id, cell);
    if (!tests.has(id) && !UNTESTED.test(cell))
      problems.push(`${page}: ${id} has no test, nor a reason why there is none`);
    const right = withFiles(cell, tests.get(id));
    if (right === cell) return line;
    if (!process.argv.includes('--write'))
      problems.push(
        `${page}: ${id} names other files than those of its tests (--write corrects it)`,
      );
    return `| ${[...cells.slice(0, -1), right].join(' | ')} |`;
  });
  if (process.argv.includes('--write')) writeFileSync(join(root, page), written.join('\n'));
}

const faults = Object.entries(FAULTS).flatMap(([letter, n]) =>
  Array.from({ length: n }, (_, i) => `${letter}${i + 1}`),
);
for (const id of faults) if (!rows.has(id)) problems.push(`docs/reliability.md: ${id} is missing`);
for (const id of rows.keys())
  if (id[0] in FAULTS && !faults.includes(id)) problems.push(`${id} is no row of the catalogue`);
for (const [id, files] of tests)
  if (!rows.has(id)) problems.push(`${[...files].join(', ')}: ${id} has no row in the docs`);
const tested = faults.filter((id) => tests.has(id)).length;
if (tested < TESTED) problems.push(`${tested} faults have a test, fewer than ${TESTED}`);

for (const problem of problems) console.error(problem);
console.log(
  `${rows.size} rows, ${faults.length} of them faults, and ${tested} of those have a test`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
