'use strict';

// Arrays of numbers that the native side keeps and writes into.

/**
 * An array over a buffer of its own, whose memory never moves. JavaScriptCore keeps the elements of
 * a small typed array in its heap until its `buffer` is asked for; Bun before 1.4 told an addon
 * their place there, and moved them away in the same call.
 *
 * @param {number} length
 * @returns {Float64Array}
 */
function numberArray(length) {
  return new Float64Array(new ArrayBuffer(length * Float64Array.BYTES_PER_ELEMENT));
}

module.exports = { numberArray };
