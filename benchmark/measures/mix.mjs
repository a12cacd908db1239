import { setTimeout as sleep } from 'node:timers/promises';
import { processPools, threadPools } from '../pools/catalogue.mjs';
import { quantile } from '../statistics.mjs';
import { fixed, load, monotonic } from './support.mjs';

/** @typedef {{ submitted: number, short: boolean, start: number, end: number }} Run ms, on one clock */

/** @type {import('./types.mjs').Measure} */
export const mix = {
  title: 'Tasks of 0.1 ms among tasks of 500 ms: how long the short ones wait',
  about:
    'Every second a long task, every 50 ms fifty short ones. The ideal is one queue that all workers share, computed from the same submissions and the run times that the workers noted.',
  pools: [
    'bulkhead',
    'bulkhead-prefetch-1',
    'fork-json',
    'fork-json-queued',
    ...processPools,
    ...threadPools,
  ],
  columns: [
    { title: 'wait p50 ms', key: 'p50Ms', format: fixed(2) },
    { title: 'p99 ms', key: 'p99Ms', format: fixed(2) },
    { title: 'ideal p99 ms', key: 'idealP99Ms', format: fixed(2) },
    { title: 'p99 x ideal', key: 'timesIdeal', format: fixed(2) },
  ],
  goals: [{ says: 'p99 of the wait, as a multiple of the ideal', key: 'timesIdeal', atMost: 2 }],
  long: true,
  async run(bench) {
    const pool = await bench.open('work');
    let wrong = await load(
      pool,
      2000,
      64,
      (id) => ({ id, spin: 0 }),
      (result, id) => result?.id === id,
    );
    /** @type {Promise<Run>[]} */
    const runs = [];
    /** @param {number} spin */
    const submit = (spin) => {
      const id = runs.length;
      const submitted = monotonic();
      const run = pool.run({ id, spin }).then((result) => {
        if (result.id !== id) wrong++;
        return { submitted, short: spin < 1, start: result.start, end: result.end };
      });
      run.catch(() => {}); // it is awaited below
      runs.push(run);
    };
    const began = monotonic();
    for (let tick = 0; tick < (bench.quick ? 60 : 120); tick++) {
      await sleep(Math.max(0, began + tick * 50 - monotonic()));
      if (tick % 20 === 2) submit(500);
      for (let i = 0; i < 50; i++) submit(0.1);
    }
    const all = await Promise.all(runs);
    const waits = all.filter((run) => run.short).map((run) => run.start - run.submitted);
    const ideal = quantile(idealWaits(all, bench.workers), 0.99);
    const p99Ms = quantile(waits, 0.99);
    return {
      wrong,
      p50Ms: quantile(waits, 0.5),
      p99Ms,
      idealP99Ms: ideal,
      timesIdeal: p99Ms / ideal,
    };
  },
};

/**
 * Simulates an ideal pool: first in, first out, to the first free worker, without overhead.
 *
 * @param {Run[]} runs in the order of submission
 * @param {number} workers
 * @returns {number[]} waiting times of the short tasks (ms)
 */
function idealWaits(runs, workers) {
  const freeAt = new Array(workers).fill(0);
  const waits = [];
  for (const { submitted, short, start, end } of runs) {
    const worker = freeAt.indexOf(Math.min(...freeAt));
    const begins = Math.max(submitted, freeAt[worker]);
    freeAt[worker] = begins + (end - start);
    if (short) waits.push(begins - submitted);
  }
  return waits;
}
