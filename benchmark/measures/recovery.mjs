import { setTimeout as sleep } from 'node:timers/promises';
import { processPools } from '../pools/catalogue.mjs';
import { median } from '../statistics.mjs';
import { fixed, nodeAlone } from './support.mjs';

/** @type {import('./types.mjs').Measure} */
export const recovery = {
  title: 'A busy worker is killed: how long until its slot gives the next result',
  about:
    'A pool of one worker, SIGKILL while it runs a task, and a new task every 10 ms until one has its result. Beside it is the time of a plain `node` from start to end. In turn, medians of five.',
  pools: ['bulkhead', 'fork-json-queued', ...processPools],
  baseline: 'fork-json-queued',
  columns: [
    { title: 'next result ms', key: 'nextMs', format: fixed(1) },
    { title: 'x fork-json-queued', key: 'nextMs', ratio: true },
    { title: 'node alone ms', key: 'nodeMs', format: fixed(1) },
    { title: 'x node alone', key: 'timesNode', format: fixed(2) },
  ],
  goals: [{ says: 'as a multiple of what node takes to start', key: 'timesNode', atMost: 1.4 }],
  limit: 12,
  async run(bench) {
    const pool = await bench.open('tiny', { workers: 1 });
    const nexts = [];
    const nodes = [];
    let wrong = 0;
    for (let i = 0; i < (bench.quick ? 3 : 5); i++) {
      nodes.push(await nodeAlone());

      const { pid } = await pool.run({ id: 1 });
      pool.run({ id: 2, block: 600_000 }).catch(() => {});
      await sleep(100);
      const killed = performance.now();
      process.kill(pid, 'SIGKILL');
      const next = await firstResult(pool);
      nexts.push(performance.now() - killed);
      if (next.id < 3 || next.pid === pid) wrong++;
      await sleep(100);
    }
    const [nextMs, nodeMs] = [median(nexts), median(nodes)];
    return { wrong, nextMs, nodeMs, timesNode: nextMs / nodeMs };
  },
};

/**
 * Limits the waiting time: some pools send tasks to dead workers for a while, and never settle
 * them.
 *
 * @param {import('./types.mjs').Pool} pool
 * @returns {Promise<any>}
 */
function firstResult(pool) {
  return new Promise((resolve) => {
    let id = 3;
    const attempt = () => {
      pool.run({ id: id++ }).then(
        (result) => {
          clearInterval(timer);
          resolve(result);
        },
        () => {},
      );
    };
    const timer = setInterval(attempt, 10);
    attempt();
  });
}
