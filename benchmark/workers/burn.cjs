// A fixed amount of work, about a microsecond for each round. A fixed time would not do: a task
// that runs for a millisecond ends after it even if another process used the processor.
'use strict';

/** @param {number} rounds */
module.exports = function burn(rounds) {
  let x = 1;
  for (let round = rounds; round > 0; round--) x = once(x);
  return x;
};

/**
 * Runs loops of a fixed length. Some versions of V8 compile a loop whose length comes from a task
 * for floating-point numbers. It then takes five times as long, and the benchmark would measure V8.
 *
 * @param {number} seed
 */
function once(seed) {
  let x = seed;
  for (let i = 0; i < 1000; i++) x = (Math.imul(x, 1664525) + 1013904223) | 0;
  return x;
}
