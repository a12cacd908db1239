// The same work without any pool: counts the rounds that this process completes within a given
// time.
'use strict';

const burn = require('./burn.cjs');

process.on('message', (duration) => {
  const start = performance.now();
  let rounds = 0;
  for (; performance.now() - start < duration; rounds += 500) burn(500);
  process.send((rounds / (performance.now() - start)) * 1000);
});
