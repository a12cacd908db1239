'use strict';

// Values to what goes over the channel, and back. The same on both sides of it.

const { Buffer, constants } = require('node:buffer');
const { MessageTooLargeError, SerializationError } = require('./errors');
const { fromBytes } = require('./binary');
const { Flattener, define, reasonOf } = require('./flatten');
const { LONG } = require('./text');
const { getPrototypeOf, hasOwn, isArray, stringify: toJson, uncurry } = require('./intrinsics');

const { prototype: arrays } = Array;
const { prototype: objects } = Object;
const { isInteger } = Number;
const { floor, max } = Math;
const { allocUnsafeSlow } = Buffer;
// What toString() and write() call; those look them up where user code may have put something else.
const { base64Slice, base64Write } = /** @type {any} */ (Buffer.prototype);
/** @type {(bytes: Buffer, from: number, to: number) => string} */
const toBase64 = uncurry(base64Slice);
/** @type {(bytes: Buffer, text: string, from: number, length: number) => number} */
const writeBase64 = uncurry(base64Write);

/**
 * Up to so many bytes, V8's format travels as text (base64) in the line: many of such lines are read and written together,
 * while raw bytes end a batch.
 */
const SHORT = 4096;

/** @type {Pick<typeof import('node:v8'), 'deserialize' | 'serialize'> | null} */
let v8 = null;

/**
 * Node's own format. It takes a few milliseconds to load, which few processes need: to be called before user code runs
 * where it will be used.
 */
function prepareAdvanced() {
  const { deserialize, serialize } = require('node:v8');
  v8 ??= { deserialize, serialize };
  return v8;
}

/** About what JSON.stringify can do on a stack of the usual size; a cycle is noticed by being deeper. */
const PLAIN_DEPTH = 4_000;

/**
 * @typedef {object} Encoded
 * @property {string} json the payload; `null` where it is in `blobs`, or the value is undefined
 * @property {Uint8Array[] | null} blobs raw bytes that follow the frame; views, so that they must be used at once
 * @property {[type: string, path: (string | number)[]][] | null} binary what each of `blobs` is and where it belongs
 * @property {'v8' | null} encoding `'v8'`: the only one of `blobs`, or text in `json`
 * @property {boolean} undefined
 */

/**
 * Whether JSON.stringify alone does justice to a value: objects, arrays and primitives, nothing with a toJSON, nothing
 * binary, no long string, no cycle. May say false for what in fact is plain.
 *
 * @param {any} value
 * @param {number} [depth] how much deeper to look
 * @returns {boolean}
 */
function isPlain(value, depth = PLAIN_DEPTH) {
  if (typeof value === 'string') return value.length < LONG;
  if (typeof value !== 'object') return typeof value !== 'function' && typeof value !== 'bigint';
  if (value === null) return true;
  if (depth === 0 || value.toJSON !== undefined) return false;
  const prototype = getPrototypeOf(value);
  if (prototype === arrays) {
    for (let i = 0; i < value.length; i++) {
      if (!isPlain(value[i], depth - 1)) return false;
    }
    return true;
  }
  if (prototype !== objects && prototype !== null) return false;
  for (const key in value) {
    const item = value[key];
    // Most are one of these, and a call for each costs more than the check.
    if (typeof item === 'number' || (typeof item === 'string' && item.length < LONG)) continue;
    if (!isPlain(item, depth - 1)) return false;
  }
  return true;
}

/**
 * `isPlain` for any input: a getter or a Proxy that throws here will throw again where the error can say what it was.
 *
 * @param {unknown} value
 */
function looksPlain(value) {
  try {
    return isPlain(value);
  } catch {
    return false;
  }
}

/**
 * @param {unknown} value
 * @param {'json' | 'advanced'} serialization
 * @param {string} [what] the value is, for messages
 * @param {boolean} [texts] whether the other side knows long strings as raw bytes
 * @param {number} [limit] bytes that a payload may have
 * @returns {Encoded}
 * @throws {SerializationError | MessageTooLargeError}
 */
function encode(value, serialization, what = 'value', texts = true, limit = Infinity) {
  if (typeof value === 'function' || typeof value === 'symbol') {
    const message = `a ${typeof value} cannot be a ${what}`;
    throw new SerializationError(message, { cause: new TypeError(`a ${typeof value} cannot be serialised`) });
  }
  if (value === undefined) return encoded('null', true);
  return serialization === 'advanced' ? encodeAdvanced(value, what, limit) : encodeJson(value, what, texts);
}

/**
 * @param {unknown} value
 * @param {string} what
 * @param {boolean} texts
 */
