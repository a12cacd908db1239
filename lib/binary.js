'use strict';

// Buffers, typed arrays and their like: how they are recognised, sent as raw bytes, and made again from these.

const { Buffer } = require('node:buffer');
const { types } = require('node:util');
const { OwnMap, uncurry } = require('./intrinsics');
const { decodeText } = require('./text');

const Bytes = Uint8Array;
const View = DataView;
const { isView } = ArrayBuffer;
const { from: bufferFrom, isBuffer } = Buffer;
/** @type {(buffer: ArrayBufferLike, from: number, to: number) => ArrayBuffer} */
const slice = uncurry(ArrayBuffer.prototype.slice);

/** What the wire protocol has names for, besides Buffer, ArrayBuffer, DataView and String. */
const TYPED_ARRAYS = new OwnMap(
  [
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    Float32Array,
    Float64Array,
    BigInt64Array,
    BigUint64Array,
  ].map((Class) => [Class.name, Class]),
);

/** The name of a typed array's class, whatever realm it comes from and whatever a subclass calls itself. */
const typedArrayName = uncurry(
  /** @type {() => string} */ (
    Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)?.get
  ),
);

/**
 * @param {object} value
 * @returns {boolean}
 */
function isBinary(value) {
  return isView(value) || types.isAnyArrayBuffer(value);
}

/**
 * @param {any} value for which `isBinary` is true
 * @returns {{ type: string, bytes: Uint8Array }} `bytes` is a view, of the part that `value` shows
 * @throws {TypeError} for what cannot be sent
 */
function toBytes(value) {
  const whole = types.isAnyArrayBuffer(value);
  const buffer = whole ? value : value.buffer;
  if (types.isSharedArrayBuffer(buffer)) {
    throw new TypeError('memory of a SharedArrayBuffer cannot be shared with another process; copy it first');
  }
  if (whole) return { type: 'ArrayBuffer', bytes: new Bytes(value) };
  const bytes = new Bytes(buffer, value.byteOffset, value.byteLength);
  if (isBuffer(value)) return { type: 'Buffer', bytes };
  if (types.isDataView(value)) return { type: 'DataView', bytes };
  const type = typedArrayName(value);
  if (!TYPED_ARRAYS.has(type)) throw new TypeError(`a ${type} cannot be sent`);
  return { type, bytes };
}

/**
 * @param {string} type
 * @param {Uint8Array} bytes given away: what comes back may lie in the same memory
 * @returns {unknown}
 * @throws {TypeError} for a type or a length that no sender makes
 */
function fromBytes(type, bytes) {
  if (type === 'String') return decodeText(/** @type {Buffer} */ (bytes));
  if (type === 'Buffer') {
    return isBuffer(bytes) ? bytes : bufferFrom(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  // Users take the `buffer` of what they get for theirs. And bytes from the middle of a larger one may not be aligned.
  const buffer = exactly(bytes);
  if (type === 'ArrayBuffer') return buffer;
  if (type === 'DataView') return new View(buffer);
  const Class = TYPED_ARRAYS.get(type);
  if (Class === undefined) throw new TypeError(`unknown type of binary: ${type}`);
  if (buffer.byteLength % Class.BYTES_PER_ELEMENT !== 0)
    throw new TypeError(`${buffer.byteLength} bytes are no ${type}`);
  return new Class(buffer);
}

/**
 * @param {Uint8Array} bytes
 * @returns {ArrayBuffer} of these bytes and no others
 */
function exactly({ buffer, byteOffset, byteLength }) {
  const whole = byteOffset === 0 && byteLength === buffer.byteLength;
  return /** @type {ArrayBuffer} */ (whole ? buffer : slice(buffer, byteOffset, byteOffset + byteLength));
}

module.exports = { fromBytes, isBinary, toBytes };
