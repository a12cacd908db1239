'use strict';

// From rows to what users get: promises settled and events emitted. Whatever a listener does, the
// rows behind its own are delivered.
//
// A task that has left the table is settled, whatever is thrown on the way: what may run user code
// is guarded by itself.

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
 * @property {(event: { event: string } & Record<string, any>) => void} onLifecycle events of the pool as a whole
 * @property {(pid: number, what: string) => void} killForProtocolError has a worker killed for what it said
 * @property {() => void} disownResult a result could not be taken, and its task fails
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
  /** Of single tasks, by ticket. @type {Map<number, (value: unknown, about: object) => void>} */
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
   * The pool broke.
   *
   * @param {Error} error
   * @param {boolean} isAnnounced a promise of the pool itself has rejected with it
   */
  poolBroke(error, isAnnounced) {
    this.#poolErrors.broke(error, isAnnounced);
  }

  /**
   * @param {Row} row
   * @param {any} value
   * @param {Buffer[]} blobs
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
   * Bytes that no sender of ours makes. They cost the task that they came for, and the worker.
   *
   * @param {Row} row
   * @param {unknown} error
   */
  onMalformed(row, error) {
    const { kind, ticket, workerId, pid } = row;
    if (kind === KIND.RESULT) this.#disownResult();
    // A sound value that this process cannot take: it has not the memory for it, or not the class.
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
    // Whose result it is and who made it is known here. A worker that names another task is not
    // asked.
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
   * What the handler threw.
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
   * A task has ended with an error, which is to say where.
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
   * Ends a task other than by its handler.
   *
   * @param {number} ticket
   * @param {import('../errors/from-native').Failure} failure
   * @param {import('../errors/from-native').About} [about]
   * @param {Row} [row] with what is known of its last run
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
      // The classes of errors can be patched. A task that ends with what that throws ends.
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
   * The last event of a task.
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
   * @param {(value: any, about: any) => void} listener to what this task tells of its progress
   */
  watchProgress(ticket, listener) {
    this.#progressListeners.set(ticket, listener);
  }

  /**
   * One of several values of a task. A worker that gives more of them than were asked for is not
   * trusted any further.
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
   * Something happens to a task that goes on.
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
   * Emits, and lets what a listener throws take the way of any exception in an event, except that
   * it does not take this loop along.
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
   * @returns {unknown} the reason it was cancelled for
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
