// A whole pool in its steady state, for `npm run guard` to count its system calls: one worker, tiny
// tasks, always IN_FLIGHT of them unsettled. Looks for a file of a telling name before and after
// what counts, and prints whose the threads are.
//
//   node benches/pool.mjs [TASKS]

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ProcessManager from '../index.mjs';

const IN_FLIGHT = 1000;
/** Until all code is compiled, and every buffer has its size. */
const WARM_UP = 10_000;
const tasks = Number(process.argv[2] ?? 20_000);

const worker = fileURLToPath(new URL('echo.mjs', import.meta.url));
const pool = new ProcessManager({ worker, minWorkers: 1, maxWorkers: 1, maxQueue: 2 * IN_FLIGHT });

/** @param {number} count */
function play(count) {
  let left = count;
  const lane = async () => {
    while (left > 0) {
      left -= 1;
      await pool.run(left);
    }
  };
  return Promise.all(Array.from({ length: IN_FLIGHT }, lane));
}

/**
 * The names of a process's threads, by their ids.
 *
 * @param {number} pid
 */
function threads(pid) {
  const folder = `/proc/${pid}/task`;
  const name = (/** @type {string} */ id) => readFileSync(`${folder}/${id}/comm`, 'utf8').trim();
  return Object.fromEntries(readdirSync(folder).map((id) => [id, name(id)]));
}

await play(WARM_UP);
existsSync('/bulkhead-guard/begin');
await play(tasks);
existsSync('/bulkhead-guard/end');
const [{ pid }] = pool.stats().workers;
console.log(JSON.stringify({ tasks, parent: threads(process.pid), worker: threads(Number(pid)) }));
await pool.shutdown();
