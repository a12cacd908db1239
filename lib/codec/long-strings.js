'use strict';

// Long strings as raw bytes. JSON would look at each of their characters four times, and escape
// some.
//
// What is pure ASCII travels as that, anything else in UTF-16 (little endian, as all systems are
// that this runs on), which loses nothing, lone surrogates neither. The last byte says which it is.

const { Buffer } = require('node:buffer');
const { uncurry } = require('../intrinsics');
const { encodeText } = require('../native');

/** From this length on a string is long, in UTF-16 units. */
const LONG_STRING = 32 * 1024;

const ONE_BYTE = 0;
const UTF_16 = 1;

/** @type {(bytes: Buffer, encoding: BufferEncoding, from: number, to: number) => string} */
const slice = uncurry(Buffer.prototype.toString);

/**
 * @param {Buffer} bytes as `encodeText` makes them
 * @returns {string}
 * @throws {TypeError} for what no sender makes
 */
function decodeText(bytes) {
  const end = bytes.length - 1;
  const form = bytes[end];
  if (form === ONE_BYTE) return slice(bytes, 'latin1', 0, end);
  if (form === UTF_16 && end % 2 === 0) return slice(bytes, 'utf16le', 0, end);
  throw new TypeError('malformed bytes of a string');
}

module.exports = { LONG_STRING, decodeText, encodeText };
