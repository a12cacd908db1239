import { setTimeout as sleep } from 'node:timers/promises';
import { children, mainThreadCpu, processCpu } from '../proc.mjs';
import { fixed, isTinyResult, load, thousands, tinyTask } from './support.mjs';

export const scale64 = scale(64);
export const scale256 = scale(256);

/**
 * @param {number} workers
 * @returns {import('./types.mjs').Measure}
 */
function scale(workers) {
  return {
    title: `${workers} workers`,
    about:
      'The CPU time of this process and of the workers together while nothing happens, and the cost of a tiny task then.',
    pools: ['bulkhead', 'fork-json', 'fork-json-queued'],
    columns: [
      { title: 'all up after s', key: 'upSeconds', format: fixed(1) },
      { title: 'idle CPU ms/s', key: 'idleMs', format: fixed(1) },
      { title: 'tasks/s', key: 'perSecond', format: thousands },
      { title: 'x fork-json', key: 'perSecond', ratio: true },
      { title: 'main CPU µs/task', key: 'mainUs', format: fixed(2) },
    ],
    limit: 150,
    long: true,
    async run(bench) {
      const start = performance.now();
      const pool = await bench.open('tiny', { workers });
      let wrong = await load(pool, 4 * workers, 4 * workers, tinyTask, isTinyResult);
      await settled();
      const upSeconds = (performance.now() - start) / 1000 - 1;

      const idle = allCpu();
      await sleep(3000);
      const idleMs = (allCpu() - idle) / 3;

      wrong += await load(pool, 20 * workers, 1000, tinyTask, isTinyResult);
      const count = bench.quick ? 20_000 : 100_000;
      const cpu = mainThreadCpu();
      const began = performance.now();
      wrong += await load(pool, count, Math.max(1000, 4 * workers), tinyTask, isTinyResult);
      const seconds = (performance.now() - began) / 1000;
      return {
        wrong,
        upSeconds,
        idleMs,
        perSecond: count / seconds,
        mainUs: (mainThreadCpu() - cpu) / count,
      };
    },
  };
}

/**
 * Waits until the children have used almost no processor for a second, which means that all are up.
 */
async function settled() {
  for (let last = -1000; ; ) {
    const used = childrenCpu();
    if (used - last < 50) return;
    last = used;
    await sleep(1000);
  }
}

function childrenCpu() {
  return children(process.pid).reduce((sum, pid) => sum + (processCpu(pid) || 0), 0);
}

/** @returns {number} ms */
function allCpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000 + childrenCpu();
}
