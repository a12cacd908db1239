// Runs each task in a process or thread of its own, with a limit on their number.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { workerPath } from './paths.mjs';

/** @typedef {import('./catalogue.mjs').Pool} Pool */

/**
 * @param {number} workers
 * @returns {Pool}
 */
export function forkPerTask(workers) {
  return limited(workers, async (task) => {
    const child = fork(workerPath('fork-once.cjs'), [], { execArgv: [] });
    const exit = once(child, 'exit');
    child.send(task);
    const [result] = await once(child, 'message');
    child.kill();
    await exit;
    return result;
  });
}

/**
 * @param {number} workers
 * @returns {Pool}
 */
export function threadPerTask(workers) {
  return limited(workers, async (task) => {
    const worker = new Worker(workerPath('thread-once.cjs'), { execArgv: [] });
    worker.postMessage(task);
    const [result] = await once(worker, 'message');
    await worker.terminate();
    return result;
  });
}

/**
 * @param {number} limit
 * @param {(task: any) => Promise<unknown>} runOne
 * @returns {Pool}
 */
function limited(limit, runOne) {
  /** @type {(() => void)[]} */
  const waiting = [];
  let running = 0;
  return {
    async run(task) {
      if (running === limit) await new Promise((resolve) => waiting.push(() => resolve(undefined)));
      else running++;
      try {
        return await runOne(task);
      } finally {
        const next = waiting.shift();
        if (next) next();
        else running--;
      }
    },
    close() {},
  };
}
