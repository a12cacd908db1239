'use strict';

// Values in the format of V8's structured clone, for `serialization: 'advanced'`.
//
// Views of memory (Buffers, typed arrays) are V8's "host objects", whose form is up to us: what a
// view is, and its bytes. Those of large ones travel beside the value, as raw bytes do in JSON, and
// are never copied into it. Each arrives in memory of its own, which has its bytes and no others.

const { Buffer } = require('node:buffer');
const { uncurry } = require('../intrinsics');
const { ENGINE } = require('../platform/runtime');
const { BINARY_TYPES, fromBytes, isBinary, toBytes } = require('./binary');

const { floor, max } = Math;
const { allocUnsafeSlow } = Buffer;
// What toString() and write() call; those look them up where user code may have put something else.
const { base64Slice, base64Write } = /** @type {any} */ (Buffer.prototype);
/** @type {(bytes: Uint8Array, from: number, to: number) => string} */
const base64Of = uncurry(base64Slice);
/** @type {(bytes: Uint8Array, text: string, from: number, length: number) => number} */
const writeBase64 = uncurry(base64Write);

/** The size from which on the bytes of a view travel beside the value. */
const OUT_OF_BAND_FROM = 4096;

/**
 * @typedef {object} Format
 * @property {(value: unknown, outOfBand: Uint8Array[] | null) => Buffer} serialize collects in `outOfBand`
 *   the bytes that are no part of what it returns; null: all are
 * @property {(bytes: Uint8Array, outOfBand: Uint8Array[]) => unknown} deserialize
 */

/** @type {Format | null} */
let format = null;

/**
 * Node's own module takes a few milliseconds to load, which few processes need: to be called before
 * user code runs where it will be used.
 *
 * @returns {Format}
 */
function prepareAdvanced() {
  format ??= ENGINE === 'V8' ? v8Format(require('node:v8')) : plainFormat(require('node:v8'));
  return format;
}

/**
 * Where there is no V8, its module has a format of its own, and no say in it.
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

    /** @param {any} view or an object of the runtime, such as a MessagePort */
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
      // What is read here is a view of the whole message.
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
 * @returns {any} its methods, which user code may replace in it, as functions whose first argument
 *   is their `this`
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
 * @param {Uint8Array[] | null} outOfBand where the bytes of large views go; null: into the value
 * @throws for what cannot be cloned
 */
function serialize(value, outOfBand) {
  return (format ?? prepareAdvanced()).serialize(value, outOfBand);
}

/**
 * @param {Uint8Array} bytes
 * @param {Uint8Array[]} outOfBand given away
 * @returns {unknown}
 * @throws for what no sender makes
 */
function deserialize(bytes, outOfBand) {
  return (format ?? prepareAdvanced()).deserialize(bytes, outOfBand);
}

/** @param {Uint8Array} bytes */
function toBase64(bytes) {
  return base64Of(bytes, 0, bytes.length);
}

/**
 * @param {unknown} text which the other side has written without line breaks
 * @returns {Uint8Array}
 * @throws {TypeError} for what no sender makes
 */
function fromBase64(text) {
  if (typeof text !== 'string') throw new TypeError('a value in the format of V8 is no text');
  const { length } = text;
  const padding = text[length - 1] !== '=' ? 0 : text[length - 2] !== '=' ? 1 : 2;
  const bytes = allocUnsafeSlow(max(floor((length * 3) / 4) - padding, 0));
  if (writeBase64(bytes, text, 0, bytes.length) !== bytes.length)
    throw new TypeError('malformed base64');
  return bytes;
}

module.exports = { deserialize, fromBase64, prepareAdvanced, serialize, toBase64 };
