// Measures how long tasks of each priority wait during an endless flood of tasks with priority 10,
// for the table in docs/tuning.md.
//
//   npm run fairness                a minute
//   npm run fairness -- 10          10 seconds
//
// Exits with 1 if a task waited longer than ageing allows: `priorityAgeing` for each level of
// priority, plus the waiting time of the flood itself.

import ProcessManager from '../index.mjs';

const SECONDS = Number(process.argv[2] ?? 60);
const AGEING = 50;
const FLOOD = 10;
/** Waiting time of the flood's own tasks: this many of about a millisecond each are in flight. */
const IN_FLIGHT = 100;
const LEVELS = [0, 2, 4, 6, 8, FLOOD];

const pool = new ProcessManager({
  worker: new URL('./fairness-worker.mjs', import.meta.url),
  priorityAgeing: AGEING,
});
await pool.startWorkers();

/** Waiting times by priority (ms). @type {Record<number, number[]>} */
const waits = Object.fromEntries(LEVELS.map((priority) => [priority, []]));
/** Callbacks of unsettled tasks, by id. @type {Map<unknown, (waitTime: number) => void>} */
const open = new Map();
pool.on('result', ({ taskId }, { waitTime }) => {
  open.get(taskId)?.(waitTime);
  open.delete(taskId);
});

let next = 0;
/** @param {number} priority */
function run(priority) {
  const id = next++;
  /** @type {Promise<number>} */
  const waited = new Promise((resolve) => open.set(id, resolve));
  pool.distributeTask({ id }, { priority });
  return waited.then((waitTime) => waits[priority].push(waitTime));
}

const end = performance.now() + SECONDS * 1000;
const going = () => performance.now() < end;
const flood = Array.from({ length: IN_FLIGHT }, async () => {
  while (going()) await run(FLOOD);
});
const others = LEVELS.filter((priority) => priority !== FLOOD).map(async (priority) => {
  while (going()) await run(priority);
});
await Promise.all([...flood, ...others]);
await pool.shutdown();

/** @param {number[]} values @param {number} share */
function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

const slowest = Math.max(...waits[FLOOD]);
let late = 0;
console.log(
  `${SECONDS} s, ${pool.stats().tasks.completed} tasks, priorityAgeing: ${AGEING}, ${process.version}\n`,
);
console.log(
  '| priority | tasks | wait p50 ms | p99 ms | longest ms | bound ms |\n| --: | --: | --: | --: | --: | --: |',
);
for (const priority of LEVELS) {
  const values = waits[priority];
  const bound = (FLOOD - priority) * AGEING + slowest;
  late += values.filter((wait) => wait > bound).length;
  const figures = [quantile(values, 0.5), quantile(values, 0.99), Math.max(...values), bound].map(
    (ms) => ms.toFixed(1),
  );
  console.log(`| ${priority} | ${values.length} | ${figures.join(' | ')} |`);
}
if (late > 0) {
  console.error(`${late} tasks waited for longer than ageing allows`);
  process.exitCode = 1;
}
