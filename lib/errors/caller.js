'use strict';

const { isArgumentError } = require('../options/argument-errors');
const { BulkheadError } = require('./classes');

/**
 * Makes the stack of an error start at the line that called a public function. Node shows that line
 * for an uncaught error. Errors of user code (a getter among the options, for example) stay
 * unchanged.
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
 * Calls a function and makes its errors start at the caller of `called`.
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
