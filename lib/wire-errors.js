'use strict';

// What a handler throws, as data for the channel, and as an error again. Both directions expect the worst: errors that
// are frozen, cyclic or endless, getters that throw, and a peer that sends anything at all.

const { inspect, types } = require('node:util');
const { AbortError, MessageTooLargeError, ProtocolError, SerializationError } = require('./errors');
const { define } = require('./flatten');

/** How far `cause` and `errors` are followed. */
const MAX_DEPTH = 16;
/** Of the errors in one AggregateError. */
const MAX_ERRORS = 256;
/** UTF-16 units of a message or a stack, and of all own fields together. */
const MAX_TEXT = 1024 * 1024;
/** A prototype chain that is longer is a Proxy's joke. */
const MAX_PROTOTYPES = 64;

/**
 * The classes that keep their identity. Names are looked up here and nowhere else: a worker cannot name a global. Other
 * classes of bulkhead are not among them, since a handler's PoolClosedError is about a pool of its own.
 *
 * @type {Map<string, new (message?: string) => Error>}
 */
const CLASSES = new Map(
  Object.entries({
    Error,
    TypeError,
    RangeError,
    SyntaxError,
    ReferenceError,
    EvalError,
    URIError,
    AbortError,
    MessageTooLargeError,
    ProtocolError,
    SerializationError,
  }),
);

/** @type {Map<unknown, string>} */
const NAMES = new Map([...CLASSES].map(([name, Class]) => [Class.prototype, name]));
NAMES.set(AggregateError.prototype, 'AggregateError');

/** Not among `fields`: they have a place of their own. */
const RESERVED = new Set(['name', 'message', 'stack', 'class', 'code', 'cause', 'errors']);

/**
 * @typedef {object} WireError
 * @property {string} [name]
 * @property {string} [message]
 * @property {string} [stack]
 * @property {string} [class] the nearest class that the other side has as well
 * @property {string | number} [code]
 * @property {Record<string, unknown>} [fields] own enumerable properties
 * @property {WireError | { value?: unknown }} [cause]
 * @property {(WireError | { value?: unknown })[]} [errors]
 * @property {boolean} [nonError] what was thrown is no error, but `value`
 * @property {unknown} [value]
 */

/**
 * @param {unknown} thrown
 * @returns {WireError} plain data that JSON.stringify takes
 */
function toWire(thrown) {
  if (isError(thrown)) return errorToWire(/** @type {object} */ (thrown), []);
  return { ...valueToWire(thrown), nonError: true, message: describe(thrown) };
}

/** @param {unknown} value */
function isError(value) {
  try {
    return types.isNativeError(value) || value instanceof Error;
  } catch {
    // A Proxy with a trap that throws.
    return false;
  }
}

/**
 * @param {object} error
 * @param {object[]} above the errors that this one was found in
 * @returns {WireError}
 */
function errorToWire(error, above) {
  const className = nearestClass(error);
  const path = [...above, error];
  /** @type {WireError} */
  const wire = {
    name: asText(read(error, 'name')) ?? className,
    message: asText(read(error, 'message')) ?? '',
    class: className,
  };
  const stack = asText(read(error, 'stack'));
  if (stack !== undefined) wire.stack = stack;
  const code = read(error, 'code');
  if (typeof code === 'string' || typeof code === 'number') wire.code = code;
  if (owns(error, 'cause')) {
    const cause = nestedToWire(read(error, 'cause'), path);
    if (cause !== undefined) wire.cause = cause;
  }
  const errors = owns(error, 'errors') ? read(error, 'errors') : undefined;
  const nested = Array.isArray(errors) && (className === 'AggregateError' || errors.some(isError));
  if (nested) wire.errors = errors.slice(0, MAX_ERRORS).flatMap((item) => nestedToWire(item, path) ?? []);
  const fields = ownFields(error, nested);
  if (fields !== undefined) wire.fields = fields;
  return wire;
}

/**
 * @param {unknown} value
 * @param {object[]} above
 * @returns {WireError | { value?: unknown } | undefined} undefined beyond MAX_DEPTH
 */
function nestedToWire(value, above) {
  if (!isError(value)) return valueToWire(value);
  if (above.includes(/** @type {object} */ (value))) return { value: '[Circular]' };
  return above.length < MAX_DEPTH ? errorToWire(/** @type {object} */ (value), above) : undefined;
}

/**
 * @param {unknown} value
 * @returns {{ value?: unknown }}
 */
function valueToWire(value) {
  if (value === undefined) return {};
  const json = toJson(value);
  return { value: json === undefined || json.length > MAX_TEXT ? describe(value) : JSON.parse(json) };
}

/**
 * @param {object} error
 * @param {boolean} nested `errors` has been dealt with
 */
function ownFields(error, nested) {
  /** @type {Record<string, unknown> | undefined} */
  let fields;
  let room = MAX_TEXT;
  for (const key of ownKeys(error)) {
    if (RESERVED.has(key) && (nested || key !== 'errors')) continue;
    const json = toJson(read(error, key));
    if (json === undefined) continue;
    room -= key.length + json.length;
    if (room < 0) break;
    fields ??= {};
    define(fields, key, JSON.parse(json));
  }
  return fields;
}

/** @param {object} error */
function nearestClass(error) {
  let name;
  try {
    let prototype = Object.getPrototypeOf(error);
    for (let i = 0; i < MAX_PROTOTYPES && prototype !== null && name === undefined; i++) {
      name = NAMES.get(prototype);
      prototype = Object.getPrototypeOf(prototype);
    }
  } catch {
    // A Proxy's trap: an Error, then.
  }
  if (name !== undefined) return name;
  // An error of another realm (node:vm) has other prototypes, but the same names.
  const own = read(error, 'name');
  return typeof own === 'string' && (CLASSES.has(own) || own === 'AggregateError') ? own : 'Error';
}

/**
 * @param {unknown} wire as it came from the worker
 * @returns {Error & Record<string, unknown>}
 */
function fromWire(wire) {
  if (!isRecord(wire)) return withCause(build('Error', 'the worker reported a failure in an unknown form'), wire);
  if (!wire.nonError) return errorFromWire(wire, 0);
  const text = typeof wire.message === 'string' ? wire.message : describe(wire.value);
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

const TOO_DEEP = Symbol('too deep');

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

/**
 * @param {any} object
 * @param {string} key
 * @returns {unknown}
 */
function read(object, key) {
  try {
    return object[key];
  } catch {
    // A getter that throws is as good as none: the error matters, not this.
    return undefined;
  }
}

/**
 * @param {object} object
 * @param {string} key
 */
function owns(object, key) {
  try {
    return Object.hasOwn(object, key);
  } catch {
    return false;
  }
}

/** @param {object} object */
function ownKeys(object) {
  try {
    return Object.keys(object);
  } catch {
    return [];
  }
}

/**
 * @param {unknown} value
 * @returns {string | undefined}
 */
function toJson(value) {
  try {
    return JSON.stringify(value);
  } catch {
    // A field that cannot be sent must not cost us the error.
    return undefined;
  }
}

/**
 * @param {unknown} value
 * @returns {string | undefined}
 */
function asText(value) {
  if (typeof value !== 'string') return undefined;
  return value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}... (${value.length} characters)` : value;
}

/** @param {unknown} value */
function describe(value) {
  if (typeof value === 'string') return /** @type {string} */ (asText(value));
  try {
    return /** @type {string} */ (asText(inspect(value, { depth: 1, customInspect: false, getters: false })));
  } catch {
    return `a value of type ${typeof value}`;
  }
}

module.exports = { fromWire, toWire, withoutStack };
