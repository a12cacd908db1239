'use strict';

// Values in V8's structured clone format, for `serialization: 'advanced'`.
//
// V8 treats views of memory (Buffers, typed arrays) as "host objects", whose form the embedder
// decides. Here that is the type of the view and its bytes. The bytes of large views travel out of
// band, as raw bytes do in JSON mode, and are never copied into the value. Each view arrives in
// memory of its own that holds exactly its bytes.

const { Buffer } = require('node:buffer');
const { uncurry } = require('../intrinsics');
const { ENGINE } = require('../platform/runtime');
const { BINARY_TYPES, fromBytes, isBinary, toBytes } = require('./binary');

const { floor, max } = Math;
const { allocUnsafeSlow } = Buffer;
// The methods behind toString() and write(), which user code may have replaced.
const { base64Slice, base64Write } = /** @type {any} */ (Buffer.prototype);
/** @type {(bytes: Uint8Array, from: number, to: number) => string} */
const base64Of = uncurry(base64Slice);
/** @type {(bytes: Uint8Array, text: string, from: number, length: number) => number} */
const writeBase64 = uncurry(base64Write);

/** From this size on the bytes of a view travel out of band (bytes). */
const OUT_OF_BAND_FROM = 4096;

/**
 * @typedef {object} Format
 * @property {(value: unknown, outOfBand: Uint8Array[] | null) => Buffer} serialize appends the
 *   bytes of large views to `outOfBand`; null: all bytes are in the result
 * @property {(bytes: Uint8Array, outOfBand: Uint8Array[]) => unknown} deserialize
 */

/** @type {Format | null} */
let format = null;

/**
 * Loads node:v8. That takes a few milliseconds and few processes need it, so call this only where
 * the format is used, before user code runs.
 *
 * @returns {Format}
 */
function prepareAdvanced() {
  format ??= ENGINE === 'V8' ? v8Format(require('node:v8')) : plainFormat(require('node:v8'));
  return format;
}

/**
 * The format of another engine, whose node:v8 offers no control over host objects.
 *
 * @param {Pick<typeof import('node:v8'), 'deserialize' | 'serialize'>} v8
 * @returns {Format}
 */
function plainFormat({ deserialize, serialize }) {
  return { serialize: (value) => serialize(value), deserialize: (bytes) => deserialize(bytes) };
}

/**
 * @param {typeof import('node:v8')} v8
 * @returns {Format}
 */
function v8Format(v8) {
  const writer = methodsOf(v8.Serializer.prototype);
  const reader = methodsOf(v8.Deserializer.prototype);

  class Serializer extends v8.Serializer {
    /** @type {Uint8Array[] | null} */
    outOfBand = null;

    /** @param {any} view a view, or another host object such as a MessagePort */
    _writeHostObject(view) {
      if (!isBinary(view)) throw new TypeError('an object of the runtime could not be cloned');
      const { type, bytes } = toBytes(view, true);
      const { outOfBand } = this;
      const { byteLength } = bytes;
      let number = 0;
      while (BINARY_TYPES[number] !== type) number += 1;
      writer.writeUint32(this, number);
      if (outOfBand === null || byteLength < OUT_OF_BAND_FROM) {
        writer.writeUint32(this, 0);
        writer.writeUint32(this, byteLength);
        writer.writeRawBytes(this, bytes);
      } else {
        outOfBand[outOfBand.length] = bytes;
        writer.writeUint32(this, outOfBand.length);
      }
    }
  }

  class Deserializer extends v8.Deserializer {
    /** @type {(Uint8Array | null)[]} */
    outOfBand = [];

    _readHostObject() {
      const type = BINARY_TYPES[reader.readUint32(this)];
      if (type === undefined) throw new TypeError('unknown type of binary');
      const number = reader.readUint32(this);
      // Copied, because readRawBytes returns a view of the whole message.
      if (number === 0)
        return fromBytes(type, copyOf(reader.readRawBytes(this, reader.readUint32(this))));
      const bytes = this.outOfBand[number - 1] ?? null;
      if (bytes === null) throw new TypeError('the bytes of a binary are missing');
      this.outOfBand[number - 1] = null;
      return fromBytes(type, bytes);
    }
  }

  return {
    serialize(value, outOfBand) {
      const serializer = new Serializer();
      serializer.outOfBand = outOfBand;
      writer._setTreatArrayBufferViewsAsHostObjects(serializer, true);
      writer.writeHeader(serializer);
      writer.writeValue(serializer, value);
      return writer.releaseBuffer(serializer);
    },
    deserialize(bytes, outOfBand) {
      const deserializer = new Deserializer(bytes);
      deserializer.outOfBand = outOfBand;
      reader.readHeader(deserializer);
      return reader.readValue(deserializer);
    },
  };
}

/**
 * @param {any} prototype
 * @returns {any} the methods of the prototype, which user code may replace, as functions whose
 *   first argument is `this`
 */
function methodsOf(prototype) {
  /** @type {Record<string, unknown>} */
  const methods = {};
  for (const name of Object.getOwnPropertyNames(prototype)) {
    if (typeof prototype[name] === 'function') methods[name] = uncurry(prototype[name]);
  }
  return methods;
}

/**
 * @param {Uint8Array} bytes
 * @returns {Uint8Array} in memory of its own
 */
function copyOf(bytes) {
  const copy = allocUnsafeSlow(bytes.length);
  copyInto(copy, bytes, 0);
  return copy;
}

/** @type {(target: Uint8Array, source: Uint8Array, at: number) => void} */
const copyInto = uncurry(Uint8Array.prototype.set);

/**
 * @param {unknown} value
 * @param {Uint8Array[] | null} outOfBand receives the bytes of large views; null: they stay in the
 *   value
 * @throws the value cannot be cloned
 */
function serialize(value, outOfBand) {
  return (format ?? prepareAdvanced()).serialize(value, outOfBand);
}

/**
 * @param {Uint8Array} bytes
 * @param {Uint8Array[]} outOfBand ownership passes to this function
 * @returns {unknown}
 * @throws the input is malformed
 */
function deserialize(bytes, outOfBand) {
  return (format ?? prepareAdvanced()).deserialize(bytes, outOfBand);
}

/** @param {Uint8Array} bytes */
function toBase64(bytes) {
  return base64Of(bytes, 0, bytes.length);
}

/**
 * @param {unknown} text base64 without line breaks
 * @returns {Uint8Array}
 * @throws {TypeError} the text is malformed
 */
function fromBase64(text) {
  if (typeof text !== 'string') throw new TypeError("a value in V8's format is not a string");
  const { length } = text;
  const padding = text[length - 1] !== '=' ? 0 : text[length - 2] !== '=' ? 1 : 2;
  const bytes = allocUnsafeSlow(max(floor((length * 3) / 4) - padding, 0));
  if (writeBase64(bytes, text, 0, bytes.length) !== bytes.length)
    throw new TypeError('the base64 text is malformed');
  return bytes;
}

module.exports = { deserialize, fromBase64, prepareAdvanced, serialize, toBase64 };
