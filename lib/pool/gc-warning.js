'use strict';

const process = require('node:process');
const { setTimeout } = require('../clock');

/**
 * In ms. A process that ends on its own within this time is not told: it may well leave its pools
 * to their end, and newer versions of V8 collect a pool soon after its last task.
 */
const DELAY = 1_000;

/** @type {FinalizationRegistry<string>} */
const registry = new FinalizationRegistry((name) => {
  setTimeout(warn, DELAY, name).unref();
});

/** @param {string} name of a pool that is gone */
function warn(name) {
  process.emitWarning(
    `process pool "${name}" was garbage-collected without shutdown(): the workers of the pool were stopped`,
    'BulkheadWarning',
  );
}

/**
 * A pool that runs has workers, and is to be shut down before it goes out of reach.
 *
 * @param {object} pool
 * @param {string} name
 */
function warnIfCollected(pool, name) {
  registry.register(pool, name, pool);
}

/** @param {object} pool that is closed */
function cancelWarning(pool) {
  registry.unregister(pool);
}

module.exports = { cancelWarning, warnIfCollected };
