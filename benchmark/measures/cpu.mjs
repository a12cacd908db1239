import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { processPools, threadPools } from '../pools/catalogue.mjs';
import { workerPath } from '../pools/paths.mjs';
import { mainThreadCpu } from '../proc.mjs';
import { load, percent } from './support.mjs';

/** @type {(rounds: number) => number} */
const burn = createRequire(import.meta.url)('../workers/burn.cjs');

/** @type {import('./types.mjs').Measure} */
export const cpu = {
  title: 'Tasks of 1, 10 and 100 ms of CPU: share of what the cores can do',
  about:
    'A fixed amount of work for each task. The ideal is the work that as many plain processes get done, measured right before and after, so a busy machine lowers both.',
  pools: ['bulkhead', 'fork-json', 'fork-json-queued', ...processPools, ...threadPools],
  columns: [
    { title: '1 ms', key: 'share1', format: percent },
    { title: '10 ms', key: 'share10', format: percent },
    { title: '100 ms', key: 'share100', format: percent },
    { title: 'main thread busy at 1 ms', key: 'mainBusy1', format: percent },
  ],
  goals: [
    { says: 'share at 1 ms', key: 'share1', atLeast: 0.92, format: percent },
    { says: 'share at 1 ms', key: 'share1', atLeast: 1, over: ['fork-json'] },
    { says: 'share at 10 ms', key: 'share10', atLeast: 0.98, format: percent },
    { says: 'share at 100 ms', key: 'share100', atLeast: 0.97, format: percent },
    { says: 'main thread busy at 1 ms', key: 'mainBusy1', atMost: 0.05, format: percent },
  ],
  async run(bench) {
    const pool = await bench.open('work');
    const plain = Array.from({ length: bench.workers }, () =>
      fork(workerPath('ideal.cjs'), [], { execArgv: [] }),
    );
    await ideal(plain, 300); // warm-up: it is compiled when it counts
    let before = await ideal(plain, 500);
    await load(
      pool,
      40 * bench.workers,
      128,
      (id) => ({ id, burn: 1000 }),
      () => true,
    );

    /** @type {Record<string, number>} */
    const figures = { wrong: 0 };
    for (const ms of [1, 10, 100]) {
      const rounds = Math.round(((before / bench.workers) * ms) / 1000);
      const expected = burn(rounds);
      const count = Math.ceil((bench.quick ? 600 : 1000) / ms) * bench.workers;
      const used = mainThreadCpu();
      const start = performance.now();
      figures.wrong += await load(
        pool,
        count,
        128,
        (id) => ({ id, burn: rounds }),
        (result, id) => result?.id === id && result.value === expected,
      );
      const seconds = (performance.now() - start) / 1000;
      figures[`mainBusy${ms}`] = (mainThreadCpu() - used) / 1e6 / seconds;
      const after = await ideal(plain, 500);
      figures[`share${ms}`] = (count * rounds) / seconds / ((before + after) / 2);
      before = after;
    }
    for (const child of plain) child.kill('SIGKILL');
    return figures;
  },
};

/**
 * @param {import('node:child_process').ChildProcess[]} plain
 * @param {number} duration ms
 * @returns {Promise<number>} rounds a second, of all of them together
 */
async function ideal(plain, duration) {
  const answers = plain.map(async (child) => {
    const answer = once(child, 'message');
    child.send(duration);
    return Number((await answer)[0]);
  });
  return (await Promise.all(answers)).reduce((sum, rounds) => sum + rounds, 0);
}
