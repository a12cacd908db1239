// The pools that are compared, each behind the same two functions. All get the same number of workers and the same
// handler, and keep their own defaults otherwise. Libraries are loaded when asked for: loading is part of a cold start.

import { fork } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);

/**
 * @typedef {{ id: number, data?: unknown, echo?: unknown, block?: number }} Task
 * @typedef {{ id: number, value: unknown, pid: number }} Result
 *
 * @typedef {object} Pool
 * @property {(task: Task) => Promise<Result>} run
 * @property {() => unknown} close
 */

/** @param {string} name of a file in workers/ */
const path = (name) => fileURLToPath(new URL(`workers/${name}`, import.meta.url));

/** @type {Record<string, (workers: number) => Pool | Promise<Pool>>} */
export const peers = {
  bulkhead: (workers) => bulkhead(workers),
  'bulkhead-events': (workers) => bulkheadEvents(workers),
  'fork-json': (workers) => forkPool(workers, 'json'),
  'fork-advanced': (workers) => forkPool(workers, 'advanced'),
  'fork-json-queued': (workers) => queuedForkPool(workers, 'json'),
  'tinypool-process': (workers) => tinypool(workers, 'child_process'),
  'tinypool-threads': (workers) => tinypool(workers, 'worker_threads'),
  'workerpool-process': (workers) => workerpool(workers, 'process'),
  'workerpool-threads': (workers) => workerpool(workers, 'thread'),
  'jest-process': (workers) => jestWorker(workers, false),
  'jest-threads': (workers) => jestWorker(workers, true),
  'poolifier-process': (workers) => poolifier(workers, 'Cluster'),
  'poolifier-threads': (workers) => poolifier(workers, 'Thread'),
  'piscina-threads': (workers) => piscina(workers),
};

/**
 * bulkhead by its promises.
 *
 * @param {number} workers
 */
async function bulkhead(workers) {
  const { default: ProcessManager } = await import('bulkhead');
  const pool = new ProcessManager({ worker: path('handle.cjs'), minWorkers: workers, maxWorkers: workers });
  return { run: (/** @type {Task} */ task) => pool.run(task), close: () => pool.terminate() };
}

/**
 * bulkhead by `distributeTask` and its `result` event.
 *
 * @param {number} workers
 */
async function bulkheadEvents(workers) {
  const { default: ProcessManager } = await import('bulkhead');
  const pool = new ProcessManager({ worker: path('handle.cjs'), minWorkers: workers, maxWorkers: workers });
  /** @type {Map<number | string, (result: Result) => void>} */
  const waiting = new Map();
  pool.on('result', ({ taskId, result }) => {
    const resolve = waiting.get(taskId);
    waiting.delete(taskId);
    resolve?.(result);
  });
  /** @param {Task} task */
  const run = (task) =>
    new Promise((resolve) => {
      waiting.set(task.id, resolve);
      pool.distributeTask(task);
    });
  return { run, close: () => pool.terminate() };
}

/**
 * What one writes by hand: every task goes to the next child at once. The strongest baseline.
 *
 * @param {number} workers
 * @param {'json' | 'advanced'} serialization
 * @returns {Pool}
 */
function forkPool(workers, serialization) {
  const waiting = new Map();
  let last = 0;
  const children = Array.from({ length: workers }, () => {
    const child = fork(path('fork.cjs'), [], { serialization, execArgv: [] });
    child.on('message', (/** @type {{ i: number, result: Result }} */ { i, result }) => {
      const resolve = waiting.get(i);
      waiting.delete(i);
      resolve(result);
    });
    return child;
  });
  return {
    run: (task) =>
      new Promise((resolve) => {
        const i = last++;
        waiting.set(i, resolve);
        children[i % workers].send({ i, task });
      }),
    close: () => children.forEach((child) => void child.kill('SIGKILL')),
  };
}

/**
 * The same with a queue on the main thread: a child gets its next task when it has finished one.
 *
 * @param {number} workers
 * @param {'json' | 'advanced'} serialization
 * @returns {Pool}
 */
function queuedForkPool(workers, serialization) {
  const waiting = new Map();
  /** @type {{ i: number, task: Task }[]} */
  let queue = [];
  let head = 0;
  let last = 0;
  const children = Array.from({ length: workers }, () => {
    const child = fork(path('fork.cjs'), [], { serialization, execArgv: [] });
    const slot = { child, busy: false };
    child.on('message', (/** @type {{ i: number, result: Result }} */ { i, result }) => {
      slot.busy = false;
      dispatch();
      const resolve = waiting.get(i);
      waiting.delete(i);
      resolve(result);
    });
    return slot;
  });
  function dispatch() {
    for (const slot of children) {
      if (slot.busy || head === queue.length) continue;
      slot.busy = true;
      slot.child.send(queue[head++]);
      if (head > 4096) {
        queue = queue.slice(head);
        head = 0;
      }
    }
  }
  return {
    run: (task) =>
      new Promise((resolve) => {
        const i = last++;
        waiting.set(i, resolve);
        queue.push({ i, task });
        dispatch();
      }),
    close: () => children.forEach(({ child }) => void child.kill('SIGKILL')),
  };
}

/**
 * @param {number} workers
 * @param {'child_process' | 'worker_threads'} runtime
 */
async function tinypool(workers, runtime) {
  const { default: Tinypool } = await import('tinypool');
  const filename = new URL('workers/handle.mjs', import.meta.url).href;
  const pool = new Tinypool({ filename, runtime, minThreads: workers, maxThreads: workers });
  return { run: (/** @type {Task} */ task) => pool.run(task), close: () => pool.destroy() };
}

/**
 * @param {number} workers
 * @param {'process' | 'thread'} workerType
 */
function workerpool(workers, workerType) {
  const options = { minWorkers: workers, maxWorkers: workers, workerType };
  const pool = require('workerpool').pool(path('workerpool.cjs'), options);
  return {
    run: (/** @type {Task} */ task) => pool.exec('handle', [task]),
    close: () => pool.terminate(true),
  };
}

/**
 * @param {number} workers
 * @param {boolean} enableWorkerThreads
 */
function jestWorker(workers, enableWorkerThreads) {
  const { Worker } = /** @type {any} */ (require('jest-worker')); // with the methods of the worker module
  const options = { numWorkers: workers, enableWorkerThreads, exposedMethods: ['handle'] };
  const pool = new Worker(path('jest.cjs'), options);
  return { run: (/** @type {Task} */ task) => pool.handle(task), close: () => pool.end() };
}

/**
 * CommonJS on both sides: an ES-module cluster worker of poolifier 5.3.2 never answers under Node 20.
 *
 * @param {number} workers
 * @param {'Cluster' | 'Thread'} kind
 */
function poolifier(workers, kind) {
  const { [`Fixed${kind}Pool`]: FixedPool } = require('poolifier');
  const pool = new FixedPool(workers, path(`poolifier-${kind.toLowerCase()}.cjs`), {
    errorHandler: console.error,
  });
  return { run: (/** @type {Task} */ task) => pool.execute(task), close: () => pool.destroy() };
}

/** @param {number} workers */
function piscina(workers) {
  const { Piscina } = require('piscina');
  const pool = new Piscina({ filename: path('handle.cjs'), minThreads: workers, maxThreads: workers });
  return { run: (/** @type {Task} */ task) => pool.run(task), close: () => pool.destroy() };
}
