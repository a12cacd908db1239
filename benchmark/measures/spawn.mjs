import { setTimeout as sleep } from 'node:timers/promises';
import { processPools } from '../pools/catalogue.mjs';
import { mainThreadCpu, otherThreadsCpu } from '../proc.mjs';
import { fixed, tinyTask } from './support.mjs';

/** @type {import('./types.mjs').Measure} */
export const spawn = {
  title: 'Starting a worker while this process has 1 GiB resident',
  about:
    'CPU time of this process for each worker beyond the first: a pool of 1 and a pool of 9 are started, and the difference is divided by eight. "Other threads" has the supervisor of bulkhead.',
  pools: ['bulkhead', 'fork-json', 'fork-advanced', ...processPools],
  columns: [
    { title: 'main thread ms/worker', key: 'mainMs', format: fixed(2) },
    { title: 'x fork-json', key: 'mainMs', ratio: true },
    { title: 'other threads ms/worker', key: 'otherMs', format: fixed(2) },
  ],
  goals: [
    { says: 'on the supervisor, ms', key: 'otherMs', atMost: 1, format: fixed(2) },
    { says: 'on the JavaScript thread, ms', key: 'mainMs', atMost: 0.1, format: fixed(2) },
  ],
  long: true,
  async run(bench) {
    const ballast = Buffer.alloc(1 << 30, 1);
    await start(bench, 1); // loads the library
    const one = await start(bench, 1);
    const nine = await start(bench, 9);
    return {
      wrong: ballast[ballast.length - 1] === 1 ? one.wrong + nine.wrong : 1,
      mainMs: (nine.main - one.main) / 8000,
      otherMs: (nine.other - one.other) / 8000,
    };
  },
};

/**
 * @param {import('./types.mjs').Bench} bench
 * @param {number} workers
 */
async function start(bench, workers) {
  const [main, other] = [mainThreadCpu(), otherThreadsCpu()];
  const pool = await bench.open('tiny', { workers });
  const result = await pool.run(tinyTask(1));
  // All workers must be up, and no task may run to find that out.
  await sleep(1500);
  const used = {
    wrong: result.id === 1 ? 0 : 1,
    main: mainThreadCpu() - main,
    other: otherThreadsCpu() - other,
  };
  await pool.close();
  await sleep(100);
  return used;
}
