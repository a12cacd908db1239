'use strict';

// Prepares a value for JSON. One walk does what JSON.stringify would do (toJSON, getters, boxed
// primitives, omissions). On the way it extracts binary data and long strings, and finds what
// cannot be sent, with its path. A replacer function would not do, because a Buffer's toJSON runs
// before the replacer.
//
// Errors stay in place, in their wire form, and are marked as errors. Objects that have content but
// would become an empty object in JSON (a Map, a Promise, a Blob) are refused.

const { types } = require('node:util');
const { MessageTooLargeError } = require('../errors/classes');
const {
  OwnSet,
  apply,
  define,
  getPrototypeOf,
  isArray,
  keysOf,
  uncurry,
} = require('../intrinsics');
const { isBinary, toBytes } = require('./binary');
const { LONG_STRING, encodeText } = require('./long-strings');
const { CLONED, article, opaqueName } = require('./opaque');
const { assertWithinSlack, reasonOf, refusal } = require('./refusal');
const { isSparse } = require('./sparse');

const { prototype: objects } = Object;
/** @type {(array: unknown[], value: unknown) => void} */
const fill = uncurry(Array.prototype.fill);
const List = Array;
/** Stands for no raw bytes: the JSON at this path is an error. */
const NO_BYTES = new Uint8Array(0);

/**
 * Returns the wire form of an error; null: the value is not an error.
 *
 * @typedef {(value: unknown) => object | null} ErrorForm
 */

/**
 * Node 22 and later: text to insert into the JSON unchanged, so the object must keep its identity.
 */
const isRawJSON = /** @type {{ isRawJSON?: (value: unknown) => boolean }} */ (
  /** @type {unknown} */ (JSON)
).isRawJSON;

class Flattener {
  /** @type {Uint8Array[]} */
  blobs = [];
  /** @type {[type: string, path: (string | number)[]][]} */
  binary = [];
  #what;
  #errorForm;
  #extended;
  #limit;
  /** Lower bound of the size of JSON and raw bytes visited so far (bytes). */
  #size = 0;
  /** True once the size exceeds the limit. */
  #isTooLarge = false;
  /** Path from the root to the current value. @type {(string | number)[]} */
  #path = [];
  /** The objects on this path. @type {Set<object>} */
  #ancestors = new OwnSet();

  /**
   * @param {string} what name of the value in messages
   * @param {ErrorForm} errorForm
   * @param {boolean} [extended] whether the other side is bulkhead's own: then long strings are
   *   extracted, and errors marked
   * @param {number} [limit] maximum size (bytes)
   */
  constructor(what, errorForm, extended = true, limit = Infinity) {
    this.#what = what;
    this.#errorForm = errorForm;
    this.#extended = extended;
    this.#limit = limit;
  }

  /**
   * @param {unknown} value
   * @returns {unknown} plain data for JSON.stringify, with null in place of each of `blobs`;
   *   undefined if JSON has no form for the value
   * @throws {SerializationError | MessageTooLargeError}
   */
  flatten(value) {
    try {
      return this.#visit(value, '');
    } catch (error) {
      if (this.#isTooLarge && error instanceof MessageTooLargeError) throw error;
      throw refusal(this.#what, this.#path, reasonOf(error), error);
    }
  }

  /**
   * @param {any} value
   * @param {string | number} key of the value in its parent
   * @returns {unknown}
   */
  #visit(value, key) {
    if (typeof value === 'object' && value !== null && isBinary(value)) return this.#extract(value);
    let data = value;
    if (
      (typeof data === 'object' && data !== null) ||
      typeof data === 'function' ||
      typeof data === 'bigint'
    ) {
      const { toJSON } = data;
      if (typeof toJSON === 'function') {
        data = apply(toJSON, data, [`${key}`]);
        if (typeof data === 'object' && data !== null && isBinary(data)) return this.#extract(data);
      }
    }
    if (typeof data === 'bigint') throw noForm('BigInt');
    if (typeof data === 'function' || typeof data === 'symbol') return undefined;
    if (typeof data === 'string') return this.#visitText(data);
    if (typeof data !== 'object' || data === null) return data;
    if (isRawJSON?.(data)) return data;
    const prototype = getPrototypeOf(data);
    if (prototype === objects || prototype === null || isArray(data))
      return this.#visitChildren(data);
    if (types.isBoxedPrimitive(data)) return unboxed(data);
    const error = this.#errorForm(data);
    if (error !== null) {
      if (this.#extended) this.#addBlob('Error', NO_BYTES);
      return error;
    }
    assertVisible(data);
    return this.#visitChildren(data);
  }

  /** @param {string} text */
  #visitText(text) {
    this.#count(text.length + 2);
    return this.#extended && text.length >= LONG_STRING
      ? this.#addBlob('String', encodeText(text))
      : text;
  }

  /** @param {number} bytes lower bound of what this part adds */
  #count(bytes) {
    this.#size += bytes;
    this.#isTooLarge = true;
    assertWithinSlack(this.#what, this.#size, this.#limit);
    this.#isTooLarge = false;
  }

  /** @param {any} data */
  #visitChildren(data) {
    if (this.#ancestors.has(data)) throw new TypeError('the value contains a circular reference');
    this.#ancestors.add(data);
    const copy = isArray(data) ? this.#copyArray(data) : this.#copyObject(data);
    this.#ancestors.delete(data);
    return copy;
  }

  /** @param {unknown[]} data */
  #copyArray(data) {
    const { length } = data;
    this.#count(length + 1);
    if (isSparse(data)) return this.#copySparse(data);
    const copy = [];
    for (let i = 0; i < length; i++) {
      this.#path[this.#path.length] = i;
      copy[i] = this.#visit(data[i], i);
      this.#path.length -= 1;
    }
    return copy;
  }

