'use strict';

const { hasOwn, keysOf } = require('./intrinsics');

/**
 * Returns whether a value is a whole `{ taskId, result, processedBy }`. It must have exactly these
 * keys, so that a result which merely has one of these names is not mistaken for an envelope.
 *
 * @param {unknown} value
 * @returns {boolean}
 */
function isEnvelope(value) {
  // Check one key first, so that the keys of large results are not listed.
  if (typeof value !== 'object' || value === null || !hasOwn(value, 'processedBy')) return false;
  return keysOf(value).length === 3 && hasOwn(value, 'taskId') && hasOwn(value, 'result');
}

module.exports = { isEnvelope };
