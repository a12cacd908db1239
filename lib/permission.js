'use strict';

const { HOST, denoPermits } = require('./host');

/**
 * The permission models of Node and Deno do not see what an addon spawns. They are asked all the same: whoever forbids
 * child processes means ours too.
 */
function assertMaySpawn() {
  const { permission } = /** @type {{ permission?: { has(scope: string): boolean } }} */ (
    /** @type {unknown} */ (process)
  );
  if (HOST === 'Deno' && !denoPermits('run')) throw denied('--allow-run');
  if (permission !== undefined && !permission.has('child')) throw denied('--allow-child-process');
}

/** @param {string} flag */
function denied(flag) {
  const message = `Access to this API has been restricted. Use ${flag} to let bulkhead start its workers.`;
  return Object.assign(new Error(message), { code: 'ERR_ACCESS_DENIED', permission: 'ChildProcess' });
}

module.exports = { assertMaySpawn };
