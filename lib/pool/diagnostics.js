'use strict';

// The channels of node:diagnostics_channel for tracing and metrics. Without subscribers a task
// costs a check of three channels, and no message is made.

const { channel } = require('node:diagnostics_channel');

const poolOpen = channel('bulkhead:pool:open');
const poolClose = channel('bulkhead:pool:close');
const workerOnline = channel('bulkhead:worker:online');
const workerExit = channel('bulkhead:worker:exit');
const taskStart = channel('bulkhead:task:start');
const taskRetry = channel('bulkhead:task:retry');
const taskEnd = channel('bulkhead:task:end');

/** @typedef {import('../../index').TaskMessage} TaskMessage */
/** @typedef {{ -readonly [Key in keyof TaskMessage]: TaskMessage[Key] }} Message */

/** @typedef {Pick<import('./rows').Row, 'workerId' | 'pid' | 'attempt' | 'waitTime' | 'runTime'>} LastAttempt */

/** The last attempt of a task that never started, as far as the pool knows. @type {LastAttempt} */
const NO_ATTEMPT = Object.freeze({ workerId: 0, pid: 0, attempt: 0, waitTime: 0, runTime: 0 });

class Diagnostics {
  #pool;
  #poolName;
  #opened = false;
  /**
   * Messages of unsettled tasks, by ticket: only of tasks that were published.
   *
   * @type {Map<number, Message>}
   */
  #messages = new Map();

  /**
   * @param {any} pool
   * @param {string} poolName
   */
  constructor(pool, poolName) {
    this.#pool = pool;
    this.#poolName = poolName;
  }

  /** True if `taskStarted` must be called. */
  get watchesTasks() {
    return taskStart.hasSubscribers || taskEnd.hasSubscribers || taskRetry.hasSubscribers;
  }

  /** True if `taskEnded` must be called. */
  get watchesEnds() {
    return taskEnd.hasSubscribers || this.#messages.size > 0;
  }

  poolOpened() {
    this.#opened = true;
    if (poolOpen.hasSubscribers) poolOpen.publish(this.#about());
  }

  /** Publishes the end of a pool that was opened. */
  poolClosed() {
    if (this.#opened && poolClose.hasSubscribers) poolClose.publish(this.#about());
  }

  /** @param {import('../../index').WorkerInfo} worker */
  workerOnline({ id, pid }) {
    if (workerOnline.hasSubscribers) workerOnline.publish({ ...this.#about(), workerId: id, pid });
  }

  /** @param {import('../../index').WorkerExit} exit */
  workerExited(exit) {
    if (workerExit.hasSubscribers) workerExit.publish({ ...this.#about(), ...exit });
  }

  /**
   * @param {number} ticket
   * @param {string | number} taskId
   * @param {string | null} trace
   */
  taskStarted(ticket, taskId, trace) {
    const message = this.#messageOf(taskId, trace);
    this.#messages.set(ticket, message);
    taskStart.publish(message);
  }

  /**
   * @param {number} ticket
   * @param {string | number} taskId
   * @param {number} attempt the next one
   * @param {Error} error which ended the attempt before
   */
  taskRetried(ticket, taskId, attempt, error) {
    if (!taskRetry.hasSubscribers) return;
    let message = this.#messages.get(ticket);
    if (message === undefined) {
      message = this.#messageOf(taskId, null);
      this.#messages.set(ticket, message);
    }
    message.attempt = attempt;
    message.error = error;
    taskRetry.publish(message);
  }

  /**
   * @param {number} ticket
   * @param {string | number} taskId
   * @param {'completed' | 'failed' | 'cancelled'} outcome
   * @param {LastAttempt | undefined} last its last attempt
   * @param {(Error & Record<string, any>) | undefined} error
   */
  taskEnded(ticket, taskId, outcome, last = NO_ATTEMPT, error = undefined) {
    const message = this.#messages.get(ticket) ?? this.#messageOf(taskId, null);
    this.#messages.delete(ticket);
    message.outcome = outcome;
    message.error = error;
    // 0 means "not known", except in the times of a task that ran.
    message.workerId = last.workerId || error?.workerId;
    message.pid = last.pid || error?.pid || undefined;
    if (last.attempt > 0) {
      message.attempt = last.attempt;
      message.waitTime = last.waitTime;
      message.runTime = last.runTime;
    }
    taskEnd.publish(message);
  }

  #about() {
    return { pool: this.#pool, poolName: this.#poolName };
  }

  /**
   * Makes a message with all members, so that all messages have one hidden class.
   *
   * @param {string | number} taskId
   * @param {string | null} trace
   * @returns {Message}
   */
  #messageOf(taskId, trace) {
    return {
      pool: this.#pool,
      poolName: this.#poolName,
      taskId,
      trace: trace ?? undefined,
      attempt: undefined,
      outcome: undefined,
      workerId: undefined,
      pid: undefined,
      waitTime: undefined,
      runTime: undefined,
      error: undefined,
    };
  }
}

module.exports = { Diagnostics };
