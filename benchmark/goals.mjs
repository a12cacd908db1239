// Compares the results of a measure with bulkhead's goals.

import { median } from './statistics.mjs';
import { ratios, ratioText, typicalFigure } from './table.mjs';

/**
 * @typedef {import('./campaign.mjs').Row} Row
 * @typedef {import('./measures/types.mjs').Goal} Goal
 * @typedef {{ goal: string, measured: string, met: 'met' | 'not met' | 'not measured' }} Verdict
 */

/**
 * @param {Goal[]} goals
 * @param {Row[]} rows
 * @returns {Verdict[]}
 */
export function judge(goals, rows) {
  return goals.map((goal) => {
    const subject = rows.find((row) => row.pool === (goal.subject ?? 'bulkhead'));
    return goal.over === undefined
      ? judgeFigure(goal, subject)
      : judgeRatio(goal, goal.over, subject, rows);
  });
}

/**
 * @param {Goal} goal
 * @param {Row | undefined} subject
 * @returns {Verdict}
 */
function judgeFigure(goal, subject) {
  const { says, key, format = (/** @type {number} */ value) => value.toFixed(2) } = goal;
  const value = subject === undefined ? Number.NaN : Number(typicalFigure(subject, key));
  return verdict(
    goal,
    value,
    `${says} ${bound(goal, format)}`,
    Number.isFinite(value) ? format(value) : '-',
  );
}

/**
 * @param {Goal} goal
 * @param {string[]} over
 * @param {Row | undefined} subject
 * @param {Row[]} rows
 * @returns {Verdict}
 */
function judgeRatio(goal, over, subject, rows) {
  const compared = over
    .map((name) => {
      const other = rows.find((row) => row.pool === name);
      return { name, values: subject === undefined ? [] : ratios(subject, other, goal.key) };
    })
    .filter(({ values }) => values.length > 0)
    .toSorted((a, b) => median(a.values) - median(b.values));
  const hardest = goal.atLeast === undefined ? compared.at(-1) : compared[0];
  const says = `${goal.says} ${bound(goal, (value) => `${value}x`)} ${goal.overName ?? over[0]}`;
  if (hardest === undefined) return verdict(goal, Number.NaN, says, '-');
  const text = ratioText(hardest.values) + (over.length > 1 ? ` ${hardest.name}` : '');
  return verdict(goal, median(hardest.values), says, text);
}

/**
 * @param {Goal} goal
 * @param {number} value
 * @param {string} says
 * @param {string} measured
 * @returns {Verdict}
 */
function verdict({ atLeast = -Infinity, atMost = Infinity }, value, says, measured) {
  if (!Number.isFinite(value)) return { goal: says, measured, met: 'not measured' };
  return { goal: says, measured, met: value >= atLeast && value <= atMost ? 'met' : 'not met' };
}

/**
 * @param {Goal} goal
 * @param {(value: number) => string} format
 */
function bound({ atLeast, atMost }, format) {
  return atLeast === undefined ? `≤ ${format(Number(atMost))}` : `≥ ${format(atLeast)}`;
}
