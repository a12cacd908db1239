'use strict';

// What structured clone would refuse without saying where, or lose without a word: a look at a
// value before it is cloned.

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

/**
 * How deep the quick look goes, and at how many objects it looks: it does not notice what it has
 * seen before.
 */
const QUICK_DEPTH = 100;
const QUICK_OBJECTS = 100_000;

/** Of the quick look at hand: objects that may follow, and bytes that the value may still have. */
let objectsLeft = 0;
let bytesLeft = 0;

/**
 * Whether a value is certainly cloned without loss: objects, arrays, dates, views and primitives,
 * as nearly all are.
 *
 * @param {any} value
 * @param {number} depth how much deeper to look
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

/** @param {number} bytes more of the value */
function fits(bytes) {
  bytesLeft -= bytes;
  return bytesLeft >= 0;
}

/**
 * @param {unknown} value
 * @param {string} what it is, for messages
 * @param {number} limit bytes that it may have
 * @throws {SerializationError | MessageTooLargeError} it cannot be cloned, or not without loss
 */
function assertCloneable(value, what, limit) {
  objectsLeft = QUICK_OBJECTS;
  bytesLeft = limit;
  try {
    if (isCertain(value, QUICK_DEPTH)) return;
  } catch {
    // A getter, or a trap of a Proxy: it throws again below, or where the value is cloned.
  }
  runCheck(new CloneCheck(what, limit), value, what);
}

/**
 * Where in a value that V8 has refused the reason is, as far as this can be told.
 *
 * @param {unknown} value
 * @param {string} what it is
 * @throws {SerializationError} with the place
 */
function findCulprit(value, what) {
  runCheck(new CloneCheck(what, Infinity, true), value, what);
}

/**
 * @param {CloneCheck} check
 * @param {unknown} value
 * @param {string} what it is
 */
function runCheck(check, value, what) {
  try {
    check.visit(value);
  } catch (error) {
    // V8 needs less of the stack for each level, and has a word of its own for what is too deep for
    // it as well.
    if (isTooDeep(error)) return;
    if (error instanceof SerializationError || error instanceof MessageTooLargeError) throw error;
    // What user code has thrown: a getter, or a trap of a Proxy.
    throw refusal(what, check.path, reasonOf(error), error);
  }
}

/** The thorough look, at each object once. */
class CloneCheck {
  #what;
  #limit;
  #size = 0;
  #strict;
  /** From the root to where the look is. @type {(string | number)[]} */
  path = [];
  /** @type {Set<object>} */
  #seen = new OwnSet();

  /**
   * @param {string} what
   * @param {number} limit
   * @param {boolean} [strict] whether to refuse what V8 refuses for reasons of its own
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
    // A DOMException's name and message are its class's, and V8 takes an error's own.
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
   * What V8 refuses, and without saying where.
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

  /** @param {number} bytes that are added to the value, at least */
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