function encodeJson(value, what, texts) {
  if (looksPlain(value)) return encoded(stringify(value, what));
  const flattener = new Flattener(what, texts);
  const flat = flattener.flatten(value);
  if (flat === undefined) return encoded('null', true);
  const { blobs, binary } = flattener;
  const json = stringify(flat, what);
  return blobs.length === 0 ? encoded(json) : { ...encoded(json), blobs, binary };
}

/**
 * @param {unknown} value
 * @param {string} what
 * @param {number} limit
 * @returns {Encoded}
 */
function encodeAdvanced(value, what, limit) {
  try {
    const bytes = (v8 ?? prepareAdvanced()).serialize(value);
    // As text they are longer by a third.
    if (bytes.length > SHORT || bytes.length * 2 > limit) return { ...encoded('null'), blobs: [bytes], encoding: 'v8' };
    return { ...encoded(`"${toBase64(bytes, 0, bytes.length)}"`), encoding: 'v8' };
  } catch (cause) {
    throw new SerializationError(`the ${what} cannot be serialised: ${reasonOf(cause)}`, { cause });
  }
}

/**
 * @param {string} json
 * @param {boolean} [isUndefined]
 * @returns {Encoded}
 */
function encoded(json, isUndefined = false) {
  return { json, blobs: null, binary: null, encoding: null, undefined: isUndefined };
}

/**
 * @param {unknown} value plain, and not undefined
 * @param {string} what
 * @returns {string}
 */
function stringify(value, what) {
  try {
    return toJson(value);
  } catch (cause) {
    if (cause instanceof RangeError && /string length/i.test(cause.message)) {
      const limit = constants.MAX_STRING_LENGTH;
      throw new MessageTooLargeError(`the ${what} is larger than any string can be (${limit} characters)`, {
        size: limit + 1,
        limit,
        cause,
      });
    }
    throw new SerializationError(`the ${what} cannot be serialised: ${reasonOf(cause)}`, { cause });
  }
}

/**
 * Puts raw bytes back to where they were.
 *
 * @param {any} value parsed JSON, which is changed
 * @param {unknown} binary `[[type, path], ...]`, one for each of `blobs`; checked, since it comes from another process
 * @param {Uint8Array[]} blobs given away
 * @returns {unknown}
 * @throws {TypeError} for what no sender makes
 */
function restore(value, binary, blobs) {
  if (!isArray(binary) || binary.length !== blobs.length) throw new TypeError('wrong number of binaries');
  let root = value;
  for (let i = 0; i < blobs.length; i++) {
    const place = isArray(binary[i]) ? binary[i] : [];
    const type = place[0];
    const path = place[1];
    if (typeof type !== 'string' || !isArray(path)) throw new TypeError('malformed place of a binary');
    const item = fromBytes(type, blobs[i]);
    if (path.length === 0) root = item;
    else define(containerAt(root, path), path[path.length - 1], item);
  }
  return root;
}

/**
 * @param {any} root
 * @param {unknown[]} path not empty
 * @returns {object} which has the last key of `path` as its own
 */
function containerAt(root, path) {
  let container = root;
  for (let i = 0; i < path.length; i++) {
    const key = path[i];
    const valid = typeof key === 'string' || (typeof key === 'number' && isInteger(key));
    if (!valid || typeof container !== 'object' || container === null || !hasOwn(container, key)) {
      throw new TypeError('a binary has no place in its message');
    }
    if (i === path.length - 1) break;
    container = container[key];
  }
  return container;
}

/**
 * The opposite of `encode`.
 *
 * @param {any} value parsed payload
 * @param {{ binary?: unknown, encoding?: unknown }} how
 * @param {Buffer[]} blobs given away
 * @returns {unknown}
 * @throws for what no sender makes
 */
function decode(value, { binary, encoding }, blobs) {
  if (encoding === 'v8') return (v8 ?? prepareAdvanced()).deserialize(blobs[0] ?? fromBase64(value));
  return binary === undefined || binary === null ? value : restore(value, binary, blobs);
}

/**
 * In memory of its own, as binary data in the value will be views of it.
 *
 * @param {unknown} text which the other side has written without line breaks
 * @throws {TypeError} for what no sender makes
 */
function fromBase64(text) {
  if (typeof text !== 'string') throw new TypeError('a value in the format of V8 is no text');
  const { length } = text;
  const padding = text[length - 1] !== '=' ? 0 : text[length - 2] !== '=' ? 1 : 2;
  const bytes = allocUnsafeSlow(max(floor((length * 3) / 4) - padding, 0));
  if (writeBase64(bytes, text, 0, bytes.length) !== bytes.length) throw new TypeError('malformed base64');
  return bytes;
}

module.exports = { decode, encode, looksPlain, prepareAdvanced, restore, stringify };
