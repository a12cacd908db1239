// Builds the tables of docs/performance.md: first the goals under every Node version, then all
// figures.

import { judge } from '../goals.mjs';
import { machineLine } from '../machine.mjs';
import { measures } from '../measures/catalogue.mjs';
import { tableOf } from '../table.mjs';

/** @typedef {import('../run.mjs').Campaign} Campaign */

/** @param {Campaign[]} campaigns */
export function page(campaigns) {
  return [goals(campaigns), ...campaigns.map(figures)].join('\n\n');
}

/**
 * Returns one line for each goal, and one column for each Node version.
 *
 * @param {Campaign[]} campaigns
 */
function goals(campaigns) {
  const lines = Object.entries(measures).flatMap(([test, measure]) => {
    const judged = campaigns.map((campaign) => {
      const rows = campaign.tests.find((found) => found.test === test)?.rows ?? [];
      return judge(measure.goals ?? [], rows);
    });
    return judged[0].map(({ goal }, index) => [
      index === 0 ? measure.title : '',
      goal,
      ...judged.map((verdicts) => {
        const { measured, met } = verdicts[index];
        return met === 'met' ? measured : `${measured}, **${met}**`;
      }),
    ]);
  });
  const head = ['measure', 'goal', ...campaigns.map(({ machine }) => `Node ${machine.node}`)];
  return `## The goals\n\n${markdownTable([head, ...lines])}`;
}

/** @param {Campaign} campaign */
function figures(campaign) {
  const { machine, settings } = campaign;
  const libraries = Object.entries(machine.libraries).map(
    ([name, version]) => `${name} ${version}`,
  );
  const head = `## All figures, Node ${machine.node}

${machineLine(machine)}.
${settings.workers} workers, medians of ${settings.rounds} rounds${settings.quick ? ', a quick run' : ''}.
bulkhead ${machine.bulkhead}, ${libraries.join(', ')}.`;
  const own = campaign.tests.filter(({ test }) => measures[test]?.ownBenchmark);
  const ours = campaign.tests.filter(({ test }) => measures[test] && !measures[test].ownBenchmark);
  const parts = [head, ...ours.map(section)];
  if (own.length > 0) parts.push("## The peers' own benchmarks", ...own.map(section));
  return parts.join('\n\n');
}

/** @param {Campaign['tests'][number]} found */
function section({ test, load, rows }) {
  const measure = measures[test];
  return `### ${measure.title}

${sentences(measure.about)}
\`--test ${test}\`; load before: ${load}.

${markdownTable(tableOf(measure, rows))}`;
}

/**
 * @param {string} text
 * @returns {string} one sentence a line, as in all of the documentation
 */
const sentences = (text) => text.replaceAll(/(?<=[.!?]) (?=[A-Z"`])/g, '\n');

/** @param {string[][]} rows the first one is the head */
function markdownTable([head, ...rows]) {
  const rule = head.map((_, column) => (column === 0 ? '---' : '--:'));
  return [head, rule, ...rows].map((row) => `| ${row.map(escaped).join(' | ')} |`).join('\n');
}

/** @param {string} cell */
const escaped = (cell) =>
  cell.replaceAll('|', '\\|').replaceAll('{ type, data: [] }', '`{ type, data: [] }`');
