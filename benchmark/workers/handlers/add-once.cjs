// Returns a wrong result in a worker that runs a second task.
'use strict';

let used = false;

/** @param {{ a: number, b: number }} task */
module.exports = function add({ a, b }) {
  if (used) return 'not the first task';
  used = true;
  return a + b;
};
