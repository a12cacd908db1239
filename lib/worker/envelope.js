'use strict';

const { hasOwn, keysOf } = require('./intrinsics');

/**
 * Whether a value is a whole `{ taskId, result, processedBy }`: exactly these keys, so that a
 * result which merely has one of these names is never taken for it.
 *
 * @param {unknown} value
 * @returns {boolean}
 */
function isEnvelope(value) {
  // The first look keeps the keys of large results from being listed.
  if (typeof value !== 'object' || value === null || !hasOwn(value, 'processedBy')) return false;
  return keysOf(value).length === 3 && hasOwn(value, 'taskId') && hasOwn(value, 'result');
}

module.exports = { isEnvelope };
