'use strict';

// Checks that the heap has room for a parsed value. A worker's message of 64 MiB may hold thirty
// million arrays, which take 28 times as much heap. V8 ends the process when the heap is full.

const { MessageTooLargeError } = require('../errors/classes');

const MEBIBYTE = 1024 * 1024;
/** Fraction of the heap that a single value may take. */
const MAX_FRACTION = 0.5;

let limit = 0;

/**
 * @param {number} mebibytes approximate heap size of a value of many objects and arrays
 * @throws {MessageTooLargeError} the value takes more than half of the heap
 */
function assertFits(mebibytes) {
  // Loaded late: the module takes milliseconds to load, and such values are rare.
  if (limit === 0) limit = require('node:v8').getHeapStatistics().heap_size_limit * MAX_FRACTION;
  const size = mebibytes * MEBIBYTE;
  if (!(size > limit)) return;
  const message =
    `the value is too large for this process: its objects and arrays would take about ${mebibytes} MiB, more than half of ` +
    `the heap (${Math.floor(limit / MEBIBYTE)} MiB); send the value in parts or as binary data, or start this process with a ` +
    'larger --max-old-space-size';
  throw new MessageTooLargeError(message, { size, limit });
}

module.exports = { assertFits };
