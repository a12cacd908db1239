'use strict';

const { setImmediate } = require('../clock');

/**
 * Lets what user code has thrown take the way of any exception in an event (`uncaughtException`),
 * without taking the caller along.
 *
 * @param {unknown} error
 */
function rethrow(error) {
  setImmediate(() => {
    throw error;
  });
}

module.exports = { rethrow };
