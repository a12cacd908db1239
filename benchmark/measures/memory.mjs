import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { processPools } from '../pools/catalogue.mjs';
import { workerPath } from '../pools/paths.mjs';
import { children, processMemory } from '../proc.mjs';
import { median } from '../statistics.mjs';
import { isTinyResult, load, megabytes, tinyTask } from './support.mjs';

/** @type {import('./types.mjs').Measure} */
export const memory = {
  title: 'Memory of an idle worker beyond that of a plain idle node',
  about:
    'After a few tasks and a second of rest. Resident is the size that the system shows. Its own is memory that no other process shares: the real cost of one more worker.',
  pools: ['bulkhead', 'fork-json', 'fork-advanced', ...processPools],
  columns: [
    { title: 'resident MB', key: 'rss', format: megabytes },
    { title: 'beyond node', key: 'moreRss', format: megabytes },
    { title: 'its own MB', key: 'own', format: megabytes },
    { title: 'beyond node', key: 'moreOwn', format: megabytes },
  ],
  goals: [
    { says: 'resident beyond a plain node, MB', key: 'moreRss', atMost: 4e6, format: megabytes },
    { says: 'its own beyond a plain node, MB', key: 'moreOwn', atMost: 4e6, format: megabytes },
  ],
  async run(bench) {
    const plain = spawn(process.execPath, [workerPath('idle.cjs')], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const pool = await bench.open('tiny');
    const wrong = await load(pool, 20 * bench.workers, 2 * bench.workers, tinyTask, isTinyResult);
    await sleep(1000);
    const node = processMemory(Number(plain.pid));
    const workers = children(process.pid)
      .filter((pid) => pid !== plain.pid)
      .map(processMemory);
    plain.kill('SIGKILL');
    const rss = median(workers.map((worker) => worker.rss));
    const own = median(workers.map((worker) => worker.own));
    return { wrong, rss, own, moreRss: rss - node.rss, moreOwn: own - node.own };
  },
};
