// Helpers of several measures.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { workerPath } from '../pools/paths.mjs';

const execute = promisify(execFile);

/** @typedef {import('./types.mjs').Pool} Pool */

/** @param {number} digits */
export const fixed = (digits) => (/** @type {number} */ value) => value.toFixed(digits);

/** @param {number} value */
export function thousands(value) {
  return Math.round(value).toLocaleString('en').replaceAll(',', ' ');
}

/** @param {number} value a share */
export function percent(value) {
  return `${(value * 100).toFixed(1)} %`;
}

/** @param {number} value in bytes */
export function megabytes(value) {
  return (value / 1e6).toFixed(1);
}

/**
 * Keeps `depth` tasks in flight until `count` are done.
 *
 * @param {Pool} pool
 * @param {number} count
 * @param {number} depth
 * @param {(id: number) => unknown} task
 * @param {(result: any, id: number) => boolean} isRight
 * @returns {Promise<number>} how many results were wrong
 */
export async function load(pool, count, depth, task, isRight) {
  let next = 0;
  let wrong = 0;
  async function lane() {
    while (next < count) {
      const id = next++;
      const result = await pool.run(task(id));
      if (!isRight(result, id)) wrong++;
    }
  }
  await Promise.all(Array.from({ length: Math.min(depth, count) }, lane));
  return wrong;
}

/**
 * The tiny task of most measures.
 *
 * @param {number} id
 */
export const tinyTask = (id) => ({ id, data: 'some data to process' });

/**
 * @param {any} result
 * @param {number} id
 */
export const isTinyResult = (result, id) => result?.id === id && result.value === 'ok';

/** The clock of workers/handlers/work.cjs (ms). */
export const monotonic = () => Number(process.hrtime.bigint()) / 1e6;

/** @returns {Promise<number>} ms that Node takes to start, do nothing and end */
export async function nodeAlone() {
  const started = performance.now();
  await execute(process.execPath, [workerPath('empty.cjs')]);
  return performance.now() - started;
}
