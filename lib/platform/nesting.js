'use strict';

/** Far more than anybody nests on purpose, and few enough for a machine to bear. */
const MAX_DEPTH = 8;

/**
 * A worker module that makes a pool for its own module, and gives it a task, goes on for ever: each
 * worker starts another.
 *
 * @param {number} depth how deep in pools within pools this process is
 */
function assertMayNest(depth) {
  if (depth < MAX_DEPTH) return;
  const message =
    `pools may be nested ${MAX_DEPTH} deep, and this process is a worker of the innermost one. ` +
    'Does the worker module, or what it imports, make a pool that runs the same module again?';
  throw Object.assign(new Error(message), { code: 'ERR_POOL_DEPTH' });
}

module.exports = { assertMayNest };
