// docs/features.md: every Y of bulkhead has a test that shows it, and where a peer has something
// that bulkhead has not, there is a reason.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from './support/harness.js';

/** How cells begin. The tables of what goes wrong have words instead, except for bulkhead's. */
const MARK = /^(?:Y|P|–|n\/a|by hand|not looked at)(?= |:|$)/;
const EVIDENCE = /`([\w.-]+\.test(?:-d)?\.[jt]s)`: "((?:[^"\\]|\\.)+)"/g;
const REASON = /^(?:P|–): \S.{10,}/;

const tables = [];
let heading;
for (const line of readFileSync(join(root, 'docs', 'features.md'), 'utf8').split('\n')) {
  if (line.startsWith('## ')) heading = line.slice(3);
  if (!line.startsWith('|') || line.startsWith('|---')) continue;
  const cells = line.split(/(?<!\\)\|/).slice(1, -1);
  const [feature, ...values] = cells.map((cell) => cell.trim());
  if (feature === '') tables.push({ heading, columns: values, rows: [] });
  else tables.at(-1).rows.push({ feature, values });
}
const rows = tables.flatMap(({ rows, ...table }) => rows.map((row) => ({ ...table, ...row })));

/** Whether a test of this title is in the text: quoted in any of the three ways. */
function hasTitle(text, title) {
  return [`'${title}'`, `"${title}"`, `\`${title}\``].some((quoted) => text.includes(quoted));
}

/** What is wrong with the last cell of a row. */
function problems(values) {
  const ours = values.at(-1);
  if (ours.startsWith('TODO')) return [`is not decided: ${ours}`];
  if (!ours.startsWith('Y '))
    return REASON.test(ours) ? [] : [`is neither "Y" with a test nor a reason: ${ours}`];
  const named = [...ours.matchAll(EVIDENCE)].map(([, file, title]) => [
    file,
    title.replaceAll('\\"', '"'),
  ]);
  if (named.length === 0) return ['names no test'];
  return named.flatMap(([file, title]) => {
    const path = join(root, '__test__', file);
    if (!existsSync(path)) return [`there is no ${file}`];
    return hasTitle(readFileSync(path, 'utf8'), title) ? [] : [`${file} has no test "${title}"`];
  });
}

test('the tables are there, and whole', () => {
  expect(tables.map(({ heading }) => heading)).toHaveLength(7);
  expect(rows.length).toBeGreaterThanOrEqual(80);
  for (const { feature, columns, values } of rows)
    expect(values, feature).toHaveLength(columns.length);
  expect(new Set(rows.map(({ feature }) => feature)).size).toBe(rows.length);
  for (const { columns } of tables) expect(columns.at(-1)).toBe('bulkhead');
});

test('peers are judged by the marks that the page explains', () => {
  const judged = rows
    .filter(({ columns }) => columns[0] === 'piscina')
    .flatMap(({ values }) => values.slice(0, -1));
  expect(judged.filter((value) => !MARK.test(value))).toEqual([]);
});

describe('what bulkhead has is shown by a test, and what it has not has a reason', () => {
  test.each(rows.map(({ feature, values }) => [feature, values]))('%s', (_, values) => {
    expect(problems(values)).toEqual([]);
  });
});

test('what is wrong would be noticed', () => {
  expect(problems(['Y', 'Y'])).toHaveLength(1);
  expect(problems(['Y', 'Y of course'])).toEqual(['names no test']);
  expect(problems(['Y', 'Y `basic.test.js`: "no such title"'])).toHaveLength(1);
  expect(problems(['Y', 'Y `nowhere.test.js`: "runs a task in another process"'])).toHaveLength(1);
  expect(problems(['Y', 'TODO(this)'])).toHaveLength(1);
  expect(problems(['Y', '–'])).toHaveLength(1);
  expect(problems(['Y', 'Y `basic.test.js`: "runs a task in another process"'])).toEqual([]);
});
