// The bulkhead of this checkout.

import { workerPath } from './paths.mjs';

/** @typedef {import('./catalogue.mjs').Pool} Pool */
/** @typedef {import('./catalogue.mjs').PoolOptions} PoolOptions */

/**
 * Uses promises; `post` is `distributeTask`.
 *
 * @param {PoolOptions} options
 * @param {import('bulkhead').Options} [more]
 * @returns {Promise<Pool>}
 */
export async function bulkhead(options, more) {
  const pool = await makePool(options, more);
  return {
    run: (task) => pool.run(task),
    post: (task) => void pool.distributeTask(task),
    close: () => pool.terminate(),
  };
}

/**
 * Uses `distributeTask` and its `result` event.
 *
 * @param {PoolOptions} options
 * @returns {Promise<Pool>}
 */
export async function bulkheadEvents(options) {
  const pool = await makePool(options);
  /** @type {Map<number | string, (result: unknown) => void>} */
  const waiting = new Map();
  pool.on('result', ({ taskId, result }) => {
    const resolve = waiting.get(taskId);
    waiting.delete(taskId);
    resolve?.(result);
  });
  return {
    run: (task) =>
      new Promise((resolve) => {
        waiting.set(task.id, resolve);
        pool.distributeTask(task);
      }),
    close: () => pool.terminate(),
  };
}

/**
 * @param {PoolOptions} options
 * @param {import('bulkhead').Options} [more]
 */
async function makePool({ workers, isolate = false }, more) {
  const { default: ProcessManager } = await import('../../index.mjs');
  const once = isolate ? { maxTasksPerWorker: 1 } : {};
  const worker = workerPath('handle.cjs');
  const pool = new ProcessManager({
    worker,
    minWorkers: workers,
    maxWorkers: workers,
    ...once,
    ...more,
  });
  pool.startWorkers(); // as the others do when they are made
  return pool;
}
