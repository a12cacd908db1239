'use strict';

const process = require('node:process');
const { setTimeout } = require('../clock');

/**
 * The delay of the warning (ms). A process that ends within this time gets no warning: it may leave
 * its pools to the exit, and newer versions of V8 collect a pool soon after its last task.
 */
const DELAY = 1_000;

/** @type {FinalizationRegistry<string>} */
const registry = new FinalizationRegistry((name) => {
  setTimeout(warn, DELAY, name).unref();
});

/** @param {string} name of the collected pool */
function warn(name) {
  process.emitWarning(
    `process pool "${name}" was garbage-collected without shutdown(): the workers of the pool were stopped`,
    'BulkheadWarning',
  );
}

/**
 * Warns if a running pool is collected without a shutdown.
 *
 * @param {object} pool
 * @param {string} name
 */
function warnIfCollected(pool, name) {
  registry.register(pool, name, pool);
}

/** @param {object} pool a closed one */
function cancelWarning(pool) {
  registry.unregister(pool);
}

module.exports = { cancelWarning, warnIfCollected };
