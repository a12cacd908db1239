'use strict';

// Rebuilds errors that came over the channel. The other process may have sent anything.

const { deserialize, fromBase64 } = require('../codec/advanced');
const { fromBytes } = require('../codec/binary');
const { containerAt } = require('../codec/value-path');
const {
  define,
  defineProperty,
  getOwnPropertyDescriptor,
  hasOwn,
  isArray,
  keysOf,
} = require('../intrinsics');
const { CLASSES, MAX_DEPTH, MAX_ERRORS, RESERVED } = require('./wire-format');

const ErrorClass = Error;
const Aggregate = AggregateError;
const TOO_DEEP = Symbol('too deep');

/**
 * @param {unknown} wire as received; it is modified
 * @param {boolean} advanced whether the error may have values in V8's format
 * @returns {Error & Record<string, unknown>}
 */
function fromWire(wire, advanced) {
  if (!isRecord(wire))
    return withCause(build('Error', 'the worker reported an error in an unknown format'), wire);
  const reader = new Reader(advanced);
  if (!wire.nonError) return reader.error(wire, 0);
  reader.fill(wire, 0);
  const text =
    typeof wire.message === 'string' ? wire.message : `a value of type ${typeof wire.value}`;
  return withCause(build('Error', `the handler threw a non-Error value: ${text}`), wire.value);
}

class Reader {
  #advanced;

  /** @param {boolean} advanced */
  constructor(advanced) {
    this.#advanced = advanced;
  }

  /**
   * @param {Record<string, unknown>} wire
   * @param {number} depth
   * @returns {Error & Record<string, unknown>}
   */
  error(wire, depth) {
    this.fill(wire, depth);
    const message = typeof wire.message === 'string' ? wire.message : '';
    const error = build(wire.class, message, this.#list(wire.errors, depth));
    if (typeof wire.name === 'string' && wire.name !== error.name) hide(error, 'name', wire.name);
    const { fields } = wire;
    if (isRecord(fields)) {
      const keys = keysOf(fields);
      for (let i = 0; i < keys.length; i++) {
        const key = keys[i];
        if (!RESERVED.has(key) || key === 'errors') define(error, key, fields[key]);
      }
    }
    if (typeof wire.code === 'string' || typeof wire.code === 'number')
      define(error, 'code', wire.code);
    if (hasOwn(wire, 'cause')) {
      const cause = this.#nested(wire.cause, depth);
      if (cause !== TOO_DEEP) withCause(error, cause);
    }
    hide(error, 'stack', typeof wire.stack === 'string' ? wire.stack : `${error.name}: ${message}`);
    return error;
  }

  /**
   * Restores the values that JSON has no form for, by `places`. Malformed entries keep their JSON.
   *
   * @param {Record<string, unknown>} wire
   * @param {number} depth
   */
  fill(wire, depth) {
    const { places } = wire;
    if (!isArray(places)) return;
    for (let i = 0; i < places.length; i++) {
      try {
        const type = places[i][0];
        const path = places[i][1];
        // Restore values of the user only: a path must not replace a message or a stack.
        if (path[0] !== 'fields' && path[0] !== 'value') continue;
        const container = containerAt(wire, path);
        const key = path[path.length - 1];
        define(container, key, this.#value(type, container[key], depth));
      } catch {
        // Our own sender does not write such an entry.
      }
    }
  }

  /**
   * @param {unknown} type
   * @param {unknown} there JSON at the path
   * @param {number} depth
   * @returns {unknown}
   * @throws the entry is malformed
   */
  #value(type, there, depth) {
    if (type === 'Error') {
      const value = this.#nested(there, depth);
      return value === TOO_DEEP ? there : value;
    }
    if (type !== 'v8') return fromBytes(/** @type {string} */ (type), fromBase64(there));
    return this.#advanced ? deserialize(fromBase64(there), []) : there;
  }

  /**
   * @param {unknown} wire
   * @param {number} depth
   */
  #nested(wire, depth) {
    if (!isRecord(wire)) return wire;
    if (!hasOwn(wire, 'message') && !hasOwn(wire, 'class')) {
      this.fill(wire, depth);
      return wire.value;
    }
    return depth < MAX_DEPTH ? this.error(wire, depth + 1) : TOO_DEEP;
  }

  /**
   * @param {unknown} errors
   * @param {number} depth
   */
  #list(errors, depth) {
    if (!isArray(errors)) return undefined;
    const list = [];
    for (let i = 0; i < errors.length && i < MAX_ERRORS; i++) {
      const item = this.#nested(errors[i], depth);
      if (item !== TOO_DEEP) list[list.length] = item;
    }
    return list;
  }
}

/**
 * @param {unknown} className
 * @param {string} message
 * @param {unknown[]} [errors]
 * @returns {Error & Record<string, any>}
 */
function build(className, message, errors) {
  return withoutStack(() => {
    if (className === 'AggregateError') {
      const error = new Aggregate([], message);
      // The constructor would iterate over the list, and user code may have patched iterators.
      hide(error, 'errors', errors ?? []);
      return error;
    }
    const Class = CLASSES.get(/** @type {string} */ (className)) ?? ErrorClass;
    const error = new Class(message);
    if (errors !== undefined) hide(error, 'errors', errors);
    return error;
  });
}

/**
 * Creates an error without a stack trace. Its stack would show only the reading of messages, and
 * costs microseconds for each of thousands of failed tasks.
 *
 * @template T
 * @param {() => T} make
 * @returns {T & Record<string, any>}
 */
function withoutStack(make) {
  const limit = getOwnPropertyDescriptor(ErrorClass, 'stackTraceLimit');
  if (!limit?.writable) return /** @type {any} */ (make());
  ErrorClass.stackTraceLimit = 0;
  try {
    return /** @type {any} */ (make());
  } finally {
    ErrorClass.stackTraceLimit = limit.value;
  }
}

/**
 * @template {object} E
 * @param {E} error
 * @param {unknown} cause
 */
function withCause(error, cause) {
  hide(error, 'cause', cause);
  return error;
}

/**
 * Defines a property as the engine defines its own properties of errors: not enumerable.
 *
 * @param {object} error
 * @param {string} key
 * @param {unknown} value
 */
function hide(error, key, value) {
  defineProperty(error, key, { value, writable: true, enumerable: false, configurable: true });
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isRecord(value) {
  return typeof value === 'object' && value !== null && !isArray(value);
}

module.exports = { fromWire, withoutStack };
