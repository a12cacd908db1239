'use strict';

// Announces errors that concern the pool and not one of its tasks. Such an error never ends the
// process:
//
//   the pool has an `error` listener                the event
//   it has none, and a promise rejects with it      the promise is enough
//   neither                                         one warning of the process
//
// A task of `distributeTask()` that fails because the pool broke has its own `error` event as well.

const { errorMonitor } = require('node:events');
const process = require('node:process');
const { rethrow } = require('../errors/rethrow');

/** @typedef {Error & Record<string, any>} PoolError */

class PoolErrors {
  #emitter;
  #emit;
  #poolName;
  #unsettled;
  /**
   * Why the pool broke, until a promise of a task rejects with the error, or none can.
   *
   * @type {PoolError | null}
   */
  #unannounced = null;
  /** The promise of a task rejected because the pool broke. */
  #taskRejects = false;
  /** A warning about a worker that broke the protocol was emitted. */
  #warned = false;

  /**
   * @param {object} pool
   * @param {import('node:events').EventEmitter<any>} pool.emitter
   * @param {(event: string | symbol, error: PoolError) => void} pool.emit never throws
   * @param {string} pool.poolName
   * @param {() => number} pool.unsettled tasks
   */
  constructor({ emitter, emit, poolName, unsettled }) {
    this.#emitter = emitter;
    this.#emit = emit;
    this.#poolName = poolName;
    this.#unsettled = unsettled;
  }

  /**
   * Announces that the pool broke.
   *
   * @param {PoolError} error
   * @param {boolean} isAnnounced a promise of the pool itself, such as that of `ready()`, rejected
   *   with the error
   */
  broke(error, isAnnounced) {
    if (this.#hasListener()) return this.#emit('error', error);
    this.#notifyMonitors(error);
    if (isAnnounced || this.#taskRejects) return;
    // The promise of a task may still reject, until all tasks are settled.
    if (this.#unsettled() === 0) this.#warn(error);
    else this.#unannounced = error;
  }

  /** Notes that the promise of a task rejects because the pool broke. */
  taskRejected() {
    this.#taskRejects = true;
    this.#unannounced = null;
  }

  /** Notes that all tasks are settled. Never throws. */
  allSettled() {
    const error = this.#unannounced;
    if (error === null) return;
    this.#unannounced = null;
    try {
      if (this.#hasListener()) this.#emit('error', error);
      else this.#warn(error);
    } catch (thrown) {
      // A program can replace `emitWarning` by a function that throws. The task at hand must be
      // settled all the same.
      rethrow(thrown);
    }
  }

  /**
   * Announces that a worker broke the protocol while running no task.
   *
   * @param {PoolError} error
   */
  protocolBroken(error) {
    if (this.#hasListener()) return this.#emit('error', error);
    this.#notifyMonitors(error);
    // One warning is enough: the worker's successors may break the protocol as well.
    if (!this.#warned) this.#warn(error);
    this.#warned = true;
  }

  #hasListener() {
    return this.#emitter.listenerCount('error') > 0;
  }

  /**
   * Monitors get every `error` event, and never count as listeners.
   *
   * @param {PoolError} error
   */
  #notifyMonitors(error) {
    if (this.#emitter.listenerCount(errorMonitor) > 0) this.#emit(errorMonitor, error);
  }

  /** @param {PoolError} error */
  #warn(error) {
    process.emitWarning(`process pool "${this.#poolName}": ${error.message}`, {
      type: 'BulkheadWarning',
      code: 'BULKHEAD_POOL_ERROR',
      detail: "Listen to the pool's 'error' event, or await startWorkers(), to handle this error.",
    });
  }
}

module.exports = { PoolErrors };
