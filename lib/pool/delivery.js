'use strict';

// Turns rows into settled promises and emitted events. A listener that throws does not keep later
// rows from being delivered.
//
// A task that is removed from the tickets is always settled. Each step that may run user code has
// its own try block, so that a throw there skips nothing else.

const { BulkheadError } = require('../errors/classes');
const { protocolError, toError } = require('../errors/from-native');
const { fromWire } = require('../errors/from-wire');
const { rethrow } = require('../errors/rethrow');
const { define } = require('../intrinsics');
const { PoolErrors } = require('./pool-errors');
const { FLAG, KIND } = require('./rows');

/** @typedef {import('./rows').Row} Row */
/** @typedef {import('./task').Task} Task */
/** @typedef {import('./task').EventTask} EventTask */

/**
 * @typedef {object} Parts
 * @property {import('node:events').EventEmitter<any>} emitter
 * @property {import('./tickets').Tickets<Task>} tickets
 * @property {import('./cancellation').Cancellation} cancellation
 * @property {import('./keep-alive').KeepAlive} keepAlive
 * @property {import('./diagnostics').Diagnostics} diagnostics
 * @property {string} poolName
 * @property {(event: { event: string } & Record<string, any>) => void} onLifecycle gets the events
 *   of the pool as a whole
 * @property {(pid: number, what: string) => void} killForProtocolError kills a worker that broke
 *   the protocol
 * @property {() => void} disownResult counts the task of an unreadable result as failed
 * @property {boolean} advanced whether values may come in V8's format
 */

class Delivery {
  #emitter;
  #tickets;
  #cancellation;
  #keepAlive;
  #diagnostics;
  #poolErrors;
  #onLifecycle;
  #killForProtocolError;
  #disownResult;
  #advanced;
  /**
   * Listeners of the option `onProgress`, by ticket.
   *
   * @type {Map<number, (value: unknown, about: object) => void>}
   */
  #progressListeners = new Map();

