'use strict';

// An accepted task, as the JavaScript side remembers it until it is settled: no more than its id
// and who is to be told. There may be a million of them, which is why there is one small object for
// each and no closure.

const { AsyncResource } = require('node:async_hooks');

const RESOURCE = { requireManualDestroy: true };

/**
 * Of `run()` and `exec()`. A promise's reactions run in the context of their own `await`, so that
 * it keeps none.
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

  /** Whether a promise rejects if the task fails. */
  get awaited() {
    return true;
  }
}

/** Of `distributeTask()`. Listeners hear of it in the async context of that call. */
class EventTask extends AsyncResource {
  /** @type {string | number} */
  id = 0;

  constructor() {
    // It is destroyed by hand, when the task is settled: a finalizer for each would cost more than
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
 * The id that a task brings along.
 *
 * @param {unknown} task
 * @returns {string | number | undefined}
 */
function idOf(task) {
  const id = ownProperty(task, 'id');
  return typeof id === 'string' || (typeof id === 'number' && Number.isFinite(id)) ? id : undefined;
}

/**
 * The handler that a task asks for.
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
    // A getter or a trap that throws: serialising the task has said so already, or will.
    return undefined;
  }
}

module.exports = { EventTask, PromisedTask, idOf, typeOf };
