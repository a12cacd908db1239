// Builds tables from runs. A figure is the median of the rounds; a ratio is the median of the
// rounds' ratios, with the smallest and the largest. Absolute figures differ by a quarter between
// two campaigns, so compare within one table.

import { median } from './statistics.mjs';

/**
 * @typedef {import('./campaign.mjs').Row} Row
 * @typedef {import('./measures/types.mjs').Measure} Measure
 */

/**
 * @param {Measure} measure
 * @param {Row[]} rows
 * @returns {string[][]} the first line is the head
 */
export function tableOf({ columns, baseline = 'fork-json' }, rows) {
  const base = rows.find((row) => row.pool === baseline);
  const lines = rows.map((row) => {
    const cells = columns.map(({ key, ratio, format = String }) => {
      if (ratio) return ratioText(ratios(row, base, key));
      const value = typicalFigure(row, key);
      if (typeof value === 'string') return value;
      return Number.isFinite(value) ? format(value) : '-';
    });
    return [row.pool, ...cells, wrongResults(row), failure(row)];
  });
  const head = ['', ...columns.map(({ title }) => title), 'wrong results', 'failed'];
  const table = [head, ...lines];
  // Usually no run fails, and this column is omitted.
  return lines.some((line) => line.at(-1) !== '') ? table : table.map((line) => line.slice(0, -1));
}

/**
 * @param {Row} row
 * @param {string} key
 * @returns {number | string} the median, or the text
 */
export function typicalFigure(row, key) {
  const values = row.runs.flatMap((run) => run.figures?.[key] ?? []);
  if (typeof values[0] === 'string') return values[0];
  return median(values.filter((value) => typeof value === 'number'));
}

/**
 * @param {Row} row
 * @param {Row | undefined} base
 * @param {string} key
 * @returns {number[]} one ratio for each round of both rows
 */
export function ratios(row, base, key) {
  return row.runs
    .map((run, round) => Number(run.figures?.[key]) / Number(base?.runs[round]?.figures?.[key]))
    .filter(Number.isFinite);
}

/** @param {number[]} values */
export function ratioText(values) {
  if (values.length === 0) return '-';
  const typical = short(median(values));
  return values.length === 1
    ? typical
    : `${typical} (${short(Math.min(...values))}..${short(Math.max(...values))})`;
}

/** @param {number} value */
const short = (value) =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);

/** @param {Row} row */
function wrongResults(row) {
  const found = row.runs.flatMap((run) => run.figures?.wrong ?? []);
  return found.length === 0
    ? '-'
    : String(found.reduce((sum, wrong) => Number(sum) + Number(wrong), 0));
}

/** @param {Row} row */
function failure(row) {
  const errors = row.runs.flatMap((run) => run.error ?? []);
  if (errors.length === 0) return '';
  const tried = row.runs.filter(
    (run) => run.figures !== undefined || run.error !== undefined,
  ).length;
  return `${errors.length} of ${tried}: ${errors[0].slice(0, 80)}`;
}

/** @param {string[][]} rows the first one is the head */
export function plainTable(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const last = rows[0].at(-1) === 'failed' ? widths.length - 1 : -1;
  return rows
    .map((row) => {
      const cells = row.map((cell, column) =>
        column === 0 || column === last
          ? cell.padEnd(widths[column])
          : cell.padStart(widths[column]),
      );
      return cells.join('  ').trimEnd();
    })
    .join('\n');
}
