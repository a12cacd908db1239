// Checks that docs/reliability.md and the tests agree: every row of the fault catalogue is there
// once, each says which tests show it, or why none can, and each of those tests exists.
//
//   node scripts/check-reliability.mjs

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Number of rows of the catalogue, and the minimum of rows with a test. */
const ROWS = { A: 20, B: 15, C: 12, D: 17, E: 22, F: 16, G: 26, H: 11 };
const TESTED = 110;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const TEST = /`([^`]+)`: "([^"]+)"/g;
const UNTESTED = /^not tested: \S/;

/**
 * @param {string} command
 * @param {string[]} args
 * @returns {string} the command's output
 */
function output(command, args) {
  const { stdout, stderr, status, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  if (error) throw error;
  if (status !== 0)
    throw new Error(`${command} ${args.join(' ')} ended with ${status}:\n${stderr || stdout}`);
  return stdout;
}

/** Test titles by file for Vitest. A Rust test's path is its name, so it is a key of its own. */
function allTests() {
  /** @type {Map<string, string[]>} */
  const tests = new Map();
  const vitest = output('npx', ['vitest', 'list', '--json']);
  for (const { name, file } of JSON.parse(vitest.slice(vitest.indexOf('[')))) {
    const key = relative(join(root, '__test__'), file);
    tests.set(key, [...(tests.get(key) ?? []), name]);
  }
  // `module::tests::name: test`
  const rust = output('cargo', ['test', '--locked', '--quiet', '--', '--list']);
  for (const [, name] of rust.matchAll(/^(\S+): test$/gm)) tests.set(name, [name]);
  return tests;
}

/**
 * @param {string} test its name, with those of its `describe`s
 * @param {string} title the last part of it, or all. Placeholders of `it.each` match anything
 */
function matches(test, title) {
  const pattern = title
    .split(/%[a-z]|\$\w+/)
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`(?:^| > )${pattern.join('.*')}$`, 's').test(test);
}

const problems = [];
const rows = new Map();
for (const line of readFileSync(join(root, 'docs', 'reliability.md'), 'utf8').split('\n')) {
  const [, id, , , evidence] = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
  if (!/^[A-H]\d+$/.test(id ?? '')) continue;
  if (rows.has(id)) problems.push(`${id} is there twice`);
  rows.set(id, evidence ?? '');
}
const expected = Object.entries(ROWS).flatMap(([letter, n]) =>
  Array.from({ length: n }, (_, i) => `${letter}${i + 1}`),
);
for (const id of expected) if (!rows.has(id)) problems.push(`${id} is missing`);
for (const id of rows.keys())
  if (!expected.includes(id)) problems.push(`${id} is no row of the catalogue`);

const tests = allTests();
let tested = 0;
for (const [id, evidence] of rows) {
  const named = [...evidence.matchAll(TEST)];
  if (named.length > 0) tested += 1;
  else if (!UNTESTED.test(evidence))
    problems.push(`${id} names no test, nor a reason why there is none`);
  for (const [, file, title] of named) {
    const known = file.endsWith('.rs') ? tests.get(title) : tests.get(file);
    if (known === undefined)
      problems.push(`${id}: there is no test file ${file}, or no Rust test ${title}`);
    else if (!known.some((test) => matches(test, title)))
      problems.push(`${id}: ${file} has no test "${title}"`);
  }
}
if (tested < TESTED) problems.push(`${tested} rows have a test, fewer than ${TESTED}`);

for (const problem of problems) console.error(problem);
console.log(`${rows.size} rows: ${tested} tested, ${rows.size - tested} with a reason why not`);
process.exitCode = problems.length === 0 ? 0 : 1;
