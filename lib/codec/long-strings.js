'use strict';

// Long strings as raw bytes. JSON would scan each of their characters four times, and escape some.
//
// Pure ASCII travels as one byte per character. Other text travels as UTF-16 (little endian, as all
// supported systems are), which preserves lone surrogates. The last byte names the form.

const { Buffer } = require('node:buffer');
const { uncurry } = require('../intrinsics');
const { encodeText, LONG_STRING } = require('../native');

const ONE_BYTE = 0;
const UTF_16 = 1;

/** @type {(bytes: Buffer, encoding: BufferEncoding, from: number, to: number) => string} */
const slice = uncurry(Buffer.prototype.toString);

/**
 * @param {Buffer} bytes from `encodeText`
 * @returns {string}
 * @throws {TypeError} the bytes are malformed
 */
function decodeText(bytes) {
  const end = bytes.length - 1;
  const form = bytes[end];
  if (form === ONE_BYTE) return slice(bytes, 'latin1', 0, end);
  if (form === UTF_16 && end % 2 === 0) return slice(bytes, 'utf16le', 0, end);
  throw new TypeError('the bytes of a string are malformed');
}

module.exports = { LONG_STRING, decodeText, encodeText };
