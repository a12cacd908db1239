'use strict';

const { hasOwn } = require('./intrinsics');

/**
 * Whether a value is a whole `{ taskId, result, processedBy }`: exactly these keys, so that a result which merely has one
 * of these names is never taken for it.
 *
 * @param {unknown} value
 * @returns {boolean}
 */
function isEnvelope(value) {
  // The first look keeps the keys of large results from being listed.
  if (typeof value !== 'object' || value === null || !hasOwn(value, 'processedBy')) return false;
  const keys = Object.keys(value);
  return keys.length === 3 && keys.includes('taskId') && keys.includes('result');
}

module.exports = { isEnvelope };
