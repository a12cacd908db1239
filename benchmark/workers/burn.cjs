// A fixed amount of work, about a microsecond for each round. Time would not do: a task that is told to run for a
// millisecond is "done" after it even if the processor was somebody else's meanwhile.
'use strict';

/** @param {number} rounds */
module.exports = function burn(rounds) {
  let x = 1;
  for (let i = rounds * 1000; i > 0; i--) x = (Math.imul(x, 1664525) + 1013904223) | 0;
  return x;
};
