'use strict';

// All error classes of bulkhead. Each has a stable `code`, and an `instanceof` that works across
// two copies of the package: it tests a registered symbol on the prototype instead of the identity
// of the class.

const { define, hasOwn, keysOf } = require('../intrinsics');

const CODE = Symbol('code');

/**
 * Gives an error class its name, its code, and an `instanceof` that tests a mark on the prototype.
 *
 * @param {Function} Class
 * @param {string} name not taken from the class, since bundlers rename classes
 * @param {string} code
 */
function brand(Class, name, code) {
  const mark = Symbol.for(`bulkhead.error.${code}`);
  Object.defineProperty(Class, CODE, { value: code });
  Object.defineProperty(Class.prototype, 'name', {
    value: name,
    writable: true,
    configurable: true,
  });
  Object.defineProperty(Class.prototype, mark, { value: true });
  Object.defineProperty(Class, Symbol.hasInstance, {
    /** @param {any} value */
    value(value) {
      // A user's subclass inherits this function but has no mark of its own: compare prototypes as
      // usual.
      if (this !== Class) return Function.prototype[Symbol.hasInstance].call(this, value);
      return typeof value === 'object' && value !== null && value[mark] === true;
    },
  });
}

class BulkheadError extends Error {
  /**
   * @param {string} [message]
   * @param {Record<string, unknown>} [fields] own properties to set, except undefined ones; `cause`
   *   is set as by Error
   */
  constructor(message, fields = {}) {
    const { cause, ...rest } = fields;
    super(message, cause === undefined || !hasOwn(fields, 'cause') ? undefined : { cause });
    // Defined, not assigned: a program may have added a setter of this name to all objects.
    define(this, 'code', /** @type {any} */ (new.target)[CODE]);
    const keys = keysOf(rest);
    for (let i = 0; i < keys.length; i++) {
      const value = rest[keys[i]];
      if (value !== undefined) define(this, keys[i], value);
    }
  }
}
brand(BulkheadError, 'BulkheadError', 'ERR_BULKHEAD');

/** The worker died while the task ran, or while its result was on the way. */
class WorkerCrashedError extends BulkheadError {}
brand(WorkerCrashedError, 'WorkerCrashedError', 'ERR_WORKER_CRASHED');

/** A worker did not become ready. */
class WorkerStartError extends BulkheadError {}
brand(WorkerStartError, 'WorkerStartError', 'ERR_WORKER_START');

/** Workers died repeatedly before they became ready, so the pool has stopped starting them. */
class PoolBrokenError extends BulkheadError {}
brand(PoolBrokenError, 'PoolBrokenError', 'ERR_POOL_BROKEN');

/** The pool is shut down, or is being shut down. */
class PoolClosedError extends BulkheadError {}
brand(PoolClosedError, 'PoolClosedError', 'ERR_POOL_CLOSED');

/** `maxQueue` or `maxQueueBytes` is reached. */
class QueueFullError extends BulkheadError {}
brand(QueueFullError, 'QueueFullError', 'ERR_QUEUE_FULL');

/** The task ran longer than its timeout. */
class TaskTimeoutError extends BulkheadError {}
brand(TaskTimeoutError, 'TaskTimeoutError', 'ERR_TASK_TIMEOUT');

/** The task was cancelled. Name and code equal those of Node's AbortError. */
class AbortError extends BulkheadError {}
brand(AbortError, 'AbortError', 'ABORT_ERR');

/** A task, a result or a message cannot be sent. */
class SerializationError extends BulkheadError {}
brand(SerializationError, 'SerializationError', 'ERR_SERIALIZATION');

/** A task, a result or a message is larger than `maxMessageSize`. */
class MessageTooLargeError extends BulkheadError {}
brand(MessageTooLargeError, 'MessageTooLargeError', 'ERR_MESSAGE_TOO_LARGE');

/** A worker broke the wire protocol. */
class ProtocolError extends BulkheadError {}
brand(ProtocolError, 'ProtocolError', 'ERR_PROTOCOL');

module.exports = {
  AbortError,
  BulkheadError,
  MessageTooLargeError,
  PoolBrokenError,
  PoolClosedError,
  ProtocolError,
  QueueFullError,
  SerializationError,
  TaskTimeoutError,
  WorkerCrashedError,
  WorkerStartError,
};