  /** @param {unknown[]} data */
  #copySparse(data) {
    const keys = keysOf(data);
    // The remaining elements are holes, which JSON writes as null.
    this.#count(4 * (data.length - keys.length));
    /** @type {unknown[]} */
    const copy = new List(data.length);
    fill(copy, null);
    for (let i = 0; i < keys.length; i++) {
      const index = Number(keys[i]);
      // Other properties of an array have no form in JSON.
      if (!(index < copy.length) || `${index}` !== keys[i]) continue;
      this.#path[this.#path.length] = index;
      copy[index] = this.#visit(data[index], index);
      this.#path.length -= 1;
    }
    return copy;
  }

  /** @param {Record<string, unknown>} data */
  #copyObject(data) {
    /** @type {Record<string, unknown>} */
    const copy = {};
    const keys = keysOf(data);
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i];
      this.#count(key.length + 3);
      this.#path[this.#path.length] = key;
      const value = this.#visit(data[key], key);
      this.#path.length -= 1;
      if (value === undefined) continue;
      if (key === '__proto__') define(copy, key, value);
      else copy[key] = value;
    }
    return copy;
  }

  /** @param {object} value */
  #extract(value) {
    const { type, bytes } = toBytes(value);
    this.#count(bytes.byteLength);
    return this.#addBlob(type, bytes);
  }

  /**
   * @param {string} type
   * @param {Uint8Array} bytes
   */
  #addBlob(type, bytes) {
    /** @type {(string | number)[]} */
    const path = [];
    for (let i = 0; i < this.#path.length; i++) path[i] = this.#path[i];
    this.blobs[this.blobs.length] = bytes;
    this.binary[this.binary.length] = [type, path];
    return null;
  }
}

/**
 * @param {object} data an instance of a class
 * @throws {TypeError} JSON would lose its content
 */
function assertVisible(data) {
  const name = opaqueName(data, keysOf(data).length === 0);
  if (name === null) return;
  if (CLONED.includes(name)) throw noForm(name);
  throw new TypeError(
    `JSON has no form for ${article(name)}, send its content instead or give it a toJSON()`,
  );
}

/** @param {string} name of a class that structured clone carries */
function noForm(name) {
  return new TypeError(
    `JSON has no form for ${article(name)}, use the pool's option serialization: 'advanced'`,
  );
}

/** @param {object} boxed such as `new Number(1)` */
function unboxed(boxed) {
  if (types.isNumberObject(boxed)) return Number(boxed);
  if (types.isStringObject(boxed)) return String(boxed);
  if (types.isBooleanObject(boxed)) return Boolean.prototype.valueOf.call(boxed);
  if (types.isBigIntObject(boxed)) throw noForm('BigInt');
  throw new TypeError('JSON has no form for a Symbol');
}

module.exports = { Flattener };
