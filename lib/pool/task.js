'use strict';

// The JavaScript side's record of an accepted task, kept until the task is settled: the id, and the
// receiver of the outcome. There may be a million tasks, so each is one small object without
// closures.

const { AsyncResource } = require('node:async_hooks');

const RESOURCE = { requireManualDestroy: true };

/**
 * A task of `run()`, `exec()` or a proxy. The reactions of a promise run in the async context of
 * their own `await`, so the task stores no context.
 */
class PromisedTask {
  /** @type {string | number} */
  id = 0;

  /**
   * @param {(value: unknown) => void} resolve
   * @param {(error: unknown) => void} reject
   */
  constructor(resolve, reject) {
    this.resolve = resolve;
    this.reject = reject;
  }

  get emitsEvents() {
    return /** @type {const} */ (false);
  }

  /** True if a promise rejects when the task fails. */
  get awaited() {
    return true;
  }
}

/** A task of `distributeTask()`. Its listeners run in the async context of that call. */
class EventTask extends AsyncResource {
  /** @type {string | number} */
  id = 0;

  constructor() {
    // The resource is destroyed by hand when the task is settled: a finalizer would cost more than
    // the task.
    super('BulkheadTask', RESOURCE);
  }

  get emitsEvents() {
    return /** @type {const} */ (true);
  }

  get awaited() {
    return false;
  }
}

/** @typedef {PromisedTask | import('../iterate/mapped-task').MappedTask | EventTask | import('../iterate/task-stream').TaskStream} Task */

/**
 * Returns the id in a task's own data.
 *
 * @param {unknown} task
 * @returns {string | number | undefined}
 */
function idOf(task) {
  const id = ownProperty(task, 'id');
  return typeof id === 'string' || (typeof id === 'number' && Number.isFinite(id)) ? id : undefined;
}

/**
 * Returns the handler that a task names.
 *
 * @param {unknown} task
 * @returns {string | undefined}
 */
function typeOf(task) {
  const type = ownProperty(task, 'type');
  return typeof type === 'string' ? type : undefined;
}

/**
 * @param {any} object
 * @param {string} key
 * @returns {unknown}
 */
function ownProperty(object, key) {
  if (typeof object !== 'object' || object === null || Array.isArray(object)) return undefined;
  try {
    return Object.hasOwn(object, key) ? object[key] : undefined;
  } catch {
    // A getter or a trap threw. Serialising the task reports the error.
    return undefined;
  }
}

module.exports = { EventTask, PromisedTask, idOf, typeOf };
