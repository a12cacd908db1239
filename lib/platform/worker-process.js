'use strict';

// What a worker process says of itself to every copy of this package in it: to the pools that its
// modules make, and to 'bulkhead/worker'.

const { realpathSync } = require('node:fs');
const process = require('node:process');
const { fileURLToPath } = require('node:url');

/** worker.js and worker.mjs ask for it as well. */
const MARK = Symbol.for('bulkhead.worker');
const RECURSION = 'ERR_POOL_RECURSION';

/**
 * @typedef {object} WorkerProcess
 * @property {Set<string>} ancestors paths of the module that this worker runs, and of those whose start has led to it
 * @property {Set<string>} loading paths of modules that are being loaded or set up for a task
 * @property {() => boolean} isBusy whether it runs a task
 */

/**
 * Marks this process as a worker.
 *
 * @param {readonly string[]} ancestors
 * @param {() => boolean} isBusy
 * @returns {WorkerProcess}
 */
function markWorker(ancestors, isBusy) {
  const worker = { ancestors: new Set(ancestors), loading: new Set(), isBusy };
  Object.defineProperty(process, MARK, { value: worker });
  return worker;
}

/** @returns {WorkerProcess | undefined} undefined in a process that is no worker */
function ownWorker() {
  return /** @type {any} */ (process)[MARK];
}

/**
 * What the workers of a pool that is made here are told as their `ancestors`: none of these modules may
 * start them again by being started.
 *
 * @returns {string[] | undefined}
 */
function ancestorsOfPools() {
  const worker = ownWorker();
  if (worker === undefined) return undefined;
  return [...(worker.isBusy() ? [] : worker.ancestors), ...worker.loading];
}

/**
 * A module that starts a pool of itself whenever it is loaded does so in each of its workers again,
 * without end. In a handler it may: tasks can come to an end.
 *
 * @param {string | null} url of the module that workers are about to run
 * @throws {Error} it has led to this process, and no task asks for the pool
 */
function assertNotItself(url) {
  const worker = ownWorker();
  if (worker === undefined || url === null) return;
  const path = pathOf(url);
  if (!worker.loading.has(path) && (worker.isBusy() || !worker.ancestors.has(path))) return;
  const message =
    `a worker cannot start a pool of the module that it runs itself: ${path} does so outside of any task, and each of ` +
    'the new workers would do the same; make the pool only where isWorker of "bulkhead/worker" is false, or put what the ' +
    'workers run into a module of its own';
  throw Object.assign(new Error(message), { code: RECURSION });
}

/**
 * Whether a module could not start because of itself: every attempt ends so.
 *
 * @param {any} thrown
 * @returns {boolean}
 */
function isRecursion(thrown) {
  // Of several modules that start each other, the last one says so to the one before.
  for (let error = thrown; typeof error === 'object' && error !== null; error = error.cause) {
    if (error.code === RECURSION) return true;
    if (error.code !== 'ERR_POOL_BROKEN' && error.code !== 'ERR_WORKER_START') return false;
  }
  return false;
}

/**
 * @param {string} url file URL
 * @returns {string} path by which modules are compared
 */
function pathOf(url) {
  const path = fileURLToPath(url);
  try {
    return realpathSync(path);
  } catch {
    return path; // There is none: its loading will say so.
  }
}

module.exports = { assertNotItself, isRecursion, ancestorsOfPools, markWorker, pathOf };
