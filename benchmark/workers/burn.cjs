// A fixed amount of work, about a microsecond for each round. Time would not do: a task that is told to run for a
// millisecond is "done" after it even if the processor was somebody else's meanwhile.
'use strict';

/** @param {number} rounds */
module.exports = function burn(rounds) {
  let x = 1;
  for (let round = rounds; round > 0; round--) x = once(x);
  return x;
};

/**
 * In loops of a fixed length: one whose length comes out of a task is compiled for floating-point numbers by some versions
 * of V8 and takes five times as long then, which would measure V8.
 *
 * @param {number} seed
 */
function once(seed) {
  let x = seed;
  for (let i = 0; i < 1000; i++) x = (Math.imul(x, 1664525) + 1013904223) | 0;
  return x;
}
