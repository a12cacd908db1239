'use strict';

const { setImmediate } = require('../clock');

/**
 * Rethrows an error of user code as an uncaught exception of its own event, so that the caller
 * continues.
 *
 * @param {unknown} error
 */
function rethrow(error) {
  setImmediate(() => {
    throw error;
  });
}

module.exports = { rethrow };
