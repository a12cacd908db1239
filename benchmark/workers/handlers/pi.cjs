// An estimate of pi from ten thousand random points.
'use strict';

module.exports = function pi() {
  let inside = 0;
  for (let point = 0; point < 10_000; point++) {
    const x = Math.random();
    const y = Math.random();
    if (x * x + y * y <= 1) inside++;
  }
  return (4 * inside) / 10_000;
};
