'use strict';

// Encodes values for the channel, and decodes them. Both sides use this file.

const { constants } = require('node:buffer');
const { MessageTooLargeError, SerializationError } = require('../errors/classes');
const { fromWire } = require('../errors/from-wire');
const { isError, toWire } = require('../errors/to-wire');
const { define, getPrototypeOf, isArray, stringify: toJson } = require('../intrinsics');
const { deserialize, fromBase64, prepareAdvanced, serialize, toBase64 } = require('./advanced');
const { fromBytes } = require('./binary');
const { assertCloneable, findCulprit } = require('./cloneable');
const { exactJson } = require('./exact-json');
const { Flattener } = require('./flatten');
const { LONG_STRING } = require('./long-strings');
const { containerAt } = require('./value-path');
const { reasonOf } = require('./refusal');
const { LONG_ARRAY, isSparse } = require('./sparse');

const { prototype: arrays } = Array;
const { prototype: objects } = Object;
const { min } = Math;

/**
 * Up to this size V8's format travels inline as base64 (bytes). Many such lines are read and
 * written together, while raw bytes end a batch.
 */
const MAX_INLINE = 4096;

/**
 * State of the current `isPlain` check: bytes that the value may still have. A small integer,
 * because V8 handles those faster.
 */
let bytesLeft = 0;
const MAX_BYTES_LEFT = 2 ** 30 - 1;

/**
 * About the depth that JSON.stringify supports on a stack of the usual size. A cycle exceeds this
 * depth and is thus detected.
 */
const PLAIN_DEPTH = 4_000;

/**
 * Number of values that still go in V8's format without an attempt at JSON, and that number after
 * the next failed attempt. A pool of values that JSON does not carry pays for few attempts.
 */
let pause = 0;
let nextPause = 2;
const MAX_PAUSE = 64;

/**
 * @typedef {object} Encoded
 * @property {string} json the payload; `null` if it is in `blobs` or the value is undefined
 * @property {Uint8Array[] | null} blobs raw bytes that follow the frame; views of the value's
 *   memory, to be used at once
 * @property {[type: string, path: (string | number)[]][] | null} binary type and path of each of
 *   `blobs`
 * @property {'v8' | null} encoding `'v8'`: V8's format, in the first of `blobs` or as base64 in
 *   `json`
 * @property {boolean} undefined whether the value is undefined
 */

/**
 * Returns whether JSON.stringify alone represents a value: objects, arrays and primitives, without
 * toJSON, binary data, long strings or cycles, within the size limit. False negatives are possible.
 *
 * @param {any} value
 * @param {number} [depth] remaining levels
 * @returns {boolean}
 */
function isPlain(value, depth = PLAIN_DEPTH) {
  if (typeof value === 'string') {
    bytesLeft -= value.length;
    return bytesLeft >= 0 && value.length < LONG_STRING;
  }
  if (typeof value !== 'object') return typeof value !== 'function' && typeof value !== 'bigint';
  if (value === null) return true;
  if (depth === 0 || value.toJSON !== undefined) return false;
  const prototype = getPrototypeOf(value);
  if (prototype === arrays) {
    const { length } = value;
    bytesLeft -= length;
    if (bytesLeft < 0 || (length > LONG_ARRAY && isSparse(value))) return false;
    let text = 0;
    for (let i = 0; i < length; i++) {
      const item = value[i];
      // Most items are numbers or short strings, and a call for each costs more than this check.
      if (typeof item === 'number') continue;
      if (typeof item === 'string' && item.length < LONG_STRING) text += item.length;
      else if (!isPlain(item, depth - 1)) return false;
    }
    bytesLeft -= text;
    return bytesLeft >= 0;
  }
  if (prototype !== objects && prototype !== null) return false;
  let text = 0;
  for (const key in value) {
    const item = value[key];
    if (typeof item === 'number') continue;
    if (typeof item === 'string' && item.length < LONG_STRING) text += item.length;
    else if (!isPlain(item, depth - 1)) return false;
  }
  bytesLeft -= text;
  return bytesLeft >= 0;
}

