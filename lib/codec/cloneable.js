'use strict';

// Checks a value before it is cloned. Structured clone would refuse some values without naming the
// location, and lose parts of others silently.

const { types } = require('node:util');
const { MessageTooLargeError, SerializationError } = require('../errors/classes');
const { OwnSet, getPrototypeOf, isArray, keysOf, uncurry } = require('../intrinsics');
const { isBinary, toBytes } = require('./binary');
const { CLONED, article, opaqueName } = require('./opaque');
const { assertWithinSlack, isTooDeep, reasonOf, refusal } = require('./refusal');
const { LONG_ARRAY, isSparse } = require('./sparse');

const { prototype: arrays } = Array;
const { prototype: objects } = Object;
const { prototype: dates } = Date;
const { toStringTag } = Symbol;
/** @type {(map: Map<unknown, unknown>, callback: (value: unknown, key: unknown) => void) => void} */
const eachOfMap = uncurry(Map.prototype.forEach);
/** @type {(set: Set<unknown>, callback: (value: unknown) => void) => void} */
const eachOfSet = uncurry(Set.prototype.forEach);

/** Limits of the quick check: depth and number of objects. It does not detect repeated objects. */
const QUICK_DEPTH = 100;
const QUICK_OBJECTS = 100_000;

/** State of the current quick check: remaining objects, and remaining bytes of the value. */
let objectsLeft = 0;
let bytesLeft = 0;

/**
 * Returns whether a value is certainly cloned without loss. Nearly all values are: objects, arrays,
 * dates, views and primitives.
 *
 * @param {any} value
 * @param {number} depth remaining levels
 * @returns {boolean}
 */
function isCertain(value, depth) {
  if (typeof value === 'string') return fits(value.length);
  if (typeof value !== 'object') return typeof value !== 'function' && typeof value !== 'symbol';
  if (value === null) return true;
  objectsLeft -= 1;
  if (depth === 0 || objectsLeft < 0) return false;
  const prototype = getPrototypeOf(value);
  if (prototype === arrays) {
    const { length } = value;
    if (length > LONG_ARRAY && isSparse(value)) return false;
    if (!fits(length)) return false;
    for (let i = 0; i < length; i++) {
      if (typeof value[i] !== 'number' && !isCertain(value[i], depth - 1)) return false;
    }
    return true;
  }
  if (prototype === objects || prototype === null) {
    for (const key in value) {
      const item = value[key];
      if (typeof item !== 'number' && !isCertain(item, depth - 1)) return false;
    }
    return true;
  }
  if (prototype === dates) return true;
  return isBinary(value) && fits(value.byteLength);
}

/** @param {number} bytes further bytes of the value */
function fits(bytes) {
  bytesLeft -= bytes;
  return bytesLeft >= 0;
}

/**
 * @param {unknown} value
 * @param {string} what name of the value in messages
 * @param {number} limit maximum size (bytes)
 * @throws {SerializationError | MessageTooLargeError} the value cannot be cloned, or not without
 *   loss
 */
function assertCloneable(value, what, limit) {
  objectsLeft = QUICK_OBJECTS;
  bytesLeft = limit;
  try {
    if (isCertain(value, QUICK_DEPTH)) return;
  } catch {
    // A getter or a Proxy trap threw. It will throw again below, or while the value is cloned.
  }
  runCheck(new CloneCheck(what, limit), value, what);
}

/**
 * Finds the location at which V8 has refused a value, as far as possible.
 *
 * @param {unknown} value
 * @param {string} what name of the value in messages
 * @throws {SerializationError} with the location
 */
function findCulprit(value, what) {
  runCheck(new CloneCheck(what, Infinity, true), value, what);
}

/**
 * @param {CloneCheck} check
 * @param {unknown} value
 * @param {string} what name of the value in messages
 */
function runCheck(check, value, what) {
  try {
    check.visit(value);
  } catch (error) {
    // V8 needs less stack per level, and has its own error for a value that is too deep.
    if (isTooDeep(error)) return;
    if (error instanceof SerializationError || error instanceof MessageTooLargeError) throw error;
    // User code threw: a getter or a Proxy trap.
    throw refusal(what, check.path, reasonOf(error), error);
  }
}

