// The peers' own benchmarks, as they define them, with every pool next to the one they were made
// for.

import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { processPools, threadPools } from '../pools/catalogue.mjs';
import { fixed, thousands } from './support.mjs';

/** @typedef {import('./types.mjs').Measure} Measure */

const everyPool = ['bulkhead', 'fork-json', 'fork-json-queued', ...processPools, ...threadPools];

/** @type {Measure['columns']} */
const burstColumns = [
  { title: 'seconds', key: 'seconds', format: fixed(2) },
  { title: 'calls/s', key: 'perSecond', format: thousands },
  { title: 'x fork-json', key: 'perSecond', ratio: true },
];

/** @type {Measure} */
export const jestEmpty = {
  title: "jest-worker's `empty`: 100 000 calls that do nothing",
  about: 'Six workers, two seconds to start, all calls at once; the time to the last result.',
  pools: everyPool,
  columns: burstColumns,
  ownBenchmark: true,
  long: true,
  run: (bench) =>
    jestBurst(bench, 'nothing', bench.quick ? 20_000 : 100_000, (result) => result == null),
};

/** @type {Measure} */
export const jestPi = {
  title: "jest-worker's `loadTest`: pi from 10 000 random points, 10 000 times",
  about: 'As above.',
  pools: everyPool,
  columns: burstColumns,
  ownBenchmark: true,
  long: true,
  run: (bench) =>
    jestBurst(
      bench,
      'pi',
      bench.quick ? 2000 : 10_000,
      (result) => Math.abs(result - Math.PI) < 0.15,
    ),
};

/** @type {Measure} */
export const piscinaAdd = {
  title: "piscina's `a + b`, one at a time",
  about: 'The next call is made when the result of the last one is there, for a second.',
  pools: everyPool,
  columns: [
    { title: 'calls/s', key: 'perSecond', format: thousands },
    { title: 'x fork-json', key: 'perSecond', ratio: true },
  ],
  ownBenchmark: true,
  long: true,
  async run(bench) {
    const pool = await bench.open('add');
    let wrong = 0;
    let calls = 0;
    for (let i = 0; i < 500; i++) await pool.run({ a: 1, b: 2 });
    const start = performance.now();
    for (; performance.now() - start < 1000; calls++) {
      if ((await pool.run({ a: 1, b: 2 })) !== 3) wrong++;
    }
    return { wrong, perSecond: calls / ((performance.now() - start) / 1000) };
  },
};

/** @type {Measure} */
export const poolifierFactorial = {
  title: "poolifier's 100 000 times factorial(1000)",
  about:
    'As many workers as cores, all calls at once; the time to the last result. The result is text, because theirs is a BigInt, which JSON cannot carry.',
  pools: everyPool,
  columns: burstColumns,
  ownBenchmark: true,
  long: true,
  limit: 180,
  async run(bench) {
    process.env.BENCHMARK_HANDLER = 'factorial';
    const expected = createRequire(import.meta.url)('../workers/handle.cjs')({ n: 1000 });
    const pool = await bench.open('factorial', { workers: availableParallelism() });
    const count = bench.quick ? 4000 : 100_000;
    return burst(pool, count, { n: 1000 }, (result) => result === expected);
  },
};

/**
 * Without jest-worker's threads: with `idleMemoryLimit: 0` a thread runs several of the tasks
 * nevertheless.
 *
 * @type {Measure}
 */
export const tinypoolIsolate = {
  title: "tinypool's isolation: a new worker for each task",
  about:
    'One worker less than cores (at least one), ten tasks for each, with a new pool around them. The table has the pools that can replace a worker after each task, and a bare `fork` and `Worker` for each task. A task in a used worker counts as a wrong result.',
  pools: [
    'bulkhead',
    'fork-per-task',
    'tinypool-process',
    'jest-process',
    'thread-per-task',
    'tinypool-threads',
  ],
  baseline: 'fork-per-task',
  columns: [
    { title: 'ms/iteration', key: 'ms', format: fixed(0) },
    { title: 'tasks/s', key: 'perSecond', format: fixed(1) },
    { title: 'x fork-per-task', key: 'perSecond', ratio: true },
  ],
  ownBenchmark: true,
  long: true,
  async run(bench) {
    const workers = Math.max(1, availableParallelism() - 1);
    const iterations = bench.quick ? 2 : 5;
    let wrong = 0;
    const start = performance.now();
    for (let i = 0; i < iterations; i++) {
      const pool = await bench.open('add-once', { workers, isolate: true });
      const tasks = Array.from({ length: 10 * workers }, () => pool.run({ a: 1, b: 2 }));
      for (const sum of await Promise.all(tasks)) if (sum !== 3) wrong++;
      await pool.close();
    }
    const ms = (performance.now() - start) / iterations;
    return { wrong, ms, perSecond: (10 * workers) / (ms / 1000) };
  },
};

/**
 * @param {import('./types.mjs').Bench} bench
 * @param {string} handler
 * @param {number} count
 * @param {(result: any) => boolean} isRight
 */
async function jestBurst(bench, handler, count, isRight) {
  const pool = await bench.open(handler, { workers: 6 });
  await sleep(2000);
  return burst(pool, count, null, isRight);
}

/**
 * @param {import('./types.mjs').Pool} pool
 * @param {number} count
 * @param {unknown} task
 * @param {(result: any) => boolean} isRight
 */
async function burst(pool, count, task, isRight) {
  let wrong = 0;
  const start = performance.now();
  const calls = Array.from({ length: count }, async () => {
    if (!isRight(await pool.run(task))) wrong++;
  });
  await Promise.all(calls);
  const seconds = (performance.now() - start) / 1000;
  return { wrong, seconds, perSecond: count / seconds };
}
