'use strict';

// A script written for child_process.fork: it exports nothing and listens for messages. Each task reaches it as a message,
// and the message it sends back with the task's `taskId` is the result.

const { compile } = require('./exec');
const { emit, hasOwn, isArray } = require('./intrinsics');

/** What `start` returns for a task whose end comes by `process.send`. */
const LATER = Symbol('ends by process.send');

class ForkScript {
  #handlers;
  /** Running tasks by the user's id. Ids are the user's, so two running tasks may share one: the earlier ends first. */
  #running = new Map();

  /** @param {import('./handlers').Handlers} handlers for `setup` and `teardown`, which a script may export */
  constructor(handlers) {
    this.#handlers = handlers;
  }

  async setup(context) {
    await this.#handlers.hook('setup')?.(context);
  }

  start(task) {
    const { frame, payload } = task;
    if (frame.exec !== undefined) return compile(frame.exec)(...payload);
    if (frame.handler !== undefined || frame.filename !== undefined) {
      throw new TypeError('This worker is a fork-style script: its tasks can have neither "handler" nor "filename"');
    }
    const { taskId } = task;
    const same = this.#running.get(taskId);
    if (same === undefined) this.#running.set(taskId, [task]);
    else same.push(task);
    try {
      emit('message', asMessage(payload, taskId), undefined);
    } catch (thrown) {
      this.#remove(taskId, task);
      throw thrown;
    }
    return LATER;
  }

  /**
   * Takes a message of the script, if it is a task's end.
   *
   * @returns {boolean} whether it was
   */
  accept(message) {
    if (typeof message !== 'object' || message === null || !hasOwn(message, 'taskId')) return false;
    const failed = hasOwn(message, 'error') && message.error !== undefined && message.error !== null;
    if (!failed && !hasOwn(message, 'result')) return false;
    const { taskId } = message;
    const task = this.#running.get(taskId)?.[0];
    if (task === undefined) return false;
    this.#remove(taskId, task);
    if (failed) task.fail(message.error);
    // With `processedBy` it is the whole envelope, which goes as it is.
    else task.end(hasOwn(message, 'processedBy') ? message : message.result);
    return true;
  }

  async teardown(context) {
    await this.#handlers.hook('teardown')?.(context);
  }

  #remove(taskId, task) {
    const rest = this.#running.get(taskId)?.filter((other) => other !== task) ?? [];
    if (rest.length === 0) this.#running.delete(taskId);
    else this.#running.set(taskId, rest);
  }
}

// The script needs an id to answer with, so a task that has none gets the one it was assigned.
function asMessage(payload, taskId) {
  if (typeof payload !== 'object' || payload === null || isArray(payload)) return { id: taskId, data: payload };
  const prototype = Object.getPrototypeOf(payload);
  if (prototype !== Object.prototype && prototype !== null) return { id: taskId, data: payload };
  if (!hasOwn(payload, 'id')) payload.id = taskId;
  return payload;
}

module.exports = { ForkScript, LATER };
