// The compared pools, each behind the same few functions. All get the same number of workers and
// the same handler, and otherwise keep their defaults. Libraries are loaded on demand, because
// loading is part of a cold start.

import { bulkhead, bulkheadEvents } from './bulkhead.mjs';
import { forkPool, queuedForkPool } from './fork.mjs';
import { jestWorker, piscina, poolifier, tinypool, workerpool } from './libraries.mjs';
import { forkPerTask, threadPerTask } from './per-task.mjs';

/**
 * @typedef {object} Pool
 * @property {(task: any) => Promise<any>} run
 * @property {(task: any) => void} [post] submits a task without keeping anything on this side, not
 *   even a promise
 * @property {() => unknown} close
 * @typedef {object} PoolOptions
 * @property {number} workers
 * @property {boolean} [isolate] a new worker for each task
 * @typedef {object} Entry
 * @property {'bulkhead' | 'fork' | 'processes' | 'threads'} kind
 * @property {string} [library] library to install
 * @property {(options: PoolOptions) => Pool | Promise<Pool>} open
 */

/** @type {Record<string, Entry>} */
export const pools = {
  bulkhead: { kind: 'bulkhead', open: (options) => bulkhead(options) },
  'bulkhead-events': { kind: 'bulkhead', open: bulkheadEvents },
  'bulkhead-advanced': {
    kind: 'bulkhead',
    open: (options) => bulkhead(options, { serialization: 'advanced' }),
  },
  'bulkhead-prefetch-1': {
    kind: 'bulkhead',
    open: (options) => bulkhead(options, { prefetch: 1 }),
  },
  'fork-json': { kind: 'fork', open: ({ workers }) => forkPool(workers, 'json') },
  'fork-advanced': { kind: 'fork', open: ({ workers }) => forkPool(workers, 'advanced') },
  'fork-json-queued': { kind: 'fork', open: ({ workers }) => queuedForkPool(workers, 'json') },
  'fork-advanced-queued': {
    kind: 'fork',
    open: ({ workers }) => queuedForkPool(workers, 'advanced'),
  },
  'fork-per-task': { kind: 'fork', open: ({ workers }) => forkPerTask(workers) },
  'poolifier-process': library('poolifier', 'processes', (options) =>
    poolifier(options, 'Cluster', {}),
  ),
  'poolifier-process-queued': library('poolifier', 'processes', (options) =>
    poolifier(options, 'Cluster', { enableTasksQueue: true }),
  ),
  'tinypool-process': library('tinypool', 'processes', (options) =>
    tinypool(options, 'child_process'),
  ),
  'workerpool-process': library('workerpool', 'processes', (options) =>
    workerpool(options, 'process'),
  ),
  'jest-process': library('jest-worker', 'processes', (options) => jestWorker(options, false)),
  'piscina-threads': library('piscina', 'threads', piscina),
  'poolifier-threads': library('poolifier', 'threads', (options) =>
    poolifier(options, 'Thread', {}),
  ),
  'tinypool-threads': library('tinypool', 'threads', (options) =>
    tinypool(options, 'worker_threads'),
  ),
  'workerpool-threads': library('workerpool', 'threads', (options) =>
    workerpool(options, 'thread'),
  ),
  'jest-threads': library('jest-worker', 'threads', (options) => jestWorker(options, true)),
  'thread-per-task': { kind: 'threads', open: ({ workers }) => threadPerTask(workers) },
};

/** Libraries that run tasks in processes, with their defaults. */
export const processPools = [
  'poolifier-process',
  'tinypool-process',
  'workerpool-process',
  'jest-process',
];

/**
 * Thread pools, for scale: processes cannot reach their speed, and threads lack the isolation of
 * processes.
 */
export const threadPools = [
  'piscina-threads',
  'poolifier-threads',
  'tinypool-threads',
  'workerpool-threads',
  'jest-threads',
];

/**
 * @param {string} name
 * @param {Entry['kind']} kind
 * @param {Entry['open']} open
 * @returns {Entry}
 */
function library(name, kind, open) {
  return { kind, library: name, open };
}
