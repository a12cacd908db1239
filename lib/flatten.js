'use strict';

// The thorough way to get a value ready for JSON: a walk that does what JSON.stringify would do (toJSON, getters, boxed
// primitives, what is left out), once, and on the way takes out what is binary, finds what cannot be sent, and knows
// the path to it. Long strings are taken out like binary data. (A replacer function would see a Buffer only after its toJSON
// had made an array of numbers of it.)

const { types } = require('node:util');
const { SerializationError } = require('./errors');
const { isBinary, toBytes } = require('./binary');
const { OwnSet, apply, define, isArray, keysOf, stringify } = require('./intrinsics');
const { LONG, encodeText } = require('./text');

const IDENTIFIER = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;

/** Node 22 and later: text that goes into the JSON as it is, and so must keep its identity. */
const isRawJSON = /** @type {{ isRawJSON?: (value: unknown) => boolean }} */ (/** @type {unknown} */ (JSON)).isRawJSON;

class Flattener {
  /** @type {Uint8Array[]} */
  blobs = [];
  /** @type {[type: string, path: (string | number)[]][]} */
  binary = [];
  #what;
  #texts;
  /** From the root to where the walk is. @type {(string | number)[]} */
  #path = [];
  /** The objects on that path. @type {Set<object>} */
  #ancestors = new OwnSet();

  /**
   * @param {string} what the value is, for messages
   * @param {boolean} texts whether long strings are taken out as well
   */
  constructor(what, texts) {
    this.#what = what;
    this.#texts = texts;
  }

  /**
   * @param {unknown} value
   * @returns {unknown} plain data for JSON.stringify, where null stands in for each of `blobs`; undefined for what JSON
   *   has no form for
   * @throws {SerializationError}
   */
  flatten(value) {
    try {
      return this.#visit(value, '');
    } catch (error) {
      throw this.#refusal(reasonOf(error), error);
    }
  }

  /**
   * @param {any} value
   * @param {string | number} key that it was found under
   * @returns {unknown}
   */
  #visit(value, key) {
    if (typeof value === 'object' && value !== null && isBinary(value)) return this.#takeOut(value);
    let data = value;
    if ((typeof data === 'object' && data !== null) || typeof data === 'function' || typeof data === 'bigint') {
      const { toJSON } = data;
      if (typeof toJSON === 'function') {
        data = apply(toJSON, data, [`${key}`]);
        if (typeof data === 'object' && data !== null && isBinary(data)) return this.#takeOut(data);
      }
    }
    if (typeof data === 'bigint') throw new TypeError('JSON has no form for a BigInt');
    if (typeof data === 'function' || typeof data === 'symbol') return undefined;
    if (typeof data === 'string') return this.#visitText(data);
    if (typeof data !== 'object' || data === null) return data;
    if (isRawJSON?.(data)) return data;
    if (types.isBoxedPrimitive(data)) return unboxed(data);
    return this.#visitChildren(data);
  }

  /** @param {string} text */
  #visitText(text) {
    return this.#texts && text.length >= LONG ? this.#add('String', encodeText(text)) : text;
  }

  /** @param {any} data */
  #visitChildren(data) {
    if (this.#ancestors.has(data)) throw new TypeError('it refers back to an object that contains it');
    this.#ancestors.add(data);
    const copy = isArray(data) ? this.#copyArray(data) : this.#copyObject(data);
    this.#ancestors.delete(data);
    return copy;
  }

  /** @param {unknown[]} data */
  #copyArray(data) {
    const copy = [];
    const { length } = data;
    for (let i = 0; i < length; i++) {
      this.#path[this.#path.length] = i;
      copy[i] = this.#visit(data[i], i);
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
  #takeOut(value) {
    const { type, bytes } = toBytes(value);
    return this.#add(type, bytes);
  }

  /**
   * @param {string} type
   * @param {Uint8Array} bytes
   */
  #add(type, bytes) {
    /** @type {(string | number)[]} */
    const path = [];
    for (let i = 0; i < this.#path.length; i++) path[i] = this.#path[i];
    this.blobs[this.blobs.length] = bytes;
    this.binary[this.binary.length] = [type, path];
    return null;
  }

  /**
   * @param {string} reason
   * @param {unknown} cause
   */
  #refusal(reason, cause) {
    // Too deep to go on is also too deep for a path that anybody would read.
    const path = this.#path.length > 100 ? '' : pathText(this.#path);
    const place = path === '' ? '' : ` at ${path}`;
    const message = `the ${this.#what} cannot be serialised${place}: ${reason}`;
    return new SerializationError(message, { cause, path: path || undefined });
  }
}

/** @param {object} boxed such as `new Number(1)` */
function unboxed(boxed) {
  if (types.isNumberObject(boxed)) return Number(boxed);
  if (types.isStringObject(boxed)) return String(boxed);
  if (types.isBooleanObject(boxed)) return Boolean.prototype.valueOf.call(boxed);
  if (types.isBigIntObject(boxed)) throw new TypeError('JSON has no form for a BigInt');
  return {};
}

/** @param {unknown} error */
function reasonOf(error) {
  if (error instanceof RangeError && /call stack/i.test(error.message)) return 'it is nested too deeply';
  try {
    return error instanceof Error ? String(error.message) : String(error);
  } catch {
    // Whatever was thrown, it is the cause.
    return 'something without a message was thrown';
  }
}

/** @param {(string | number)[]} path */
function pathText(path) {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else if (!IDENTIFIER.test(key)) text += `[${stringify(key)}]`;
    else text += text === '' ? key : `.${key}`;
  }
  return text;
}

module.exports = { Flattener, define, reasonOf };
