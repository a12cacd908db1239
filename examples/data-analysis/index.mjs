// Data analysis: how late do flights leave? Shards three million flights over all cores, adds the
// parts up, and compares the sum with the answer of a single process.
//
//   node examples/data-analysis/index.mjs [--report origin|destination|route|hour] [--row-groups 2] [--workers 4] [--lines 5]

import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import ProcessManager from 'bulkhead';
import { startProgress } from '../progress.mjs';
import {
  airportNames,
  analyse,
  describe,
  equalTables,
  flightsFile,
  merge,
  reports,
  rowGroups,
} from './flights.mjs';

/** @typedef {import('./flights.mjs').Report} Report */

/**
 * Creates one task for each report and each shard.
 *
 * @param {{ reports?: Report[], rowGroups?: number }} [options] default: all reports over the whole
 *   file
 */
export async function makeTasks(options = {}) {
  const wanted = options.reports ?? /** @type {Report[]} */ (Object.keys(reports));
  const shards = (await rowGroups()).slice(0, options.rowGroups);
  const datasets = wanted.flatMap((report) =>
    shards.map((shard) => ({ file: flightsFile, report, ...shard })),
  );
  return datasets.map((dataset, index) => ({ id: index, type: 'data-analysis', data: dataset }));
}

/**
 * @param {object} [options]
 * @param {Report[]} [options.reports] default: all
 * @param {number} [options.rowGroups] number of row groups to read, default: all 11
 * @param {number} [options.workers] default: one for each core
 * @param {number} [options.lines] how many lines of each report to print
 * @returns {Promise<{ equal: boolean, tables: Map<Report, import('./flights.mjs').Table> }>}
 */
export async function main(options = {}) {
  const tasks = await makeTasks(options);
  /** @type {Map<Report, import('./flights.mjs').Table>} */
  const tables = new Map();

  const workers = options.workers && { minWorkers: options.workers, maxWorkers: options.workers };
  const pool = new ProcessManager({ worker: new URL('./worker.mjs', import.meta.url), ...workers });
  let started = performance.now();
  try {
    await pool.startWorkers();
    const progress = startProgress(`${pool.workers.length} workers`, tasks.length);
    let done = 0;
    const parts = await Promise.all(
      tasks.map(async (task) => {
        const table = await pool.run(task);
        progress.update(++done);
        return { report: task.data.report, table };
      }),
    );
    progress.end();
    for (const report of new Set(tasks.map((task) => task.data.report))) {
      tables.set(
        report,
        merge(parts.filter((part) => part.report === report).map((part) => part.table)),
      );
    }
  } finally {
    await pool.shutdown();
  }
  const inPool = performance.now() - started;

  const rowEnd = Math.max(...tasks.map((task) => task.data.rowEnd));
  started = performance.now();
  let equal = true;
  for (const [report, table] of tables) {
    const single = await analyse({ file: flightsFile, report, rowStart: 0, rowEnd });
    equal &&= equalTables(table, single);
  }
  const inOne = performance.now() - started;

  for (const [report, table] of tables) print(report, table, options.lines ?? 5);
  const flights = rowEnd.toLocaleString('en');
  console.log(`\n${flights} flights, ${tables.size} reports, ${tasks.length} tasks`);
  console.log(`all workers, started and stopped  ${(inPool / 1000).toFixed(2)} s`);
  console.log(`a single process                  ${(inOne / 1000).toFixed(2)} s`);
  console.log(equal ? 'Both answers are equal.' : 'The answers DIFFER.');
  return { equal, tables };
}

/**
 * @param {Report} report
 * @param {import('./flights.mjs').Table} table
 * @param {number} lines
 */
function print(report, table, lines) {
  const names = airportNames();
  console.log(`\nDelay by ${report}, the ${lines} with most flights of ${table.keys.length}`);
  console.log('           flights    late    mean  std.dev.   worst');
  for (const line of describe(table).slice(0, lines)) {
    console.log(
      [
        line.key.padEnd(8),
        String(line.flights).padStart(10),
        `${(line.late * 100).toFixed(1)} %`.padStart(8),
        line.mean.toFixed(1).padStart(8),
        line.deviation.toFixed(1).padStart(10),
        String(line.highest).padStart(8),
        `  ${names.get(line.key) ?? ''}`,
      ]
        .join('')
        .trimEnd(),
    );
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      report: { type: 'string', multiple: true },
      'row-groups': { type: 'string' },
      workers: { type: 'string' },
      lines: { type: 'string' },
    },
  });
  const unknown = values.report?.find((report) => !Object.hasOwn(reports, report));
  if (unknown !== undefined) {
    console.error(
      `There is no report "${unknown}": choose from ${Object.keys(reports).join(', ')}.`,
    );
    process.exit(2);
  }
  const { equal } = await main({
    reports: /** @type {Report[] | undefined} */ (values.report),
    rowGroups: values['row-groups'] === undefined ? undefined : Number(values['row-groups']),
    workers: values.workers === undefined ? undefined : Number(values.workers),
    lines: values.lines === undefined ? undefined : Number(values.lines),
  });
  process.exitCode = equal ? 0 : 1;
}
