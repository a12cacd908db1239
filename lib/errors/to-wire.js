'use strict';

// Turns errors into data for the channel: what a handler throws, and errors inside of values. The
// input may be hostile: frozen, cyclic or endless errors, and getters that throw. Parts of an error
// that cannot be sent become descriptive text.

const { inspect, types } = require('node:util');
const { serialize, toBase64 } = require('../codec/advanced');
const { assertCloneable } = require('../codec/cloneable');
const { Flattener } = require('../codec/flatten');
const { MAX_PROTOTYPES } = require('../codec/opaque');
const { containerAt } = require('../codec/value-path');
const {
  OwnMap,
  define,
  getPrototypeOf,
  hasOwn,
  isArray,
  keysOf,
  stringify,
  uncurry,
} = require('../intrinsics');
const { CLASSES, MAX_DEPTH, MAX_ERRORS, RESERVED } = require('./wire-format');

/** @typedef {import('./wire-format').WireError} WireError */
/** @typedef {import('./wire-format').WireValue} WireValue */

/**
 * Target of a value of an error.
 *
 * @typedef {object} Target
 * @property {WireError | WireValue} wire
 * @property {object} container object in `wire`
 * @property {string} key in `container`
 * @property {string[]} path from `wire` to the value
 * @property {object[]} ancestors the enclosing errors
 */

const ErrorClass = Error;
const { isNativeError } = types;
const { is: isSame } = Object;
const { isFinite: isFiniteNumber } = Number;
/** @type {(text: string, from: number, to: number) => string} */
const slice = uncurry(String.prototype.slice);

/** Maximum length of a message or a stack, and of all own fields together (UTF-16 units). */
const MAX_TEXT = 1024 * 1024;
/** Maximum number of errors reached from one: errors may refer to each other many times over. */
const MAX_TOTAL = 1024;

/** @type {Map<unknown, string>} */
const NAMES = new OwnMap([...CLASSES].map(([name, Class]) => [Class.prototype, name]));
NAMES.set(AggregateError.prototype, 'AggregateError');

/**
 * @param {unknown} thrown
 * @param {boolean} [advanced] whether the other side reads V8's format
 * @returns {WireError} plain data for JSON.stringify
 */
function toWire(thrown, advanced = false) {
  const writer = new Writer(advanced);
  if (isError(thrown)) return writer.error(/** @type {object} */ (thrown), []);
  return { ...writer.value(thrown), nonError: true, message: describe(thrown) };
}

/** @param {unknown} value */
function isError(value) {
  try {
    return isNativeError(value) || value instanceof ErrorClass;
  } catch {
    // A trap of a Proxy threw.
    return false;
  }
}

class Writer {
  #advanced;
  /** Number of errors that may still be followed. */
  #errorsLeft = MAX_TOTAL;

  /** @param {boolean} advanced */
  constructor(advanced) {
    this.#advanced = advanced;
  }

