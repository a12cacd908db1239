'use strict';

/**
 * Node's permission model does not see what an addon spawns. It is asked all the same: whoever forbids child processes
 * means ours too.
 */
function assertMaySpawn() {
  const { permission } = /** @type {{ permission?: { has(scope: string): boolean } }} */ (
    /** @type {unknown} */ (process)
  );
  if (permission === undefined || permission.has('child')) return;
  const message =
    'Access to this API has been restricted. Use --allow-child-process to let bulkhead start its workers.';
  throw Object.assign(new Error(message), { code: 'ERR_ACCESS_DENIED', permission: 'ChildProcess' });
}

module.exports = { assertMaySpawn };