  /** @param {Parts} parts */
  constructor({
    emitter,
    tickets,
    cancellation,
    keepAlive,
    diagnostics,
    poolName,
    onLifecycle,
    killForProtocolError,
    disownResult,
    advanced,
  }) {
    this.#emitter = emitter;
    this.#tickets = tickets;
    this.#cancellation = cancellation;
    this.#keepAlive = keepAlive;
    this.#diagnostics = diagnostics;
    this.#onLifecycle = onLifecycle;
    this.#killForProtocolError = killForProtocolError;
    this.#disownResult = disownResult;
    this.#advanced = advanced;
    this.#poolErrors = new PoolErrors({
      emitter,
      emit: (event, error) => this.emit(event, error),
      poolName,
      unsettled: () => tickets.size,
    });
  }

  /**
   * Announces that the pool broke.
   *
   * @param {Error} error
   * @param {boolean} isAnnounced a promise of the pool itself rejected with the error
   */
  poolBroke(error, isAnnounced) {
    this.#poolErrors.broke(error, isAnnounced);
  }

  /**
   * @param {Row} row
   * @param {any} value
   * @param {(Buffer | string)[]} blobs
   */
  onRow(row, value, blobs) {
    switch (row.kind) {
      case KIND.RESULT:
        return this.#result(row, value);
      case KIND.TASK_ERROR:
        return this.#handlerThrew(row, value);
      case KIND.TASK_FAILED:
        return this.#taskFailed(row, value);
      case KIND.MESSAGE:
        return this.emit('message', value, workerOf(row));
      case KIND.PROGRESS:
        return this.#progress(row, value);
      case KIND.CHUNK:
        return this.#chunk(row, value);
      case KIND.EVENT:
        return this.#event(row, value);
      case KIND.STDOUT:
        return this.emit('stdout', blobs[0], workerOf(row));
      case KIND.STDERR:
        return this.emit('stderr', blobs[0], workerOf(row));
    }
  }

  /**
   * Handles a row whose value cannot be read. bulkhead's own workers send no such bytes: the task
   * fails, and the worker is killed.
   *
   * @param {Row} row
   * @param {unknown} error
   */
  onMalformed(row, error) {
    const { kind, ticket, workerId, pid } = row;
    if (kind === KIND.RESULT) this.#disownResult();
    // The value is valid, but this process lacks the memory or the class for the value.
    if (kind <= KIND.TASK_FAILED && error instanceof BulkheadError)
      return this.#rejectWith(row, error);
    const reason = error instanceof Error ? error.message : String(error);
    const what = `unreadable value: ${reason}`;
    const failure = { what, workerId, pid };
    this.#killForProtocolError(pid, what);
    if (kind <= KIND.TASK_FAILED)
      this.fail(ticket, { kind: 'protocol', ...failure, maybeExecuted: true }, {}, row);
    else this.#poolErrors.protocolBroken(protocolError(failure));
  }

  /**
   * @param {Row} row
   * @param {any} value
   */
  #result(row, value) {
    const { ticket, flags, workerId, pid, attempt, waitTime, runTime } = row;
    const task = this.#tickets.remove(ticket);
    if (task === undefined) return;
    this.#settled(ticket);
    const isEnvelope = (flags & FLAG.ENVELOPE) !== 0 && typeof value === 'object' && value !== null;
    // The task and the worker are known from the row. The ids in the worker's envelope are not
    // trusted.
    const result = isEnvelope ? value.result : value;
    let envelope;
    try {
      if (this.#diagnostics.watchesEnds)
        this.#diagnostics.taskEnded(ticket, task.id, 'completed', row);
      if (this.#emitter.listenerCount('message') > 0) {
        envelope = { taskId: task.id, result, processedBy: pid };
        this.emit('message', envelope, workerOf(row));
      }
    } catch (error) {
      rethrow(error);
    }
    if (task.emitsEvents) {
      envelope ??= { taskId: task.id, result, processedBy: pid };
      this.#emitInScope(task, 'result', envelope, { workerId, attempt, waitTime, runTime });
    } else {
      task.resolve(result);
    }
  }

  /**
   * Rejects a task with what its handler threw.
   *
   * @param {Row} row
   * @param {unknown} wire
   */
  #handlerThrew(row, wire) {
    if (this.#tickets.get(row.ticket) === undefined) return;
    let error;
    try {
      error = fromWire(wire, this.#advanced);
    } catch (thrown) {
      error = /** @type {Error} */ (thrown);
    }
    this.#rejectWith(row, error);
  }

  /**
   * Rejects a task with an error, and adds the task and the worker to the error.
   *
   * @param {Row} row
   * @param {Error} error
   */
  #rejectWith(row, error) {
    const { ticket, workerId, pid } = row;
    const task = this.#tickets.remove(ticket);
    if (task === undefined) return;
    this.#settled(ticket);
    try {
      define(error, 'taskId', task.id);
      define(error, 'workerId', workerId);
      define(error, 'pid', pid);
    } catch (thrown) {
      this.#reject(ticket, task, /** @type {Error} */ (thrown), 'failed', row);
      return;
    }
    this.#reject(ticket, task, error, 'failed', row);
  }

  /**
   * @param {Row} row
   * @param {import('../errors/from-native').Failure} failure
   */
  #taskFailed(row, failure) {
    const { ticket, attempt } = row;
    this.fail(ticket, failure, failure.kind === 'crashed' ? { attempts: attempt } : {}, row);
  }

  /**
   * Rejects a task that failed other than by its handler.
   *
   * @param {number} ticket
   * @param {import('../errors/from-native').Failure} failure
   * @param {import('../errors/from-native').About} [about]
   * @param {Row} [row] with what is known of the last attempt
   */
  fail(ticket, failure, about = {}, row = undefined) {
    const task = this.#tickets.remove(ticket);
    if (task === undefined) return;
    if (failure.kind === 'broken' && task.awaited) this.#poolErrors.taskRejected();
    const reason = this.#settled(ticket);
    let error;
    try {
      error = toError(failure, { taskId: task.id, ...about }, reason);
    } catch (thrown) {
      // A program can patch the error classes. What a patched class throws becomes the task's
      // error.
      error = /** @type {Error} */ (thrown);
    }
    this.#reject(ticket, task, error, failure.kind === 'aborted' ? 'cancelled' : 'failed', row);
  }

  /**
   * @param {number} ticket
   * @param {Task} task
   * @param {Error} error
   * @param {'failed' | 'cancelled'} outcome
   * @param {Row | undefined} row
   */
  #reject(ticket, task, error, outcome, row) {
    try {
      if (this.#diagnostics.watchesEnds)
        this.#diagnostics.taskEnded(ticket, task.id, outcome, row, error);
    } catch (thrown) {
      rethrow(thrown);
    }
    if (task.emitsEvents) this.#emitInScope(task, 'error', error);
    /** @type {PromisedTask} */ else task.reject(error);
  }

  /**
   * Emits the last event of a task in the task's async context.
   *
   * @param {EventTask} task
   * @param {string} event
   * @param {unknown[]} args
   */
  #emitInScope(task, event, ...args) {
    task.runInAsyncScope(this.emit, this, event, ...args);
    task.emitDestroy();
  }

  /**
   * @param {Row} row
   * @param {unknown} value
   */
  #progress({ ticket, workerId }, value) {
    this.#inTaskScope(ticket, (task) => {
      const about = { taskId: task.id, workerId };
      try {
        this.#progressListeners.get(ticket)?.(value, about);
      } catch (error) {
        rethrow(error);
      }
      this.emit('progress', value, about);
    });
  }

  /**
   * @param {number} ticket of an unsettled task
   * @param {(value: any, about: any) => void} listener to the progress of this task
   */
  watchProgress(ticket, listener) {
    this.#progressListeners.set(ticket, listener);
  }

  /**
   * Passes a value of a stream on. A worker that sends more values than its credit allows broke the
   * protocol, and is killed.
   *
   * @param {Row} row
   * @param {unknown} value
   */
  #chunk({ ticket, pid }, value) {
    const task = this.#tickets.get(ticket);
    if (task === undefined || ('push' in task && task.push(value))) return;
    this.#killForProtocolError(pid, 'stream sent more chunks than its credit allows');
  }

  /**
   * Notifies of an event of an unsettled task, in the task's async context.
   *
   * @param {number} ticket
   * @param {(task: Task) => void} notify
   */
  #inTaskScope(ticket, notify) {
    const task = this.#tickets.get(ticket);
    if (task === undefined) return;
    if (task.emitsEvents) task.runInAsyncScope(notify, undefined, task);
    else notify(task);
  }

  /**
   * @param {Row} row
   * @param {{ event: string } & Record<string, any>} value
   */
  #event({ ticket }, { event, ...about }) {
    switch (event) {
      case 'online':
        return this.#online({ id: about.workerId, pid: about.pid });
      case 'exit':
        return this.#exit(exitOf(about));
      case 'lost-key':
        return this.emit('lost-key', { key: about.key, workerId: about.workerId });
      case 'retry':
        return this.#inTaskScope(ticket, (task) => {
          const error = toError(about.error, { taskId: task.id, attempts: about.attempt - 1 });
          this.#diagnostics.taskRetried(ticket, task.id, about.attempt, error);
          this.emit('retry', { taskId: task.id, attempt: about.attempt, error });
        });
      case 'protocol':
        return this.#poolErrors.protocolBroken(protocolError(/** @type {any} */ (about)));
      default:
        return this.#onLifecycle({ event, ...about });
    }
  }

  /** @param {import('../../index').WorkerInfo} worker */
  #online(worker) {
    this.#diagnostics.workerOnline(worker);
    this.emit('online', worker);
  }

  /** @param {import('../../index').WorkerExit} exit */
  #exit(exit) {
    this.#diagnostics.workerExited(exit);
    this.emit('exit', exit);
  }

  /**
   * Emits an event. What a listener throws becomes an uncaught exception, but does not end the loop
   * over the rows.
   *
   * @param {string | symbol} event
   * @param {unknown[]} args
   */
  emit(event, ...args) {
    try {
      this.#emitter.emit(event, ...args);
    } catch (error) {
      rethrow(error);
    }
  }

  /**
   * @param {number} ticket of a task that was just removed
   * @returns {unknown} the reason of the task's cancellation, if any
   */
  #settled(ticket) {
    if (this.#tickets.size === 0) {
      this.#keepAlive.tasks(0);
      this.#poolErrors.allSettled();
    }
    if (this.#progressListeners.size > 0) this.#progressListeners.delete(ticket);
    return this.#cancellation.settle(ticket);
  }
}

/** @param {Row} row */
function workerOf({ workerId, pid }) {
  return { id: workerId, pid };
}

/** @param {Record<string, any>} about */
function exitOf({ workerId, pid, code, signal, reason, uptime, tasksDone }) {
  return { workerId, pid, code, signal, reason, uptime, tasksDone };
}

module.exports = { Delivery };
