// Measures the memory of a waiting task, and whether many of them cost more each than few.

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { processPools, threadPools } from '../pools/catalogue.mjs';
import { fixed, isTinyResult, load, megabytes, thousands } from './support.mjs';

// Some pools need more than the default heap for a million tasks.
const flags = ['--expose-gc', '--max-old-space-size=12000'];

const bytes = Buffer.alloc(70, 'q');

/**
 * Builds a task with its own string, because a shared string would cost a queue of objects nothing.
 *
 * @param {number} id
 */
function task(id) {
  bytes.write(String(1_000_000 + id), 'latin1');
  return { id, data: bytes.toString('latin1') };
}

/** @typedef {import('./types.mjs').Measure} Measure */
/** @typedef {import('./types.mjs').Pool} Pool */

/** @type {Measure['columns']} */
const columns = [
  { title: 'queued', key: 'queued', format: thousands },
  { title: 'µs/submit', key: 'submitUs', format: fixed(2) },
  { title: 'RSS MB', key: 'rss', format: megabytes },
  { title: 'bytes/task', key: 'bytesPerTask', format: fixed(0) },
  { title: 'beyond its JSON', key: 'overhead', format: fixed(0) },
  { title: 'x fork-json', key: 'bytesPerTask', ratio: true },
];

/** @type {Measure} */
export const queue = {
  title: 'A million tasks of 100 bytes that wait, each with its promise',
  about: 'The workers sleep. Resident memory before and after, divided by the tasks.',
  pools: ['bulkhead', 'fork-json', 'fork-json-queued', ...processPools, ...threadPools],
  columns,
  flags,
  limit: 120,
  long: true,
  run: (bench) =>
    queued(bench, (pool, id) => {
      pool.run(task(id)).catch(() => {});
    }),
};

/** @type {Measure} */
export const queueWithoutPromise = {
  title: 'A million tasks of 100 bytes that wait, without a promise',
  about: '`distributeTask`, and `send` without a record of the task. No other pool has this.',
  pools: ['bulkhead', 'fork-json', 'fork-json-queued'],
  columns,
  goals: [
    { says: 'bytes per task beyond its JSON', key: 'overhead', atMost: 200, format: fixed(0) },
  ],
  flags,
  limit: 120,
  run: (bench) => queued(bench, (pool, id) => pool.post?.(task(id))),
};

/** @type {Measure} */
export const drain = {
  title: 'From submit to result, 100 000 tasks and 1 000 000 at once',
  about:
    'The cost of a task, if that many are submitted in one go and then awaited. The time of a queue that shifts an array grows with the square. Such pools are stopped after a minute, and the tasks that are done by then count.',
  pools: ['bulkhead', 'fork-json', 'fork-json-queued', ...processPools, 'piscina-threads'],
  columns: [
    { title: 'µs/task at 100 000', key: 'fewUs', format: fixed(2) },
    { title: 'at 1 000 000', key: 'manyUs', format: fixed(2) },
    { title: 'done of them', key: 'manyDone', format: thousands },
    { title: 'growth', key: 'growth', format: fixed(2) },
  ],
  goals: [
    {
      says: 'cost of a task at 1 000 000, as a multiple of that at 100 000',
      key: 'growth',
      atMost: 1.25,
    },
  ],
  flags,
  limit: 150,
  long: true,
  async run(bench) {
    const pool = await bench.open('tiny');
    await burst(pool, 20_000, 20_000); // warm-up
    const few = await burst(pool, bench.quick ? 20_000 : 100_000, 30_000);
    const many = await burst(pool, bench.quick ? 100_000 : 1_000_000, 60_000);
    return {
      wrong: few.wrong + many.wrong,
      fewUs: few.us,
      manyUs: many.us,
      manyDone: many.done,
      growth: many.us / few.us,
    };
  },
};

/**
 * @param {import('./types.mjs').Bench} bench
 * @param {(pool: Pool, id: number) => void} submit
 */
async function queued(bench, submit) {
  const pool = await bench.open('tiny');
  // The heaps grow to their working size, which must not count as a task's memory.
  let wrong = 0;
  for (let i = 0; i < 10; i++) wrong += await load(pool, 10_000, 10_000, task, isTinyResult);
  for (let id = 0; id < bench.workers; id++) pool.run({ id, block: 600_000 }).catch(() => {});
  await sleep(300);
  globalThis.gc?.();
  const count = bench.quick ? 200_000 : 1_000_000;
  const before = process.memoryUsage.rss();
  const start = performance.now();
  let id = 0;
  while (id < count && performance.now() - start < 60_000) {
    for (let i = 0; i < 10_000; i++) submit(pool, id++);
    await nextTurn();
  }
  const submitUs = ((performance.now() - start) * 1000) / id;
  globalThis.gc?.();
  await sleep(300);
  const rss = process.memoryUsage.rss();
  const bytesPerTask = (rss - before) / id;
  const overhead = bytesPerTask - JSON.stringify(task(500_000)).length;
  return { wrong, queued: id, submitUs, rss, bytesPerTask, overhead };
}

/**
 * @param {Pool} pool
 * @param {number} count
 * @param {number} limit ms
 */
async function burst(pool, count, limit) {
  let done = 0;
  let wrong = 0;
  const start = performance.now();
  const all = new Promise((resolve) => {
    for (let id = 0; id < count; id++) {
      pool.run(task(id)).then(
        (result) => {
          if (!isTinyResult(result, id)) wrong++;
          if (++done === count) resolve(undefined);
        },
        () => wrong++,
      );
    }
  });
  const over = new AbortController();
  await Promise.race([all, sleep(limit, undefined, { signal: over.signal }).catch(() => {})]);
  over.abort();
  return { us: ((performance.now() - start) * 1000) / done, done, wrong };
}
