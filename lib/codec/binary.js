'use strict';

// Buffers, typed arrays and their like: how they are recognised, sent as raw bytes, and made again
// from these.

const { Buffer } = require('node:buffer');
const process = require('node:process');
const { types } = require('node:util');
const { SerializationError } = require('../errors/classes');
const { OwnMap, OwnSet, uncurry } = require('../intrinsics');
const { decodeText } = require('./long-strings');

const Bytes = Uint8Array;
const View = DataView;
const { isView } = ArrayBuffer;
const { from: bufferFrom, isBuffer } = Buffer;
/** For messages. */
const RUNTIME = `the runtime of this process (Node.js ${process.versions.node})`;
/** @type {(buffer: ArrayBufferLike, from: number, to: number) => ArrayBuffer} */
const slice = uncurry(ArrayBuffer.prototype.slice);

/**
 * The typed arrays that the wire protocol has names for, besides Buffer, ArrayBuffer, DataView and
 * String.
 */
const TYPED_ARRAYS = Object.freeze([
  'Int8Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float16Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
]);

const KNOWN = new OwnSet(TYPED_ARRAYS);

/** Everything that `toBytes` may call what it was given. */
const BINARY_TYPES = Object.freeze(['Buffer', 'ArrayBuffer', 'DataView', ...TYPED_ARRAYS]);

/**
 * Those that this runtime has: Float16Array came with Node.js 24. Test environments (Vitest with
 * jsdom) make accessors of these globals.
 *
 * @type {Map<string, Uint8ArrayConstructor>}
 */
const CLASSES = new OwnMap();
for (const name of TYPED_ARRAYS) {
  const Class = /** @type {any} */ (globalThis)[name];
  if (typeof Class === 'function') CLASSES.set(name, Class);
}

/**
 * The name of a typed array's class, whatever realm it comes from and whatever a subclass calls
 * itself.
 */
const typedArrayName = uncurry(
  /** @type {() => string} */ (
    Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)
      ?.get
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
 * @param {boolean} [copiesShared] whether a view of shared memory may go as a copy
 * @returns {{ type: string, bytes: Uint8Array }} `bytes` is a view, of the part that `value` shows
 * @throws {TypeError} for what cannot be sent
 */
function toBytes(value, copiesShared = false) {
  const whole = types.isAnyArrayBuffer(value);
  const buffer = whole ? value : value.buffer;
  if (types.isSharedArrayBuffer(buffer) && !copiesShared) {
    throw new TypeError(
      'memory of a SharedArrayBuffer cannot be shared with another process; copy it first',
    );
  }
  if (whole) return { type: 'ArrayBuffer', bytes: new Bytes(value) };
  const view = new Bytes(buffer, value.byteOffset, value.byteLength);
  const bytes = types.isSharedArrayBuffer(buffer) ? new Bytes(view) : view;
  if (isBuffer(value)) return { type: 'Buffer', bytes };
  if (types.isDataView(value)) return { type: 'DataView', bytes };
  const type = typedArrayName(value);
  if (!KNOWN.has(type)) throw new TypeError(`a ${type} cannot be sent`);
  return { type, bytes };
}

/**
 * @param {string} type
 * @param {Uint8Array} bytes given away: what comes back may lie in the same memory
 * @returns {unknown}
 * @throws {TypeError} for a type or a length that no sender makes
 * @throws {SerializationError} for a type that only the sender's runtime has
 */
function fromBytes(type, bytes) {
  if (type === 'String') return decodeText(/** @type {Buffer} */ (bytes));
  // Users take the `buffer` of what they get for theirs. And bytes from the middle of a larger one
  // may not be aligned.
  const buffer = exactly(bytes);
  if (type === 'Buffer')
    return buffer === bytes.buffer && isBuffer(bytes) ? bytes : bufferFrom(buffer);
  if (type === 'ArrayBuffer') return buffer;
  if (type === 'DataView') return new View(buffer);
  const Class = CLASSES.get(type);
  if (Class === undefined) {
    if (!KNOWN.has(type)) throw new TypeError(`unknown type of binary: ${type}`);
    const remedy = 'run both sides on a version that has it, or send another type';
    throw new SerializationError(
      `a ${type} cannot be read: ${RUNTIME} has no such class, ${remedy}`,
    );
  }
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
  return /** @type {ArrayBuffer} */ (
    whole ? buffer : slice(buffer, byteOffset, byteOffset + byteLength)
  );
}

module.exports = { BINARY_TYPES, fromBytes, isBinary, toBytes };
