// A minimal handler. No field is named like one of bulkhead's envelope, so that all pools return
// the same object.
'use strict';

const { pid } = process;

/** @param {{ id: number, data?: string, echo?: unknown, block?: number }} task */
module.exports = function tiny(task) {
  if (task.block) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, task.block);
  return { id: task.id, value: task.echo === undefined ? 'ok' : task.echo, pid };
};
