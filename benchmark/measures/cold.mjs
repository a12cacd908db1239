import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { processPools, threadPools } from '../pools/catalogue.mjs';
import { median } from '../statistics.mjs';
import { fixed, nodeAlone } from './support.mjs';

const execute = promisify(execFile);
const script = fileURLToPath(new URL('../cold-start.mjs', import.meta.url));

/** @type {import('./types.mjs').Measure} */
export const cold = {
  title: 'Cold start: from nothing to the first result',
  about:
    'Load the library, make the pool, and get its first result, in a process that runs already. Beside it is the time of a plain `node` from start to end, which the process itself has taken before. The two together, as a multiple of a plain `node`, hold two starts of Node. In turn, medians of five.',
  pools: ['bulkhead', 'fork-json', 'fork-advanced', ...processPools, ...threadPools],
  columns: [
    { title: 'first result ms', key: 'firstMs', format: fixed(1) },
    { title: 'x fork-json', key: 'firstMs', ratio: true },
    { title: 'node alone ms', key: 'nodeMs', format: fixed(1) },
    { title: 'with its own start, x node alone', key: 'timesNode', format: fixed(2) },
  ],
  goals: [
    { says: 'from nothing, as a multiple of what node takes', key: 'timesNode', atMost: 1.9 },
  ],
  quick: true,
  async run(bench) {
    const firsts = [];
    const nodes = [];
    let wrong = 0;
    for (let i = 0; i < (bench.quick ? 3 : 5); i++) {
      nodes.push(await nodeAlone());
      const { stdout } = await execute(process.execPath, [
        script,
        bench.name,
        String(bench.workers),
      ]);
      const found = JSON.parse(stdout.split('\n')[0]);
      firsts.push(found.ms);
      if (!found.right) wrong++;
    }
    const [firstMs, nodeMs] = [median(firsts), median(nodes)];
    return { wrong, firstMs, nodeMs, timesNode: (nodeMs + firstMs) / nodeMs };
  },
};
