// docs/features.md: every Y of bulkhead has a test that shows it, and where a peer has a feature
// that bulkhead has not, there is a reason.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { testsById, withFiles } from '../scripts/test-ids.mjs';
import { root } from './support/harness.js';

/**
 * The marks that cells begin with. The tables of failures have words instead, except for
 * bulkhead's.
 */
const MARK = /^(?:Y|P|–|n\/a|by hand|not looked at)(?= |:|$)/;
const REASON = /^(?:P|–): \S.{10,}/;

const tables = [];
let heading;
for (const line of readFileSync(join(root, 'docs', 'features.md'), 'utf8').split('\n')) {
  if (line.startsWith('## ')) heading = line.slice(3);
  if (!line.startsWith('|') || line.startsWith('|---')) continue;
  const cells = line.split(/(?<!\\)\|/).slice(1, -1);
  const [id, feature, ...values] = cells.map((cell) => cell.trim());
  if (id === '') tables.push({ heading, columns: values, rows: [] });
  else tables.at(-1).rows.push({ id, feature, values });
}
const rows = tables.flatMap(({ rows, ...table }) => rows.map((row) => ({ ...table, ...row })));

const tests = testsById();

/** Returns what is wrong with the last cell of a row. */
function problems(id, values) {
  const ours = values.at(-1);
  if (ours.startsWith('TODO')) return [`is not decided: ${ours}`];
  if (!ours.startsWith('Y '))
    return REASON.test(ours) ? [] : [`is neither "Y" with a test nor a reason: ${ours}`];
  if (!tests.has(id)) return ['has no test'];
  return withFiles(ours, tests.get(id)) === ours ? [] : [`names other files: ${ours}`];
}

test('docs/features.md has all its tables, and they are whole', () => {
  expect(tables.map(({ heading }) => heading)).toHaveLength(7);
  expect(rows.length).toBeGreaterThanOrEqual(80);
  for (const { feature, columns, values } of rows)
    expect(values, feature).toHaveLength(columns.length);
  expect(new Set(rows.map(({ feature }) => feature)).size).toBe(rows.length);
  expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length);
  for (const { columns } of tables) expect(columns.at(-1)).toBe('bulkhead');
});

test('docs/features.md judges peers by the marks that it explains', () => {
  const judged = rows
    .filter(({ columns }) => columns[0] === 'piscina')
    .flatMap(({ values }) => values.slice(0, -1));
  expect(judged.filter((value) => !MARK.test(value))).toEqual([]);
});

describe('docs/features.md: every feature has a test, and every gap a reason', () => {
  test.each(rows.map(({ id, feature, values }) => [feature, id, values]))('%s', (_, id, values) => {
    expect(problems(id, values)).toEqual([]);
  });
});

test('a row of docs/features.md without test or reason is reported', () => {
  expect(problems('T1', ['Y', 'Y'])).toHaveLength(1);
  expect(problems('T0', ['Y', 'Y `basic.test.js`'])).toEqual(['has no test']);
  expect(problems('T1', ['Y', 'Y of course'])).toHaveLength(1);
  expect(problems('T1', ['Y', 'Y `nowhere.test.js`'])).toHaveLength(1);
  expect(problems('T1', ['Y', 'TODO(this)'])).toHaveLength(1);
  expect(problems('T1', ['Y', '–'])).toHaveLength(1);
  expect(problems('T1', ['Y', 'Y `basic.test.js`'])).toEqual([]);
});
