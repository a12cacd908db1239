'use strict';

const { isArgumentError } = require('../options/argument-errors');
const { BulkheadError } = require('./classes');

/**
 * Has the stack of an error begin with the line that called a public function, which is also the
 * line that Node shows where nobody catches the error. What user code threw on the way (a getter
 * among the options, say) stays as it is.
 *
 * @template T
 * @param {T} error
 * @param {Function} called
 * @returns {T}
 */
function fromCaller(error, called) {
  if (error instanceof BulkheadError || isArgumentError(error))
    Error.captureStackTrace(/** @type {any} */ (error), called);
  return error;
}

/**
 * Calls a function, the errors of which begin there.
 *
 * @template T
 * @param {Function} called
 * @param {() => T} fn
 * @returns {T}
 */
function forCaller(called, fn) {
  try {
    return fn();
  } catch (error) {
    throw fromCaller(error, called);
  }
}

module.exports = { forCaller, fromCaller };
