// Returns text, because a BigInt is not JSON.
'use strict';

/** @param {{ n: number }} task */
module.exports = function factorial({ n }) {
  let product = 1n;
  for (let factor = 2n; factor <= n; factor++) product *= factor;
  return product.toString();
};
