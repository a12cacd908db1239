'use strict';

// Facts about this worker process, shared by every copy of this package in it: for pools created in
// the worker, and for 'bulkhead/worker'.

const { realpathSync } = require('node:fs');
const process = require('node:process');
const { fileURLToPath } = require('node:url');

/** worker.js and worker.mjs read this symbol too. */
const MARK = Symbol.for('bulkhead.worker');
const RECURSION = 'ERR_POOL_RECURSION';

/**
 * @typedef {object} WorkerProcess
 * @property {Set<string>} ancestors paths of this worker's module and of the modules whose start
 *   led to this worker
 * @property {Set<string>} loading paths of modules that are being loaded or set up for a task
 * @property {() => boolean} isBusy whether the worker runs a task
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

/** @returns {WorkerProcess | undefined} undefined: this process is not a worker */
function ownWorker() {
  return /** @type {any} */ (process)[MARK];
}

/**
 * Returns the `ancestors` of workers of a pool that is created in this process. None of these
 * modules may start them again by being loaded.
 *
 * @returns {string[] | undefined}
 */
function ancestorsOfPools() {
  const worker = ownWorker();
  if (worker === undefined) return undefined;
  return [...(worker.isBusy() ? [] : worker.ancestors), ...worker.loading];
}

/**
 * Refuses endless recursion: a module that starts a pool of itself when it is loaded does so in
 * each of its workers too. Inside of a handler this is allowed, because tasks can end.
 *
 * @param {string | null} url of the module for the workers
 * @throws {Error} the module led to this process, and no task needs the pool
 */
function assertNotItself(url) {
  const worker = ownWorker();
  if (worker === undefined || url === null) return;
  const path = pathOf(url);
  if (!worker.loading.has(path) && (worker.isBusy() || !worker.ancestors.has(path))) return;
  const message =
    `a worker cannot start a pool of its own module: ${path} does so outside of a task, and every new worker would do ` +
    'the same; create the pool only where isWorker of "bulkhead/worker" is false, or move the worker code to a separate ' +
    'module';
  throw Object.assign(new Error(message), { code: RECURSION });
}

/**
 * Returns whether a module failed to start because of itself, so that every attempt would fail.
 *
 * @param {any} thrown
 * @returns {boolean}
 */
function isRecursion(thrown) {
  // Modules may start each other: the innermost one reports the recursion to the one before.
  for (let error = thrown; typeof error === 'object' && error !== null; error = error.cause) {
    if (error.code === RECURSION) return true;
    if (error.code !== 'ERR_POOL_BROKEN' && error.code !== 'ERR_WORKER_START') return false;
  }
  return false;
}

/**
 * @param {string} url file URL
 * @returns {string} canonical path for comparing modules
 */
function pathOf(url) {
  const path = fileURLToPath(url);
  try {
    return realpathSync(path);
  } catch {
    return path; // The file is missing: loading will report that.
  }
}

module.exports = { assertNotItself, isRecursion, ancestorsOfPools, markWorker, pathOf };
