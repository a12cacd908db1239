'use strict';

// What a handler throws, as data for the channel. It expects the worst: errors that are frozen, cyclic or endless, and
// getters that throw.

const { inspect, types } = require('node:util');
const { define } = require('./flatten');
const { OwnMap, getPrototypeOf, hasOwn, isArray, keysOf, parse, stringify, uncurry } = require('./intrinsics');
const { CLASSES, MAX_DEPTH, MAX_ERRORS, RESERVED } = require('./wire-error');

/** @typedef {import('./wire-error').WireError} WireError */

const ErrorClass = Error;
const { isNativeError } = types;
/** @type {(text: string, from: number, to: number) => string} */
const slice = uncurry(String.prototype.slice);

/** UTF-16 units of a message or a stack, and of all own fields together. */
const MAX_TEXT = 1024 * 1024;
/** A prototype chain that is longer is a Proxy's joke. */
const MAX_PROTOTYPES = 64;

/** @type {Map<unknown, string>} */
const NAMES = new OwnMap([...CLASSES].map(([name, Class]) => [Class.prototype, name]));
NAMES.set(AggregateError.prototype, 'AggregateError');

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
    return isNativeError(value) || value instanceof ErrorClass;
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
  /** @type {object[]} */
  const path = [];
  for (let i = 0; i < above.length; i++) path[i] = above[i];
  path[path.length] = error;
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
  const nested = isArray(errors) && (className === 'AggregateError' || hasError(errors));
  if (nested) wire.errors = listToWire(errors, path);
  const fields = ownFields(error, nested);
  if (fields !== undefined) wire.fields = fields;
  return wire;
}

/** @param {unknown[]} values */
function hasError(values) {
  for (let i = 0; i < values.length; i++) {
    if (isError(values[i])) return true;
  }
  return false;
}

/**
 * @param {unknown[]} values
 * @param {object[]} above
 */
function listToWire(values, above) {
  /** @type {(WireError | { value?: unknown })[]} */
  const list = [];
  for (let i = 0; i < values.length && i < MAX_ERRORS; i++) {
    const item = nestedToWire(values[i], above);
    if (item !== undefined) list[list.length] = item;
  }
  return list;
}

/**
 * @param {unknown} value
 * @param {object[]} above
 * @returns {WireError | { value?: unknown } | undefined} undefined beyond MAX_DEPTH
 */
function nestedToWire(value, above) {
  if (!isError(value)) return valueToWire(value);
  for (let i = 0; i < above.length; i++) {
    if (above[i] === value) return { value: '[Circular]' };
  }
  return above.length < MAX_DEPTH ? errorToWire(/** @type {object} */ (value), above) : undefined;
}

/**
 * @param {unknown} value
 * @returns {{ value?: unknown }}
 */
function valueToWire(value) {
  if (value === undefined) return {};
  const json = toJson(value);
  return { value: json === undefined || json.length > MAX_TEXT ? describe(value) : parse(json) };
}

/**
 * @param {object} error
 * @param {boolean} nested `errors` has been dealt with
 */
function ownFields(error, nested) {
  /** @type {Record<string, unknown> | undefined} */
  let fields;
  let room = MAX_TEXT;
  const keys = ownKeys(error);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i];
    if (RESERVED.has(key) && (nested || key !== 'errors')) continue;
    const json = toJson(read(error, key));
    if (json === undefined) continue;
    room -= key.length + json.length;
    if (room < 0) break;
    fields ??= {};
    define(fields, key, parse(json));
  }
  return fields;
}

/** @param {object} error */
function nearestClass(error) {
  let name;
  try {
    let prototype = getPrototypeOf(error);
    for (let i = 0; i < MAX_PROTOTYPES && prototype !== null && name === undefined; i++) {
      name = NAMES.get(prototype);
      prototype = getPrototypeOf(prototype);
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
    return hasOwn(object, key);
  } catch {
    return false;
  }
}

/** @param {object} object */
function ownKeys(object) {
  try {
    return keysOf(object);
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
    return stringify(value);
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
  return value.length > MAX_TEXT ? `${slice(value, 0, MAX_TEXT)}... (${value.length} characters)` : value;
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

module.exports = { toWire };
