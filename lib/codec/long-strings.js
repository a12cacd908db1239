'use strict';

// Long strings as raw bytes. JSON would scan each of their characters four times, and escape some.
//
// ASCII and Latin-1 travel as one byte per character. Other text travels as UTF-16 (little endian,
// as all supported systems are), which preserves lone surrogates. The last byte names the form.
//
// The addon makes a string over the memory in which the bytes arrived, where that is possible.
// Elsewhere they arrive as a Buffer, and this file makes the string of it.

const { Buffer } = require('node:buffer');
const { isArray, uncurry } = require('../intrinsics');
const { encodeText, LONG_STRING } = require('../native');
const { HOST } = require('../platform/runtime');

const ONE_BYTE = 0;
const UTF_16 = 1;

/** @type {(bytes: Uint8Array, encoding: BufferEncoding, from: number, to: number) => string} */
const slice = uncurry(Buffer.prototype.toString);

/** @type {number[]} */
const NONE = [];

/**
 * Returns the indices of strings among raw bytes, for the addon to make the strings. Bun and Deno
 * have the functions for that, but treat the borrowed memory in ways of their own.
 *
 * @param {unknown} binary `[[type, path], ...]`, unchecked
 * @returns {number[]}
 */
function textsIn(binary) {
  if (HOST !== 'Node.js' || !isArray(binary)) return NONE;
  /** @type {number[]} */
  const texts = [];
  for (let i = 0; i < binary.length; i++) {
    if (isArray(binary[i]) && binary[i][0] === 'String') texts[texts.length] = i;
  }
  return texts;
}

/**
 * @param {Uint8Array | string} bytes from `encodeText`, or the string that the addon has made of
 *   them
 * @returns {string}
 * @throws {TypeError} the bytes are malformed
 */
function decodeText(bytes) {
  if (typeof bytes === 'string') return bytes;
  const end = bytes.length - 1;
  const form = bytes[end];
  if (form === ONE_BYTE) return slice(bytes, 'latin1', 0, end);
  if (form === UTF_16 && end % 2 === 0) return slice(bytes, 'utf16le', 0, end);
  throw new TypeError('the bytes of a string are malformed');
}

module.exports = { LONG_STRING, decodeText, encodeText, textsIn };
