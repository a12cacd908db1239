'use strict';

// A script written for child_process.fork: it exports no handler and listens for messages. Each
// task reaches the script as a message. The message it sends back with the task's `taskId` is the
// result.

const { exec } = require('./compile');
const { isEnvelope } = require('./envelope');
const { OwnMap, emit, getPrototypeOf, hasOwn, isArray } = require('./intrinsics');

/** Returned by `start` for a task that ends later. */
const PENDING = Symbol('ends by process.send');

/** Prototype of plain objects. */
const PLAIN = Object.prototype;

/**
 * @typedef {import('./context').Task} Task
 * @typedef {import('./context').WorkerContext} WorkerContext
 * @typedef {import('./module-program').Program} Program
 */

/** @implements {Program} */
class ForkScript {
  #handlers;
  /**
   * Running tasks by the user's id. Two running tasks may share an id: the earlier one ends first.
   *
   * @type {Map<unknown, Task[]>}
   */
  #running = new OwnMap();

  /** @param {import('./handlers').Handlers} handlers for `setup` and `teardown`, which a script may export */
  constructor(handlers) {
    this.#handlers = handlers;
  }

  /** @param {WorkerContext} context */
  async setup(context) {
    await this.#handlers.hook('setup')?.(context);
  }

  /**
   * @param {Task} task
   * @returns {unknown}
   */
  start(task) {
    const { frame, payload } = task;
    if (frame.exec !== undefined) return exec(frame.exec, payload);
    if (frame.call === true) {
      throw new TypeError(
        `this worker is a fork-style script: calls are not supported, and "${frame.handler}" was called`,
      );
    }
    if (frame.handler !== undefined || frame.filename !== undefined) {
      const given =
        frame.handler === undefined ? `filename "${frame.filename}"` : `handler "${frame.handler}"`;
      throw new TypeError(
        `this worker is a fork-style script: the task options "handler" and "filename" are not supported, and ${given} was given`,
      );
    }
    const { taskId } = task;
    const same = this.#running.get(taskId);
    if (same === undefined) this.#running.set(taskId, [task]);
    else same[same.length] = task;
    try {
      emit('message', asMessage(payload, taskId), undefined);
    } catch (thrown) {
      // Under fork this would end the process. Here the pool knows which task caused it.
      this.#remove(taskId, task);
      throw thrown;
    }
    return PENDING;
  }

  /**
   * @param {any} message
   * @returns {boolean}
   */
  accept(message) {
    if (typeof message !== 'object' || message === null || !hasOwn(message, 'taskId')) return false;
    // Many scripts write `{ result, error: null }` for success.
    const failed =
      hasOwn(message, 'error') && message.error !== undefined && message.error !== null;
    if (!failed && !hasOwn(message, 'result')) return false;
    const { taskId } = message;
    const task = this.#running.get(taskId)?.[0];
    if (task === undefined) return false;
    this.#remove(taskId, task);
    if (failed) task.fail(message.error);
    // A message with `processedBy` may be the whole envelope, which is sent unchanged.
    else task.end(isEnvelope(message) ? message : message.result);
    return true;
  }

  /** @param {WorkerContext} context */
  async teardown(context) {
    await this.#handlers.hook('teardown')?.(context);
  }

  /**
   * @param {unknown} taskId
   * @param {Task} task
   */
  #remove(taskId, task) {
    const same = this.#running.get(taskId) ?? [];
    /** @type {Task[]} */
    const rest = [];
    for (let i = 0; i < same.length; i++) {
      if (same[i] !== task) rest[rest.length] = same[i];
    }
    if (rest.length === 0) this.#running.delete(taskId);
    else this.#running.set(taskId, rest);
  }
}

/**
 * Returns the task as a message. The script needs an id for its answer, so a task without one gets
 * the id of its attempt.
 *
 * @param {any} payload
 * @param {string | number} taskId
 */
function asMessage(payload, taskId) {
  if (typeof payload !== 'object' || payload === null || isArray(payload))
    return { id: taskId, data: payload };
  const prototype = getPrototypeOf(payload);
  if (prototype !== PLAIN && prototype !== null) return { id: taskId, data: payload };
  if (!hasOwn(payload, 'id')) payload.id = taskId;
  return payload;
}

module.exports = { ForkScript, PENDING };
