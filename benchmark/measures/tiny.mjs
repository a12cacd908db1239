import { monitorEventLoopDelay } from 'node:perf_hooks';
import { processPools, threadPools } from '../pools/catalogue.mjs';
import { mainThreadCpu } from '../proc.mjs';
import { fixed, isTinyResult, load, thousands, tinyTask } from './support.mjs';

const depth = 1000;
const advanced = {
  says: "tasks/s with serialization: 'advanced'",
  key: 'perSecond',
  subject: 'bulkhead-advanced',
};

/** @type {import('./types.mjs').Measure} */
export const tiny = {
  title: 'Tiny tasks, 1 000 in flight',
  about:
    'The cost of the pool itself: `{ id, data }` there, `{ id, value, pid }` back, a thousand at any time, for about 1.5 s after a warm-up.',
  pools: [
    'bulkhead',
    'bulkhead-events',
    'bulkhead-advanced',
    'fork-json',
    'fork-advanced',
    'fork-json-queued',
    ...processPools,
    ...threadPools,
  ],
  columns: [
    { title: 'tasks/s', key: 'perSecond', format: thousands },
    { title: 'x fork-json', key: 'perSecond', ratio: true },
    { title: 'main CPU µs/task', key: 'mainUs', format: fixed(2) },
    { title: 'x fork-json', key: 'mainUs', ratio: true },
    { title: 'loop delay p99 ms', key: 'delayP99Ms', format: fixed(1) },
  ],
  goals: [
    { says: 'tasks/s', key: 'perSecond', atLeast: 3.8, over: ['fork-json'] },
    { says: 'tasks/s', key: 'perSecond', atLeast: 7, over: ['poolifier-process'] },
    { says: 'tasks/s', key: 'perSecond', atLeast: 20, over: ['tinypool-process'] },
    { says: 'tasks/s', key: 'perSecond', atLeast: 20, over: ['workerpool-process'] },
    { says: 'tasks/s', key: 'perSecond', atLeast: 20, over: ['jest-process'] },
    { says: 'tasks/s', key: 'perSecond', atLeast: 10, over: ['piscina-threads'] },
    { ...advanced, atLeast: 2.5, over: ['fork-advanced'] },
    { ...advanced, atLeast: 2, over: ['fork-json'] },
    { says: 'main-thread CPU per task, µs', key: 'mainUs', atMost: 1.3, format: fixed(2) },
    { says: 'main-thread CPU per task', key: 'mainUs', atMost: 0.25, over: ['fork-json'] },
    { says: 'event-loop delay p99, ms', key: 'delayP99Ms', atMost: 2.5, format: fixed(1) },
  ],
  quick: true,
  async run(bench) {
    const pool = await bench.open('tiny');
    let wrong = await load(pool, 5000, depth, tinyTask, isTinyResult);
    const before = performance.now();
    wrong += await load(pool, 5000, depth, tinyTask, isTinyResult);
    const perSecond = 5000 / ((performance.now() - before) / 1000);
    const [seconds, least] = bench.quick ? [0.8, 10_000] : [1.5, 20_000];
    const count = Math.round(Math.max(least, perSecond * seconds));

    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const cpu = mainThreadCpu();
    const start = performance.now();
    wrong += await load(pool, count, depth, tinyTask, isTinyResult);
    const took = (performance.now() - start) / 1000;
    const mainUs = (mainThreadCpu() - cpu) / count;
    delay.disable();
    return {
      wrong,
      tasks: count,
      perSecond: count / took,
      mainUs,
      delayP99Ms: delay.percentile(99) / 1e6,
      delayMaxMs: delay.max / 1e6,
    };
  },
};
