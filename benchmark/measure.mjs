// Measures one pool in this process and prints one line of JSON: benchmark/run.mjs starts it, a process for each
// pool and round.
//
//   node benchmark/measure.mjs <pool> <throughput|payload|queue> [workers] [in flight]

import { readdirSync, readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { peers } from './peers.mjs';

/** @typedef {Record<string, number | string>} Figures */

const [name, test, workers = '2', inFlight = '1000'] = process.argv.slice(2);
const data = 'some data to process';

const started = performance.now();
const pool = await peers[name](Number(workers));
await pool.run({ id: 0, data });
/** @type {Figures} loading the library, construction, first result */
const cold = { coldMs: performance.now() - started };

const tests = { throughput, payload, queue };
const figures = await tests[/** @type {keyof typeof tests} */ (test)]();
console.log(JSON.stringify({ name, test, ...cold, ...figures }));

// Some pools take long to close, or never do: the figures are out, so nobody waits for that.
sleep(300).then(() => process.exit(0));
await pool.close();
process.exit(0);

/**
 * Keeps so many tasks in flight until `count` are done, and checks that each got its own result.
 *
 * @param {number} count
 * @param {number} depth
 */
async function load(count, depth) {
  let next = 0;
  async function lane() {
    while (next < count) {
      const id = next++;
      const result = await pool.run({ id, data });
      if (result.id !== id) throw new Error(`${name}: task ${id} got the result of ${result.id}`);
    }
  }
  await Promise.all(Array.from({ length: Math.min(depth, count) }, lane));
}

/** Tiny tasks: what the pool itself costs. */
async function throughput() {
  const depth = Number(inFlight);
  // Warm up, and find out how many tasks are about 1.5 s of work.
  await load(5000, depth);
  const before = performance.now();
  await load(5000, depth);
  const perSecond = 5000 / ((performance.now() - before) / 1000);
  const count = Math.round(Math.min(400_000, Math.max(20_000, perSecond * 1.5)));

  const trips = [];
  for (let id = 0; id < 2000; id++) {
    const sent = performance.now();
    await pool.run({ id, data });
    trips.push((performance.now() - sent) * 1000);
  }
  trips.sort((a, b) => a - b);

  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const cpu = mainThreadCpu();
  const start = performance.now();
  await load(count, depth);
  const seconds = (performance.now() - start) / 1000;
  const mainUs = (mainThreadCpu() - cpu) / count;
  delay.disable();
  return {
    tasks: count,
    perSecond: count / seconds,
    mainUs,
    delayP99Ms: delay.percentile(99) / 1e6,
    delayMaxMs: delay.max / 1e6,
    tripP50Us: trips[Math.floor(trips.length * 0.5)],
    tripP99Us: trips[Math.floor(trips.length * 0.99)],
  };
}

/** One megabyte there and back, one at a time. */
async function payload() {
  /** @type {Figures} */
  const found = {};
  const payloads = { string: 'p'.repeat(1_000_000), buffer: Buffer.alloc(1_000_000, 112) };
  for (const [kind, echo] of Object.entries(payloads)) {
    let result;
    for (let id = 0; id < 3; id++) result = await pool.run({ id, echo });
    let trips = 0;
    const start = performance.now();
    for (; performance.now() - start < 1500 && trips < 3000; trips++) {
      result = await pool.run({ id: trips, echo });
    }
    found[`${kind}PerSecond`] = trips / ((performance.now() - start) / 1000);
    const value = result?.value;
    found[`${kind}BackAs`] = typeof value === 'object' ? (value?.constructor.name ?? 'null') : typeof value;
  }
  return found;
}

/** A million tasks that wait, of 100 bytes each: what a queued task takes. */
async function queue() {
  for (let id = 0; id < Number(workers); id++) {
    pool.run({ id, block: 600_000 }).catch(() => {});
  }
  await sleep(300);
  const waiting = 'q'.repeat(70);
  const before = process.memoryUsage().rss;
  const start = performance.now();
  let queued = 0;
  while (queued < 1_000_000 && performance.now() - start < 60_000) {
    for (let i = 0; i < 10_000; i++) {
      pool.run({ id: queued++, data: waiting }).catch(() => {});
    }
    await nextTurn();
  }
  const submitUs = ((performance.now() - start) * 1000) / queued;
  globalThis.gc?.();
  await sleep(300);
  const { rss } = process.memoryUsage();
  const found = { queued, submitUs, rssMb: rss / 1e6, bytesPerTask: (rss - before) / queued };
  // The workers are asleep for ten minutes: no pool could be closed in an orderly way now.
  console.log(JSON.stringify({ name, test, ...cold, ...found }));
  for (const pid of childPids()) process.kill(pid, 'SIGKILL');
  process.exit(0);
}

/** CPU time that the main thread has used, µs; NaN where there is no /proc. */
function mainThreadCpu() {
  try {
    const [ns] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ');
    return Number(ns) / 1000;
  } catch {
    return Number.NaN;
  }
}

/** @returns {number[]} the processes that this one has started, whichever thread did */
function childPids() {
  try {
    return readdirSync('/proc/self/task').flatMap((thread) =>
      readFileSync(`/proc/self/task/${thread}/children`, 'latin1').split(' ').filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}
