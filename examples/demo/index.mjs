// Shows the purpose of bulkhead in half a minute: `npm run demo`.
//
//   node examples/demo/index.mjs [--row-groups 2]
//
// Runs the same job over three million flights (bootstrap.mjs) on the main thread and in worker
// processes, and measures the delay of the main thread's event loop. The job is pure JavaScript, so
// the comparison is fair: sharp, for example, uses its own threads and would not block the main
// thread either.

import { availableParallelism } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import ProcessManager from 'bulkhead';
import { equalTables } from '../data-analysis/flights.mjs';
import { makeTasks } from '../data-analysis/index.mjs';
import { startProgress } from '../progress.mjs';
import { bootstrap, demoReports, meanDelay } from './bootstrap.mjs';

/** @typedef {import('../data-analysis/flights.mjs').Table} Table */

/**
 * @typedef {object} Measured
 * @property {Table[]} tables the results, in the order of the tasks
 * @property {number} seconds
 * @property {number} cpuSeconds of this process, with the threads in which V8 collects garbage and
 *   compiles
 * @property {number} p99 event-loop delay in ms
 * @property {number} max event-loop delay in ms
 */

/**
 * Runs the job and watches the event loop. Every figure that the demo prints is measured here.
 *
 * @param {() => Promise<Table[]>} job
 * @returns {Promise<Measured>}
 */
async function measure(job) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const started = performance.now();
  const used = process.cpuUsage();
  const tables = await job();
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(used);
  await nextTurn(); // the last task's delay counts as well
  delay.disable();
  return {
    tables,
    seconds,
    cpuSeconds: (user + system) / 1e6,
    p99: delay.percentile(99) / 1e6,
    max: delay.max / 1e6,
  };
}

/**
 * @param {object} [options]
 * @param {number} [options.rowGroups] number of row groups to read, default: all of its 11 row
 *   groups
 * @returns {Promise<{ main: Measured, pool: Measured, tasks: number, workers: number }>}
 */
export async function main(options = {}) {
  const analyses = await makeTasks({ ...options, reports: [...demoReports] });
  const tasks = analyses.map((task) => ({ ...task, type: 'bootstrap' }));
  const flights = Math.max(...tasks.map((task) => task.data.rowEnd));
  console.log(
    `How sure is the mean delay of ${flights.toLocaleString('en')} real flights by airport and hour? ${tasks.length} tasks.`,
  );
  console.log(`Node ${process.versions.node}, ${availableParallelism()} cores.\n`);

  const onMain = startProgress('on the main thread   ', tasks.length);
  const main = await measure(async () => {
    const tables = [];
    for (const task of tasks) {
      tables.push(await bootstrap(task.data));
      onMain.update(tables.length);
      await nextTurn(); // the event loop has its turn between two tasks, as it would in a server
    }
    return tables;
  });
  onMain.end();

  const pool = new ProcessManager({
    worker: new URL('./worker.mjs', import.meta.url),
  });
  const starting = performance.now();
  await pool.startWorkers();
  const started = performance.now() - starting;
  const workers = pool.workers.length;
  const inPool = startProgress(`in ${workers} worker processes`, tasks.length);
  let done = 0;
  const pooled = await measure(() =>
    Promise.all(
      tasks.map(async (task) => {
        const table = await pool.run(task);
        inPool.update(++done);
        return table;
      }),
    ),
  );
  inPool.end();
  await pool.shutdown();

  if (!main.tables.every((table, index) => equalTables(table, pooled.tables[index]))) {
    throw new Error('the workers found something else than the main thread');
  }
  printTable(tasks.length, workers, main, pooled);
  const hourly = pooled.tables.filter((_, index) => tasks[index].data.report === 'hour');
  const { mean, error } = meanDelay(hourly, '20 h');
  console.log(
    `\nBoth gave the same answer: at eight in the evening flights leave ${mean.toFixed(2)} minutes late, ± ${(2 * error).toFixed(2)}.`,
  );
  const cores = main.cpuSeconds / main.seconds;
  console.log(
    `The single process used ${cores.toFixed(2)} cores, with V8's own threads for garbage and code. This machine has ${availableParallelism()}.`,
  );
  console.log(`The workers took ${started.toFixed(0)} ms to start, once, before the clock ran.`);
  console.log(
    `On the main thread, a request or a timer waited up to ${main.max.toFixed(0)} ms for a task to end;`,
  );
  console.log(`with the pool, up to ${pooled.max.toFixed(0)} ms.`);
  return { main, pool: pooled, tasks: tasks.length, workers };
}

/**
 * @param {number} tasks
 * @param {number} workers
 * @param {Measured} main
 * @param {Measured} pool
 */
function printTable(tasks, workers, main, pool) {
  /** @type {[string, string, string][]} */
  const rows = [
    ['', 'main thread', `${workers} workers`],
    ['tasks', String(tasks), String(tasks)],
    ['time', `${main.seconds.toFixed(2)} s`, `${pool.seconds.toFixed(2)} s`],
    ['tasks per second', (tasks / main.seconds).toFixed(1), (tasks / pool.seconds).toFixed(1)],
    ['processor time', `${main.cpuSeconds.toFixed(2)} s`, `${pool.cpuSeconds.toFixed(2)} s here`],
    ['speed-up', '1.00x', `${(main.seconds / pool.seconds).toFixed(2)}x`],
    ['event-loop delay, p99', `${main.p99.toFixed(1)} ms`, `${pool.p99.toFixed(1)} ms`],
    ['event-loop delay, max', `${main.max.toFixed(1)} ms`, `${pool.max.toFixed(1)} ms`],
  ];
  console.log();
  for (const [label, ...cells] of rows) {
    console.log(label.padEnd(24) + cells.map((cell) => cell.padStart(14)).join(''));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { 'row-groups': { type: 'string' } } });
  await main({
    rowGroups: values['row-groups'] === undefined ? undefined : Number(values['row-groups']),
  });
}
