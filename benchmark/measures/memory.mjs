import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { processPools } from '../pools/catalogue.mjs';
import { workerPath } from '../pools/paths.mjs';
import { children, processMemory } from '../proc.mjs';
import { median } from '../statistics.mjs';
import { isTinyResult, load, megabytes, tinyTask } from './support.mjs';

/** Tasks of a worker that has served for a while. */
const someTasks = 20_000;

/** @type {import('./types.mjs').Measure} */
export const memory = {
  title: 'Memory of an idle worker beyond that of a plain idle node',
  about:
    'After a few tasks and a second of rest, and again after twenty thousand. Resident is the size that the system shows. Its own is memory that no other process shares: the real cost of one more worker. Proportional is that, and its share of what several processes have.',
  pools: ['bulkhead', 'fork-json', 'fork-advanced', ...processPools],
  columns: [
    { title: 'resident MB', key: 'rss', format: megabytes },
    { title: 'beyond node', key: 'moreRss', format: megabytes },
    { title: 'its own MB', key: 'own', format: megabytes },
    { title: 'beyond node', key: 'moreOwn', format: megabytes },
    { title: 'after 20 000 tasks: resident beyond node', key: 'laterRss', format: megabytes },
    { title: 'proportional beyond node', key: 'laterProportional', format: megabytes },
  ],
  goals: [
    { says: 'resident beyond a plain node, MB', key: 'moreRss', atMost: 3.5e6, format: megabytes },
    { says: 'its own beyond a plain node, MB', key: 'moreOwn', atMost: 4e6, format: megabytes },
    {
      says: 'resident beyond a plain node after 20 000 tasks, MB',
      key: 'laterRss',
      atMost: 9.5e6,
      format: megabytes,
    },
    {
      says: 'proportional beyond a plain node after 20 000 tasks, MB',
      key: 'laterProportional',
      atMost: 5e6,
      format: megabytes,
    },
  ],
  async run(bench) {
    const plain = spawn(process.execPath, [workerPath('idle.cjs')], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const pool = await bench.open('tiny');
    let wrong = await load(pool, 20 * bench.workers, 2 * bench.workers, tinyTask, isTinyResult);
    const [node, workers] = await atRest(Number(plain.pid));
    wrong += await load(pool, someTasks * bench.workers, 1000, tinyTask, isTinyResult);
    const [, later] = await atRest(Number(plain.pid));
    plain.kill('SIGKILL');
    return {
      wrong,
      rss: workers.rss,
      own: workers.own,
      moreRss: workers.rss - node.rss,
      moreOwn: workers.own - node.own,
      laterRss: later.rss - node.rss,
      laterProportional: later.proportional - node.proportional,
    };
  },
};

/**
 * @param {number} plain pid of the plain node, which is a child as the workers are
 * @returns {Promise<Memory[]>} of the plain node, and the median of each figure of the workers,
 *   after a second of rest
 */
async function atRest(plain) {
  await sleep(1000);
  const workers = children(process.pid)
    .filter((pid) => pid !== plain)
    .map(processMemory);
  /** @param {keyof Memory} key */
  const typical = (key) => median(workers.map((worker) => worker[key]));
  return [
    processMemory(plain),
    { rss: typical('rss'), own: typical('own'), proportional: typical('proportional') },
  ];
}

/** @typedef {ReturnType<typeof processMemory>} Memory */
