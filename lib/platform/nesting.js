'use strict';

/** Far more levels than a program needs, and few enough for a machine to bear. */
const MAX_DEPTH = 8;

/**
 * Refuses endless nesting: a worker module that creates a pool of its own module and gives it a
 * task starts one worker from the other.
 *
 * @param {number} depth nesting depth of this process
 */
function assertMayNest(depth) {
  if (depth < MAX_DEPTH) return;
  const message =
    `pools may be nested ${MAX_DEPTH} deep: this process is a worker of the innermost pool. ` +
    'Does the worker module, or what it imports, create a pool that runs the same module again?';
  throw Object.assign(new Error(message), { code: 'ERR_POOL_DEPTH' });
}

module.exports = { assertMayNest };
