'use strict';

// Long arrays that consist mostly of holes. Reading a hole takes half a microsecond, and an array
// may have four thousand million of them.

const { hasOwn } = require('../intrinsics');

const { floor } = Math;

/** Up to this length an array is always walked element by element. */
const LONG_ARRAY = 64 * 1024;
/** Number of elements to sample of a longer array. */
const SAMPLES = 64;

/**
 * Returns whether an array is better walked by its keys: most of the sampled elements are holes.
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
