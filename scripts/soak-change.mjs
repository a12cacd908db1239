// Changes a pool continuously under load: `resize()` and `reload()`, two hundred times each.
//
//   npm run soak:change
//   npm run soak:change -- --times 20
//
// Every task must end once, with its own result. Each worker counts its tasks, so a lost or
// repeated attempt shows. The pool must not stall: no two results may be further apart than a
// worker takes to start.

import { parseArgs } from 'node:util';
import ProcessManager from '../index.mjs';

const { values } = parseArgs({ options: { times: { type: 'string', default: '200' } } });
const TIMES = Number(values.times);
const IN_FLIGHT = 20;

const worker = new URL('./soak-change-worker.mjs', import.meta.url);
const pool = new ProcessManager({ worker, minWorkers: 2, maxWorkers: 2 });
await pool.startWorkers();

/** Counted attempts by process. @type {Map<number, Set<number>>} */
const seen = new Map();
/** @type {import('../index.js').WorkerExit[]} */
const exits = [];
pool.on('exit', (exit) => exits.push(exit));
let next = 0;
let wrong = 0;
let going = true;
let last = performance.now();
let gap = 0;

async function load() {
  while (going) {
    const id = next++;
    const { echo, pid, count } = await pool.run({ id });
    const now = performance.now();
    gap = Math.max(gap, now - last);
    last = now;
    const counts = seen.get(pid) ?? new Set();
    seen.set(pid, counts);
    if (echo !== id || counts.has(count)) wrong++;
    counts.add(count);
  }
}

/** @param {(n: number) => Promise<void>} change */
async function repeat(change) {
  gap = 0;
  const since = performance.now();
  for (let n = 0; n < TIMES; n++) await change(n);
  return { ms: (performance.now() - since) / TIMES, gap };
}

/** Start time of a worker under this load: the longest of several. */
async function startTime() {
  let longest = 0;
  for (let n = 0; n < 10; n++) {
    const since = performance.now();
    const other = new ProcessManager({ worker, maxWorkers: 1 });
    await other.startWorkers();
    longest = Math.max(longest, performance.now() - since);
    await other.terminate();
  }
  return longest;
}

const loads = Array.from({ length: IN_FLIGHT }, load);
const start = await startTime();
const reload = await repeat(() => pool.reload());
const resize = await repeat((n) =>
  pool.resize({ minWorkers: 1 + (n % 3), maxWorkers: 1 + (n % 3) }),
);
going = false;
await Promise.all(loads);
await pool.shutdown();

const { accepted, completed, failed, retried } = pool.stats().tasks;
for (const { pid, tasksDone } of exits) if ((seen.get(pid)?.size ?? 0) !== tasksDone) wrong++;
const reasons = [...new Set(exits.map(({ reason }) => reason))].sort().join(', ');
const kept = wrong === 0 && accepted === next && completed === next && failed + retried === 0;
console.log(
  `${accepted} tasks, ${exits.length} workers gone (${reasons}); a worker starts within ${start.toFixed(0)} ms`,
);
for (const [name, { ms, gap }] of Object.entries({ reload, resize })) {
  console.log(
    `${TIMES} times ${name}(), ${ms.toFixed(0)} ms each; longest time without a result: ${gap.toFixed(0)} ms`,
  );
}
console.log(
  kept
    ? 'the ledger is clean'
    : `NOT clean: ${JSON.stringify({ wrong, next, accepted, completed, failed, retried })}`,
);
process.exitCode = kept && Math.max(reload.gap, resize.gap) <= start ? 0 : 1;
