// Uses the processor, and returns the times. All processes of a machine share this clock.
'use strict';

const burn = require('../burn.cjs');

const now = () => Number(process.hrtime.bigint()) / 1e6;

/** @param {{ id: number, burn?: number, spin?: number }} task rounds of work, or milliseconds to keep busy */
module.exports = function work(task) {
  const start = now();
  let value = 0;
  if (task.burn !== undefined) value = burn(task.burn);
  else if (task.spin !== undefined) while (now() < start + task.spin);
  return { id: task.id, value, start, end: now() };
};
