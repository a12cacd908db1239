'use strict';

// Buffers, typed arrays and similar values: recognises them, turns them into raw bytes, and
// restores them.

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
/** Name of this runtime in messages. */
const RUNTIME = `the runtime of this process (Node.js ${process.versions.node})`;
/** @type {(buffer: ArrayBufferLike, from: number, to: number) => ArrayBuffer} */
const slice = uncurry(ArrayBuffer.prototype.slice);

/**
 * The typed arrays with a name in the wire protocol. Its other names are Buffer, ArrayBuffer,
 * DataView and String.
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

/** All types that `toBytes` returns. */
const BINARY_TYPES = Object.freeze(['Buffer', 'ArrayBuffer', 'DataView', ...TYPED_ARRAYS]);

/**
 * The typed arrays of this runtime: Float16Array came with Node.js 24. Test environments (Vitest
 * with jsdom) turn these globals into accessors.
 *
 * @type {Map<string, Uint8ArrayConstructor>}
 */
const CLASSES = new OwnMap();
for (const name of TYPED_ARRAYS) {
  const Class = /** @type {any} */ (globalThis)[name];
  if (typeof Class === 'function') CLASSES.set(name, Class);
}

/** Returns the class name of a typed array, independent of its realm and of subclasses. */
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
 * @param {boolean} [copiesShared] whether to copy a view of shared memory instead of refusing it
 * @returns {{ type: string, bytes: Uint8Array }} `bytes` is a view of the part that `value` shows
 * @throws {TypeError} the value cannot be sent
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
 * @param {Uint8Array | string} bytes ownership passes to this function: the result may use the same
 *   memory. A `String` may be one already
 * @returns {unknown}
 * @throws {TypeError} the type or the length is malformed
 * @throws {SerializationError} the type exists only in the sender's runtime
 */
function fromBytes(type, bytes) {
  if (type === 'String') return decodeText(bytes);
  if (typeof bytes === 'string') throw new TypeError(`a ${type} cannot be a string`);
  // Users may use the whole `buffer` of what they get. Moreover, bytes from the middle of a larger
  // buffer may not be aligned.
  const buffer = exactly(bytes);
  if (type === 'Buffer')
    return buffer === bytes.buffer && isBuffer(bytes) ? bytes : bufferFrom(buffer);
  if (type === 'ArrayBuffer') return buffer;
  if (type === 'DataView') return new View(buffer);
  const Class = CLASSES.get(type);
  if (Class === undefined) {
    if (!KNOWN.has(type)) throw new TypeError(`unknown type of binary: ${type}`);
    const remedy = 'use versions with this class on both sides, or send another type';
    throw new SerializationError(
      `a ${type} cannot be read: ${RUNTIME} has no such class; ${remedy}`,
    );
  }
  if (buffer.byteLength % Class.BYTES_PER_ELEMENT !== 0)
    throw new TypeError(`a ${type} cannot have ${buffer.byteLength} bytes`);
  return new Class(buffer);
}

/**
 * @param {Uint8Array} bytes
 * @returns {ArrayBuffer} a buffer of exactly these bytes
 */
function exactly({ buffer, byteOffset, byteLength }) {
  const whole = byteOffset === 0 && byteLength === buffer.byteLength;
  return /** @type {ArrayBuffer} */ (
    whole ? buffer : slice(buffer, byteOffset, byteOffset + byteLength)
  );
}

module.exports = { BINARY_TYPES, fromBytes, isBinary, toBytes };
