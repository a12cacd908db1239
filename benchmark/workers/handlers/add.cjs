'use strict';

/** @param {{ a: number, b: number }} task */
module.exports = function add({ a, b }) {
  return a + b;
};
