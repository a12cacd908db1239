'use strict';

/** @type {FinalizationRegistry<string>} */
const registry = new FinalizationRegistry((name) => {
  process.emitWarning(
    `the process pool "${name}" was garbage-collected without shutdown(); its workers have been stopped`,
    'BulkheadWarning',
  );
});

/**
 * A pool that runs has workers, and is to be shut down before it goes out of reach.
 *
 * @param {object} pool
 * @param {string} name
 */
function warnIfAbandoned(pool, name) {
  registry.register(pool, name, pool);
}

/** @param {object} pool that is closed */
function closedProperly(pool) {
  registry.unregister(pool);
}

module.exports = { closedProperly, warnIfAbandoned };
