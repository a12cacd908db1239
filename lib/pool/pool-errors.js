'use strict';

// How a program is told of an error that concerns the pool and not one of its tasks. Such an error
// never ends the process:
//
//   the pool has an `error` listener                the event
//   it has none, and a promise rejects with it      the promise is enough
//   neither                                         one warning of the process
//
// A task of `distributeTask()` that fails with it has an `error` event of its own, as any other
// failure of such a task.

const { errorMonitor } = require('node:events');
const process = require('node:process');
const { rethrow } = require('../errors/rethrow');

/** @typedef {Error & Record<string, any>} PoolError */

class PoolErrors {
  #emitter;
  #emit;
  #poolName;
  #unsettled;
  /** Why the pool broke, while it is open whether a promise will reject with it. @type {PoolError | null} */
  #unannounced = null;
  /** A promise rejects because the pool broke. */
  #taskRejects = false;
  /** A warning has told of a worker that broke the protocol. */
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
   * The pool broke.
   *
   * @param {PoolError} error
   * @param {boolean} isAnnounced a promise of the pool itself, such as that of `ready()`, has rejected with it
   */
  broke(error, isAnnounced) {
    if (this.#hasListener()) return this.#emit('error', error);
    this.#notifyMonitors(error);
    if (isAnnounced || this.#taskRejects) return;
    // Those of its tasks are known once all of them are settled.
    if (this.#unsettled() === 0) this.#warn(error);
    else this.#unannounced = error;
  }

  /** The promise of a task rejects because the pool broke. */
  taskRejected() {
    this.#taskRejects = true;
    this.#unannounced = null;
  }

  /** No unsettled task is left. Never throws. */
  allSettled() {
    const error = this.#unannounced;
    if (error === null) return;
    this.#unannounced = null;
    try {
      if (this.#hasListener()) this.#emit('error', error);
      else this.#warn(error);
    } catch (thrown) {
      // By what a program has put in place of `emitWarning`. The last task is being settled.
      rethrow(thrown);
    }
  }

  /**
   * A worker broke the protocol while it ran no task.
   *
   * @param {PoolError} error
   */
  protocolBroken(error) {
    if (this.#hasListener()) return this.#emit('error', error);
    this.#notifyMonitors(error);
    // Its successor may do so as well, again and again.
    if (!this.#warned) this.#warn(error);
    this.#warned = true;
  }

  #hasListener() {
    return this.#emitter.listenerCount('error') > 0;
  }

  /**
   * Monitors are told of every `error` event, and never count as listeners.
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