/**
 * Runs `isPlain` on any input. A getter or Proxy that throws here throws again where the error can
 * name its path.
 *
 * @param {unknown} value
 * @param {number} limit maximum size (bytes)
 */
function looksPlain(value, limit) {
  bytesLeft = min(limit, MAX_BYTES_LEFT);
  try {
    return isPlain(value);
  } catch {
    return false;
  }
}

/**
 * @param {unknown} value
 * @param {'json' | 'advanced'} serialization
 * @param {string} [what] name of the value in messages
 * @param {boolean} [extended] whether the other side is bulkhead's own, and so reads long strings
 *   as raw bytes and marked errors
 * @param {number} [limit] maximum size of a payload (bytes)
 * @returns {Encoded}
 * @throws {SerializationError | MessageTooLargeError}
 */
function encode(value, serialization, what = 'value', extended = true, limit = Infinity) {
  if (typeof value === 'function' || typeof value === 'symbol') {
    const message = `a ${typeof value} cannot be a ${what}`;
    throw new SerializationError(message, {
      cause: new TypeError(`a ${typeof value} cannot be serialised`),
    });
  }
  if (value === undefined) return encoded('null', true);
  return (
    encodePlain(value, serialization, what, limit) ??
    encodeOther(value, serialization, what, extended, limit)
  );
}

/**
 * Encodes a value that is JSON as it is: the value that arrives has the same properties.
 *
 * @param {unknown} value not undefined, a function or a symbol
 * @param {'json' | 'advanced'} serialization
 * @param {string} what name of the value in messages
 * @param {number} limit maximum size of a payload (bytes)
 * @returns {Encoded | null} null: the value may need more than JSON
 * @throws {SerializationError | MessageTooLargeError}
 */
function encodePlain(value, serialization, what, limit) {
  if (serialization === 'advanced') {
    const json = tryExactJson(value, limit);
    return json === '' ? null : encoded(json);
  }
  return looksPlain(value, limit) ? encoded(stringify(value, what)) : null;
}

/**
 * Encodes a value that `encodePlain` has left.
 *
 * @param {unknown} value
 * @param {'json' | 'advanced'} serialization
 * @param {string} what
 * @param {boolean} extended as for `encode`
 * @param {number} limit
 * @returns {Encoded}
 * @throws {SerializationError | MessageTooLargeError}
 */
function encodeOther(value, serialization, what, extended, limit) {
  return serialization === 'advanced'
    ? encodeAdvanced(value, what, limit)
    : encodeJson(value, what, extended, limit);
}

/**
 * @param {unknown} value
 * @param {string} what
 * @param {boolean} extended
 * @param {number} limit
 */
function encodeJson(value, what, extended, limit) {
  const flattener = new Flattener(what, errorForm, extended, limit);
  const flat = flattener.flatten(value);
  if (flat === undefined) return encoded('null', true);
  const { blobs, binary } = flattener;
  const json = stringify(flat, what);
  return blobs.length === 0 ? encoded(json) : { ...encoded(json), blobs, binary };
}

/** @param {unknown} value */
function errorForm(value) {
  return isError(value) ? toWire(value) : null;
}

/**
 * @param {unknown} value
 * @param {string} what
 * @param {number} limit
 * @returns {Encoded}
 */
function encodeAdvanced(value, what, limit) {
  assertCloneable(value, what, limit);
  /** @type {Uint8Array[]} */
  const outOfBand = [];
  let bytes;
  try {
    bytes = serialize(value, outOfBand);
  } catch (cause) {
    findCulprit(value, what);
    throw new SerializationError(`the ${what} cannot be serialised: ${reasonOf(cause)}`, { cause });
  }
  // Base64 is longer by a third.
  if (outOfBand.length === 0 && bytes.length <= MAX_INLINE && bytes.length * 2 <= limit) {
    return { ...encoded(`"${toBase64(bytes)}"`), encoding: 'v8' };
  }
  /** @type {Uint8Array[]} */
  const blobs = [bytes];
  for (let i = 0; i < outOfBand.length; i++) blobs[i + 1] = outOfBand[i];
  return { ...encoded('null'), blobs, encoding: 'v8' };
}

