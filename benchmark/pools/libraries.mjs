// The libraries, from benchmark/node_modules.

import { createRequire } from 'node:module';
import { workerPath } from './paths.mjs';

/** @typedef {import('./catalogue.mjs').Pool} Pool */
/** @typedef {import('./catalogue.mjs').PoolOptions} PoolOptions */

/**
 * Loads a library. A literal `require` or `import` would not do: the libraries are installed by the
 * first benchmark only, and missing when types are checked.
 *
 * @type {(name: string) => any}
 */
const load = createRequire(import.meta.url);
const tinypoolModule = 'tinypool'; // has no CommonJS form

/**
 * Passes the environment on, because the processes get an empty one by default.
 *
 * @param {PoolOptions} options
 * @param {'child_process' | 'worker_threads'} runtime
 * @returns {Promise<Pool>}
 */
export async function tinypool({ workers, isolate = false }, runtime) {
  const { default: Tinypool } = await import(tinypoolModule);
  const filename = new URL('../workers/handle.mjs', import.meta.url).href;
  const { env } = process;
  const pool = new Tinypool({
    filename,
    runtime,
    env,
    minThreads: workers,
    maxThreads: workers,
    isolateWorkers: isolate,
  });
  return { run: (task) => pool.run(task), close: () => pool.destroy() };
}

/**
 * @param {PoolOptions} options
 * @param {'process' | 'thread'} workerType
 * @returns {Pool}
 */
export function workerpool({ workers }, workerType) {
  const options = { minWorkers: workers, maxWorkers: workers, workerType };
  const pool = load('workerpool').pool(workerPath('workerpool.cjs'), options);
  return { run: (task) => pool.exec('handle', [task]), close: () => pool.terminate(true) };
}

/**
 * @param {PoolOptions} options
 * @param {boolean} enableWorkerThreads
 * @returns {Pool}
 */
export function jestWorker({ workers, isolate = false }, enableWorkerThreads) {
  const { Worker } = load('jest-worker');
  const once = isolate ? { idleMemoryLimit: 0 } : {};
  const options = { numWorkers: workers, enableWorkerThreads, exposedMethods: ['handle'], ...once };
  const pool = new Worker(workerPath('jest.cjs'), options);
  return { run: (task) => pool.handle(task), close: () => pool.end() };
}

/**
 * Uses CommonJS on both sides: an ES-module cluster worker of poolifier 5.3.2 never answers under
 * Node 20.
 *
 * @param {PoolOptions} options
 * @param {'Cluster' | 'Thread'} kind
 * @param {{ enableTasksQueue?: boolean }} more
 * @returns {Pool}
 */
export function poolifier({ workers }, kind, more) {
  const { [`Fixed${kind}Pool`]: FixedPool } = load('poolifier');
  const options = { errorHandler: console.error, ...more };
  const pool = new FixedPool(workers, workerPath(`poolifier-${kind.toLowerCase()}.cjs`), options);
  return { run: (task) => pool.execute(task), close: () => pool.destroy() };
}

/**
 * @param {PoolOptions} options
 * @returns {Pool}
 */
export function piscina({ workers }) {
  const { Piscina } = load('piscina');
  const pool = new Piscina({
    filename: workerPath('handle.cjs'),
    minThreads: workers,
    maxThreads: workers,
  });
  return { run: (task) => pool.run(task), close: () => pool.destroy() };
}
