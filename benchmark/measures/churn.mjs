import { setTimeout as sleep } from 'node:timers/promises';
import { resources } from '../proc.mjs';
import { fixed, isTinyResult, megabytes, tinyTask } from './support.mjs';

/** @type {import('./types.mjs').Measure} */
export const churn = {
  title: 'A thousand pools, opened and closed: resources left behind',
  about:
    'Each pool has one worker and one task. The table shows the difference between the end and the state after the first fifty.',
  pools: ['bulkhead', 'fork-json'],
  columns: [
    { title: 'pools', key: 'pools', format: fixed(0) },
    { title: 'ms/pool', key: 'ms', format: fixed(1) },
    { title: 'descriptors', key: 'descriptors', format: fixed(0) },
    { title: 'threads', key: 'threads', format: fixed(0) },
    { title: 'children', key: 'children', format: fixed(0) },
    { title: 'RSS MB', key: 'rss', format: megabytes },
  ],
  goals: [
    { says: 'descriptors left', key: 'descriptors', atMost: 0, format: fixed(0) },
    { says: 'threads left', key: 'threads', atMost: 0, format: fixed(0) },
    { says: 'children left', key: 'children', atMost: 0, format: fixed(0) },
    { says: 'memory left, MB', key: 'rss', atMost: 8e6, format: megabytes },
  ],
  flags: ['--expose-gc'],
  limit: 300,
  long: true,
  async run(bench) {
    const count = bench.quick ? 100 : 1000;
    let wrong = 0;
    let before = resources();
    let start = performance.now();
    for (let i = 0; i < count; i++) {
      if (i === 50) {
        before = await rest();
        start = performance.now();
      }
      const pool = await bench.open('tiny', { workers: 1 });
      if (!isTinyResult(await pool.run(tinyTask(i)), i)) wrong++;
      await pool.close();
    }
    const ms = (performance.now() - start) / (count - 50);
    const after = await rest();
    return {
      wrong,
      pools: count,
      ms,
      descriptors: after.descriptors - before.descriptors,
      threads: after.threads - before.threads,
      children: after.children - before.children,
      rss: after.rss - before.rss,
    };
  },
};

async function rest() {
  await sleep(500);
  globalThis.gc?.();
  await sleep(500);
  return resources();
}
