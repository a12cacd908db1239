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
  return (
    typeof value === 'object' &&
    value !== null &&
    hasOwn(value, 'processedBy') &&
    hasOwn(value, 'taskId') &&
    hasOwn(value, 'result') &&
    Object.keys(value).length === 3
  );
}

module.exports = { isEnvelope };
