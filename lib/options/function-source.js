'use strict';

// The source text of a function that runs in another process.

const vm = require('node:vm');
const { invalidType, invalidValue } = require('./argument-errors');

const NATIVE = /\{\s*\[native code\]\s*\}\s*$/;
const CLASS = /^class[\s{]/;

/**
 * Checked source texts. Compiling costs more than the rest of a small task.
 *
 * @type {WeakMap<Function, string>}
 */
const sources = new WeakMap();

/**
 * @param {unknown} fn
 * @returns {string} source text that the worker can compile
 */
function functionSource(fn) {
  if (typeof fn !== 'function') throw invalidType('fn', 'of type function', fn);
  let source = sources.get(fn);
  if (source === undefined) {
    source = checkedSource(fn);
    sources.set(fn, source);
  }
  return source;
}

/** @param {Function} fn */
function checkedSource(fn) {
  // The function may have its own toString().
  const source = Function.prototype.toString.call(fn);
  if (NATIVE.test(source)) {
    throw invalidValue(
      'fn',
      fn,
      'must be written in JavaScript: native and bound functions have no source text',
    );
  }
  if (CLASS.test(source)) throw invalidValue('fn', fn, 'must be a function, not a class');
  // A method (`{ work() {} }`) is an expression only inside an object.
  if (compiles(`(${source}\n)`) || compiles(`({${source}\n})`)) return source;
  throw invalidValue(
    'fn',
    fn,
    'must be a function that can stand alone, such as an arrow function',
  );
}

/** @param {string} expression which is only parsed */
function compiles(expression) {
  try {
    new vm.Script(expression);
    return true;
  } catch {
    return false;
  }
}

module.exports = { functionSource };