/**
 * @param {unknown} value
 * @param {number} limit maximum size (bytes)
 * @returns {string} JSON; empty: the value goes in V8's format
 */
function tryExactJson(value, limit) {
  if (pause > 0) {
    pause -= 1;
    return '';
  }
  const json = exactJson(value);
  // A UTF-16 unit is at most three bytes of UTF-8. V8's format may be shorter than JSON.
  if (json !== '' && json.length * 3 <= limit) {
    nextPause = 2;
    return json;
  }
  pause = nextPause;
  nextPause = min(2 * nextPause, MAX_PAUSE);
  return '';
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
 * @param {unknown} value plain and not undefined
 * @param {string} what name of the value in messages
 * @returns {string}
 */
function stringify(value, what) {
  try {
    return toJson(value);
  } catch (cause) {
    if (cause instanceof RangeError && /string length/i.test(cause.message)) {
      const limit = constants.MAX_STRING_LENGTH;
      throw new MessageTooLargeError(
        `the ${what} exceeds the longest possible string (${limit} characters)`,
        {
          size: limit + 1,
          limit,
          cause,
        },
      );
    }
    throw new SerializationError(`the ${what} cannot be serialised: ${reasonOf(cause)}`, { cause });
  }
}

/**
 * Puts raw bytes back at their paths, and turns the wire form of errors into errors.
 *
 * @param {any} value parsed JSON, which is modified
 * @param {unknown} binary `[[type, path], ...]`, one for each of `blobs`; checked, because another
 *   process sent it
 * @param {(Uint8Array | string)[]} blobs ownership passes to this function
 * @returns {unknown}
 * @throws {TypeError} the input is malformed
 */
function restore(value, binary, blobs) {
  if (!isArray(binary) || binary.length !== blobs.length)
    throw new TypeError('the number of binaries is wrong');
  let root = value;
  for (let i = 0; i < blobs.length; i++) {
    const entry = isArray(binary[i]) ? binary[i] : [];
    const type = entry[0];
    const path = entry[1];
    if (typeof type !== 'string' || !isArray(path))
      throw new TypeError('the path of a binary is malformed');
    const container = containerAt(root, path);
    const key = path[path.length - 1];
    const there = container === undefined ? root : container[key];
    const item = type === 'Error' ? fromWire(there, false) : fromBytes(type, blobs[i]);
    if (container === undefined) root = item;
    else define(container, key, item);
  }
  return root;
}

/**
 * Decodes what `encode` has encoded.
 *
 * @param {any} value parsed payload
 * @param {{ binary?: unknown, encoding?: unknown }} how
 * @param {(Buffer | string)[]} blobs ownership passes to this function
 * @returns {unknown}
 * @throws the input is malformed
 */
function decode(value, { binary, encoding }, blobs) {
  // V8's format has no strings among its blobs.
  if (encoding === 'v8') return decodeAdvanced(value, /** @type {Buffer[]} */ (blobs));
  return binary === undefined || binary === null ? value : restore(value, binary, blobs);
}

/**
 * @param {unknown} text base64, if there are no blobs
 * @param {Uint8Array[]} blobs
 */
function decodeAdvanced(text, blobs) {
  if (blobs.length === 0) return deserialize(fromBase64(text), blobs);
  /** @type {Uint8Array[]} */
  const outOfBand = [];
  for (let i = 1; i < blobs.length; i++) outOfBand[i - 1] = blobs[i];
  return deserialize(blobs[0], outOfBand);
}

module.exports = { decode, encode, encodeOther, encodePlain, prepareAdvanced, restore };
