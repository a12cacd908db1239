import { mainThreadCpu } from '../proc.mjs';
import { fixed, isTinyResult, load, thousands, tinyTask } from './support.mjs';

/** @type {import('./types.mjs').Measure} */
export const oneInFlight = {
  title: 'Tiny tasks, each worker holding only the one it runs',
  about:
    'The same load where a worker gets its next task when it has finished one. Pools that can only prefetch are shown once, as fork-json.',
  pools: [
    'bulkhead-prefetch-1',
    'fork-json-queued',
    'fork-advanced-queued',
    'fork-json',
    'poolifier-process-queued',
    'tinypool-process',
    'workerpool-process',
    'jest-process',
    'piscina-threads',
    'tinypool-threads',
    'workerpool-threads',
    'jest-threads',
  ],
  baseline: 'fork-json-queued',
  columns: [
    { title: 'tasks/s', key: 'perSecond', format: thousands },
    { title: 'x fork-json-queued', key: 'perSecond', ratio: true },
    { title: 'main CPU µs/task', key: 'mainUs', format: fixed(2) },
  ],
  goals: [
    {
      says: 'tasks/s',
      key: 'perSecond',
      atLeast: 2.2,
      over: ['fork-json-queued'],
      subject: 'bulkhead-prefetch-1',
    },
  ],
  async run(bench) {
    const pool = await bench.open('tiny');
    let wrong = await load(pool, 5000, 1000, tinyTask, isTinyResult);
    const count = bench.quick ? 15_000 : 40_000;
    const cpu = mainThreadCpu();
    const start = performance.now();
    wrong += await load(pool, count, 1000, tinyTask, isTinyResult);
    const seconds = (performance.now() - start) / 1000;
    return {
      wrong,
      tasks: count,
      perSecond: count / seconds,
      mainUs: (mainThreadCpu() - cpu) / count,
    };
  },
};
