// The handler that every pool of the benchmark runs. No field is named as in bulkhead's envelope, so that all of
// them return the same object to the caller.
'use strict';

const { pid } = process;

/** @param {{ id: number, data?: string, echo?: unknown, block?: number }} task */
module.exports = function handle(task) {
  if (task.block) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, task.block);
  return { id: task.id, value: task.echo === undefined ? 'ok' : task.echo, pid };
};
