import { setTimeout as sleep } from 'node:timers/promises';
import { processPools, threadPools } from '../pools/catalogue.mjs';
import { fixed, load, monotonic, percent } from './support.mjs';

/** @type {import('./types.mjs').Measure} */
export const blocked = {
  title: 'The main thread does nothing else for a second: what the workers still get done',
  about:
    'Tasks of about a millisecond are waiting. The main thread sleeps in a synchronous call, so that it takes no core from the workers. The tasks that began in that second are compared with the seconds around it.',
  pools: ['bulkhead', 'fork-json', 'fork-json-queued', ...processPools, ...threadPools],
  columns: [
    { title: 'tasks/s before and after', key: 'free', format: fixed(0) },
    { title: 'while it is blocked', key: 'blocked', format: fixed(0) },
    { title: 'loss', key: 'loss', format: percent },
  ],
  goals: [{ says: 'loss of throughput', key: 'loss', atMost: 0.05, format: percent }],
  quick: true,
  async run(bench) {
    const duration = bench.quick ? 600 : 1000;
    const pool = await bench.open('work');
    const rounds = 1000;
    await load(
      pool,
      200 * bench.workers,
      128,
      (id) => ({ id, burn: rounds }),
      () => true,
    ); // compiled by now
    const count = 6000 * bench.workers;
    /** @type {number[]} */
    const starts = [];
    let wrong = 0;
    for (let id = 0; id < count; id++) {
      pool.run({ id, burn: rounds }).then(
        (result) => {
          if (result.id !== id) wrong++;
          starts.push(result.start);
        },
        () => {}, // those that still wait when the pool is closed
      );
    }
    await sleep(300);
    const before = monotonic();
    await sleep(duration);
    const during = monotonic();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, duration);
    const between = monotonic();
    await sleep(500);
    const after = monotonic();
    await sleep(duration);
    const end = monotonic();
    /**
     * @param {number} from
     * @param {number} to
     */
    const rate = (from, to) =>
      starts.filter((start) => start >= from && start < to).length / ((to - from) / 1000);
    const free = (rate(before, during) + rate(after, end)) / 2;
    const busy = rate(during, between);
    return { wrong, free, blocked: busy, loss: 1 - busy / free };
  },
};
