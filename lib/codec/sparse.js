'use strict';

// Arrays that are long and mostly holes. To ask for each of their elements takes half a microsecond
// a hole, and there may be four thousand millions of these.

const { hasOwn } = require('../intrinsics');

const { floor } = Math;

/** Elements of an array that is walked element by element, whatever it consists of. */
const LONG_ARRAY = 64 * 1024;
/** Elements of a longer one that are looked at. */
const SAMPLES = 64;

/**
 * Whether an array is better asked for the keys that it has: most of the elements that are looked
 * at are holes.
 *
 * @param {unknown[]} array
 */
function isSparse(array) {
  const { length } = array;
  if (length <= LONG_ARRAY) return false;
  const step = floor(length / SAMPLES);
  let holes = 0;
  for (let i = 0; i < SAMPLES; i++) {
    if (!hasOwn(array, i * step)) holes += 1;
  }
  return holes * 2 > SAMPLES;
}

module.exports = { LONG_ARRAY, isSparse };
