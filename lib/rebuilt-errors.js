'use strict';

// Errors made again from what came over the channel. The peer may have sent anything at all.

const { define } = require('./flatten');
const { CLASSES, MAX_DEPTH, MAX_ERRORS, RESERVED } = require('./wire-error');

const TOO_DEEP = Symbol('too deep');

/**
 * @param {unknown} wire as it came from the worker
 * @returns {Error & Record<string, unknown>}
 */
function fromWire(wire) {
  if (!isRecord(wire)) return withCause(build('Error', 'the worker reported a failure in an unknown form'), wire);
  if (!wire.nonError) return errorFromWire(wire, 0);
  const text = typeof wire.message === 'string' ? wire.message : `a value of type ${typeof wire.value}`;
  return withCause(build('Error', `the handler threw what is not an error: ${text}`), wire.value);
}

/**
 * @param {Record<string, unknown>} wire
 * @param {number} depth
 * @returns {Error & Record<string, unknown>}
 */
function errorFromWire(wire, depth) {
  const message = typeof wire.message === 'string' ? wire.message : '';
  const error = build(wire.class, message, errorsFromWire(wire, depth));
  if (typeof wire.name === 'string' && wire.name !== error.name) hide(error, 'name', wire.name);
  if (isRecord(wire.fields)) {
    for (const [key, value] of Object.entries(wire.fields)) {
      if (!RESERVED.has(key) || key === 'errors') define(error, key, value);
    }
  }
  if (typeof wire.code === 'string' || typeof wire.code === 'number') define(error, 'code', wire.code);
  if (Object.hasOwn(wire, 'cause')) {
    const cause = nestedFromWire(wire.cause, depth);
    if (cause !== TOO_DEEP) withCause(error, cause);
  }
  hide(error, 'stack', typeof wire.stack === 'string' ? wire.stack : `${error.name}: ${message}`);
  return error;
}

/**
 * @param {unknown} wire
 * @param {number} depth
 */
function nestedFromWire(wire, depth) {
  if (!isRecord(wire)) return wire;
  if (!Object.hasOwn(wire, 'message') && !Object.hasOwn(wire, 'class')) return wire.value;
  return depth < MAX_DEPTH ? errorFromWire(wire, depth + 1) : TOO_DEEP;
}

/**
 * @param {Record<string, unknown>} wire
 * @param {number} depth
 */
function errorsFromWire({ errors }, depth) {
  if (!Array.isArray(errors)) return undefined;
  return errors
    .slice(0, MAX_ERRORS)
    .map((item) => nestedFromWire(item, depth))
    .filter((item) => item !== TOO_DEEP);
}

/**
 * @param {unknown} className
 * @param {string} message
 * @param {unknown[]} [errors]
 * @returns {Error & Record<string, any>}
 */
function build(className, message, errors) {
  return withoutStack(() => {
    if (className === 'AggregateError') return new AggregateError(errors ?? [], message);
    const Class = CLASSES.get(/** @type {string} */ (className)) ?? Error;
    const error = new Class(message);
    if (errors !== undefined) hide(error, 'errors', errors);
    return error;
  });
}

/**
 * Makes an error whose stack would only show how messages are taken in: not worth the microseconds when thousands of
 * tasks fail at once.
 *
 * @template T
 * @param {() => T} make
 * @returns {T & Record<string, any>}
 */
function withoutStack(make) {
  const limit = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit');
  if (!limit?.writable) return /** @type {any} */ (make());
  Error.stackTraceLimit = 0;
  try {
    return /** @type {any} */ (make());
  } finally {
    Error.stackTraceLimit = limit.value;
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
 * As the engine's own properties of errors are.
 *
 * @param {object} error
 * @param {string} key
 * @param {unknown} value
 */
function hide(error, key, value) {
  Object.defineProperty(error, key, { value, writable: true, enumerable: false, configurable: true });
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isRecord(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

module.exports = { fromWire, withoutStack };