/** The thorough check, which visits each object once. */
class CloneCheck {
  #what;
  #limit;
  #size = 0;
  #strict;
  /** Path from the root to the current value. @type {(string | number)[]} */
  path = [];
  /** @type {Set<object>} */
  #seen = new OwnSet();

  /**
   * @param {string} what
   * @param {number} limit
   * @param {boolean} [strict] whether to refuse what only V8 refuses
   */
  constructor(what, limit, strict = false) {
    this.#what = what;
    this.#limit = limit;
    this.#strict = strict;
  }

  /** @param {any} value */
  visit(value) {
    switch (typeof value) {
      case 'string':
        return this.#count(value.length);
      case 'function':
      case 'symbol':
        return this.#refuse(`a ${typeof value} could not be cloned`);
      case 'object':
        if (value === null || this.#seen.has(value)) return;
        this.#seen.add(value);
        return this.#visitObject(value);
    }
  }

  /** @param {any} value */
  #visitObject(value) {
    if (this.#strict) this.#assertOrdinary(value);
    if (isBinary(value)) return this.#count(value.byteLength);
    if (isArray(value)) return this.#visitArray(value);
    if (types.isMap(value)) {
      let index = 0;
      return eachOfMap(value, (item, key) => {
        this.#enter(index, key);
        this.#enter(index++, item);
      });
    }
    if (types.isSet(value)) {
      let index = 0;
      return eachOfSet(value, (item) => this.#enter(index++, item));
    }
    // V8 clones an error's own name and message, but those of a DOMException are on its class.
    if (types.isNativeError(value) && /** @type {any} */ (value)[toStringTag] === undefined) return;
    if (types.isDate(value) || types.isRegExp(value) || types.isBoxedPrimitive(value)) return;
    const keys = keysOf(value);
    const prototype = getPrototypeOf(value);
    if (prototype !== objects && prototype !== null) {
      const name = opaqueName(value, keys.length === 0);
      if (name !== null && !CLONED.includes(name)) {
        return this.#refuse(`${article(name)} could not be cloned, send its content instead`);
      }
    }
    for (let i = 0; i < keys.length; i++) this.#enter(keys[i], value[keys[i]]);
  }

  /**
   * Refuses what V8 refuses without naming the location.
   *
   * @param {object} value
   */
  #assertOrdinary(value) {
    if (types.isProxy(value)) this.#refuse('a Proxy could not be cloned');
    if (types.isArgumentsObject(value)) this.#refuse('arguments could not be cloned');
    if (types.isSymbolObject(value)) this.#refuse('a symbol could not be cloned');
    if (types.isSharedArrayBuffer(value)) this.#refuse('a SharedArrayBuffer could not be cloned');
    if (!isBinary(value)) return;
    try {
      toBytes(value, true);
    } catch (error) {
      this.#refuse(reasonOf(error));
    }
  }

  /** @param {unknown[]} array */
  #visitArray(array) {
    const { length } = array;
    if (isSparse(array)) {
      const keys = keysOf(array);
      for (let i = 0; i < keys.length; i++) this.#enter(Number(keys[i]), array[Number(keys[i])]);
      return;
    }
    this.#count(length);
    for (let i = 0; i < length; i++) this.#enter(i, array[i]);
  }

  /**
   * @param {string | number} key
   * @param {unknown} value
   */
  #enter(key, value) {
    if (
      typeof value === 'number' ||
      typeof value === 'boolean' ||
      value === null ||
      value === undefined
    )
      return;
    this.path[this.path.length] = key;
    this.visit(value);
    this.path.length -= 1;
  }

  /** @param {number} bytes lower bound of what this part adds */
  #count(bytes) {
    this.#size += bytes;
    assertWithinSlack(this.#what, this.#size, this.#limit);
  }

  /**
   * @param {string} reason
   * @returns {never}
   */
  #refuse(reason) {
    throw refusal(this.#what, this.path, reason, new TypeError(reason));
  }
}

module.exports = { assertCloneable, findCulprit };
