'use strict';

// Number arrays that the native side keeps and writes to.

/**
 * Returns an array over a buffer of its own, whose memory never moves. JavaScriptCore keeps a small
 * typed array in its heap until its `buffer` is read. Bun before 1.4 passed that heap address to an
 * addon and moved the elements in the same call.
 *
 * @param {number} length
 * @returns {Float64Array}
 */
function numberArray(length) {
  return new Float64Array(new ArrayBuffer(length * Float64Array.BYTES_PER_ELEMENT));
}

module.exports = { numberArray };