  /**
   * @param {object} error
   * @param {object[]} ancestors the enclosing errors
   * @returns {WireError}
   */
  error(error, ancestors) {
    const className = nearestClass(error);
    /** @type {object[]} */
    const path = [];
    for (let i = 0; i < ancestors.length; i++) path[i] = ancestors[i];
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
      const cause = this.#nested(read(error, 'cause'), path);
      if (cause !== null) wire.cause = cause;
    }
    const errors = owns(error, 'errors') ? read(error, 'errors') : undefined;
    const nested = isArray(errors) && (className === 'AggregateError' || hasError(errors));
    if (nested) wire.errors = this.#list(errors, path);
    this.#fields(wire, error, nested, path);
    return wire;
  }

  /**
   * Turns a thrown value or a cause that is not an error into data.
   *
   * @param {unknown} value
   * @returns {WireValue}
   */
  value(value) {
    /** @type {WireValue} */
    const wire = {};
    if (value === undefined) return wire;
    const target = { wire, container: wire, key: 'value', path: ['value'], ancestors: [] };
    this.#put(target, typeof value === 'function' ? describe(value) : value, MAX_TEXT);
    return wire;
  }

  /**
   * @param {unknown[]} values
   * @param {object[]} ancestors
   */
  #list(values, ancestors) {
    /** @type {(WireError | WireValue)[]} */
    const list = [];
    for (let i = 0; i < values.length && i < MAX_ERRORS; i++) {
      const item = this.#nested(values[i], ancestors);
      if (item !== null) list[list.length] = item;
    }
    return list;
  }

  /**
   * @param {unknown} value
   * @param {object[]} ancestors
   * @returns {WireError | WireValue | null} null for an error beyond MAX_DEPTH
   */
  #nested(value, ancestors) {
    return isError(value)
      ? this.#nestedError(/** @type {object} */ (value), ancestors)
      : this.value(value);
  }

  /**
   * @param {object} error
   * @param {object[]} ancestors
   * @returns {WireError | WireValue | null} null beyond MAX_DEPTH
   */
  #nestedError(error, ancestors) {
    for (let i = 0; i < ancestors.length; i++) {
      if (ancestors[i] === error) return { value: '[Circular]' };
    }
    if (ancestors.length >= MAX_DEPTH || this.#errorsLeft === 0) return null;
    this.#errorsLeft -= 1;
    return this.error(error, ancestors);
  }

  /**
   * @param {WireError} wire
   * @param {object} error
   * @param {boolean} nested whether `errors` is already in `wire`
   * @param {object[]} path the enclosing errors and this one
   */
  #fields(wire, error, nested, path) {
    let room = MAX_TEXT;
    const keys = ownKeys(error);
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i];
      if (key === 'errors' ? nested : RESERVED.has(key)) continue;
      if (key === 'code' && wire.code !== undefined) continue;
      const value = read(error, key);
      // Methods are not data. JSON has no form for undefined.
      if (typeof value === 'function' || (value === undefined && !this.#advanced)) continue;
      wire.fields ??= {};
      room -= key.length;
      room -= this.#put(
        { wire, container: wire.fields, key, path: ['fields', key], ancestors: path },
        value,
        room,
      );
    }
  }

  /**
   * Writes a value to its target in the most exact form that fits.
   *
   * @param {Target} target
   * @param {unknown} value
   * @param {number} room maximum length (UTF-16 units)
   * @returns {number} length (UTF-16 units)
   */
  #put(target, value, room) {
    if (isPlain(value)) {
      define(target.container, target.key, value);
      return 0;
    }
    if (typeof value === 'string') return putText(target, value, room);
    if (isError(value)) {
      define(
        target.container,
        target.key,
        this.#inner(/** @type {object} */ (value), target.ancestors),
      );
      mark(target.wire, 'Error', target.path);
      return 0;
    }
    const size =
      (this.#advanced ? putClone(target, value, room) : 0) || this.#putJson(target, value, room);
    return size || putText(target, describe(value), room);
  }

  /**
   * @param {object} error inside a field of another error
   * @param {object[]} ancestors
   * @returns {WireError | WireValue}
   */
  #inner(error, ancestors) {
    return this.#nestedError(error, ancestors) ?? { value: describe(error) };
  }

  /**
   * @param {Target} target
   * @param {unknown} value
   * @param {number} room
   * @returns {number} length (UTF-16 units); 0: JSON has no form for the value
   */
  #putJson({ wire, container, key, path, ancestors }, value, room) {
    const form = (/** @type {unknown} */ inner) =>
      isError(inner) ? this.#inner(/** @type {object} */ (inner), ancestors) : null;
    const flattener = new Flattener('field', form, true, room);
    let flat;
    let size = 0;
    try {
      flat = flattener.flatten(value);
      if (flat === undefined) return 0;
      size = stringify(flat).length;
    } catch {
      // The caller writes a description instead.
      return 0;
    }
    const { blobs, binary } = flattener;
    for (let i = 0; i < blobs.length; i++) size += blobs[i].length * 2;
    if (size > room) return 0;
    define(container, key, flat);
    for (let i = 0; i < blobs.length; i++) {
      const type = binary[i][0];
      const full = joined(path, binary[i][1]);
      if (type !== 'Error')
        define(containerAt(wire, full), full[full.length - 1], toBase64(blobs[i]));
      mark(wire, type, full);
    }
    return size;
  }
}

/**
 * Returns whether JSON represents the value exactly.
 *
 * @param {unknown} value
 */
function isPlain(value) {
  return (
    typeof value === 'boolean' || value === null || (isFiniteNumber(value) && !isSame(value, -0))
  );
}

/**
 * @param {Target} target
 * @param {string} text
 * @param {number} room
 * @returns {number} UTF-16 units
 */
function putText({ container, key }, text, room) {
  const fitting = text.length > room ? `[left out: ${text.length} characters]` : text;
  define(container, key, fitting);
  return fitting.length;
}

/**
 * @param {Target} target
 * @param {unknown} value
 * @param {number} room
 * @returns {number} length (UTF-16 units); 0: V8 cannot clone the value without loss
 */
function putClone({ wire, container, key, path }, value, room) {
  let text;
  try {
    assertCloneable(value, 'field', room);
    text = toBase64(serialize(value, null));
  } catch {
    // The caller tries JSON, or writes a description.
    return 0;
  }
  if (text.length > room) return 0;
  define(container, key, text);
  mark(wire, 'v8', path);
  return text.length;
}

/**
 * @param {WireError | WireValue} wire
 * @param {string} type
 * @param {(string | number)[]} path
 */
function mark(wire, type, path) {
  wire.places ??= [];
  wire.places[wire.places.length] = [type, path];
}

/**
 * @param {string[]} start
 * @param {(string | number)[]} rest
 */
function joined(start, rest) {
  /** @type {(string | number)[]} */
  const path = [];
  for (let i = 0; i < start.length; i++) path[i] = start[i];
  for (let i = 0; i < rest.length; i++) path[path.length] = rest[i];
  return path;
}

/** @param {unknown[]} values */
function hasError(values) {
  for (let i = 0; i < values.length; i++) {
    if (isError(values[i])) return true;
  }
  return false;
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
    // A Proxy trap threw: treat the value as an Error.
  }
  if (name !== undefined) return name;
  // An error of another realm (node:vm) has other prototypes but the same class names.
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
    // A getter that throws counts as missing: the error itself matters more.
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
function asText(value) {
  if (typeof value !== 'string') return undefined;
  return value.length > MAX_TEXT
    ? `${slice(value, 0, MAX_TEXT)}... (${value.length} characters)`
    : value;
}

/** @param {unknown} value */
function describe(value) {
  if (typeof value === 'string') return /** @type {string} */ (asText(value));
  try {
    return /** @type {string} */ (
      asText(inspect(value, { depth: 1, customInspect: false, getters: false }))
    );
  } catch {
    return `a value of type ${typeof value}`;
  }
}

module.exports = { isError, toWire };
